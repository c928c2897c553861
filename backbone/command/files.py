"""Atomic file writes: an interrupt or a full disk leaves the previous file in place."""

import contextlib
import os
from pathlib import Path

from backbone.command.errors import Failure
from backbone.command.interrupts import signals_held

ROOT = Path(__file__).resolve().parent.parent.parent


def check_writable(path: str | Path) -> None:
    """Raise Failure if a file cannot be written; called before a long run."""
    if not path:
        raise Failure("cannot write a file without a name")
    file = _target(path)
    if file.exists() and not file.is_file():  # a folder, a pipe, a device
        raise Failure(f"cannot write {path}: it exists and is not a file")
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise Failure(f"cannot write {path}: there is no such folder, or it is read-only")


def write_whole(path: str | Path, text: str) -> None:
    """Replace a file atomically and sync it to disk. Raises Failure if that fails; then, as after a
    signal, the previous file is still there."""
    try:
        with signals_held():
            _replace(_target(path), text)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, so that renames and removals in it survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(handle)
    finally:
        os.close(handle)


def _target(path: str | Path) -> Path:
    """The file that a path resolves to, so that a symbolic link stays a link."""
    return Path(os.path.realpath(path))


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(file.parent)
