import os
import signal
import subprocess
import sys

import pytest
from conftest import DEADLINE, ROOT

from pyimagesearch import endings
from pyimagesearch.endings import ExplainedError, UsageError


def test_expected_errors_are_one_line_with_their_status(capsys):
    for error, status in [(ExplainedError, 1), (UsageError, 2)]:
        with pytest.raises(SystemExit) as end, endings.in_one_line():
            raise error("it is broken: mend it")
        assert end.value.code == status
        out, err = capsys.readouterr()
        assert err.endswith(": error: it is broken: mend it\n") and err.count("\n") == 1
        assert out == ""


def test_a_bug_of_ours_still_shows_its_traceback():
    with pytest.raises(ZeroDivisionError), endings.in_one_line():
        divmod(1, 0)


def test_ctrl_c_says_what_is_left(capsys):
    with pytest.raises(SystemExit) as end, endings.in_one_line() as ending:
        ending.when_stopped = lambda: "half of it"
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err.endswith(": stopped: half of it\n")


def test_a_second_ctrl_c_does_not_cut_the_line_short(capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(SystemExit) as end, endings.in_one_line() as ending:
        ending.when_stopped = lambda: signal.raise_signal(signal.SIGINT) or "half of it"
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err.endswith(": stopped: half of it\n")


def test_ctrl_c_without_anything_left_is_a_line_too(capsys):
    with pytest.raises(SystemExit) as end, endings.in_one_line():
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err.endswith(": stopped: nothing was written\n")


def test_nothing_in_a_message_reaches_the_terminal_unescaped(capsys):
    with pytest.raises(SystemExit), endings.in_one_line():
        raise ExplainedError("a\nb\x1b[2J\r\x07\u202ec\udcffd\u00e9")
    assert capsys.readouterr().err.endswith(
        "error: a\\nb\\x1b[2J\\r\\x07\\u202ec\\udcffd\u00e9\n"
    )


def test_a_long_message_keeps_its_two_ends():
    line = endings.one_line("begin " + "x" * 10**6 + " end")
    assert len(line) < 1100
    assert line.startswith("begin x") and line.endswith("x end")


def test_in_a_terminal_the_line_after_ctrl_c_is_not_behind_a_progress_bar():
    pty = pytest.importorskip("pty", reason="Windows has no such terminals")
    ours, theirs = pty.openpty()
    code = (
        "from pyimagesearch import endings\n"
        "with endings.in_one_line():\n"
        "    print('5/10 [====', end='', flush=True)\n"
        "    raise KeyboardInterrupt\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE,
        check=False,
    )
    os.close(theirs)
    bar, line = os.read(ours, 1024).decode().splitlines()
    os.close(ours)
    assert bar == "5/10 [====" and "stopped: nothing was written" in line


# A script that says much and then does its work.
WORK = """
import sys
from pathlib import Path
from pyimagesearch import endings

with endings.in_one_line():
    for _ in range(20_000):
        print("a line", flush=True)
    print("\\u2212\\u00e9", file=sys.stderr)
    print("\\u2212\\u00e9")
    Path(sys.argv[1]).write_text("done")
"""


def work(tmp_path, shell="{}", **variables):
    """Run it with stdout and stderr as the shell makes them."""
    result = tmp_path / "result"
    script = tmp_path / "script.py"
    script.write_text(WORK)
    done = subprocess.run(
        shell.format(f"'{sys.executable}' '{script}' '{result}'"),
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        shell=True,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.read_text() == "done"
    return done


@pytest.mark.skipif(os.name == "nt", reason="the shell is another one")
@pytest.mark.parametrize(
    "shell",
    ["{} | head -n 1", "{} >&-", "{} 2>&-", "{} >&- 2>&-", "{} 2>&1 | head -n 1"]
    + ["{} > /dev/full", "{} > /dev/full 2> /dev/full"],
)
def test_the_work_is_done_though_nobody_can_read_the_output(tmp_path, shell):
    if "/dev/full" in shell and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    done = work(tmp_path, shell)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="the shell is another one")
def test_a_terminal_that_knows_ascii_only_gets_escapes(tmp_path):
    done = work(tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stdout.endswith(b"\\u2212\\xe9\n")
    assert done.stderr == b"\\u2212\\xe9\n"
