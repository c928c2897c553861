"""What a network keeps from one pass for the next."""

from collections import deque

import torch
from torch import Tensor, nn

OF_TORCH = vars(nn.Module()).keys()  # attributes that every module has
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Size)


def changed_by_a_pass(network: nn.Module, image: Tensor) -> list[str]:
    """The names of what each pass on an image (B, C, H, W) changes in a network: plain values,
    lengths of lists and dictionaries, tensors. What the first pass alone changes is left out, and
    so are torch.nn's own modules, which count and average in training mode. Raises what the forward
    raises."""
    with torch.inference_mode():
        network(image)
        before = _state_of(network)
        network(image)
    after = _state_of(network)
    return [name for name in after if name not in before or _differ(before[name], after[name])]


def _state_of(network: nn.Module) -> dict[str, tuple[object, object]]:
    """All values that modules hold, each with its mark, by name."""
    state = {}
    for path, module in network.named_modules():
        if module.__module__.startswith("torch.nn."):
            continue
        values = {name: value for name, value in vars(module).items() if name not in OF_TORCH}
        values |= module.named_buffers(recurse=False)
        for name, value in values.items():
            state[f"{path}.{name}".removeprefix(".")] = (value, _mark_of(value))
    return state


def _mark_of(value: object) -> object:
    """What a value was at this moment, since it may be changed in place."""
    if isinstance(value, Tensor):
        return None if value.is_inference() else value._version
    if isinstance(value, (list, dict, set, deque)):
        return len(value)
    return value if isinstance(value, PLAIN) else None


def _differ(before: tuple[object, object], after: tuple[object, object]) -> bool:
    """Whether a value has another mark, or is another tensor."""
    is_other = isinstance(after[0], Tensor) and before[0] is not after[0]
    return is_other or before[1] != after[1]
