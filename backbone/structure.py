"""How a network is built: a row for each layer, as torchsummary prints it, and its MACs."""

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

MB = 2**20  # as torchsummary has it


class Layer(NamedTuple):
    """One call of a module: its type, its output's shape, its weight's and bias's elements."""

    type: str
    output_shape: list[int]
    parameters: int
    trainable: bool


def list_layers(network: nn.Module, image: Tensor) -> tuple[list[Layer], int]:
    """The layers that one pass on an image (B, C, H, W) calls, in order, and the pass's MACs.

    Containers and the network itself are no layers. With both on the meta device nothing is
    computed, and the cost does not depend on the image's size. Multiply-accumulates are half of
    the operations that torch.utils.flop_counter counts: 1 MAC = 2 FLOPs.
    """
    layers: list[Layer] = []

    def record(module: nn.Module, args: tuple, output: Tensor) -> None:
        if module is network or isinstance(module, (nn.Sequential, nn.ModuleList)):
            return
        own = [t for t in (getattr(module, n, None) for n in ("weight", "bias")) if t is not None]
        layers.append(
            Layer(
                type(module).__name__,
                list(output.shape),
                sum(tensor.numel() for tensor in own),
                any(tensor.requires_grad for tensor in own),
            )
        )

    counter = FlopCounterMode(display=False)
    with register_module_forward_hook(record), torch.inference_mode(), counter:
        network(image)
    return layers, counter.get_total_flops() // 2


def format_layers(layers: list[Layer], input_shape: list[int]) -> str:
    """The layers as torchsummary 1.5.1 prints them, byte for byte.

    A batch of one stands for any and is printed as -1, torchsummary's default; a larger one as it
    is. Sizes are in MB of 2**20 bytes, 4 bytes an element; forward/backward counts every row's
    output twice.
    """
    thin, thick = "-" * 64, "=" * 64
    rows = []
    for number, layer in enumerate(layers, start=1):
        batch, *rest = layer.output_shape
        shape = str([-1 if batch == 1 else batch, *rest])
        rows.append(f"{f'{layer.type}-{number}':>20}  {shape:>25} {layer.parameters:>15,}")
    total = sum(layer.parameters for layer in layers)
    trainable = sum(layer.parameters for layer in layers if layer.trainable)
    input_mb = prod(input_shape) * 4 / MB
    passes_mb = 2 * sum(prod(layer.output_shape) for layer in layers) * 4 / MB
    parameters_mb = total * 4 / MB
    lines = [
        thin,
        f"{'Layer (type)':>20}  {'Output Shape':>25} {'Param #':>15}",
        thick,
        *rows,
        thick,
        f"Total params: {total:,}",
        f"Trainable params: {trainable:,}",
        f"Non-trainable params: {total - trainable:,}",
        thin,
        f"Input size (MB): {input_mb:.2f}",
        f"Forward/backward pass size (MB): {passes_mb:.2f}",
        f"Params size (MB): {parameters_mb:.2f}",
        f"Estimated Total Size (MB): {parameters_mb + passes_mb + input_mb:.2f}",
        thin,
    ]
    return "\n".join(lines) + "\n"
