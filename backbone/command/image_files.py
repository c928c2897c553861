"""A user's folder of images: which it holds, and which of them are for what."""

import hashlib
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.command.errors import Failure

if TYPE_CHECKING:
    from PIL.Image import Image

# The same as in torchvision.datasets.folder.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
MOST_CALIBRATING = 32  # images
LEAST_STEP = 4  # every fourth image, or fewer, is used for calibration


@dataclass(frozen=True)
class ImageFiles:
    """The images in a folder and in the folders inside it, by their paths, in order.

    calibrating: those that int8 is calibrated on. held_out: the others, on which a mode's answers
    are compared with stock's, whatever the mode.
    """

    calibrating: list[Path]
    held_out: list[Path]


def image_files(folder: str) -> ImageFiles:
    """The images of a folder. A single one is held out. Raises Failure if there is none."""
    files = _images_in(folder)
    step = max(LEAST_STEP, ceil(len(files) / MOST_CALIBRATING))
    calibrating = files[1::step]
    return ImageFiles(calibrating, [file for file in files if file not in set(calibrating)])


def check_images(folder: str) -> None:
    """Raise Failure, which names the file, if an image of a folder cannot be read."""
    for file in _images_in(folder):
        open_image(file)


def open_image(file: Path) -> "Image":
    """An image in RGB. Raises Failure, which names the file, if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except Exception as error:  # of its many readers, whatever a broken file makes them run into
        raise Failure(f"{file} cannot be read as an image ({error})") from error


def folder_id(folder: str) -> str:
    """What a record says of a folder of images: its name, and the start of the SHA-256 of the
    names and sizes of its images. Raises Failure if there is none."""
    listed = "".join(
        f"{file.relative_to(folder)} {file.stat().st_size}\n" for file in _images_in(folder)
    )
    return f"{Path(folder).name} {hashlib.sha256(listed.encode()).hexdigest()[:12]}"


def _images_in(folder: str) -> list[Path]:
    files = [
        file
        for file in Path(folder).rglob("*")
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    ]
    if not files:
        raise Failure(f"{folder} holds no images ({', '.join(ENDINGS)})")
    return sorted(files)
