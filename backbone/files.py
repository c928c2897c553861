"""Files that appear only whole."""

import os
from pathlib import Path

from backbone.script import Failure


def check_writable(path: str) -> None:
    """Raise script.Failure where a file can't be written: better known before a long run."""
    file = Path(os.path.realpath(path))
    if not path:
        raise Failure("cannot write a file without a name")
    if not file.parent.is_dir():
        raise Failure(f"cannot write {path}: {file.parent} is no folder")
    if file.is_dir():
        raise Failure(f"cannot write {path}: it is a folder")
    needed = file.parent if file.is_file() or not file.exists() else file
    if not os.access(needed, os.W_OK):
        raise Failure(f"cannot write {path}: no permission")


def write_whole(path: str, text: str) -> None:
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
