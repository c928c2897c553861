"""Networks and images on the meta device, where nothing is computed."""

from copy import deepcopy

import torch
from torch import Tensor, nn


def copy_on_meta(network: nn.Module) -> nn.Module:
    """A copy with parameters and buffers on the meta device, so that tensors which a pass there
    keeps do not end up in the network itself."""
    copies: dict[int, Tensor] = {}
    for parameter in network.parameters():
        empty = torch.empty_like(parameter, device="meta")
        copies[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in network.buffers():
        copies[id(buffer)] = torch.empty_like(buffer, device="meta")
    return deepcopy(network, copies)


def on_meta(network: nn.Module, input_shape: list[int]) -> tuple[dict[str, Tensor], Tensor]:
    """A network's state by name, and an image (B, C, H, W) in the network's dtype, both on the meta
    device.

    The state is for functional_call() with tie_weights=False: a tensor shared by modules appears
    under all their names, a module with several names under one of them. Under two, the module
    would not get its own state back.
    """
    copies: dict[int, Tensor] = {}
    state: dict[str, Tensor] = {}
    for path, module in network.named_modules():
        for tensors in (module.named_parameters, module.named_buffers):
            for name, tensor in tensors(path, recurse=False, remove_duplicate=False):
                if id(tensor) not in copies:
                    copies[id(tensor)] = torch.empty_like(tensor, device="meta")
                state[name] = copies[id(tensor)]
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), None)
    return state, torch.empty(input_shape, device="meta", dtype=dtype)
