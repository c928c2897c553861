"""A user's folder of images, divided into calibration and held-out images."""

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
    """The images in a folder and its subfolders, sorted by path.

    calibrating: used to calibrate int8. held_out: all others, on which the answers of every mode
    are compared with stock's.
    """

    calibrating: list[Path]
    held_out: list[Path]


def image_files(folder: str) -> ImageFiles:
    """The images of a folder; a single image is held out. Raises Failure if there are none."""
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
    except Exception as error:  # Pillow raises many kinds for broken files
        raise Failure(f"{file} cannot be read as an image ({error})") from error


def folder_id(folder: str) -> str:
    """A folder's identity in a record: its name and the start of a SHA-256 over the names and sizes
    of its images. Raises Failure if there are none."""
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
