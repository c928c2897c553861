"""The network under test, torchvision's MobileNet-V2 or another of its networks, and its stages."""

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from backbone.script import Failure, is_out_of_memory

if torch.__version__ < (2, 8):
    raise ImportError(f"torch 2.8 or later is needed, this is {torch.__version__}")

try:
    import torchvision
except RuntimeError:
    # Beside a torch of another build (a CPU one, say) torchvision's compiled operators can't load,
    # and its import fails for want of two of them, which no network here uses.
    _library = torch.library.Library("torchvision", "FRAGMENT")  # what it declares dies with it
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision


class Stage(NamedTuple):
    """A part of a network: what type of part, the path of its module ("": the network itself), and
    what a report says of its settings."""

    type: str
    path: str
    settings: dict[str, int | float]


class Backbone(NamedTuple):
    """A network with the name that reports print, and the stage of an operation of a type at a
    module's path."""

    name: str
    network: nn.Module
    stage_at: Callable[[str, str], Stage]


def build(name: str = "mobilenet_v2", output_stride: int = 32) -> Backbone:
    """One of torchvision's classification networks, in eval mode and without the auxiliary
    classifiers of training; weights, and what torch draws next, are random, the same each time.

    Input (B, 3, H, W), output (B, 1000). output_stride: 8, 16, or 32, the network as it is: how
    much smaller than the input the last feature map is at the most. Strides beyond become
    dilations: the block that loses its stride keeps the dilation before it, later ones have twice
    as much. Raises script.Failure where torchvision cannot build it.

    Sources: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018;
    Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, as
    torchvision's replace_stride_with_dilation has it.
    """
    torch.manual_seed(0)
    options = {}
    if name in ("googlenet", "inception_v3"):  # their own initialisation is slow, and warns of it
        options = {"aux_logits": False, "init_weights": False}
    elif output_stride != 32 and name != "mobilenet_v2":
        options = {"replace_stride_with_dilation": [False, output_stride == 8, True]}
    device = torch.get_default_device()
    try:
        # RegNets work out their widths with tensors, which the meta device has no values of.
        with torch.device("cpu" if name.startswith("regnet") else device):
            network = torchvision.models.get_model(name, weights=None, **options).eval()
    except Exception as error:  # whatever its constructor runs into
        if is_out_of_memory(error):
            raise
        raise Failure(f"torchvision cannot build {name}: {error}") from error
    if name == "mobilenet_v2":
        _dilate(network, output_stride)
    if device.type == "meta":
        network.to(device)
    else:
        # As they are made, batch norms change nothing, and activations shrink to 1e-9 by the last
        # of them: what a mode does to the output could not be told.
        size = 224 if name == "maxvit_t" else 96  # maxvit_t takes no other
        update_bn([torch.rand(2, 3, size, size)], network)
    if name == "mobilenet_v2":
        return Backbone("MobileNetV2", network, partial(_stage_of_mobilenet_v2, network))
    return Backbone(name, network, partial(_stage_by_module, network))


def _dilate(network: nn.Module, output_stride: int) -> None:
    """Put dilations in place of the strides of MobileNet-V2's 3x3 convolutions beyond a stride."""
    stride, dilation = 1, 1
    for convolution in network.modules():
        if isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (3, 3):
            convolution.dilation = convolution.padding = (dilation, dilation)
            if convolution.stride == (2, 2) and stride == output_stride:
                convolution.stride, dilation = (1, 1), 2 * dilation
            else:
                stride *= convolution.stride[0]


def _stage_by_module(network: nn.Module, type_: str, at: str) -> Stage:
    """The stage of an operation is the first module on its path that is no plain container. Outside
    of any, in the network's own forward, it is one by itself, or with its like."""
    for path in accumulate(at.split("."), "{}.{}".format):
        module = network.get_submodule(path)
        if path and type(module) not in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
            return Stage(type(module).__name__, path, {})
    return Stage(type_, "", {})


def _stage_of_mobilenet_v2(network: nn.Module, type_: str, at: str) -> Stage:
    """The stage of an operation of MobileNet-V2, which pools and flattens in its own forward."""
    part, *rest = at.split(".")
    if part == "classifier":
        dropout, linear = network.classifier
        return Stage("Classifier", part, {"dropout": dropout.p, "dim": linear.in_features})
    if part != "features":
        return Stage("AvgPool", "", {})
    position, path = int(rest[0]), f"features.{rest[0]}"
    if 0 < position < len(network.features) - 1:
        return Stage("Inverted Residual Block", path, {})
    convolution = network.features[position][0]
    settings = {"kernel_size": convolution.kernel_size[0], "stride": convolution.stride[0]}
    return Stage("ConvLast" if position else "Conv2D", path, settings)
