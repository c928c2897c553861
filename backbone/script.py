"""How a script ends: in its report and whole files, or in a line that says what to do."""

import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.path.relpath(os.path.realpath(sys.argv[0]), ROOT)

# How torch, oneDNN and cuDNN say what is wrong, and what to do.
OUT_OF_MEMORY = (
    "(?i)out of memory|can't allocate memory|could not create a memory object|bad_alloc"
    "|alloc_failed|storage size calculation overflowed"  # bytes beyond 64 bits
)
ADVICE = {
    "(?i)find an? (engine|valid)": "too little memory (--s), or a cuDNN that does not fit the GPU",
    "not implemented for": "this PyTorch has no such operation here: choose another --dtype",
    "^(CUDA|cuDNN) ": "does this torch fit the GPU and its driver?",
}


class Failure(Exception):
    """Something foreseen went wrong; the message says what, and what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a script's main() and leave the process as its users expect: with exit status 1 and one
    line on stderr for what can be foreseen, 130 for Ctrl-C, 141 (as a shell reports SIGPIPE) where
    the reader of stdout has gone. It ends at once then: what is left in stdout's buffer may be what
    can't be written, and a library that is being imported may swallow a KeyboardInterrupt."""
    # None where the caller has closed it.
    sys.stdout, sys.stderr = (each or io.StringIO() for each in (sys.stdout, sys.stderr))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as after &
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(141)
    except Exception as error:
        if not (message := message_of(error)):
            raise
        print(f"{PROGRAM}: {message}", file=sys.stderr)
        os._exit(1)


def message_of(error: Exception) -> str | None:
    """What to tell of an error, in one line; None of one that nobody has foreseen."""
    line = str(error).partition("\n")[0]
    if isinstance(error, Failure):
        return line
    if isinstance(error, ImportError):
        return f"{line}; pip install -r requirements.txt installs what is needed"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"cannot go on: {error.strerror or line}{where}"
    if is_out_of_memory(error):
        return "out of memory; a smaller batch (--s) needs less"
    advice = [advice for words, advice in ADVICE.items() if re.search(words, str(error))]
    return f"{line}; {advice[0]}" if advice else None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python's or of torch's says that memory does not suffice."""
    return isinstance(error, MemoryError) or bool(re.search(OUT_OF_MEMORY, str(error)))


def check_writable(path: str) -> None:
    """Raise script.Failure where a file can't be written: better known before a long run."""
    file = Path(os.path.realpath(path))
    needed = file if file.exists() and not file.is_file() else file.parent
    if file.is_dir() or not file.parent.is_dir() or not os.access(needed, os.W_OK):
        what = path or "a file without a name"
        raise Failure(f"cannot write {what}: it is a folder, or in none that can be written to")


def write_whole(path: str | Path, text: str) -> None:
    """Write a file; a failure (script.Failure) or an interrupt leaves the one that stood there."""
    file = Path(os.path.realpath(path))  # a link stays one
    # A device or a pipe is written to; it would be lost if it were replaced.
    in_place = file.exists() and not file.is_file()
    new = file if in_place else file.with_name(f".{file.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        if not in_place:
            new.replace(file)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error
    finally:
        if not in_place:
            new.unlink(missing_ok=True)
