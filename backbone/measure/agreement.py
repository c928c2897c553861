"""A network's answers on a user's images, compared with stock's."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from backbone.command.image_files import image_files
from backbone.command.options import Mode, Workload
from backbone.network.images import read_images
from backbone.network.modes import as_input
from backbone.network.outputs import outputs_of
from backbone.record.agreement import Agreement, agreement_of


def held_out_images(workload: Workload) -> Iterator[Tensor]:
    """The images on which answers are compared, in batches (B, 3, H, W)."""
    return read_images(image_files(workload.images).held_out, workload.input_shape)


def answers_of(network: nn.Module, images: Iterable[Tensor]) -> Iterator[Tensor]:
    """For each batch of images (B, 3, H, W), the argmax over the second dimension of a network's
    first output: for (B, classes) a class per image, shape (B,); for (B, classes, H, W) a class per
    pixel, shape (B, H, W)."""
    for image in images:
        yield outputs_of(network, image)[0].argmax(1).to(torch.int16)


def agreement_with_stock(
    network: nn.Module, workload: Workload, mode: Mode, device: torch.device, stock: list[Tensor]
) -> Agreement:
    """The agreement of a network's answers with stock's. stock: `answers_of()` the stock network
    for the same images."""
    files = image_files(workload.images).held_out
    batches = read_images(files, workload.input_shape)
    images = (as_input(image.to(device), mode) for image in batches)
    shares: list[float] = []
    for answers, expected in zip(answers_of(network, images), stock, strict=True):
        same = (answers == expected).reshape(len(answers), -1)
        shares += same.double().mean(dim=1).tolist()
    shares = shares[: len(files)]  # without the padding of the last batch
    return agreement_of(shares, "images" if stock[0].ndim == 1 else "pixels")
