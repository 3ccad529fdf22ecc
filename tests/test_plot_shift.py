import os
import pickle
import random
import signal
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import DEADLINE, ENVIRONMENT, ROOT, ended, full_disk, link

import plot_shift
from pyimagesearch import matplotlib_backend
from pyimagesearch.explanation import in_words, table
from pyimagesearch.history import load, split_gap

NAN, INF = float("nan"), float("inf")
LOSSES = {"loss": [0.5, 0.3, 0.2], "val_loss": [0.4, 0.35, 0.3]}
THREE = {
    **LOSSES,
    "training_mode_loss": [0.35, 0.32, 0.19],
    "inference_mode_loss": [0.3, 0.28, 0.33],
}
FOUR = {**THREE, "held_out_loss": [0.33, 0.3, 0.28]}
WITHOUT_WINDOWS = {
    name: ENVIRONMENT[name]
    for name in ENVIRONMENT
    if name not in {"MPLBACKEND", "DISPLAY", "WAYLAND_DISPLAY"}
}


@pytest.fixture(scope="session", autouse=True)
def scripts(start, tmp_path_factory):
    """The script as a person runs it, in several places, beside other tests."""
    processes = {}

    def script(name, history, *options, environment=ENVIRONMENT):
        path = tmp_path_factory.mktemp("script") / "training.pickle"
        if history:
            path.write_bytes(pickle.dumps(history))
        command = ["plot_shift.py", "--input", path, *options]
        processes[name] = path, start(*command, env=environment)

    script("no history", None)
    for name, backend in [("no backend", "nonsense"), ("no toolkit", "webagg")]:
        script(name, LOSSES, environment={**ENVIRONMENT, "MPLBACKEND": backend})
    if sys.platform == "linux":  # elsewhere there is always a screen
        script("no screen", LOSSES, environment=WITHOUT_WINDOWS)
    script("no reader", FOUR, "--explain")
    _, process = processes["no reader"]
    process.stdout = process.stdout.close()
    return processes


@pytest.fixture(scope="session", autouse=True)
def imports(start):
    code = "import sys, plot_shift; print({'tensorflow', 'keras'} & set(sys.modules))"
    return start("-c", code)


@pytest.fixture(scope="module")
def late(scripts):
    """What they have done: the tests that ask for it come last."""
    return scripts


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


@pytest.fixture
def draw(path, monkeypatch, capsys):
    """The figure of a history and what is printed, as the script makes them."""

    def draw(history, *options):
        path.write_bytes(pickle.dumps(history))
        kept = []
        monkeypatch.setattr(plt, "show", lambda: kept.append(plt.gcf()))
        monkeypatch.setattr(matplotlib_backend, "why_no_window", lambda figure: None)
        plot_shift.main(["--input", str(path), *options])
        # A window is opened once, and nothing is written.
        (figure,) = kept
        assert list(path.parent.iterdir()) == [path]
        out, err = capsys.readouterr()
        assert err == ""
        return figure, out

    return draw


def lines(axes):
    return {
        line.get_label(): tuple(list(data) for data in line.get_data())
        for line in axes.lines
    }


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# The tutorial's figure


def test_training_loss_is_drawn_half_an_epoch_to_the_left(draw):
    figure, out = draw(LOSSES)
    unshifted, shifted = figure.axes
    assert lines(unshifted) == {
        "train_loss": ([0, 1, 2], LOSSES["loss"]),
        "val_loss": ([0, 1, 2], LOSSES["val_loss"]),
    }
    assert lines(shifted) == {
        "train_loss": ([-0.5, 0.5, 1.5], LOSSES["loss"]),
        "val_loss": ([0, 1, 2], LOSSES["val_loss"]),
    }
    assert out == ""


def test_titles_labels_and_legends_are_the_tutorials(draw):
    figure, _ = draw(LOSSES)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Unshifted Loss Plot", "Shifted Loss Plot"]
    for axes in figure.axes:
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch #", "Loss")
        assert legend(axes) == ["train_loss", "val_loss"]
        assert [line.get_color() for line in axes.lines] == ["#E24A33", "#348ABD"]
    top, bottom = (axes.get_position().y0 for axes in figure.axes)
    assert top > bottom
    assert tuple(figure.get_size_inches()) == (6.4, 4.8)


def test_without_explain_the_figure_is_the_tutorials_whatever_was_measured(draw):
    figure, out = draw(FOUR)
    assert len(figure.axes) == 2 and out == ""


def test_a_single_epoch_shows_its_points(draw):
    figure, _ = draw({name: FOUR[name][:1] for name in FOUR}, "--explain")
    for axes in figure.axes:
        assert {line.get_marker() for line in axes.lines} == {"o"}
    figure, _ = draw(FOUR, "--explain")
    for axes in figure.axes:
        assert {line.get_marker() for line in axes.lines} == {"None"}


def test_nan_and_infinity_are_gaps(draw):
    figure, _ = draw({"loss": [0.5, NAN, 0.4, 0.3], "val_loss": [0.5, 0.4, INF, 1e300]})
    train, val = figure.axes[0].lines
    np.testing.assert_equal(train.get_ydata(), [0.5, NAN, 0.4, 0.3])
    np.testing.assert_equal(val.get_ydata(), [0.5, 0.4, INF, INF])


# The gap


def bars(collection):
    """The (left, right, start, end) of each bar."""
    corners = [path.vertices for path in collection.get_paths()]
    return np.array(
        [[c[:, 0].min(), c[:, 0].max(), c[0, 1], c[1, 1]] for c in corners]
    ).round(6)


def test_explain_draws_three_plots_in_a_figure_for_a_laptops_screen(draw):
    figure, _ = draw(FOUR, "--explain")
    assert [axes.get_title() for axes in figure.axes] == [
        "Unshifted Loss Plot",
        "Where the Gap Comes From",
        "Shifted Loss Plot",
    ]
    unshifted, gap, shifted = figure.axes
    assert (gap.get_xlabel(), gap.get_ylabel()) == ("Epoch #", "Loss")
    assert lines(shifted)["train_loss"] == ([-0.5, 0.5, 1.5], LOSSES["loss"])
    width, height = figure.get_size_inches() * figure.dpi
    assert width <= 1300 and height <= 640
    # The tutorial's two on the left, one above the other.
    assert unshifted.get_position().y0 > shifted.get_position().y1
    assert gap.get_position().x0 > unshifted.get_position().x1
    assert gap.get_position().height > 0.6


def test_bars_are_stacked_from_zero_upwards_and_downwards(draw):
    figure, _ = draw(THREE, "--explain")
    _, axes, _ = figure.axes
    # timing 0.15 -0.02 0.01; regularization 0.05 0.04 -0.14; data -0.1 -0.07 0.03
    expected = [
        [(0, 0.15), (0, -0.02), (0, 0.01)],
        [(0.15, 0.2), (0, 0.04), (0, -0.14)],
        [(0, -0.1), (-0.02, -0.09), (0.01, 0.04)],
    ]
    assert len(axes.collections) == 3
    for collection, part in zip(axes.collections, expected):
        left, right, *ends = bars(collection).T
        np.testing.assert_allclose(left, [-0.4, 0.6, 1.6])
        np.testing.assert_allclose(right, [0.4, 1.4, 2.4])
        np.testing.assert_allclose(np.transpose(ends), part, atol=1e-6)
    gap = np.subtract(LOSSES["loss"], LOSSES["val_loss"])
    ((x, y),) = lines(axes).values()
    assert x == [0, 1, 2]
    np.testing.assert_allclose(y, gap)
    # All of them are in the picture.
    low, high = axes.get_ylim()
    assert low < -0.14 and high > 0.2


def test_four_parts_are_drawn_where_the_history_has_them(draw):
    figure, _ = draw(FOUR, "--explain")
    _, axes, _ = figure.axes
    heights = [bars(part)[:, 3] - bars(part)[:, 2] for part in axes.collections]
    np.testing.assert_allclose(heights, [*split_gap(FOUR).values()], atol=1e-6)
    colors = [tuple(part.get_facecolor()[0]) for part in axes.collections]
    assert len(set(colors)) == 4
    for line in axes.lines + figure.axes[0].lines:
        assert line.get_color() not in colors


def test_the_legend_has_the_reasons_and_their_signs(draw):
    _, axes, _ = draw(FOUR, "--explain")[0].axes
    timing, regularization, memorization, data, gap = legend(axes)
    assert timing == "time of measurement: the training loss is older"
    assert regularization == "regularization: it is on for the training loss only"
    assert memorization == "memorization: the network knows the training images (−)"
    assert data == "data: the validation images are easier (+) or harder (−)"
    assert gap == "gap: train_loss − val_loss"
    _, axes, _ = draw(THREE, "--explain")[0].axes
    assert legend(axes)[:2] == [timing, regularization] and len(legend(axes)) == 4
    assert legend(axes)[2].replace("\n", " ") == (
        "data: the training images are known (−), the validation images easier (+) or "
        "harder (−)"
    )


def test_an_epoch_of_a_training_that_diverged_has_no_bars(draw):
    damaged = [0.5, NAN, INF, -INF, 1e308, 0.2]
    history = {name: THREE[name] * 2 for name in THREE}
    figure, out = draw({**history, "loss": damaged}, "--explain")
    _, axes, _ = figure.axes
    for collection in axes.collections:
        np.testing.assert_allclose(bars(collection)[:, 0], [-0.4, 4.6])
    finite = np.isfinite(axes.lines[0].get_ydata())
    assert list(finite) == [True, False, False, False, False, True]
    figure.canvas.draw()
    assert "nan" in out and "-inf" in out


def test_a_training_that_diverged_at_once_is_drawn_too(draw):
    figure, out = draw({name: [NAN] for name in FOUR}, "--explain")
    assert len(figure.axes) == 3 and "the training diverged" in out
    figure.canvas.draw()


@pytest.mark.parametrize("history", [THREE, FOUR], ids=["three", "four"])
def test_explain_prints_the_table_and_then_the_words(history, draw, path):
    _, out = draw(history, "--explain")
    loaded = load(path)
    parts = split_gap(loaded)
    assert out == f"{table(loaded, parts)}\n{in_words(parts)}\n"
    assert out.split()[:4] == ["epoch", "loss", "val_loss", "gap"]


def test_very_many_epochs_are_drawn_in_seconds(draw):
    chance = random.Random(1)
    history = {name: [chance.random() for _ in range(6_000)] for name in FOUR}
    began = time.process_time()
    figure, out = draw(history, "--explain")
    figure.canvas.draw()
    took = time.process_time() - began
    assert out.count("\n") > 6_000
    assert took < 5  # Axes.bar takes more than 10


# Files and windows


@pytest.mark.skipif(sys.platform != "linux", reason="there is always a screen")
def test_without_a_screen_the_figure_is_beside_the_input(late):
    path, process = late["no screen"]
    status, stdout, stderr = ended(process)
    png = path.with_name("training.png")
    assert (status, stderr) == (0, "")
    figure, why = stdout.splitlines()
    assert figure == f"[INFO] the figure is in {png}"
    assert why == "[INFO] no window: there is no screen"
    assert plt.imread(png).shape == (480, 640, 4)


def test_it_says_why_there_is_no_window(monkeypatch):
    figure = plt.figure()
    assert matplotlib_backend.why_no_window(figure) == "MPLBACKEND is agg"
    monkeypatch.delenv("MPLBACKEND")
    monkeypatch.setenv("DISPLAY", ":0")
    assert "no toolkit for windows" in matplotlib_backend.why_no_window(figure)


SIGNATURES = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", ".PNG": b"\x89PNG"}


@pytest.mark.parametrize("ending", SIGNATURES)
def test_output_is_written_in_the_format_of_its_ending(
    ending, path, monkeypatch, capsys
):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    path.write_bytes(pickle.dumps(LOSSES))
    output = path.with_name("losses" + ending)
    plot_shift.main(["--input", str(path), "--output", str(output)])
    assert output.read_bytes().startswith(SIGNATURES[ending])
    assert {file.name for file in path.parent.iterdir()} == {path.name, output.name}
    assert capsys.readouterr().out == f"[INFO] the figure is in {output}\n"
    assert shown == []


def test_with_output_no_window_is_opened_where_one_could_be(path, monkeypatch):
    """Where matplotlib has windows, it is told not to make one."""
    asked = []
    switch_backend = plt.switch_backend
    monkeypatch.setattr(
        plt, "switch_backend", lambda name: (asked.append(name), switch_backend(name))
    )
    path.write_bytes(pickle.dumps(LOSSES))
    plot_shift.main(["-i", str(path), "-o", str(path.with_suffix(".png"))])
    assert asked == ["agg"]


def window_environment():
    """A screen and a toolkit for windows, if this machine has both."""
    shutil = pytest.importorskip("shutil")
    for module, backend in [("PyQt6", "QtAgg"), ("tkinter", "TkAgg")]:
        try:
            __import__(module)
        except ImportError:
            continue
        if shutil.which("Xvfb"):
            return {**WITHOUT_WINDOWS, "MPLBACKEND": backend}
    pytest.skip("there is no Xvfb or no toolkit for windows here")


def test_ctrl_c_at_the_window_is_a_line(path):
    environment = window_environment()
    path.write_bytes(pickle.dumps(FOUR))
    screen = subprocess.Popen(["Xvfb", ":97", "-screen", "0", "1366x768x24"])
    try:
        process = subprocess.Popen(
            [sys.executable, ROOT / "plot_shift.py", "-i", path, "--explain"],
            env={**environment, "DISPLAY": ":97", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdout.readline()  # the table is there, the window follows
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=DEADLINE)
    finally:
        screen.kill()
        screen.wait()
    assert process.returncode == 130
    assert "Traceback" not in stderr and "plot_shift.py: stopped" in stderr
    assert list(path.parent.iterdir()) == [path]


def test_it_imports_no_tensorflow(late, imports):
    assert ended(imports) == (0, "set()\n", "")


# What ends it in a line


def ends(capsys, *options):
    with pytest.raises(SystemExit) as end:
        plot_shift.main([*options])
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.count("\n") == 1 and ": error: " in stderr
    return end.value.code, stderr


@pytest.mark.parametrize(
    "output, message",
    [
        ("missing/losses.png", "missing does not exist: create it first"),
        (".", "argument -o/--output: . is not a file"),
        ("losses.doc", "losses.doc does not end in a format that matplotlib can write"),
        ("losses", "losses does not end in a format"),
        ("x" * 300 + ".png", "cannot be written"),
    ],
)
def test_a_bad_output_is_one_line_and_no_file(
    output, message, path, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(pickle.dumps(LOSSES))
    status, stderr = ends(capsys, "--input", str(path), "--output", output)
    assert status == 2 and message in stderr
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["training.png", "training.svg"])
def test_the_history_is_never_written_over(name, tmp_path, capsys):
    history = tmp_path / name
    history.write_bytes(pickle.dumps(LOSSES))
    others = [tmp_path / "link.png", tmp_path / "hard link.png"]
    link(others[0], history)
    link(others[1], history, "hardlink_to")
    for output in [history, *others]:
        status, stderr = ends(capsys, "-i", str(history), "-o", str(output))
        assert status == 1 and f"{output} is the history itself" in stderr
        assert history.read_bytes() == pickle.dumps(LOSSES)
    if name.endswith(".png"):
        status, stderr = ends(capsys, "-i", str(history))
        assert status == 1 and f"{history} is the history itself" in stderr
        assert history.read_bytes() == pickle.dumps(LOSSES)
    assert len(list(tmp_path.iterdir())) == 3


def test_explain_says_how_to_measure_a_history_that_was_not(path, capsys):
    path.write_bytes(pickle.dumps(LOSSES))
    status, stderr = ends(capsys, "--input", str(path), "--explain")
    assert status == 1
    assert str(path) in stderr and "fashion_mnist.py --explain" in stderr
    assert list(path.parent.iterdir()) == [path]


def test_a_bad_history_is_one_line_and_exit_status_1(late):
    path, process = late["no history"]
    status, stdout, stderr = ended(process)
    assert (status, stdout) == (1, "")
    assert f"{path} cannot be read" in stderr and stderr.count("\n") == 1
    assert stderr.startswith("plot_shift.py: error: ")


def test_a_file_name_reaches_the_terminal_in_one_line(tmp_path, capsys):
    name = "a\nb\x1b[2J.png"
    if os.name == "nt":
        pytest.skip("Windows has no such names")
    history = tmp_path / "training.pickle"
    history.write_bytes(pickle.dumps(LOSSES))
    plot_shift.main(["-i", str(history), "-o", str(tmp_path / name)])
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "a\\nb\\x1b[2J.png" in out


def test_a_full_disk_leaves_no_half_figure(path, capsys):
    path.write_bytes(pickle.dumps(LOSSES))
    output = path.with_name("losses.png")
    output.write_bytes(b"an older figure")
    with full_disk(room=5000):
        status, stderr = ends(capsys, "-i", str(path), "-o", str(output))
    assert status == 1
    assert f"{output} cannot be written (File too large)" in stderr
    assert output.read_bytes() == b"an older figure"
    assert len(list(path.parent.iterdir())) == 2


def test_nobody_reads_the_table_and_the_figure_is_there(late):
    path, process = late["no reader"]
    process.wait(DEADLINE)
    assert process.stderr.read() == ""
    assert path.with_suffix(".png").exists()


def test_a_backend_that_does_not_exist_is_one_line(late):
    status, _, stderr = ended(late["no backend"][1])
    assert status == 1 and stderr.count("\n") == 1
    assert "matplotlib does not start" in stderr and "MPLBACKEND" in stderr


def test_a_toolkit_that_is_not_there_is_one_line(late):
    try:
        __import__("tornado")
    except ImportError:
        pass
    else:
        pytest.skip("this toolkit is there")
    status, _, stderr = ended(late["no toolkit"][1])
    assert status == 1 and stderr.count("\n") == 1
    assert "ornado" in stderr and "MPLBACKEND" in stderr


def test_a_missing_matplotlib_is_one_line(start):
    code = "import sys; sys.modules['matplotlib'] = None; import plot_shift"
    status, _, stderr = ended(start("-c", code))
    assert status == 1 and stderr.count("\n") == 1
    assert "matplotlib does not start" in stderr and "requirements.txt" in stderr


def test_a_missing_latex_is_one_line(path, monkeypatch, capsys):
    path.write_bytes(pickle.dumps(LOSSES))
    monkeypatch.setenv("PATH", str(path.parent))
    with plt.rc_context({"text.usetex": True}):
        status, stderr = ends(
            capsys, "-i", str(path), "-o", str(path.with_suffix(".png"))
        )
    assert status == 1
    assert "LaTeX" in stderr and "matplotlibrc" in stderr
    assert list(path.parent.iterdir()) == [path]


def test_another_runtime_error_shows_its_traceback():
    with pytest.raises(RuntimeError, match="a bug"), matplotlib_backend.explained():
        raise RuntimeError("a bug")
