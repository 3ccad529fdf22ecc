"""How both scripts end: in one line on stderr where something stops them.

Whatever is expected to go wrong is an `ExplainedError`. Anything else is a bug of ours
and shows its traceback.
"""

import os
import signal
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

# More than any message of ours; only a name out of a damaged file makes it so long.
LONGEST = 1000


class ExplainedError(Exception):
    """An expected error; the message is one line that names it and says what to do."""

    status = 1


class UsageError(ExplainedError):
    """A mistake on the command line."""

    status = 2


class Ending:
    """What a script says when Ctrl-C stops it."""

    def when_stopped(self) -> str:
        return "nothing was written"


@contextmanager
def in_one_line():
    """End the script in one line on stderr and with an exit status, where it must end.

    The status is the error's, or 130 after Ctrl-C, with what `when_stopped` of the
    `Ending` that this yields says. Output that nobody can read, since stdout or stderr
    is closed or full, is dropped: the work goes on.
    """
    ending = Ending()
    with redirect_stdout(Output(sys.stdout)), redirect_stderr(Output(sys.stderr)):
        try:
            yield ending
            return
        except ExplainedError as error:
            message, status = f"error: {error}", error.status
        except KeyboardInterrupt:
            # A second one would end the line that explains the first.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            message, status = f"stopped: {ending.when_stopped()}", 130
            if sys.stdout.isatty():
                print()  # the cursor is behind a progress bar
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        program = Path(sys.argv[0]).name
        print(one_line(f"{program}: {message}"), file=sys.stderr, flush=True)
    sys.exit(status)


def one_line(text: object) -> str:
    """Return text that a terminal shows in one line and obeys in nothing."""
    line = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    return line


class Output:
    """A text stream that drops what cannot be written to `stream`."""

    def __init__(self, stream):
        # Python has no stream where the shell has closed one, and Keras needs it.
        self.stream = stream or open(os.devnull, "w")  # noqa: SIM115

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        try:
            return self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding
            return self.write(
                text.encode(encoding, "backslashreplace").decode(encoding)
            )
        except OSError:
            return len(text)

    def flush(self):
        with suppress(OSError):
            self.stream.flush()
