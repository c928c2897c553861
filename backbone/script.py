"""How a script ends: in its report, or in one line that says what happened and what to do."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = Path(sys.argv[0]).resolve()
PROGRAM = str(SCRIPT.relative_to(ROOT)) if SCRIPT.is_relative_to(ROOT) else SCRIPT.name

OUT_OF_MEMORY = (  # how torch, oneDNN and cuDNN put it
    "out of memory",
    "can't allocate memory",
    "could not create a memory object",
    "bad_alloc",
    "alloc_failed",
    "storage size calculation overflowed",  # bytes beyond 64 bits
)
NO_ALGORITHM = ("unable to find an engine", "unable to find a valid cudnn algorithm")


class Failure(Exception):
    """Something foreseen went wrong; the message says what, and what to do."""


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Ctrl-C ends the process at once: a library that is being imported may swallow a
    KeyboardInterrupt, or make an error of its own of it."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        if heeded:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def run(main: Callable[[], None]) -> None:
    """Run a script's main() and leave the process as its users expect.

    Exit status 1 and one line on stderr for what can be foreseen, 130 for Ctrl-C, 141 (as a shell
    reports SIGPIPE) where the reader of stdout has gone. main() imports what is heavy, so that a
    wrong flag is answered at once, and a library that is missing in one line.
    """
    sys.stdout = sys.stdout or io.StringIO()  # None where the caller has closed it
    sys.stderr = sys.stderr or io.StringIO()
    try:
        main()
        sys.stdout.flush()
        return
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = 141
    except Failure as failure:
        status = _complain(str(failure))
    except ImportError as error:
        status = _complain(f"{error}; pip install -r requirements.txt installs what is needed")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        status = _complain(f"cannot go on: {error.strerror or error}{where}")
    except (MemoryError, RuntimeError) as error:
        message = _message_of(error)
        if message is None:
            raise
        status = _complain(message)
    # What is left in stdout's buffer can't be written: its flush at exit must not fail once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether an error of Python's or of torch's says that memory does not suffice."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY)


@contextlib.contextmanager
def allowing_for_memory() -> Iterator[None]:
    """What memory does not suffice for is left out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise


def _message_of(error: MemoryError | RuntimeError) -> str | None:
    """What to tell of an error of torch's; None of one that nobody has foreseen."""
    text = str(error).lower()
    first_line = str(error).partition("\n")[0]
    if is_out_of_memory(error):
        return "out of memory; a smaller batch (--s) needs less"
    if any(words in text for words in NO_ALGORITHM):
        return f"{first_line}; too little memory (--s), or a cuDNN that does not fit the GPU"
    if "not implemented for" in text:
        return f"{first_line}; this PyTorch has no such operation here: choose another --dtype"
    if first_line.startswith(("CUDA ", "cuDNN ")):
        return f"{first_line}; does this torch fit the GPU and its driver?"
    return None


def _complain(message: str) -> int:
    print(f"{PROGRAM}: {message.splitlines()[0]}", file=sys.stderr)
    return 1
