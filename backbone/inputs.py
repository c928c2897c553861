"""Inputs: the image sizes of semantic segmentation, or any other."""

import re
from typing import NamedTuple


class Dataset(NamedTuple):
    """A dataset's name in tables, and the shape of its images, (C, H, W)."""

    title: str
    shape: tuple[int, int, int]


DATASETS = {
    "cityscapes": Dataset("Cityscapes", (3, 1024, 2048)),
    "pascal": Dataset("PASCAL VOC 2012", (3, 500, 334)),
}


def shape_of(size: str) -> tuple[int, int, int]:
    """The shape (C, H, W) of a dataset's images, or of those of a size HxW. Raises ValueError where
    it is neither."""
    if size in DATASETS:
        return DATASETS[size].shape
    if not re.fullmatch("[1-9][0-9]{0,8}x[1-9][0-9]{0,8}", size):
        raise ValueError(f"{size!r} is none of {', '.join(DATASETS)}, and no HxW such as 512x1024")
    height, width = map(int, size.split("x"))
    return 3, height, width
