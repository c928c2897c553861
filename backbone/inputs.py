"""Inputs: the image sizes of semantic segmentation, or any other."""

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
    """The shape (C, H, W) of a dataset's images, or of those of a size HxW."""
    if size in DATASETS:
        return DATASETS[size].shape
    height, width = map(int, size.split("x"))
    return 3, height, width
