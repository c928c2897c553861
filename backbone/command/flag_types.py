"""Types of flags: a text of the command line as a value, or an error that argparse tells."""

import argparse
import os
import re
from functools import partial
from pathlib import Path

from backbone.command.options import DATASETS

NUMBER = "[1-9][0-9]{0,8}"


def image_size(text: str) -> str:
    """A flag's type: a dataset's name, which stands for the size of its images, or that size, HxW
    or CxHxW."""
    if text in DATASETS or re.fullmatch(f"({NUMBER}x)?{NUMBER}x{NUMBER}", text):
        return text
    known = ", ".join(DATASETS)
    raise argparse.ArgumentTypeError(
        f"{text!r} is none of {known}, and no HxW or CxHxW such as 512x1024"
    )


def model(text: str) -> str:
    """A flag's type: torchvision's name of a network, or FILE.py:NAME, the file as a whole path."""
    if text.endswith(".py"):
        raise argparse.ArgumentTypeError(f"which of its networks? {text}:NAME says it")
    if ":" not in text:
        return text
    file, _, name = text.rpartition(":")
    if not file.endswith(".py"):
        raise argparse.ArgumentTypeError(f"{text!r} is no FILE.py:NAME")
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):  # files are named by it
        raise argparse.ArgumentTypeError(
            f"{name!r} is no NAME of letters, digits and _, which results are named by"
        )
    return f"{existing_file(file)}:{name}"


def existing_file(text: str) -> str:
    """A flag's type: a file, as an absolute path."""
    path = Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return str(path)


def existing_folder(text: str) -> str:
    """A flag's type: a folder, as an absolute path."""
    path = Path(text).resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return str(path)


def whole_number(text: str, least: int = 0) -> int:
    """A flag's type: a whole number from `least` up, of nine digits at the most, for torch."""
    # Not +5, 05 or 1_000, which Python would take and a shell reads in another way.
    if re.fullmatch("0|[1-9][0-9]{0,8}", text) and int(text) >= least:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up to 999999999")


positive = partial(whole_number, least=1)


def threads(text: str) -> int:
    """A flag's type: a number of threads, up to the machine's logical processors."""
    number = positive(text)
    processors = os.cpu_count() or 1
    if number > processors:
        raise argparse.ArgumentTypeError(
            f"{number} is more than the {processors} logical processors of this machine"
        )
    return number
