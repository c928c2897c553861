"""The network under test, torchvision's MobileNet-V2 or another of its networks, and its stages."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from backbone.observe import observe
from backbone.script import Failure, is_out_of_memory

if TYPE_CHECKING:
    from backbone.instrument import Operation

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
    """A network with the name that reports print, and the stage of each of its operations."""

    name: str
    network: nn.Module
    stage_at: "Callable[[Operation], Stage]"


# ResNets whose blocks have a bottleneck; torchvision's other blocks have no dilation.
DILATED_RESNETS = ("resnet50", "resnet101", "resnet152", "resnext", "wide_resnet")
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def list_names() -> list[str]:
    """The names of torchvision's classification networks."""
    return torchvision.models.list_models(module=torchvision.models)


def build(name: str = "mobilenet_v2", output_stride: int = 32) -> Backbone:
    """One of torchvision's classification networks, without auxiliary classifiers, which only
    training uses, in eval mode; its weights, and what torch draws next, are random, and the same
    each time.

    Input (B, 3, H, W), output (B, 1000). output_stride: 8, 16, or 32, which is the network as it
    is: how much smaller than the input the last feature map is at the most. Strides beyond become
    dilations: the block that loses its stride keeps the dilation before it, later ones have twice
    as much. Raises ValueError where a network has no output stride to choose, script.Failure where
    torchvision cannot build it.

    Sources: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018;
    Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, as
    torchvision's replace_stride_with_dilation has it.
    """
    torch.manual_seed(0)
    options = {}
    if output_stride != 32:
        check_output_stride(name)
    if name in ("googlenet", "inception_v3"):  # theirs is slow, and warns of it
        options = {"aux_logits": False, "init_weights": False}
    if output_stride != 32 and name.startswith(DILATED_RESNETS):
        options = {"replace_stride_with_dilation": [False, output_stride < 16, output_stride < 32]}
    # RegNets work out their widths with tensors, which the meta device has no values of.
    on_cpu = torch.device("cpu") if name.startswith("regnet") else contextlib.nullcontext()
    device = torch.get_default_device()
    try:
        with on_cpu:
            network = torchvision.models.get_model(name, weights=None, **options).eval()
    except Exception as error:  # whatever its constructor runs into
        if isinstance(error, (MemoryError, RuntimeError)) and is_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0]
        raise Failure(f"torchvision cannot build {name}: {reason}") from error
    if name.startswith("regnet"):
        network.to(device)
    if name == "mobilenet_v2":
        _dilate(network, output_stride)
    _set_statistics(network)
    if name != "mobilenet_v2":
        return Backbone(name, network, partial(_stage_by_module, network))
    return Backbone("MobileNetV2", network, partial(_stage_of_mobilenet_v2, network))


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
    try:
        with torch.no_grad():
            network(torch.rand(2, 3, 96, 96))
    except (RuntimeError, AssertionError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        for norm in norms:  # of a network that takes one size alone
            norm.reset_running_stats()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def check_output_stride(name: str) -> None:
    """Raise ValueError where a network has no output stride to choose."""
    if not name.startswith(("mobilenet_v2", *DILATED_RESNETS)):
        raise ValueError(
            f"{name} has no output stride to choose; mobilenet_v2 and the ResNets with bottlenecks "
            "(resnet50, 101, 152, resnext, wide_resnet) have"
        )


@contextlib.contextmanager
def explaining(backbone: Backbone, input_shape: list[int]) -> Iterator[None]:
    """Where what is run inside fails, and check_input() says why, that is the error: a pass that
    succeeds pays nothing for it."""
    try:
        yield
    except (Failure, RuntimeError, AssertionError, ValueError):
        check_input(backbone, input_shape)
        raise


def check_input(backbone: Backbone, input_shape: list[int]) -> None:
    """Raise script.Failure where a network cannot take an input of a shape (B, C, H, W)."""
    try:
        observe(backbone.network, input_shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        if is_out_of_memory(error):  # more bytes than can be counted
            raise
        reason = str(error).partition("\n")[0]
        message = f"{backbone.name} cannot take an input of shape {input_shape}: {reason}"
        raise Failure(message) from error


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


def _stage_by_module(network: nn.Module, operation: "Operation") -> Stage:
    """The stage of an operation is the first module on its path that is no plain container. Outside
    of any, in the network's own forward, it is one by itself, or with its like."""
    path = ""
    for part in operation.path.split(".") if operation.path else ():
        path = f"{path}.{part}".lstrip(".")
        module = network.get_submodule(path)
        if type(module) not in CONTAINERS:
            return Stage(type(module).__name__, path, {})
    return Stage(operation.type, "", {})


def _stage_of_mobilenet_v2(network: nn.Module, operation: "Operation") -> Stage:
    """The stage of an operation of MobileNet-V2.

    Called outside any submodule (path ""), an operation is part of the pooling: the network pools
    and flattens in its own forward().
    """
    part, *rest = operation.path.split(".")
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
