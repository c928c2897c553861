"""argparse types: convert a flag's text to its value, or raise the error that argparse prints."""

import argparse
import os
import re
from functools import partial
from pathlib import Path

from backbone.command.options import DATASETS

NUMBER = "[1-9][0-9]{0,8}"


def image_size(text: str) -> str:
    """argparse type: a dataset's name, which stands for its image size, or a size, HxW or CxHxW."""
    if text in DATASETS or re.fullmatch(f"({NUMBER}x)?{NUMBER}x{NUMBER}", text):
        return text
    known = ", ".join(DATASETS)
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither a dataset ({known}) nor a size such as 512x1024"
    )


def model(text: str) -> str:
    """argparse type: torchvision's name of a network, or FILE.py:NAME, made absolute."""
    if text.endswith(".py"):
        raise argparse.ArgumentTypeError(f"name the network in the file: {text}:NAME")
    if ":" not in text:
        return text
    file, _, name = text.rpartition(":")
    if not file.endswith(".py"):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form FILE.py:NAME")
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):  # files are named by it
        raise argparse.ArgumentTypeError(
            f"NAME must consist of letters, digits and _, since it names the results: {name!r}"
        )
    return f"{existing_file(file)}:{name}"


def existing_file(text: str) -> str:
    """argparse type: a file, as an absolute path."""
    path = Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return str(path)


def existing_folder(text: str) -> str:
    """argparse type: a folder, as an absolute path."""
    path = Path(text).resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return str(path)


def whole_number(text: str, least: int = 0) -> int:
    """argparse type: a whole number of at least `least` and at most nine digits."""
    # Rejects +5, 05 and 1_000, which Python accepts and a shell reads differently.
    if re.fullmatch("0|[1-9][0-9]{0,8}", text) and int(text) >= least:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up to 999999999")


positive = partial(whole_number, least=1)


def threads(text: str) -> int:
    """argparse type: a number of threads, at most the machine's logical processors."""
    number = positive(text)
    processors = os.cpu_count() or 1
    if number > processors:
        raise argparse.ArgumentTypeError(
            f"{number} is more than the {processors} logical processors of this machine"
        )
    return number
