import os
import pickle
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from conftest import DEADLINE, ENVIRONMENT, ROOT, ended

import fashion_mnist
from pyimagesearch.dataset import LABEL_NAMES, load_data

try:
    import pty
except ImportError:
    pty = None

INFO_LINES = [
    "[INFO] loading Fashion MNIST...",
    "[INFO] compiling model...",
    "[INFO] training model...",
    "[INFO] evaluating network...",
    "[INFO] serializing training history...",
]
REPORTED = {"loss", "accuracy", "val_loss", "val_accuracy"}
MEASURED = {"training_mode_loss", "inference_mode_loss"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def read(path):
    return pickle.loads(path.read_bytes())


# Trainings as processes, beside the other tests


def plain_training(start, folder):
    """A training into a log, as short as it can be: its history's path and stdout."""
    path = folder / "training.pickle"
    options = ["--history", path, "--epochs", "2"]
    status, stdout, stderr = ended(start("fashion_mnist.py", *options))
    assert status == 0, stderr
    return path, stdout


def stopped_trainings(start, folder):
    """Two trainings to one target and with one seed, stopped after two epochs or more.

    One is explained, in a terminal, and stopped by Ctrl-C. The other one writes where
    nothing can be written, on systems with such a place, and is killed. Then the line
    after Ctrl-C is obeyed.
    """
    path = folder / "training.pickle"
    options = ["--history", path, "--epochs", "1000", "--seed", "0"]
    ours, theirs = pty.openpty()
    interrupted = start("fashion_mnist.py", *options, "--explain", stdout=theirs)
    os.close(theirs)
    full = "/dev/full" if os.path.exists("/dev/full") else os.devnull
    with open(full, "w") as nowhere:
        killed = start("fashion_mnist.py", *options, stdout=nowhere)

    # Read all that it shows, or it would wait for us.
    shown = b""
    os.set_blocking(ours, False)
    deadline = time.monotonic() + DEADLINE
    running = {interrupted, killed}
    while interrupted.poll() is None and time.monotonic() < deadline:
        try:
            shown += os.read(ours, 1024)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:  # it has closed its side
            break
        for file in folder.glob("*.partial"):
            history = read(file) if file.stat().st_size else {"loss": []}
            process = interrupted if set(history) >= MEASURED else killed
            if len(history["loss"]) >= 2 and process in running:
                running.remove(process)
                if process is interrupted:
                    process.send_signal(signal.SIGINT)
                else:
                    process.kill()
    os.close(ours)
    status, _, stderr = ended(interrupted)
    ended(killed)
    command = stderr.splitlines()[-1].split("plot them with: ")[-1]
    plot = subprocess.run(
        command, shell=True, env=ENVIRONMENT, timeout=DEADLINE, check=False
    )
    return path, status, shown.decode(), stderr, plot.returncode


@pytest.fixture(scope="session", autouse=True)
def trainings(start, tmp_path_factory):
    """The trainings above, which run beside the other tests."""
    folders = [tmp_path_factory.mktemp(name) for name in ("plain", "with a space")]
    with ThreadPoolExecutor() as threads:
        plain = threads.submit(plain_training, start, folders[0])
        stopped = pty and threads.submit(stopped_trainings, start, folders[1])
        yield plain, stopped


@pytest.fixture(scope="module")
def late(trainings):
    """Asked for by what asks for a whole training: its tests come last."""
    return trainings


@pytest.fixture(scope="module")
def log(late):
    path, stdout = late[0].result()
    return stdout, path


@pytest.fixture(scope="module")
def stopped(late):
    if late[1] is None:
        pytest.skip("Windows has no such terminals")
    return late[1].result()


def test_a_log_has_the_tutorials_lines_one_an_epoch_and_the_report(log):
    stdout, path = log
    lines = stdout.splitlines()
    assert [line for line in lines if line.startswith("[INFO]")] == INFO_LINES
    # Of each epoch its number and its numbers, and no progress bar.
    progress = lines[lines.index(INFO_LINES[2]) + 1 : lines.index(INFO_LINES[3])]
    assert progress[::2] == ["Epoch 1/2", "Epoch 2/2"]
    assert ["val_loss" in line for line in progress] == [False, True] * 2
    report = stdout[stdout.index(INFO_LINES[3]) : stdout.index(INFO_LINES[4])]
    rows = [re.split(r"\s{2,}", line.strip()) for line in report.splitlines()[3:13]]
    # How often each class is right is counted among the images that are of it.
    _, (_, y_test) = load_data()
    support = [str(int(count)) for count in y_test.sum(axis=0)]
    assert [(row[0], row[-1]) for row in rows] == list(zip(LABEL_NAMES, support))
    accuracy = next(line for line in report.splitlines() if "accuracy" in line)
    expected = read(path)["val_accuracy"][-1]
    assert accuracy.split() == ["accuracy", f"{expected:.2f}", "100"]


def test_the_history_is_a_dict_of_lists_of_floats_and_nothing_else_is_left(log):
    _, path = log
    history = read(path)
    assert type(history) is dict and set(history) == REPORTED
    for values in history.values():
        assert type(values) is list and len(values) == 2
        assert all(type(value) is float for value in values)
    assert list(path.parent.iterdir()) == [path]


def test_a_terminal_shows_keras_progress_bar(stopped):
    _, _, shown, _, _ = stopped
    assert re.search("\r[^\n]", shown) and "10/10" in shown


def test_ctrl_c_says_what_is_left_in_a_line_of_its_own(stopped):
    path, status, shown, stderr, _ = stopped
    assert status == 130
    assert shown.endswith("\n")
    line = stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    (file,) = re.findall(r"stopped: finished epochs: \d+, in (.*); plot", line)
    epochs = read(path.with_name(os.path.basename(file)))
    assert f"finished epochs: {len(epochs['loss'])}, " in line
    assert set(epochs) == REPORTED | MEASURED


def test_the_line_after_ctrl_c_runs_as_it_is_printed(stopped):
    path, _, _, _, plotted = stopped
    assert plotted == 0
    assert len(list(path.parent.glob("*.png"))) == 1


def test_a_killed_training_keeps_its_epochs_apart_from_the_others(stopped):
    path, _, _, _, _ = stopped
    names = {file.name for file in path.parent.glob("*.partial")}
    assert names == {"training.pickle.partial", "training.pickle.2.partial"}
    assert not path.exists()
    killed, interrupted = both(path)
    assert set(killed) == REPORTED
    assert set(interrupted) == REPORTED | MEASURED


def both(path):
    """The histories of the killed training and of the explained one."""
    histories = [read(file) for file in path.parent.glob("*.partial")]
    return sorted(histories, key=len)


def test_with_a_seed_and_with_explain_the_history_is_the_same_bit_for_bit(stopped):
    path, _, _, _, _ = stopped
    killed, interrupted = both(path)
    epochs = min(len(killed["loss"]), len(interrupted["loss"]))
    assert epochs >= 2
    for name in REPORTED:
        assert interrupted[name][:epochs] == killed[name][:epochs], name


# Until the training


@pytest.fixture(autouse=True)
def until_fit(monkeypatch):
    """Run the script until the training would begin, which takes an hour or more."""

    class Compiled(Exception):
        pass

    def stop(model, *args, **options):
        raise Compiled(model, {**options, "data": args[0]})

    monkeypatch.setattr(keras.Model, "fit", stop)

    def until_fit(*options):
        with pytest.raises(Compiled) as compiled:
            fashion_mnist.main([*options])
        return compiled.value.args

    return until_fit


def images(x):
    return [image.tobytes() for image in x]


def images_of(data_set):
    return images(np.concatenate([x for x, _ in data_set]))


def sizes(data_set):
    return [len(x) for x, _ in data_set]


def test_the_options_reach_the_training(path, until_fit):
    options = ["--epochs", "2", "--batch-size", "48", "--learning-rate", "0.02"]
    options += ["--explain", "--hold-out", "100"]
    model, fit = until_fit("--history", str(path), *options)
    assert fit["epochs"] == 2 and fit["validation_batch_size"] == 48
    assert sizes(fit["data"]) == [48, 48, 48, 48, 28]
    model.optimizer.iterations.assign(10)
    rate = 0.02 / (1 + 0.02 / 2 * 10)
    assert float(model.optimizer.learning_rate) == pytest.approx(rate, rel=1e-5)

    # In front, the history sees what is measured.
    gaps, history = fit["callbacks"]
    assert type(history) is fashion_mnist.KeptHistory
    assert sizes(gaps.mixed_data) == sizes(gaps.data) == [48, 48, 4]
    (x_train, _), _ = load_data()
    trained, held_out = images_of(fit["data"]), images_of(gaps.held_out)
    assert len(held_out) == 100
    assert sorted(trained + held_out) == sorted(images(x_train))
    assert set(images_of(gaps.data)) < set(trained)


def test_a_sample_as_large_as_the_test_set_is_measured_each_image_once(path, until_fit):
    _, fit = until_fit("--history", str(path), "--explain")
    gaps, _ = fit["callbacks"]
    sample = images_of(gaps.data)
    assert len(set(sample)) == len(sample) == 100
    assert gaps.held_out is None
    (x_train, _), _ = load_data()
    assert set(sample) < set(images(x_train))
    assert set(sample) != set(images(x_train[:100]))


def test_the_seed_draws_the_sample_and_the_held_out_images(path, until_fit):
    def drawn(seed):
        options = ["--explain", "--hold-out", "100", "--seed", seed]
        _, fit = until_fit("--history", str(path), *options)
        gaps, _ = fit["callbacks"]
        return images_of(gaps.data), images_of(gaps.held_out)

    sample, held_out = drawn("0")
    assert drawn("0") == (sample, held_out)
    other_sample, other_held_out = drawn("8")
    assert sorted(other_held_out) != sorted(held_out)
    assert sorted(other_sample) != sorted(sample)


def test_without_options_it_is_the_tutorials_training(path, until_fit):
    model, options = until_fit("--history", str(path))
    assert options["epochs"] == 25
    (callback,) = options["callbacks"]
    assert type(callback) is fashion_mnist.KeptHistory
    assert model.loss == "categorical_crossentropy"
    optimizer = model.optimizer
    assert type(optimizer) is keras.optimizers.SGD
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)
    # At update t: 1e-2 / (1 + 4e-4 t).
    optimizer.build(model.trainable_variables)
    for update, divisor in [(0, 1), (1, 1.0004), (1875, 1.75), (46_874, 19.7496)]:
        optimizer.iterations.assign(update)
        rate = float(optimizer.learning_rate)
        assert rate == pytest.approx(1e-2 / divisor, rel=1e-5)


def test_the_defaults_are_the_tutorials(path):
    args = fashion_mnist.parse_arguments(["-i", str(path)])
    assert (args.epochs, args.batch_size, args.learning_rate) == (25, 32, 0.01)
    assert (args.seed, args.explain, args.hold_out) == (None, False, None)


# What ends it before the training


def ends(capsys, *options):
    """Its exit status and its one line; nothing else was written."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        fashion_mnist.main([*options])
    stdout, stderr = capsys.readouterr()
    assert stderr.count("\n") == 1 and ": error: " in stderr
    return end.value.code, stderr, stdout


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "the following arguments are required: -i/--history"),
        (["--epochs", "0"], "argument --epochs: '0' is not a whole number from 1 to"),
        (["--epochs", "-3"], "argument --epochs: '-3' is not a whole number"),
        (["--epochs", "many"], "argument --epochs: 'many' is not a whole number"),
        (["--epochs", "1" * 400], "argument --epochs: '1111"),
        (["--epochs", "1" * 5000], "argument --epochs: '1111"),
        (["--epochs", "2147483648"], "is not a whole number from 1 to 2147483647"),
        (["--epochs", "a\nb\x1b[2J"], "argument --epochs: 'a\\nb\\x1b[2J' is not"),
        (["--batch-size", "0"], "argument --batch-size: '0' is not a whole number"),
        (["--batch-size", "1.5"], "argument --batch-size: '1.5' is not a whole number"),
        (["--batch-size", str(10**30)], "argument --batch-size: '1000"),
        (["--learning-rate", "0"], "argument --learning-rate: '0' is not a number abo"),
        (["--learning-rate", "-1"], "argument --learning-rate: '-1' is not a number"),
        (["--learning-rate", "nan"], "argument --learning-rate: 'nan' is not a number"),
        (["--learning-rate", "inf"], "argument --learning-rate: 'inf' is not a number"),
        (["--learning-rate", "1e39"], "argument --learning-rate: '1e39' is not a num"),
        (["--learning-rate", "1e-50"], "argument --learning-rate: '1e-50' is not"),
        (["--learning-rate", "fast"], "argument --learning-rate: 'fast' is not a num"),
        (["--seed", "-1"], "argument --seed: '-1' is not a whole number from 0 to 429"),
        (["--seed", str(2**32)], "argument --seed: '4294967296' is not a whole"),
        (["--hold-out", "100"], "argument --hold-out: it needs --explain"),
        (["--hold-out", "0", "--explain"], "argument --hold-out: '0' is not a whole"),
        (["--history", "no/h.pickle"], "no does not exist: create it first"),
        (["--history", "."], "argument -i/--history: . is not a file"),
        (["--history", "x" * 300], "argument -i/--history: xxx"),
        (["--history", "x" * 230], "argument -i/--history: xxx"),
        (["--history", "a\0b"], "argument -i/--history: a\\x00b cannot be written"),
        pytest.param(
            ["--history", os.devnull],
            "is not a file: add a file name",
            marks=pytest.mark.skipif(os.name == "nt", reason="it has no such file"),
        ),
    ],
)
def test_a_bad_option_is_one_line_before_the_data_are_loaded(
    options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    history = [] if "--history" in options or not options else ["--history", "h.pickle"]
    status, stderr, stdout = ends(capsys, *history, *options)
    assert status == 2
    assert message in stderr and len(stderr) < 1100
    assert stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_found(tmp_path, capsys):
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("this user, or this system, can write everywhere")
    tmp_path.chmod(0o500)
    status, stderr, _ = ends(capsys, "--history", str(tmp_path / "h.pickle"))
    assert status == 2 and "cannot be written" in stderr


def test_numbers_at_their_limits_are_taken(path, until_fit):
    most = str(2**31 - 1)
    options = ["--epochs", most, "--batch-size", most, "--learning-rate", "3e38"]
    _, fit = until_fit("--history", str(path), *options, "--seed", str(2**32 - 1))
    ((x, _),) = fit["data"]
    assert len(x) == 320


def test_less_than_a_batch_to_train_on_is_one_line(path, capsys):
    options = ["--history", str(path), "--explain", "--hold-out", "289"]
    status, stderr, stdout = ends(capsys, *options)
    assert status == 2
    assert "argument --hold-out: 289 of the 320" in stderr and "1 to 288" in stderr
    assert stdout.splitlines() == INFO_LINES[:1]
    assert list(path.parent.iterdir()) == []


def test_a_damaged_data_set_is_one_line_that_names_the_folder(
    path, data_folder, capsys
):
    (data_folder / "train-images-idx3-ubyte.gz").write_bytes(b"<html>")
    status, stderr, stdout = ends(capsys, "--history", str(path))
    assert status == 1
    assert f"{data_folder} is damaged" in stderr and "delete that folder" in stderr
    assert stdout.splitlines() == INFO_LINES[:1]
    assert list(path.parent.iterdir()) == []


# What it does before TensorFlow starts


def python(code, **variables):
    unset = {"TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND"}
    environment = {name: ENVIRONMENT[name] for name in ENVIRONMENT if name not in unset}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, "1 3"),
        ({"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "1"}, "0 1"),
    ],
)
def test_tensorflows_variables_are_set_before_it_starts_unless_they_are_set(
    variables, expected
):
    done = python(
        "import os, sys\n"
        "sys.modules['pyimagesearch.keras_backend'] = None  # it stops here\n"
        "try: import fashion_mnist\n"
        "except ImportError: print(os.environ['TF_ENABLE_ONEDNN_OPTS'],\n"
        "                          os.environ['TF_CPP_MIN_LOG_LEVEL'])\n"
        "print({'keras', 'tensorflow'} & set(sys.modules))",
        **variables,
    )
    assert done.stdout == f"{expected}\nset()\n"


def test_a_backend_of_keras_that_does_not_start_is_one_line():
    done = python("import fashion_mnist", KERAS_BACKEND="no_such_backend")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert "error: Keras does not start (" in line
    assert "no_such_backend" in line and "KERAS_BACKEND=tensorflow" in line
