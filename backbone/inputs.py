"""Inputs: the image sizes of semantic segmentation."""

from typing import NamedTuple


class Dataset(NamedTuple):
    """A dataset's name in tables, and the shape of its images, (C, H, W)."""

    title: str
    shape: tuple[int, int, int]


DATASETS = {
    "cityscapes": Dataset("Cityscapes", (3, 1024, 2048)),
    "pascal": Dataset("PASCAL VOC 2012", (3, 500, 334)),
}
