import pickle
import random
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT

import plot_shift
from pyimagesearch.history import split_gap

NAN, INF = float("nan"), float("inf")
LOSSES = {"loss": [0.5, 0.3, 0.2], "val_loss": [0.4, 0.35, 0.3]}
MEASURED = {
    **LOSSES,
    "training_mode_loss": [0.35, 0.32, 0.19],
    "inference_mode_loss": [0.3, 0.28, 0.33],
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def draw(history, explain=False):
    history = {name: np.array(values) for name, values in history.items()}
    return plot_shift.draw(history, split_gap(history) if explain else None)


def lines(axes):
    return {
        line.get_label(): tuple(list(data) for data in line.get_data())
        for line in axes.lines
    }


def test_training_loss_is_drawn_half_an_epoch_to_the_left():
    unshifted, shifted = draw(LOSSES).axes
    assert lines(unshifted) == {
        "train_loss": ([0, 1, 2], LOSSES["loss"]),
        "val_loss": ([0, 1, 2], LOSSES["val_loss"]),
    }
    assert lines(shifted) == {
        "train_loss": ([-0.5, 0.5, 1.5], LOSSES["loss"]),
        "val_loss": ([0, 1, 2], LOSSES["val_loss"]),
    }


def test_titles_labels_and_legends_are_the_tutorials():
    figure = draw(LOSSES)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Unshifted Loss Plot", "Shifted Loss Plot"]
    for axes in figure.axes:
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch #", "Loss")
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        assert legend == ["train_loss", "val_loss"]
        assert [line.get_color() for line in axes.lines] == ["#E24A33", "#348ABD"]
    top, bottom = (axes.get_position().y0 for axes in figure.axes)
    assert top > bottom


def test_without_explain_the_figure_is_the_tutorials_whatever_was_measured():
    assert len(draw(MEASURED).axes) == 2


def markers(line):
    """The x of the points of a line that have a marker."""
    if line.get_marker() == "None":
        return []
    return list(line.get_xdata()[line.get_markevery()])


def test_a_single_epoch_shows_its_points():
    for axes in draw({"loss": [0.5], "val_loss": [0.4]}).axes:
        assert [len(markers(line)) for line in axes.lines] == [1, 1]


def test_nan_and_infinity_are_gaps_and_points_between_gaps_show():
    figure = draw({"loss": [0.5, NAN, 0.4, 0.3], "val_loss": [0.5, 0.4, INF, 1e300]})
    train, val = figure.axes[0].lines
    np.testing.assert_equal(train.get_ydata(), [0.5, NAN, 0.4, 0.3])
    np.testing.assert_equal(val.get_ydata(), [0.5, 0.4, NAN, NAN])
    assert (markers(train), markers(val)) == ([0], [])
    figure.canvas.draw()


@pytest.mark.parametrize("damage", [NAN, INF, -INF, 1e308])
def test_the_gap_of_a_training_that_diverged_is_a_gap(damage):
    history = {**MEASURED, "loss": [0.5, damage, 0.4]}
    *_, axes = draw(history, explain=True).axes
    np.testing.assert_equal(axes.lines[0].get_ydata()[1], NAN)
    assert [bars[1].get_height() for bars in axes.containers] == [0, 0, 0]
    axes.figure.canvas.draw()


def test_a_training_that_diverged_gives_no_warning(path, run):
    history = {**MEASURED, "loss": [INF, 1e308, NAN], "val_loss": [INF, -1e308, 0.4]}
    path.write_bytes(pickle.dumps(history))
    status, stdout, stderr = run("plot_shift.py", "--input", path, "--explain")
    assert (status, stderr) == (0, "")
    assert "nan" in stdout and "inf" in stdout


def test_the_bars_and_the_line_are_the_numbers_of_split_gap():
    *_, axes = draw(MEASURED, explain=True).axes
    parts = split_gap(MEASURED)
    assert axes.get_title() == "Where the Gap Comes From"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch #", "Loss")
    gap = np.subtract(MEASURED["loss"], MEASURED["val_loss"])
    ((x, y),) = lines(axes).values()
    assert x == [0, 1, 2]
    np.testing.assert_allclose(y, gap)

    words = ["time of measurement", "regularization", "data"]
    assert len(axes.containers) == 3
    for bars, part, word in zip(axes.containers, parts.values(), words):
        assert bars.get_label().startswith(word)
        np.testing.assert_allclose([bar.get_height() for bar in bars], part)
        centers = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        np.testing.assert_allclose(centers, [0, 1, 2])

    # Stacked from zero, up and down, each on the one before it.
    for epoch in range(3):
        ends = {0.0}
        for bars in axes.containers:
            start, height = bars[epoch].get_y(), bars[epoch].get_height()
            assert any(start == pytest.approx(end) for end in ends)
            assert start * height >= 0
            ends = {end for end in ends if end != pytest.approx(start)} | {0.0}
            ends.add(start + height)


def test_explain_prints_the_table_and_draws_three_plots(run, path):
    path.write_bytes(pickle.dumps(MEASURED))
    status, stdout, stderr = run("plot_shift.py", "--input", path, "--explain")
    assert (status, stderr) == (0, "")
    header, *rows = [line.split() for line in stdout.splitlines()[:5]]
    parts = split_gap(MEASURED)
    assert header == ["epoch", "loss", "val_loss", "gap", *parts]
    gap = np.subtract(MEASURED["loss"], MEASURED["val_loss"])
    columns = [MEASURED["loss"], MEASURED["val_loss"], gap, *parts.values()]
    expected = np.transpose(columns)
    assert [row[0] for row in rows] == ["1", "2", "3", "mean"]
    values = np.array([row[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(values[:3], expected, atol=5.1e-5)
    np.testing.assert_allclose(values[3], expected.mean(axis=0), atol=5.1e-5)


def test_explain_says_how_to_measure_a_history_that_was_not(path):
    path.write_bytes(pickle.dumps(LOSSES))
    with pytest.raises(SystemExit) as end:
        plot_shift.main(["--input", str(path), "--explain"])
    assert "fashion_mnist.py --explain" in end.value.code
    assert "\n" not in end.value.code
    assert list(path.parent.iterdir()) == [path]


def test_without_a_screen_the_figure_is_beside_the_input(run, path):
    path.write_bytes(pickle.dumps(LOSSES))
    status, stdout, stderr = run("plot_shift.py", "-i", path)
    png = path.with_name("training.png")
    assert (status, stderr) == (0, "")
    assert str(png) in stdout
    assert plt.imread(png).shape == (480, 640, 4)


SIGNATURES = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", ".PNG": b"\x89PNG"}


@pytest.mark.parametrize("ending", SIGNATURES)
def test_output_is_written_in_the_format_of_its_ending(ending, path):
    path.write_bytes(pickle.dumps(LOSSES))
    output = path.with_name("losses" + ending)
    plot_shift.main(["--input", str(path), "--output", str(output)])
    assert output.read_bytes().startswith(SIGNATURES[ending])
    assert {file.name for file in path.parent.iterdir()} == {path.name, output.name}


def test_with_a_screen_it_opens_a_window(path, monkeypatch):
    # A window needs a screen; what can be seen without one is that show is called.
    path.write_bytes(pickle.dumps(LOSSES))
    shown = []
    monkeypatch.setattr(plot_shift, "has_screen", lambda: True)
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    plot_shift.main(["--input", str(path)])
    assert [len(figure.axes) for figure in shown] == [2]
    assert list(path.parent.iterdir()) == [path]


def test_it_imports_no_tensorflow():
    code = "import sys, plot_shift; print({'tensorflow', 'keras'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "set()\n"


@pytest.mark.parametrize(
    "output, message",
    [
        ("missing/losses.png", "the folder missing does not exist"),
        (".", "argument -o/--output: . is not a file"),
        ("losses.doc", "losses.doc does not end in a format that matplotlib can write"),
        ("losses", "losses does not end in a format"),
        ("/proc/losses.png", "/proc/losses.png cannot be written"),
    ],
)
def test_a_bad_output_is_one_line_and_no_file(
    output, message, path, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(pickle.dumps(LOSSES))
    with pytest.raises(SystemExit) as end:
        plot_shift.main(["--input", str(path), "--output", output])
    stderr = capsys.readouterr().err
    assert end.value.code == 2
    assert message in stderr and stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_half_figure(run, path):
    resource = pytest.importorskip("resource")
    path.write_bytes(pickle.dumps(LOSSES))
    output = path.with_name("losses.png")
    output.write_bytes(b"an older figure")

    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    status, _, stderr = run(
        "plot_shift.py", "-i", path, "-o", output, preexec_fn=limit_file_size
    )
    assert status == 1
    assert f"{output} cannot be written (File too large)" in stderr
    assert stderr.count("\n") == 1
    assert output.read_bytes() == b"an older figure"
    assert len(list(path.parent.iterdir())) == 2


def test_a_bad_history_is_one_line_and_exit_status_1(run, tmp_path):
    status, stdout, stderr = run("plot_shift.py", "-i", tmp_path / "missing.pickle")
    assert (status, stdout) == (1, "")
    assert "missing.pickle cannot be read" in stderr and stderr.count("\n") == 1


VALID = pickle.dumps(
    {"loss": [0.5, np.float32(0.25)], "val_loss": np.array([0.4, 0.3])}
)


def truncated():
    return [VALID[:length] for length in range(len(VALID))]


def corrupted():
    chance = random.Random(1)
    for _ in range(200):
        content = bytearray(VALID)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        yield bytes(content)


@pytest.mark.parametrize("contents", [truncated, corrupted])
def test_damaged_histories_end_in_a_figure_or_a_line(contents, path, capsys):
    figure = Path(path.with_suffix(".png"))
    ends = {"figure": 0, "line": 0}
    for content in contents():
        path.write_bytes(content)
        try:
            plot_shift.main(["--input", str(path)])
        except SystemExit as end:
            assert end.code.startswith(f"plot_shift.py: error: {path} ")
            assert "\n" not in end.code
            assert not figure.exists()
            ends["line"] += 1
        else:
            assert figure.read_bytes().startswith(b"\x89PNG")
            figure.unlink()
            ends["figure"] += 1
        assert capsys.readouterr().err == ""
        plt.close("all")
    assert ends["line"] > 50
    assert (ends["figure"] > 0) == (contents is corrupted)
