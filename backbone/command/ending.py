"""Exit paths of a script: its report, or one line on stderr that says what to do."""

import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from backbone.command.errors import message_of
from backbone.command.files import ROOT
from backbone.command.interrupts import Interrupted

PROGRAM = os.path.relpath(os.path.realpath(sys.argv[0]), ROOT)


def say(line: str) -> None:
    """Print a line to stderr, prefixed with the program's name."""
    print(f"{PROGRAM}: {line}", file=sys.stderr)


def end_at_once() -> NoReturn:
    """Exit with status 0, skipping the 0.7 s that Python takes to tear down torch."""
    sys.stderr.flush()
    os._exit(0)


def run(main: Callable[[], None]) -> None:
    """Run a script's main() and translate its exceptions into an exit status.

    A foreseeable error prints one line to stderr and exits with 1 (PROFILE_DEBUG=1 shows the
    traceback first), Ctrl-C exits with 130, and a closed stdout with 141, as a shell reports
    SIGPIPE. The process then exits immediately: stdout's buffer may hold what cannot be written,
    and a library that is being imported may swallow a KeyboardInterrupt.
    """
    # Python replaces a stream that the caller has closed by None.
    sys.stdout = sys.stdout or io.StringIO()
    sys.stderr = sys.stderr or io.StringIO()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):  # of a pipe that nobody reads
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # in any locale
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as after &
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(141)
    except Interrupted as interrupt:
        os._exit(128 + interrupt.number)
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        with contextlib.suppress(OSError):  # a part of the report may have been printed
            sys.stdout.flush()
        if os.environ.get("PROFILE_DEBUG") == "1":
            traceback.print_exc()
        say(message)
        os._exit(1)
