import contextlib
import io
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, TINY_CACHE
from sklearn.model_selection import train_test_split

import fashion_mnist
from pyimagesearch import dataset
from pyimagesearch.gap import split_gap

REPORTED = {"loss", "accuracy", "val_loss", "val_accuracy"}
MEASURED = {"training_mode_loss", "inference_mode_loss", "batch_statistics_loss"}
LABEL_NAMES = "top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def read(path):
    return pickle.loads(path.read_bytes())


# A training with --explain --hold-out


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training in this process, and what it leaves."""
    path = tmp_path_factory.mktemp("training") / "training.pickle"
    options = ["--history", str(path), "--epochs", "2", "--seed", "1"]
    options += ["--explain", "--hold-out", "100"]
    options += ["--learning-rate", "0.02", "--batch-size", "20"]
    left = SimpleNamespace(path=path)
    fit = keras.Sequential.fit

    def look_and_fit(model, batches, callbacks, **options):
        left.model, left.batches, left.loss_gap = model, batches, callbacks[0]
        return fit(model, batches, callbacks=callbacks, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Sequential, "fit", look_and_fit)
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            fashion_mnist.main(options)
    left.stdout, left.history = stdout.getvalue(), read(path)
    return left


def test_it_prints_the_tutorials_lines_one_an_epoch_and_the_report(training):
    lines = training.stdout.splitlines()
    info = [line for line in lines if line.startswith("[INFO]")]
    assert info == [
        "[INFO] loading Fashion MNIST...",
        "[INFO] compiling model...",
        "[INFO] 0 of 100 test images are in the training set too",
        "[INFO] training model...",
        "[INFO] evaluating network...",
        "[INFO] serializing training history...",
    ]
    # In a log each epoch is its number and its numbers, and no progress bar.
    progress = lines[lines.index(info[3]) + 1 : lines.index(info[4])]
    assert progress[::2] == ["Epoch 1/2", "Epoch 2/2"] and len(progress) == 4
    report = lines[lines.index(info[4]) + 1 : lines.index(info[5])]
    rows = [re.split(r"\s{2,}", line.strip()) for line in report[2:12]]
    assert ", ".join(row[0] for row in rows) == f"{LABEL_NAMES}, ankle boot"
    # How often each class is right is counted among the images that are of it.
    _, (_, y_test) = dataset.load_data()
    assert [int(row[-1]) for row in rows] == np.bincount(y_test).tolist()
    accuracy = re.split(r"\s{2,}", report[13].strip())[1]
    assert accuracy == f"{training.history['val_accuracy'][-1]:.2f}"


def test_the_history_is_a_dict_of_lists_of_floats_and_nothing_else_is_left(training):
    assert set(training.history) == REPORTED | MEASURED | {"held_out_loss"}
    for values in training.history.values():
        assert type(values) is list and [type(value) for value in values] == [float] * 2
    assert list(training.path.parent.iterdir()) == [training.path]


def test_the_learning_rate_decays_at_every_update_as_the_tutorials(training):
    assert training.model.loss == "categorical_crossentropy"
    optimizer = training.model.optimizer
    assert type(optimizer) is keras.optimizers.SGD
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)
    # 220 of 320 images in batches of 20 are 11 updates an epoch.
    assert int(optimizer.iterations.numpy()) == 2 * 11
    for update in (0, 1, 1000):
        optimizer.iterations.assign(update)
        expected = 0.02 / (1 + 0.02 / 2 * update)
        assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-5)


def test_each_epoch_has_all_training_images_in_an_order_of_its_own(training):
    epochs = [np.concatenate([x for x, _ in training.batches]) for _ in range(2)]
    assert len(epochs[0]) == 220 and not np.array_equal(*epochs)
    first, second = (sorted(image.tobytes() for image in epoch) for epoch in epochs)
    assert first == second


def by_hand(model, x, y, dropout, batch_statistics):
    """The mean loss, layer by layer and batch by batch."""
    *layers, softmax = model.layers
    assert softmax.activation is keras.activations.softmax
    logits = []
    for start in range(0, len(x), 20):
        signal = x[start : start + 20]
        for layer in layers:
            normalizes = isinstance(layer, keras.layers.BatchNormalization)
            signal = layer(signal, training=batch_statistics if normalizes else dropout)
        logits.append(signal)
    return np.mean(tf.nn.softmax_cross_entropy_with_logits(y, np.concatenate(logits)))


def test_the_losses_that_are_measured_are_those_of_a_loop_by_hand(training):
    (x, y), _ = dataset.load_data()
    x, y = x.reshape(-1, 28, 28, 1).astype("float32") / 255, np.eye(10)[y]
    x_train, x_held_out, _, y_held_out = train_test_split(
        x, y, test_size=100, random_state=1
    )
    # Images that were trained on, in an order of their own.
    x, y = training.loss_gap.data["x"], training.loss_gap.data["y"]
    assert {image.tobytes() for image in x} == {im.tobytes() for im in x_train[:100]}

    model = training.model
    expected = {
        "held_out_loss": by_hand(model, x_held_out, y_held_out, False, False),
        "inference_mode_loss": by_hand(model, x, y, False, False),
        "batch_statistics_loss": by_hand(model, x, y, False, True),
        # The seeds of dropout were put back: they are those of the measurement.
        "training_mode_loss": by_hand(model, x, y, True, True),
    }
    for name, loss in expected.items():
        assert training.history[name][-1] == pytest.approx(loss, rel=1e-4), name


def test_after_few_updates_dropout_and_lagging_averages_are_seen(training):
    parts, history = split_gap(training.history), training.history
    gap = np.subtract(history["loss"], history["val_loss"])
    np.testing.assert_allclose(sum(parts.values()), gap)
    assert parts["regularization"][-1] > 0.05
    assert parts["batch_normalization"][-1] < -0.05


# Two trainings with one seed, one with --explain, that are stopped


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The histories of a killed training and of one after Ctrl-C, and its stderr."""
    # In the background of a shell Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = tmp_path_factory.mktemp("with a space")
    trainings = {}
    for name, options in [("killed", []), ("interrupted", ["--explain"])]:
        path = folder / name
        path.write_bytes(b"an earlier history")
        command = [sys.executable, "fashion_mnist.py", "--history", path, "--seed", "0"]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*command, *options], cwd=ROOT, **pipes)
        trainings[folder / f"{name}.partial"] = process
    killed, interrupted = trainings.values()
    try:
        for partial, process in trainings.items():
            while not partial.exists() or len(read(partial)["loss"]) < 2:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
            if process is killed:
                killed.kill()
        interrupted.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            interrupted.wait(60)
        # Now and then TensorFlow swallows the first.
        interrupted.send_signal(signal.SIGINT)
        stderr = interrupted.communicate()[1]
    finally:
        for process in trainings.values():
            process.kill()
            process.wait()
    assert interrupted.returncode == 130, stderr
    return *trainings, stderr


def test_a_stopped_training_keeps_its_epochs_and_the_earlier_history(stopped):
    killed, interrupted, _ = stopped
    assert set(read(killed)) == REPORTED
    assert set(read(interrupted)) == REPORTED | MEASURED
    for partial in (killed, interrupted):
        assert partial.with_suffix("").read_bytes() == b"an earlier history"


def test_a_seed_repeats_the_training_bit_for_bit_and_explain_does_not_change_it(
    stopped,
):
    killed, interrupted = read(stopped[0]), read(stopped[1])
    for name in REPORTED:
        assert interrupted[name][:2] == killed[name][:2], name


def test_ctrl_c_says_in_a_line_what_is_kept_and_the_command_that_plots_it(stopped):
    _, interrupted, stderr = stopped
    assert "Traceback" not in stderr
    line = stderr.splitlines()[-1]
    assert line.startswith(f"stopped; the finished epochs are in {interrupted}; ")
    command = line.split("plot them with: ")[1]
    assert subprocess.run(command, shell=True, check=True).returncode == 0
    assert interrupted.with_suffix(".png").exists()


# What ends it before the training


def test_ctrl_c_before_the_first_epoch_says_that_nothing_is_saved(
    path, monkeypatch, capsys
):
    def pressed():
        raise KeyboardInterrupt

    monkeypatch.setattr(fashion_mnist, "load_data", pressed)
    with pytest.raises(SystemExit) as end:
        fashion_mnist.main(["--history", str(path)])
    line = "\nstopped; no epoch was finished, nothing is saved\n"
    assert end.value.code == 130 and capsys.readouterr().err == line


def test_the_defaults_are_the_tutorials(path):
    args = fashion_mnist.parse_arguments(["-i", str(path)])
    assert (args.epochs, args.batch_size, args.learning_rate) == (25, 32, 0.01)
    assert (args.seed, args.explain, args.hold_out) == (None, False, None)


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "required: -i/--history"),
        (["--history", "no/h.pickle"], "--history: no/h.pickle cannot be written"),
        (["--history", "."], "--history: . cannot be written"),
        (["--history", f"{__file__}/h.pickle"], "h.pickle cannot be written"),
        (["--epochs", "0"], "--epochs: 0 is not from 1 to"),
        (["--epochs", "many"], "--epochs: invalid number value: 'many'"),
        (["--batch-size", "1.5"], "--batch-size: invalid number value: '1.5'"),
        (["--learning-rate", "0"], "--learning-rate: 0 is not a number above 0"),
        (["--learning-rate", "nan"], "--learning-rate: nan is not a number above 0"),
        (["--seed", "-1"], "--seed: -1 is not from 0 to"),
        (["--hold-out", "100"], "--hold-out: it needs --explain"),
    ],
)
def test_a_mistake_is_found_before_the_data_are_loaded(
    options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    history = ["--history", "h.pickle"] if options else []
    with pytest.raises(SystemExit) as end:
        fashion_mnist.main([*history, *options])
    stdout, stderr = capsys.readouterr()
    assert end.value.code == 2 and stdout == ""
    assert message in stderr and stderr.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []


def test_holding_out_all_images_is_found_before_the_training(path):
    options = ["--history", str(path), "--explain", "--hold-out", "320"]
    with pytest.raises(SystemExit, match="--hold-out: there are 320 training images"):
        fashion_mnist.main(options)


def test_a_damaged_data_set_is_a_line(path, monkeypatch):
    folder = path.with_name("damaged")
    shutil.copytree(TINY_CACHE / dataset.CACHE_SUBDIR, folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"a web page")
    monkeypatch.setattr(dataset, "CACHE_SUBDIR", str(folder))
    with pytest.raises(SystemExit, match="^error: Fashion MNIST .* is damaged"):
        fashion_mnist.main(["--history", str(path)])
