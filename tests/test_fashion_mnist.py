import os
import pickle
import resource
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

import fashion_mnist
from pyimagesearch.dataset import LABEL_NAMES, load_data
from pyimagesearch.minivggnet import MiniVGGNet

INFO_LINES = [
    "[INFO] loading Fashion MNIST...",
    "[INFO] compiling model...",
    "[INFO] training model...",
    "[INFO] evaluating network...",
    "[INFO] serializing training history...",
]
OLDER = pickle.dumps({"loss": [0.5], "val_loss": [0.5]})
REPORTED = {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def partial(path):
    return path.with_name("training.pickle.partial")


def read(path):
    return pickle.loads(path.read_bytes())


@pytest.fixture(scope="module")
def full_disk(start, tmp_path_factory):
    """A training over an older history on a disk with room for one epoch."""
    path = tmp_path_factory.mktemp("full_disk") / "training.pickle"
    path.write_bytes(OLDER)
    one_epoch = len(pickle.dumps({name: [0.5] for name in sorted(REPORTED)}))

    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (one_epoch, one_epoch))

    options = ["--history", path, "--epochs", "3"]
    return start("fashion_mnist.py", *options, preexec_fn=limit_file_size), path


@pytest.fixture(scope="module")
def two_runs(start, full_disk, tmp_path_factory):
    """Two seeded runs: one into a log, the other in a terminal and explained."""
    # `full_disk` is there to run beside them, on two cores.
    pty = pytest.importorskip("pty")
    folder = tmp_path_factory.mktemp("two_runs")
    options = ["--epochs", "2", "--seed", "7", "--history"]
    ours, theirs = pty.openpty()
    log = start("fashion_mnist.py", *options, folder / "log.pickle")
    terminal = start(
        "fashion_mnist.py",
        *[*options, folder / "terminal.pickle", "--explain"],
        stdout=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 1024):
            shown += chunk
    except OSError:  # the script has closed its side
        pass
    os.close(ours)
    stdout, stderr = log.communicate()
    _, terminal_stderr = terminal.communicate()
    assert (log.returncode, stderr) == (0, "")  # none of TensorFlow's noise
    assert (terminal.returncode, terminal_stderr) == (0, "")
    return folder, stdout, shown.decode()


def test_a_log_has_the_tutorials_lines_one_an_epoch_and_the_report(two_runs):
    folder, stdout, _ = two_runs
    lines = stdout.splitlines()
    assert [line for line in lines if line.startswith("[INFO]")] == INFO_LINES
    assert sum("val_loss" in line for line in lines) == 2
    report = stdout[stdout.index(INFO_LINES[3]) : stdout.index(INFO_LINES[4])]
    assert [line[:12].strip() for line in report.splitlines()[3:13]] == LABEL_NAMES
    accuracy = next(line for line in report.splitlines() if "accuracy" in line)
    expected = read(folder / "log.pickle")["val_accuracy"][-1]
    assert accuracy.split() == ["accuracy", f"{expected:.2f}", "100"]


def test_a_terminal_shows_keras_progress_bar(two_runs):
    _, log, shown = two_runs
    assert "\r" in shown and " 5/10" in shown and "10/10" in shown
    assert " 5/10" not in log


def test_the_history_is_a_dict_of_lists_of_floats_and_nothing_else_is_left(two_runs):
    folder, _, _ = two_runs
    history = read(folder / "log.pickle")
    assert type(history) is dict and set(history) == REPORTED
    for values in history.values():
        assert type(values) is list and len(values) == 2
        assert all(type(value) is float for value in values)
    files = sorted(file.name for file in folder.iterdir())
    assert files == ["log.pickle", "terminal.pickle"]


def test_with_a_seed_and_with_explain_the_history_is_the_same_bit_for_bit(two_runs):
    folder, _, _ = two_runs
    history, explained = read(folder / "log.pickle"), read(folder / "terminal.pickle")
    assert {name: explained[name] for name in history} == history
    assert set(explained) - REPORTED == {"training_mode_loss", "inference_mode_loss"}


@pytest.fixture
def recorded_order(monkeypatch):
    """Record which images the network is trained on, in their order."""
    (x_train, _), _ = load_data()
    index = {image.tobytes(): i for i, image in enumerate(x_train)}
    order = []

    @keras.saving.register_keras_serializable()
    class Recorder(keras.layers.Layer):
        def call(self, images, training=False):
            if training:

                def record(images):
                    order.extend(index[image.tobytes()] for image in images.numpy())

                with tf.control_dependencies([tf.py_function(record, [images], [])]):
                    return tf.identity(images)
            return images

        def compute_output_shape(self, shape):
            return shape

    build = MiniVGGNet.build

    def build_with_recorder(width, height, depth, classes):
        network = build(width, height, depth, classes)
        images = keras.Input((height, width, depth))
        return keras.Sequential([images, Recorder(), *network.layers])

    monkeypatch.setattr(MiniVGGNet, "build", build_with_recorder)
    return order


def test_every_epoch_visits_all_images_in_a_new_order_that_the_seed_repeats(
    recorded_order, path
):
    options = ["--history", str(path), "--seed", "7"]
    fashion_mnist.main([*options, "--epochs", "3"])
    epochs = first, second, third = np.reshape(recorded_order, (3, 320))
    for epoch in epochs:
        assert sorted(epoch) == list(range(320))
    assert (first != second).any() and (second != third).any()
    assert (first != third).any() and (first != np.arange(320)).any()

    recorded_order.clear()
    fashion_mnist.main([*options, "--epochs", "2"])
    np.testing.assert_array_equal(np.ravel(epochs[:2]), recorded_order)


@pytest.mark.parametrize(
    "update, rate",
    [(0, 1e-2), (1, 1e-2 / 1.0004), (1875, 1e-2 / 1.75), (46_874, 1e-2 / 19.7496)],
)
def test_the_learning_rate_decays_at_every_update(update, rate):
    model = fashion_mnist.compiled_model(learning_rate=1e-2, epochs=25)
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(update)
    assert float(model.optimizer.learning_rate) == pytest.approx(rate, rel=1e-5)
    assert model.optimizer.momentum == 0.9


def test_the_defaults_are_the_tutorials(path):
    args = fashion_mnist.parse_arguments(["-i", str(path)])
    assert (args.epochs, args.batch_size, args.learning_rate) == (25, 32, 0.01)
    assert (args.seed, args.explain) == (None, False)


def test_a_tiny_data_set_without_some_class_gets_a_whole_report(capsys):
    y_test = np.eye(10)[[0, 1, 2]]
    report = fashion_mnist.report(y_test, np.eye(10)[[0, 1, 1]])
    assert all(name in report for name in LABEL_NAMES)
    assert "0.67         3" in report
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "the following arguments are required: -i/--history"),
        (["--epochs", "0"], "argument --epochs: 0 is below 1"),
        (["--epochs", "-3"], "argument --epochs: -3 is below 1"),
        (["--epochs", "many"], "argument --epochs: invalid positive_integer value"),
        (["--batch-size", "0"], "argument --batch-size: 0 is below 1"),
        (["--batch-size", "1.5"], "argument --batch-size: invalid"),
        (["--learning-rate", "0"], "argument --learning-rate: 0 is not a positive"),
        (["--learning-rate", "-1"], "argument --learning-rate: -1 is not a positive"),
        (["--learning-rate", "nan"], "argument --learning-rate: nan is not a positive"),
        (["--learning-rate", "inf"], "argument --learning-rate: inf is not a positive"),
        (["--learning-rate", "fast"], "argument --learning-rate: invalid"),
        (["--seed", "-1"], "argument --seed: -1 is not between 0 and 4294967295"),
        (["--seed", "4294967296"], "argument --seed: 4294967296 is not between"),
        (["--seed", "x"], "argument --seed: invalid seed value: 'x'"),
        (["--history", "missing/h.pickle"], "the folder missing does not exist"),
        (["--history", "."], "argument -i/--history: . is not a file"),
        (["--history", "/dev/null"], "argument -i/--history: /dev/null is not a file"),
        (["--history", "x" * 300], "cannot be written (File name too long)"),
        (["--history", "/proc/h.pickle"], "/proc/h.pickle cannot be written"),
    ],
)
def test_a_bad_option_is_one_line_before_the_data_are_loaded(
    options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    history = [] if "--history" in options or not options else ["--history", "h.pickle"]
    with pytest.raises(SystemExit) as end:
        fashion_mnist.main([*history, *options])
    stdout, stderr = capsys.readouterr()
    assert end.value.code == 2
    assert message in stderr and stderr.count("\n") == 1
    assert ": error: " in stderr
    assert stdout == ""
    assert list(tmp_path.iterdir()) == []


def wait_for_epochs(process, path, epochs):
    """Wait until a running script has this many epochs on disk."""
    while process.poll() is None:
        if partial(path).exists() and len(read(partial(path))["loss"]) >= epochs:
            return
        time.sleep(0.01)
    raise AssertionError(process.stderr.read())


def default_signals():
    # A shell that starts the tests in the background ignores Ctrl-C, and so would they.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def stopped(start, tmp_path_factory):
    """Three trainings over an older history, each stopped by a signal."""
    runs = {}
    for name in ["SIGINT", "SIGTERM", "SIGKILL"]:
        path = tmp_path_factory.mktemp(name) / "training.pickle"
        path.write_bytes(OLDER)
        variables = {"TF_CPP_MIN_LOG_LEVEL": "0"} if name == "SIGKILL" else {}
        process = start(
            "fashion_mnist.py",
            *["--history", path, "--epochs", "1000"],
            variables=variables,
            preexec_fn=default_signals,
        )
        runs[name] = process, path
    for name, (process, path) in runs.items():
        wait_for_epochs(process, path, epochs=1)
        process.send_signal(getattr(signal, name))
    return {name: (*runs[name], *runs[name][0].communicate()) for name in runs}


def test_tensorflows_own_log_variable_stands(stopped):
    _, _, _, stderr = stopped["SIGKILL"]
    # Without the variable there is nothing on stderr: see two_runs.
    assert "oneDNN" in stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_stopped_training_keeps_its_finished_epochs(stopped, name):
    _, path, _, _ = stopped[name]
    history = read(partial(path))
    epochs = len(history["loss"])
    assert set(history) == REPORTED and 1 <= epochs < 1000
    assert all(len(values) == epochs for values in history.values())
    assert path.read_bytes() == OLDER


@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_training_says_in_a_line_what_is_left(stopped, name, status):
    process, path, _, stderr = stopped[name]
    assert process.returncode == status
    assert stderr.count("\n") == 1
    epochs = len(read(partial(path))["loss"])
    assert f"stopped: finished epochs: {epochs}, in {partial(path)}; " in stderr


def test_a_stopped_training_is_plotted_as_it_says(stopped, run):
    _, path, _, stderr = stopped["SIGINT"]
    command = stderr[stderr.index("plot_shift.py") :].split()
    assert run(*command, cwd=ROOT)[0] == 0
    assert path.with_name("training.pickle.png").exists()


def test_a_training_stopped_before_its_first_epoch_says_so(path, capsys):
    history = fashion_mnist.SavedHistory(partial(path))
    with pytest.raises(SystemExit) as end, fashion_mnist.explained_ending(history):
        signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert end.value.code == 143
    stderr = capsys.readouterr().err
    assert (
        stderr == "fashion_mnist.py: stopped: no epoch was finished, nothing is saved\n"
    )


def test_a_full_disk_ends_the_training_in_one_line(full_disk):
    process, path = full_disk
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr.count("\n") == 1
    assert f"error: {partial(path)} cannot be written (File too large)" in stderr
    assert len(read(partial(path))["loss"]) == 1  # the epoch before
    assert path.read_bytes() == OLDER
    assert len(list(path.parent.iterdir())) == 2


def test_a_target_that_cannot_be_replaced_keeps_the_whole_history(path):
    history = fashion_mnist.SavedHistory(partial(path))
    partial(path).write_bytes(b"history")
    path.mkdir()
    with pytest.raises(SystemExit) as end, fashion_mnist.explained_ending(history):
        history.finish(path)
    assert f"the whole history is in {partial(path)}" in end.value.code
    assert partial(path).read_bytes() == b"history"


def test_a_damaged_data_set_is_one_line_that_names_the_folder(
    path, data_folder, capsys
):
    (data_folder / "train-images-idx3-ubyte.gz").write_bytes(b"<html>")
    with pytest.raises(SystemExit) as end:
        fashion_mnist.main(["--history", str(path)])
    assert end.value.code.startswith("fashion_mnist.py: error: ")
    assert f"{data_folder} is damaged" in end.value.code
    assert "delete that folder" in end.value.code and "\n" not in end.value.code
    assert capsys.readouterr().out.splitlines() == INFO_LINES[:1]
    assert list(path.parent.iterdir()) == []


def test_a_bug_of_ours_still_shows_its_traceback(path):
    history = fashion_mnist.SavedHistory(path)
    with pytest.raises(ZeroDivisionError), fashion_mnist.explained_ending(history):
        divmod(1, 0)
