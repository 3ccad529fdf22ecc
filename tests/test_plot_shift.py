import os
import pickle
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

import plot_shift
from pyimagesearch.gap import in_words, split_gap, table

LOSSES = {"loss": [0.6, 0.35, 0.25], "val_loss": [0.5, 0.4, 0.35]}
THREE = {
    **LOSSES,
    "training_mode_loss": [0.45, 0.37, 0.24],
    "inference_mode_loss": [0.4, 0.33, 0.38],
}
FIVE = {
    **THREE,
    "batch_statistics_loss": [0.42, 0.3, 0.3],
    "held_out_loss": [0.48, 0.42, 0.3],
}


@pytest.fixture(autouse=True)
def style():
    """Whatever a test did to matplotlib, it is as it was afterwards."""
    with plt.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


@pytest.fixture
def draw(path, capsys):
    """Draw a history as a person does; return the axes and what is printed."""

    def draw(history, *options):
        path.write_bytes(pickle.dumps(history))
        plot_shift.main(["--input", str(path), *options])
        return plt.gcf().axes, capsys.readouterr().out

    return draw


def lines(axes):
    return {
        line.get_label(): ([*line.get_xdata()], [*line.get_ydata()])
        for line in axes.lines
    }


def legend(axes):
    return [text.get_text().replace("\n", " ") for text in axes.get_legend().texts]


# The tutorial's figure


def test_the_training_loss_is_drawn_as_it_is_and_half_an_epoch_to_the_left(draw):
    (unshifted, shifted), _ = draw(LOSSES)
    val_loss = ([0, 1, 2], LOSSES["val_loss"])
    train_loss = ([0, 1, 2], LOSSES["loss"])
    assert lines(unshifted) == {"train_loss": train_loss, "val_loss": val_loss}
    train_loss = ([-0.5, 0.5, 1.5], LOSSES["loss"])
    assert lines(shifted) == {"train_loss": train_loss, "val_loss": val_loss}


def test_titles_labels_legend_and_style_are_the_tutorials(draw):
    both, out = draw(FIVE)  # without --explain, whatever was measured
    titles = [axes.get_title() for axes in both]
    assert titles == ["Unshifted Loss Plot", "Shifted Loss Plot"]
    for axes in both:
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch #", "Loss")
        assert legend(axes) == ["train_loss", "val_loss"]
        assert [line.get_color() for line in axes.lines] == ["#E24A33", "#348ABD"]
    top, bottom = (axes.get_position().y0 for axes in both)
    assert top > bottom and out.count("\n") == 1


def test_a_single_epoch_shows_its_points(draw):
    all_three, _ = draw({name: FIVE[name][:1] for name in FIVE}, "--explain")
    for axes in all_three:
        assert {line.get_marker() for line in axes.lines} == {"o"}


# The gap


def bars(axes):
    """The `(start, end)` of the bars of each part."""
    return [
        [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in part]
        for part in axes.containers
    ]


def colors(axes):
    """The colors of the parts, by the names in the legend."""
    _, *names = (label.split(":")[0] for label in legend(axes))
    return dict(
        zip(names, [to_hex(part[0].get_facecolor()) for part in axes.containers])
    )


def test_explain_draws_the_gap_beside_the_tutorials_two_and_tells_of_it(draw, path):
    (unshifted, gap, shifted), out = draw(FIVE, "--explain")
    assert gap.get_title() == "Where the Gap Comes From"
    assert (gap.get_xlabel(), gap.get_ylabel()) == ("Epoch #", "Loss")
    assert lines(shifted)["train_loss"] == ([-0.5, 0.5, 1.5], LOSSES["loss"])
    assert unshifted.get_position().y0 > shifted.get_position().y1
    assert gap.get_position().x0 > unshifted.get_position().x1

    assert legend(gap)[0] == "gap: train_loss - val_loss"
    assert legend(gap)[1] == "timing: the training loss is measured earlier"
    shown = colors(gap)
    assert [*shown] == [name.replace("_", " ") for name in split_gap(FIVE)]
    curves = {line.get_color().lower() for line in unshifted.lines}
    assert len({*shown.values()} | curves) == 5 + 2

    assert out.startswith(f"{table(FIVE)}\n(epochs count from 1")
    assert f"in the plots from 0)\n{in_words(FIVE)}\n[INFO]" in out
    assert out.isascii()


def test_bars_are_stacked_from_zero_upwards_and_downwards(draw):
    (_, axes, _), _ = draw(THREE, "--explain")
    # timing 0.15 -0.02 0.01; regularization 0.05 0.04 -0.14; data -0.1 -0.07 0.03
    expected = [
        [(0, 0.15), (0, -0.02), (0, 0.01)],
        [(0.15, 0.2), (0, 0.04), (0, -0.14)],
        [(0, -0.1), (-0.02, -0.09), (0.01, 0.04)],
    ]
    np.testing.assert_allclose(bars(axes), expected, atol=1e-6)
    ((x, y),) = lines(axes).values()
    assert x == [0, 1, 2]
    np.testing.assert_allclose(y, np.subtract(LOSSES["loss"], LOSSES["val_loss"]))
    # Each part keeps its color, whether or not the others are there.
    names = ["timing", "regularization", "memorization and data"]
    assert [*colors(axes).items()] == [
        (name, to_hex(plot_shift.COLORS[name.replace(" ", "_")])) for name in names
    ]


def test_a_training_that_diverged_is_drawn_too(draw):
    losses = [0.5, float("nan"), float("inf")]
    _, out = draw({**FIVE, "loss": losses, "val_loss": losses}, "--explain")
    assert "nan" in out and "In epoch 1" in out


# Files and windows


def test_without_a_window_the_figure_is_beside_the_input_and_a_line_says_so(draw, path):
    _, out = draw(LOSSES)
    png = path.with_suffix(".png")
    assert out == f"[INFO] the figure is in {png}\n"
    assert plt.imread(png).shape == (480, 640, 4)


def test_with_a_window_it_is_shown_and_no_file_is_written(draw, path, monkeypatch):
    class Window(FigureManagerBase):
        """As a backend with windows has."""

    monkeypatch.setattr(FigureCanvasAgg, "manager_class", Window)
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    draw(LOSSES)
    assert shown == [plt.gcf()] and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ending, signature", [(".png", b"\x89PNG"), (".PDF", b"%PDF")])
def test_output_is_written_in_the_format_of_its_ending(draw, path, ending, signature):
    output = path.with_name("losses" + ending)
    _, out = draw(LOSSES, "--output", str(output))
    assert output.read_bytes().startswith(signature)
    assert out == f"[INFO] the figure is in {output}\n"
    assert {*path.parent.iterdir()} == {path, output}


def test_it_imports_no_tensorflow():
    code = "import sys, plot_shift; print({'tensorflow', 'keras'} & {*sys.modules})"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "set()\n"


# What ends it in a line


def ends(*options):
    with pytest.raises(SystemExit) as end:
        plot_shift.main([*map(str, options)])
    assert "\n" not in end.value.code  # a text means exit status 1
    return end.value.code


@pytest.mark.parametrize("output", ["no/losses.png", "losses.doc", "losses"])
def test_an_output_that_cannot_be_written_is_a_line(output, path):
    path.write_bytes(pickle.dumps(LOSSES))
    output = path.parent / output
    line = ends("--input", path, "--output", output)
    assert line.startswith(f"error: {output} cannot be written")
    assert list(path.parent.iterdir()) == [path]


def test_the_history_is_never_written_over(tmp_path):
    history = tmp_path / "training.png"
    history.write_bytes(pickle.dumps(LOSSES))
    for options in ([], ["--output", history]):
        assert "is the history itself" in ends("--input", history, *options)
        assert history.read_bytes() == pickle.dumps(LOSSES)


def test_a_history_that_was_not_measured_is_a_line_that_says_how(path):
    path.write_bytes(pickle.dumps(LOSSES))
    line = ends("--input", path, "--explain")
    assert line.startswith(f"error: {path}: ") and "fashion_mnist.py --explain" in line
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_no_history_is_a_line(path):
    path.write_bytes(pickle.dumps(os.getcwd))
    assert ends("--input", path).startswith(f"error: {path} cannot be loaded")
