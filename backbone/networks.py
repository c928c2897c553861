"""The network under test, MobileNet-V2 or another of torchvision's: its stages, how it is run."""

import argparse
import contextlib
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from backbone.flags import EXACT
from backbone.observe import observe
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
    """A part of a network: its type, its module's path ("": the network itself), its settings."""

    type: str
    path: str
    settings: dict[str, int | float]


class Backbone(NamedTuple):
    """A network, its name in reports, and the stage of an operation, by its type and path."""

    name: str
    network: nn.Module
    stage_at: Callable[[str, str], Stage]


def build(name: str = "mobilenet_v2", output_stride: int = 32) -> Backbone:
    """One of torchvision's classification networks, (B, 3, H, W) -> (B, 1000), in eval mode and
    without classifiers for training; weights, and what torch draws next, are always the same.

    output_stride: 8, 16, or 32, the network as it is: how much smaller than the input the last
    feature map is at the most. Strides beyond become dilations: the block that loses its stride
    keeps the dilation before it, later ones have twice as much. Sources: Sandler et al.,
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018; Chen et al., "Rethinking
    Atrous Convolution for Semantic Image Segmentation", 2017, as torchvision has it for ResNets.
    """
    torch.manual_seed(0)
    options = {}
    if name in ("googlenet", "inception_v3"):  # their own initialisation is slow, and warns of it
        options = {"aux_logits": False, "init_weights": False}
    elif output_stride != 32 and name != "mobilenet_v2":
        options = {"replace_stride_with_dilation": [False, output_stride == 8, True]}
    device = torch.get_default_device()
    # RegNets work out their widths with tensors, which the meta device has no values of.
    with torch.device("cpu" if name.startswith("regnet") else device):
        network = torchvision.models.get_model(name, weights=None, **options).eval()
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


def make(args: argparse.Namespace, device: torch.device) -> tuple[Backbone, Tensor]:
    """The network and an image (B, C, H, W) on a device, in the mode that the flags say; each time
    the same. Compiling is left to compile_network."""
    backbone, image = make_stock(args, device)
    if args.fold:
        fold_batch_norm(backbone.network)
    layout = torch.channels_last if args.channels_last else torch.preserve_format
    form = {"dtype": getattr(torch, args.dtype), "memory_format": layout}
    backbone.network.train(args.train).to(**form)
    return backbone, image.to(**form)


def make_stock(args: argparse.Namespace, device: torch.device) -> tuple[Backbone, Tensor]:
    """The stock network and an image (B, C, H, W). Raises script.Failure if it takes none such."""
    backbone = build(args.model, args.output_stride)
    backbone.network.to(device)
    shape = [args.batch_size, *args.shape]
    image = torch.rand(shape, device=device)
    try:
        observe(backbone.network.train(getattr(args, "train", False)), shape)  # as it is run
    except Exception as error:  # whatever its forward runs into
        if is_out_of_memory(error):
            raise
        message = f"{backbone.name} cannot take an input of shape {shape}: {error}"
        raise Failure(message) from error
    backbone.network.eval()
    return backbone, image


def fold_batch_norm(network: nn.Module) -> None:
    """Fold each batch norm into the convolution whose output it alone takes, by torch's fuse(), and
    leave nn.Identity in its place. Raises script.Failure where there is none to fold."""
    from torch.fx.experimental.optimization import fuse

    fused, before = dict(fuse(network, inplace=True).named_modules()), dict(network.named_modules())
    norms = [path for path, each in before.items() if isinstance(each, nn.BatchNorm2d)]
    if not (folded := [path for path in norms if path not in fused]):
        raise Failure("--fold finds no batch norm behind a convolution in this network")
    for path in before.keys() & fused.keys():
        if isinstance(fused[path], nn.Conv2d):
            network.set_submodule(path, fused[path])
    for path in folded:
        network.set_submodule(path, nn.Identity())


def compile_network(network: nn.Module, image: Tensor) -> float:
    """Compile a network in place; the seconds that it takes with the first pass, torch's caches as
    they are found. Raises script.Failure where torch.compile fails."""
    start = perf_counter()
    try:
        network.compile()
        with torch.inference_mode():
            network(image)
        if image.is_cuda:
            torch.cuda.synchronize(image.device)
            torch.cuda.reset_peak_memory_stats(image.device)  # of the compiler's trials
    except Exception as error:  # of torch's many compilers, and of what they call
        if is_out_of_memory(error):
            raise
        # The message says first which of torch's parts raised it, or how long a command was.
        lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
        telling = [line for line in lines if "ompiler found" in line or "error:" in line]
        reason = [*telling, *lines, repr(error)][0]
        if "ompiler found" in reason:
            reason += "; install a C++ compiler, such as g++"
        elif " " in torch.__file__:
            reason += "; PyTorch is in a path with spaces, which torch.compile cannot do with"
        raise Failure(f"--compile: torch.compile fails here ({reason})") from error
    seconds = perf_counter() - start
    with contextlib.suppress(ImportError):  # the compiler's processes would disturb the passes
        from torch._inductor.async_compile import shutdown_compile_workers

        shutdown_compile_workers()
    return seconds


def output_difference(
    args: argparse.Namespace, network: nn.Module, image: Tensor
) -> dict[str, float]:
    """How far the output for an image is from the stock float32 network's, as a record has it: the
    largest difference over the largest value. Empty where the mode changes no arithmetic, or that
    value is 0, as of a ViT, whose last layer starts at zero."""
    if args.mode in EXACT:
        return {}
    with torch.inference_mode():
        output = network(image).float()
        stock, stock_image = make_stock(args, image.device)
        expected = stock.network(stock_image)
    largest = float(expected.abs().max())
    difference = float((output - expected).abs().max())
    return {"output_difference": difference / largest} if largest else {}
