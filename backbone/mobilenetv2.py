"""The network under test: torchvision's MobileNet-V2, its stages and their wording."""

import contextlib
import importlib.util
from pathlib import Path

import torch

NAME = "MobileNetV2"

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


def build() -> torch.nn.Module:
    """torchvision's MobileNet-V2, width 1.0, 1000 classes, random weights, in eval mode.

    Input (B, 3, H, W), output (B, 1000). Source: Sandler et al., "MobileNetV2: Inverted Residuals
    and Linear Bottlenecks", CVPR 2018.
    """
    return torchvision.models.mobilenet_v2(weights=None).eval()


def stage(network: torch.nn.Module, path: str) -> tuple[str, str]:
    """Name and detail of the stage that the operation at a module path belongs to.

    Called outside any submodule (path ""), an operation is part of the pooling: the network pools
    and flattens in its own forward().
    """
    if path.startswith("features."):
        position = int(path.split(".")[1])
        if 0 < position < len(network.features) - 1:
            return f"Inverted Residual Block at position {position}", "with"
        conv = network.features[position][0]
        name = "ConvLast" if position else "Conv2D"
        return name, f"with kernel_size={conv.kernel_size[0]}, stride={conv.stride[0]} and"
    if path.startswith("classifier."):
        dropout, linear = network.classifier
        return "Classifier", f"with Dropout={dropout.p} and dim={linear.in_features}"
    return "AvgPool", "with"
