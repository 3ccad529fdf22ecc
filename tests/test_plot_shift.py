import os
import pickle

import matplotlib.pyplot as plt
import pytest

import plot_shift
from pyimagesearch.lossgap import in_words, table

LOSSES = {"loss": [0.6, 0.35, 0.25], "val_loss": [0.5, 0.4, 0.35]}
PARTS = LOSSES | {"training_mode_loss": [0.45, 0.37, 0.24]}
PARTS |= {"inference_mode_loss": [0.4, 0.33, 0.38]}


@pytest.fixture(autouse=True)
def matplotlib_as_it_was():
    with plt.rc_context():
        yield
    plt.switch_backend("agg")


@pytest.fixture
def draw(path, capsys):
    """Draw a history as a person does; return the axes and what is printed."""

    def draw(history, *options):
        path.write_bytes(pickle.dumps(history))
        plot_shift.main(["--input", str(path), *map(str, options)])
        return plt.gcf().axes, capsys.readouterr().out

    return draw


def legend(axes):
    return [text.get_text() for text in axes.get_legend().texts]


def lines(axes):
    """The `(x, y)` of the lines, by their names."""
    return {x.get_label(): tuple(map(list, x.get_data())) for x in axes.lines}


def test_it_draws_the_tutorials_two_plots_one_half_an_epoch_to_the_left(draw):
    both, out = draw(PARTS)  # without --explain, but a line tells of it
    assert out.startswith("[INFO] --explain shows why the losses differ\n")
    for axes, which, epochs in [
        (both[0], "Unshifted", [0, 1, 2]),
        (both[1], "Shifted", [-0.5, 0.5, 1.5]),
    ]:
        train_loss, val_loss = (epochs, PARTS["loss"]), ([0, 1, 2], PARTS["val_loss"])
        assert lines(axes) == {"train_loss": train_loss, "val_loss": val_loss}
        assert axes.get_title() == f"{which} Loss Plot"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch #", "Loss")
        assert legend(axes) == ["train_loss", "val_loss"]
        assert [line.get_color() for line in axes.lines] == ["#E24A33", "#348ABD"]
    assert both[0].get_position().y0 > both[1].get_position().y1
    assert both[0].axis() == both[1].axis()  # so that the shift is seen


def test_a_single_epoch_shows_its_points(draw):
    panels, _ = draw({name: LOSSES[name][:1] for name in LOSSES})
    assert [line.get_marker() for axes in panels for line in axes.lines] == ["o"] * 4


def test_explain_draws_the_gap_beside_the_two_and_tells_of_it(draw):
    (unshifted, gap, shifted), out = draw(PARTS, "--explain")
    assert gap.get_title().startswith("Where the Gap Comes From")
    assert unshifted.get_position().y0 > shifted.get_position().y1
    assert gap.get_position().x0 > unshifted.get_position().x1
    assert shifted.get_shared_y_axes().joined(unshifted, shifted)  # zoomed, too
    assert out.startswith(f"{table(PARTS)}\n{in_words(PARTS)}\n")
    # Epochs count from one, as in the table.
    assert lines(unshifted)["train_loss"] == ([1, 2, 3], PARTS["loss"])
    assert lines(shifted)["train_loss"] == ([0.5, 1.5, 2.5], PARTS["loss"])
    assert lines(gap)["gap (sum of the parts)"][0] == [1, 2, 3]


def test_explain_draws_the_metric_that_it_names(draw):
    history = LOSSES | {x.replace("loss", "accuracy"): PARTS[x] for x in PARTS}
    (unshifted, gap, shifted), out = draw(history, "--explain", "accuracy")
    assert unshifted.get_title() == "Unshifted Accuracy Plot"
    assert legend(shifted) == ["train_accuracy", "val_accuracy"]
    assert shifted.get_ylabel() == "Accuracy"
    assert gap.get_ylabel() == "train_accuracy - val_accuracy"
    words = in_words(history, "accuracy")
    assert out.startswith(f"{table(history, 'accuracy')}\n{words}")


def test_with_a_screen_a_window_shows_it_or_output_has_it(draw, path, monkeypatch):
    plt.switch_backend("template")  # matplotlib's own, as if it had windows
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    draw(LOSSES)
    assert shown == [plt.gcf()] and list(path.parent.iterdir()) == [path]
    draw(LOSSES, "--output", path.with_name("losses.png"))
    assert len(shown) == 1 and len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("output, start", [(None, b"\x89PNG"), ("a.PDF", b"%PDF")])
def test_without_a_screen_the_figure_is_in_a_file(draw, path, output, start):
    options = ["--output", path.with_name(output)] if output else []
    file = path.with_name(output or "training.png")
    assert draw(LOSSES, *options)[1] == f"[INFO] the figure is in {file}\n"
    assert file.read_bytes().startswith(start)
    assert set(path.parent.iterdir()) == {path, file}


def ends(path, history, *options):
    """The line with which it ends, with nothing changed."""
    path.write_bytes(pickle.dumps(history))
    with pytest.raises(SystemExit) as end:
        plot_shift.main(["--input", str(path), *map(str, options)])
    assert "\n" not in end.value.code  # a text means exit status 1
    assert path.read_bytes() == pickle.dumps(history)
    assert list(path.parent.iterdir()) == [path]
    return end.value.code


def test_an_output_that_cannot_be_written_is_a_line(path):
    for output in ("no/losses.png", "losses.doc", "losses"):
        output = path.parent / output
        assert ends(path, LOSSES, "--output", output).startswith("error: ")
    as_a_picture = path.with_name("training.png")
    path.unlink()
    assert "is the history itself" in ends(as_a_picture, LOSSES)


def test_what_cannot_be_drawn_is_a_line_that_says_why(path):
    line = ends(path, LOSSES, "--explain")
    assert line.startswith(f"error: {path}: ") and "fashion_mnist.py --explain" in line
    assert ends(path, os.getcwd).startswith(f"error: {path} cannot be loaded")
