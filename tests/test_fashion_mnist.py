import contextlib
import io
import pickle
import shutil
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, TINY_CACHE
from helpers import Kept
from sklearn.metrics import classification_report

import fashion_mnist
from pyimagesearch import dataset
from pyimagesearch.lossgap import in_words, split_gap, table

REPORTED = {"loss", "accuracy", "val_loss", "val_accuracy"}
LABEL_NAMES = ["top", "trouser", "pullover", "dress", "coat"]
LABEL_NAMES += ["sandal", "shirt", "sneaker", "bag", "ankle boot"]
OPTIONS = "--epochs 2 --seed 1 --learning-rate 0.02 --batch-size 20 "


def run(path, options):
    fashion_mnist.main(["--history", str(path), *options.split()])


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training in this process: what it prints and saves, its model and data."""

    def look_and_fit(model, batches, callbacks, **options):
        seen.model, seen.batches = model, batches
        seen.validation, seen.kept = options["validation_data"], Kept(callbacks[0])
        return fit(model, batches, callbacks=[seen.kept, *callbacks], **options)

    fit, folder = keras.Sequential.fit, tmp_path_factory.mktemp("with a space")
    seen = SimpleNamespace(path=folder / "training.pickle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Sequential, "fit", look_and_fit)
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            run(seen.path, OPTIONS + "--explain 100")
    seen.stdout, seen.history = stdout.getvalue(), pickle.loads(seen.path.read_bytes())
    return seen


def test_it_prints_the_tutorials_lines_one_an_epoch_the_report_and_the_gap(training):
    lines = training.stdout.splitlines()
    info = [line for line in lines if line.startswith("[INFO]")]
    assert info == [
        "[INFO] loading Fashion MNIST...",
        "[INFO] 0 of 100 test images are training images too",
        "[INFO] compiling model...",
        f"[INFO] finished epochs are kept in {training.path}.partial",
        "[INFO] training model...",
        "[INFO] evaluating network...",
        "[INFO] serializing training history...",
    ]
    # In a log each epoch is its number and its numbers, and no progress bar.
    progress = lines[lines.index(info[4]) + 1 : lines.index(info[5])]
    assert progress[::2] == ["Epoch 1/2", "Epoch 2/2"] and len(progress) == 4
    _, (_, y_test) = dataset.load_data()
    y_pred = training.model.predict(training.validation, verbose=0).argmax(axis=1)
    names = {"target_names": LABEL_NAMES, "zero_division": 0}
    report = classification_report(y_test, y_pred, **names)
    assert f"{info[5]}\n{report}\n{info[6]}\n" in training.stdout
    assert table(training.history) in training.stdout
    assert in_words(training.history) in training.stdout
    assert "To measure all of the images: --explain 320\n" in training.stdout


def test_the_command_at_the_end_plots_the_history_without_tensorflow(training):
    see, other = (x.split(": python ") for x in training.stdout.splitlines()[-2:])
    assert (see[0], other) == ("To see it", ["Accuracy's", f"{see[1]} accuracy"])
    command = f"{sys.executable} -X importtime {other[1]}"
    ran = subprocess.run(command, shell=True, check=True, cwd=ROOT, capture_output=True)
    assert b"matplotlib" in ran.stderr
    assert b"keras" not in ran.stderr and b"tensorflow" not in ran.stderr
    training.path.with_suffix(".png").unlink()


def test_the_history_is_a_dict_of_lists_of_floats_and_nothing_else_is_left(training):
    modes = ["training_mode", "inference_mode", "batch_statistics"]
    measured = {f"{mode}_{metric}" for mode in modes for metric in ("loss", "accuracy")}
    errors = {f"{x}_error" for x in split_gap(training.history)}
    errors |= {"validation_error"}
    errors |= {f"accuracy_{name}" for name in errors}
    assert set(training.history) == REPORTED | measured | errors | {"measured_share"}
    for values in training.history.values():
        assert type(values) is list and list(map(type, values)) == [float] * 2
        assert np.isfinite(values).all()
    assert list(training.path.parent.iterdir()) == [training.path]


def test_the_learning_rate_decays_at_every_update_as_the_tutorials(training):
    assert training.model.loss == "categorical_crossentropy"
    optimizer = training.model.optimizer
    assert type(optimizer) is keras.optimizers.SGD
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)
    assert int(optimizer.iterations.numpy()) == 2 * 320 / 20
    for update in (0, 1, 1000):
        optimizer.iterations.assign(update)
        expected = 0.02 / (1 + 0.02 / 2 * update)
        assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-5)


def test_each_epoch_has_all_training_images_in_an_order_of_its_own(training):
    epochs = [np.concatenate([x for x, _ in training.batches]) for _ in range(2)]
    assert len(epochs[0]) == 320 and not np.array_equal(*epochs)
    first, second = (sorted(image.tobytes() for image in epoch) for epoch in epochs)
    assert first == second
    # And tf.data does not tune what needs no tuning.
    for batches in (training.batches, training.validation):
        assert batches.options().autotune.enabled is False


def stopped(path, capsys, options=""):
    with pytest.raises(SystemExit, match="^130$"):
        run(path, OPTIONS + options)
    return capsys.readouterr().err == "\nstopped\n"


def test_ctrl_c_keeps_epochs_bit_for_bit(training, path, monkeypatch, capsys):
    def press_ctrl_c(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Sequential, "predict", press_ctrl_c)
    path.write_bytes(b"an earlier history")
    assert stopped(path, capsys)
    # And neither --explain nor another run changes what a seed gives.
    kept = pickle.loads(path.with_name("training.pickle.partial").read_bytes())
    assert kept == {name: training.history[name] for name in REPORTED}
    assert path.read_bytes() == b"an earlier history"


def by_hand(model, x, y, dropout, batch_statistics):
    """The mean loss and the accuracy, layer by layer and batch by batch."""
    *layers, softmax = model.layers
    assert softmax.activation is keras.activations.softmax
    logits = []
    for signal in np.split(x, len(x) // 20):
        for layer in layers:
            normalizes = isinstance(layer, keras.layers.BatchNormalization)
            signal = layer(signal, training=batch_statistics if normalizes else dropout)
        logits.append(signal)
    logits = np.concatenate(logits)
    loss = np.mean(tf.nn.softmax_cross_entropy_with_logits(y, logits))
    return loss, np.mean(logits.argmax(axis=1) == y.argmax(axis=1))


def test_the_losses_and_accuracies_measured_are_those_of_a_loop_by_hand(training):
    x, y = map(np.concatenate, zip(*training.kept.epochs[-1]))
    assert len(x) == 100
    for name, *modes in [
        ("inference_mode", False, False),
        ("batch_statistics", False, True),
        # The seeds of dropout were put back: they are those of the measurement.
        ("training_mode", True, True),
    ]:
        loss, accuracy = by_hand(training.model, x, y, *modes)
        assert training.history[f"{name}_loss"][-1] == pytest.approx(loss, rel=1e-4)
        assert training.history[f"{name}_accuracy"][-1] == pytest.approx(accuracy)


def pairs(x, y):
    return {image.tobytes(): label.argmax() for image, label in zip(x, y)}


def test_held_out_images_are_never_trained_on(path, monkeypatch, capsys):
    def look(model, batches, callbacks, **options):
        trained_on.update(pairs(*map(np.concatenate, zip(*batches))))
        held_out.update(pairs(*callbacks[0].given["held_out"]))
        assert callbacks[0].steps == 3
        raise KeyboardInterrupt

    trained_on, held_out = {}, {}
    monkeypatch.setattr(keras.Sequential, "fit", look)
    assert stopped(path, capsys, "--explain 41 --hold-out 100")
    assert list(path.parent.iterdir()) == []  # before the first epoch
    assert (len(trained_on), len(held_out)) == (220, 100)
    (x, y), _ = dataset.load_data()
    assert trained_on | held_out == pairs(x.astype("float32") / 255, np.eye(10)[y])


def test_the_defaults_are_the_tutorials(path):
    args = vars(fashion_mnist.parse_arguments(["-i", str(path)]))
    tutorials = {"epochs": 25, "batch_size": 32, "learning_rate": 0.01}
    none = dict.fromkeys(["seed", "explain", "hold_out"])
    assert args == {"history": path} | tutorials | none
    args = fashion_mnist.parse_arguments(["-i", str(path), "--explain"])
    assert args.explain == 6_400  # 200 batches


@pytest.mark.parametrize(
    "options, message",
    [
        ("--history no/h.pickle", "--history: no/h.pickle cannot be written"),
        ("--history .", "--history: . cannot be written"),
        (f"--history {__file__}/h.pickle", "h.pickle cannot be written"),
        ("--epochs 0", "--epochs: 0 is not from 1 to"),
        ("--batch-size 1.5", "--batch-size: invalid whole_number value: '1.5'"),
        ("--learning-rate nan", "--learning-rate: nan is not a number above 0"),
        ("--seed -1", "--seed: -1 is not from 0 to"),
        ("--explain 0", "--explain: 0 is not from 1 to"),
        ("--hold-out 100", "--hold-out: it needs --explain"),
    ],
)
def test_a_mistake_is_a_line_at_once(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        run("h.pickle", options)
    stdout, stderr = capsys.readouterr()
    assert end.value.code == 2 and stdout == ""
    assert message in stderr and stderr.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []


def test_what_the_data_show_is_a_line_before_the_training(path, monkeypatch):
    with pytest.raises(SystemExit, match="--hold-out: there are 320 training images"):
        run(path, "--explain --hold-out 320")
    folder = path.with_name("damaged")
    shutil.copytree(TINY_CACHE / dataset.CACHE_SUBDIR, folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"a web page")
    monkeypatch.setattr(dataset, "CACHE_SUBDIR", str(folder))
    with pytest.raises(SystemExit, match="^error: Fashion MNIST is damaged"):
        run(path, "")
