"""Modes: how a network is run."""

import argparse
import contextlib
from time import perf_counter

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backbone import networks
from backbone.flags import EXACT, shape_of
from backbone.networks import Backbone
from backbone.observe import observe
from backbone.script import Failure, is_out_of_memory


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
    """The network as it comes, and an image (B, C, H, W), on a device. Raises script.Failure where
    the network takes no such image."""
    backbone = networks.build(args.model, args.output_stride)
    backbone.network.to(device)
    image = torch.rand(args.batch_size, *shape_of(args.dataset), device=device)
    try:
        observe(backbone.network, list(image.shape))
    except Exception as error:  # whatever its forward runs into
        if is_out_of_memory(error):
            raise
        shape = list(image.shape)
        message = f"{backbone.name} cannot take an input of shape {shape}: {error}"
        raise Failure(message) from error
    return backbone, image


def fold_batch_norm(network: nn.Module) -> None:
    """Fold each batch norm into the convolution whose output it alone takes; nn.Identity stays in
    its place. As torch.fx.experimental.optimization.fuse does, which would make another network of
    it. Raises script.Failure where there is none to fold."""
    from torch.fx.experimental.optimization import matches_module_pattern

    modules = dict(network.named_modules())
    found = False
    for norm in fx.Tracer().trace(network).nodes:
        pair = matches_module_pattern((nn.Conv2d, nn.BatchNorm2d), norm, modules)
        if pair and len(norm.args[0].users) == 1:
            found, convolution = True, norm.args[0].target
            folded = fuse_conv_bn_eval(modules[convolution], modules[norm.target])
            network.set_submodule(convolution, folded)
            network.set_submodule(norm.target, nn.Identity())
    if not found:
        raise Failure("--fold finds no batch norm behind a convolution in this network")


def compile_network(network: nn.Module, image: Tensor) -> float:
    """Compile a network in place; the seconds that it takes with the first pass, and with torch's
    caches as they are found. Raises script.Failure where torch.compile fails."""
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
        raise Failure(f"--compile: torch.compile fails here ({_reason(error)})") from error
    seconds = perf_counter() - start
    with contextlib.suppress(ImportError):  # the compiler's processes would disturb the passes
        from torch._inductor.async_compile import shutdown_compile_workers

        shutdown_compile_workers()
    return seconds


def _reason(error: Exception) -> str:
    # The message says first which of torch's parts raised it, or how long a command was.
    lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
    telling = [line for line in lines if "ompiler found" in line or "error:" in line]
    reason = [*telling, *lines, repr(error)][0]
    if "ompiler found" in reason:
        return f"{reason}; install a C++ compiler, such as g++"
    if " " in torch.__file__:
        return f"{reason}; PyTorch is in a path with spaces, which torch.compile cannot do with"
    return reason


def output_difference(
    args: argparse.Namespace, network: nn.Module, image: Tensor
) -> dict[str, float]:
    """How far the output for an image is from the stock float32 network's on the same weights and
    image, as a record has it: the largest difference over the largest value. Empty where the mode
    changes no arithmetic, or that value is 0, as of a ViT, whose last layer starts at zero."""
    if args.mode in EXACT:
        return {}
    with torch.inference_mode():
        output = network(image).float()
        stock, stock_image = make_stock(args, image.device)
        expected = stock.network(stock_image)
    largest = float(expected.abs().max())
    difference = float((output - expected).abs().max())
    return {"output_difference": difference / largest} if largest else {}
