"""Files that are written whole: an interrupt, a full disk or another process spoils none."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from backbone.command.errors import Failure
from backbone.command.interrupts import signals_held

ROOT = Path(__file__).resolve().parent.parent.parent


def check_writable(path: str | Path) -> None:
    """Raise Failure where a file can't be written: better known before a long run."""
    file = _target(path)
    needed = file if is_written_in_place(file) else file.parent
    if file.is_dir() or not file.parent.is_dir() or not os.access(needed, os.W_OK):
        if not path:
            raise Failure("cannot write a file without a name")
        raise Failure(f"cannot write {path}: it is a folder, or in none that can be written to")


def is_written_in_place(path: str | Path) -> bool:
    """Whether this is a device or a pipe, which would be lost if it were replaced."""
    file = Path(path)
    return file.exists() and not file.is_file()


def write_whole(path: str | Path, text: str) -> None:
    """Write a file; a failure (raised as Failure) or a signal leaves the one that stood there."""
    with _told_as_failure(path):
        if is_written_in_place(path):
            Path(path).write_text(text, encoding="utf-8")
        else:
            with signals_held():
                _replace(_target(path), text)


def update_whole(path: str | Path, change: Callable[[str | None], str]) -> None:
    """Give a file the text that `change` makes of the present one (None: there is no file). Two
    processes that do this at once do it one after the other. Raises Failure, and what `change`
    raises; the file is then as it was."""
    with _told_as_failure(path):
        file = _target(path)
        while not _update_if_free(file, change):
            time.sleep(0.02)


def _update_if_free(file: Path, change: Callable[[str | None], str]) -> bool:
    """Update the file if nobody has the lock beside it, and say whether that was so."""
    lock = file.with_name(f".{file.name}.lock")
    with signals_held(), lock.open("w") as handle:
        if not _take_lock(lock, handle):
            return False
        try:
            old = file.read_text("utf-8", "replace") if file.exists() else None
            _replace(file, change(old))
        finally:
            lock.unlink(missing_ok=True)
    return True


def _take_lock(lock: Path, handle: TextIO) -> bool:
    """Take the lock of an open file; whether nobody has it. Where the file system has no locks,
    nobody ever has: what was measured is better stored than lost."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    # The one who held the lock before may have removed the file that was opened here.
    return lock.exists() and os.path.samestat(os.fstat(handle.fileno()), lock.stat())


def _target(path: str | Path) -> Path:
    """The file that a path leads to, so that a link stays one."""
    return Path(os.path.realpath(path))


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def _told_as_failure(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error
