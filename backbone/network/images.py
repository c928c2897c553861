"""Images as input tensors: random ones, and a user's own from files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backbone.command.image_files import open_image

# As torchvision's presets normalise (torchvision.transforms._presets).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def random_images(input_shape: Sequence[int], count: int) -> Iterator[Tensor]:
    """`count` batches of random images (B, C, H, W): the same on each call, and different from the
    image that is timed."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.rand(*input_shape, generator=generator)


def read_images(files: Sequence[Path], input_shape: Sequence[int]) -> Iterator[Tensor]:
    """Images from files in batches of an input's shape (B, 3, H, W); the last batch is padded with
    its last image. Raises Failure, naming the file, if an image cannot be read."""
    batch_size, _, height, width = input_shape
    for start in range(0, len(files), batch_size):
        images = [_read(file, height, width) for file in files[start : start + batch_size]]
        images += images[-1:] * (batch_size - len(images))
        yield torch.stack(images)


def _read(file: Path, height: int, width: int) -> Tensor:
    """An image (3, height, width), normalized as by torchvision's presets, but resized to the input
    instead of cropped."""
    from PIL.Image import Resampling

    resized = open_image(file).resize((width, height), Resampling.BILINEAR)
    pixels = np.asarray(resized, dtype=np.float32) / 255
    return torch.from_numpy((pixels - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)
