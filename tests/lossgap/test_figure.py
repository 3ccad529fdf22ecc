import matplotlib.pyplot as plt
import numpy as np
import pytest
from histories import SIX, THREE, history
from matplotlib.colors import to_hex

from pyimagesearch.lossgap import draw_gap
from pyimagesearch.lossgap.parts import PARTS


def names(axes):
    return [text.get_text() for text in axes.get_legend().texts]


def bars(axes):
    """The `(start, end)` of the bars of each part."""
    parts = [x for x in axes.containers if x.get_label()[0] != "_"]
    return [[bar.get_bbox().intervaly for bar in part] for part in parts]


def test_names_colors_and_sides():
    axes = draw_gap(SIX)
    assert axes is plt.gca()
    six = ["timing (reason 2)", "augmentation and weights", "regularization (reason 1)"]
    six += ["batch normalization", "memorization", "data (reason 3)"]
    assert names(axes) == ["gap (sum of the parts)", *six]
    colors = [to_hex(bar.get_facecolor()) for bar in axes.get_legend().get_patches()]
    assert colors == [part.color.lower() for part in PARTS.values()][:6]
    title = "Where the Gap Comes From\n(above 0 the validation does better)"
    assert axes.get_title() == title and axes.get_xlabel() == "Epoch #"
    assert axes.get_ylabel() == "train_loss - val_loss"


def test_it_is_drawn_into_given_axes_and_of_another_metric_too():
    _, (axes, _) = plt.subplots(2)
    accuracy = history(metric="accuracy", timing=[-0.1])
    assert draw_gap(accuracy, "accuracy", axes) is axes
    assert "(below 0 the validation does better)" in axes.get_title()
    # Both in one, of which nobody knows whether it is reason 3, or its opposite.
    assert names(axes)[-1] == "memorization and data"


def test_bars_are_stacked_from_zero_upwards_and_downwards():
    parts = {"timing": [0.15, -0.02, 0.01], "regularization": [0.05, 0.04, -0.14]}
    axes = draw_gap(history(**parts, memorization_and_data=[-0.1, -0.07, 0.03]))
    expected = [
        [(0, 0.15), (0, -0.02), (0, 0.01)],
        [(0.15, 0.2), (0, 0.04), (0, -0.14)],
        [(0, -0.1), (-0.02, -0.09), (0.01, 0.04)],
    ]
    np.testing.assert_allclose(bars(axes), expected, atol=1e-6)
    zero, gap = axes.lines
    assert list(zero.get_ydata()) == [0, 0]
    np.testing.assert_allclose(gap.get_data(), ([1, 2, 3], [0.1, -0.05, -0.1]))


@pytest.mark.parametrize("error, chance", [(0.1, True), (np.nan, True), (0.07, False)])
def test_only_what_may_be_chance_is_hatched(error, chance):
    parts = {"timing": [0.15, -0.02, 0.0], "regularization": [0.05, 0.04, 0.1]}
    axes = draw_gap(history(errors={"timing": [error, 0, 0.1]}, **parts))
    hatched = [bar for bar in axes.patches if bar.get_hatch()]
    ends = [bar.get_bbox().intervaly for bar in hatched]
    np.testing.assert_allclose(ends, [(0, 0.15)] * chance, atol=1e-6)
    title = axes.get_legend().get_title().get_text()
    assert title.startswith("hatched: may be chance")
    assert title.endswith("of unknown error") == np.isnan(error)
    assert axes.get_legend().get_patches()[0].get_hatch() is None


@pytest.mark.filterwarnings("error")
def test_a_training_that_diverged_is_drawn_without_a_warning():
    axes = draw_gap(THREE | {"loss": [0.5, np.nan], "val_loss": [0.5, np.inf]})
    assert np.isfinite(bars(axes)).all()
    draw_gap({name: [np.nan] * 3 for name in SIX})
