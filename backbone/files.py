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
    """Write a file; a failure or an interrupt leaves the one that stood there. Raises OSError."""
    file = Path(path)
    if file.exists() and not file.is_file():  # a device or a pipe is written to, not replaced
        file.write_text(text)
        return
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text(text)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
