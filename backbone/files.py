"""Files, written whole."""

import os
from pathlib import Path

from backbone.script import Failure


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
