import matplotlib.pyplot as plt
import numpy as np
import pytest
from histories import SIX, THREE, history
from matplotlib.colors import to_hex

from pyimagesearch.lossgap import draw_gap


@pytest.fixture(autouse=True)
def no_figures_are_left():
    yield
    plt.close("all")


def legend(axes):
    return [text.get_text() for text in axes.get_legend().texts]


def colors(axes):
    return [
        to_hex(bar.get_facecolor()).upper() for bar in axes.get_legend().get_patches()
    ]


def bars(axes):
    """The `(start, end)` of the bars of each part."""
    parts = {x.get_label(): x for x in axes.containers if x.get_label()[0] != "_"}
    return {name: [x.get_bbox().intervaly for x in parts[name]] for name in parts}


def hatched(axes):
    return [
        tuple(np.round(bar.get_bbox().intervaly, 6))
        for part in axes.containers
        for bar in part
        if bar.get_hatch()
    ]


def test_the_gap_is_drawn_into_new_axes_or_into_given_ones():
    axes = draw_gap(THREE)
    assert axes is plt.gca()
    _, both = plt.subplots(2)
    assert draw_gap(THREE, axes=both[0]) is both[0]


def test_names_colors_and_sides():
    axes = draw_gap(SIX)
    names = ["timing (reason 2)", "augmentation and weights"]
    names += ["regularization (reason 1)", "batch normalization", "memorization"]
    assert legend(axes) == ["gap (sum of the parts)", *names, "data (reason 3)"]
    expected = ["#332288", "#42150A", "#DDCC77", "#88CCEE", "#AA4499", "#117733"]
    assert colors(axes) == expected
    title = "Where the Gap Comes From\n(above 0 the validation does better)"
    assert axes.get_title() == title
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "Epoch #",
        "train_loss - val_loss",
    )
    # Both in one, of which nobody knows whether it is reason 3, or its opposite.
    assert legend(draw_gap(THREE))[-1] == "memorization and data"
    accuracy = history(metric="accuracy", timing=[-0.1])
    assert "(below 0 the validation does" in draw_gap(accuracy, "accuracy").get_title()


def test_bars_are_stacked_from_zero_upwards_and_downwards():
    parts = {"timing": [0.15, -0.02, 0.01], "regularization": [0.05, 0.04, -0.14]}
    axes = draw_gap(history(**parts, memorization_and_data=[-0.1, -0.07, 0.03]))
    expected = [
        [(0, 0.15), (0, -0.02), (0, 0.01)],
        [(0.15, 0.2), (0, 0.04), (0, -0.14)],
        [(0, -0.1), (-0.02, -0.09), (0.01, 0.04)],
    ]
    np.testing.assert_allclose(list(bars(axes).values()), expected, atol=1e-6)
    assert to_hex(axes.containers[0][0].get_edgecolor()) == "#ffffff"
    zero, gap = axes.lines
    assert list(zero.get_ydata()) == [0, 0]
    np.testing.assert_allclose(gap.get_data(), ([1, 2, 3], [0.1, -0.05, -0.1]))


@pytest.mark.parametrize("error, chance", [(0.1, True), (np.nan, True), (0.07, False)])
def test_only_what_may_be_chance_is_hatched(error, chance):
    parts = {"timing": [0.15, -0.02, 0.0], "regularization": [0.05, 0.04, 0.1]}
    axes = draw_gap(history(errors={"timing": [error, 0, 0.1]}, **parts))
    assert hatched(axes) == [(0, 0.15)] * chance
    title = axes.get_legend().get_title().get_text()
    assert title.startswith("hatched: may be chance")
    assert title.endswith("of unknown error") == np.isnan(error)
    assert axes.get_legend().get_patches()[0].get_hatch() is None


@pytest.mark.filterwarnings("error")
def test_a_training_that_diverged_is_drawn_without_a_warning():
    losses = {name: [0.5, np.nan, np.inf] for name in ("loss", "val_loss")}
    three = {"training_mode_loss": [0.4] * 3, "inference_mode_loss": [0.3] * 3}
    axes = draw_gap(losses | three)
    assert np.isfinite(list(bars(axes).values())).all()
    draw_gap({name: [np.nan] * 3 for name in SIX})


def test_what_was_not_measured_is_an_error():
    with pytest.raises(ValueError, match="the gap of auc was not measured"):
        draw_gap(THREE, "auc")
