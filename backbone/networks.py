"""The network under test: torchvision's MobileNet-V2, and its stages."""

import contextlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

if torch.__version__ < (2, 8):
    raise ImportError(f"torch 2.8 or later is needed, this is {torch.__version__}")


def _declare_missing_operators() -> torch.library.Library:
    # Beside a torch of another build (a CPU one, say) torchvision's compiled operators can't load,
    # and its import then fails with "operator torchvision::nms does not exist". The network uses
    # none of them, so it is enough to declare the two that the import looks up.
    spec = importlib.util.find_spec("torchvision")
    for folder in spec.submodule_search_locations if spec else ():
        for extension in Path(folder).glob("_C.*"):
            with contextlib.suppress(OSError):
                torch.ops.load_library(extension)
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


_library = _declare_missing_operators()  # a declaration lives as long as its library object

import torchvision  # noqa: E402


class Stage(NamedTuple):
    """A part of a network: what type of part, the path of its module ("": the network itself), and
    what a report says of its settings."""

    type: str
    path: str
    settings: dict[str, int | float]


class Backbone(NamedTuple):
    """A network with the name that reports print, and the stage of an operation, which goes by the
    path of the module that it runs in."""

    name: str
    network: nn.Module
    stage_at: Callable[[str], Stage]


def build() -> Backbone:
    """torchvision's MobileNet-V2, width 1.0, 1000 classes, in eval mode; its weights, and what
    torch draws next, are random, and the same each time.

    Input (B, 3, H, W), output (B, 1000). Source: Sandler et al., "MobileNetV2: Inverted Residuals
    and Linear Bottlenecks", CVPR 2018.
    """
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(weights=None).eval()
    _set_statistics(network)
    return Backbone("MobileNetV2", network, partial(_stage_at, network))


def _set_statistics(network: nn.Module) -> None:
    # As they are made, batch norms change nothing, and activations shrink to 1e-9 by the last of
    # them: what a mode does to the output could not be told.
    norms = [
        each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)
    ]
    if not norms or norms[0].weight.is_meta:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the statistics are this pass's alone
        norm.train()
    with torch.no_grad():
        network(torch.rand(2, 3, 96, 96))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _stage_at(network: nn.Module, path: str) -> Stage:
    """The stage of MobileNet-V2 that the operation at a module path belongs to.

    Called outside any submodule (path ""), an operation is part of the pooling: the network pools
    and flattens in its own forward().
    """
    part, *rest = path.split(".")
    if part == "features":
        position = int(rest[0])
        path = f"features.{position}"
        if 0 < position < len(network.features) - 1:
            return Stage("Inverted Residual Block", path, {})
        convolution = network.features[position][0]
        settings = {"kernel_size": convolution.kernel_size[0], "stride": convolution.stride[0]}
        return Stage("ConvLast" if position else "Conv2D", path, settings)
    if part == "classifier":
        dropout, linear = network.classifier
        return Stage("Classifier", part, {"dropout": dropout.p, "dim": linear.in_features})
    return Stage("AvgPool", "", {})
