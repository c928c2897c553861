"""Files that appear only whole."""

import os
from pathlib import Path

from backbone.cli import Failure


def check_writable(path: str) -> None:
    """Raise cli.Failure where a file can't be written: better before a long run than after it."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise Failure(f"cannot write {path}: {folder} is no folder")
    if Path(path).is_dir() or not os.access(path if Path(path).exists() else folder, os.W_OK):
        raise Failure(f"cannot write {path}: no permission, or a folder of that name")


def write_whole(path: str, text: str) -> None:
    """Write a file; a failure (cli.Failure) or an interrupt leaves the one that stood there."""
    file = Path(path)
    # A device or a pipe is written to; it would be lost if it were replaced.
    in_place = file.exists() and not file.is_file()
    new = file if in_place else file.with_name(f".{file.name}.new")
    try:
        new.write_text(text)
        if not in_place:
            new.replace(file)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error
    finally:
        if not in_place:
            new.unlink(missing_ok=True)
