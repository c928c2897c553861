"""Weights: loading a state dictionary from a file, and a digest of a network's weights."""

import hashlib
import pickle
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from backbone.command.errors import Failure

# Errors of torch.load for a file that is truncated or of another kind.
BROKEN = (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, ValueError)


def load_weights(network: nn.Module, file: str, without: Sequence[str] = ()) -> None:
    """Load a state dictionary, stored by torch.save or safetensors, into a network, except for
    names that begin with one of `without`. Raises Failure if the file is not a state dictionary of
    this network, and OSError if it cannot be read."""
    state = _read_safetensors(file) if file.endswith(".safetensors") else _read_pickle(file)
    if not isinstance(state, dict):
        raise Failure(f"{file} holds a {type(state).__name__}, not a state dictionary")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise Failure(
                f"{file} is not a state dictionary: its {name!r} is a {kind}; "
                "torch.save(network.state_dict(), FILE) stores one"
            )
    consume_prefix_in_state_dict_if_present(state, "module.")  # DataParallel's
    for name in [name for name in state if name.startswith(tuple(without))]:
        del state[name]
    if reason := _why_unlike(network, state):
        raise Failure(f"{file} belongs to another network: {reason}")


def _why_unlike(network: nn.Module, state: dict[str, Tensor]) -> str | None:
    """Load a state dictionary. Returns why it belongs to another network, or None."""
    try:
        unlike = network.load_state_dict(state, strict=False)
    except RuntimeError as error:  # of another shape
        return str(error).partition("\n")[2].strip().partition("\n")[0] or str(error)
    # A tensor with two names may be stored under one of them, as by safetensors.
    tensors = network.state_dict(keep_vars=True)
    loaded = {id(tensors[name]) for name in state if name in tensors}
    missing = [name for name in unlike.missing_keys if id(tensors.get(name)) not in loaded]
    if missing:
        return f"it has no {missing[0]}"
    if unlike.unexpected_keys:
        return f"the network has no {unlike.unexpected_keys[0]}"
    return None


def _read_pickle(file: str) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError):
        raise
    except BROKEN as error:
        raise Failure(
            f"{file} is truncated, or holds more than tensors; "
            "torch.save(network.state_dict(), FILE) stores only weights"
        ) from error


def _read_safetensors(file: str) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise Failure(f"{file}: {error}; pip install safetensors") from error
    try:
        return load_file(file)
    except SafetensorError as error:
        raise Failure(f"{file} is not a safetensors file, or is truncated: {error}") from error


def digest_of(network: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for tensor in [*network.parameters(), *network.buffers()]:
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
