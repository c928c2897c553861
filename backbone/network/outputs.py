"""Finds a network's output tensors in nested tuples, lists, dictionaries, ..., and compares the
outputs of two passes."""

from dataclasses import fields, is_dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def tensors_in(values: object) -> list[Tensor]:
    """The tensors in nested tuples, lists, dictionaries and data classes, in order."""
    return [value for value in tree_leaves(as_plain(values)) if isinstance(value, Tensor)]


def as_plain(values: object) -> object:
    """The same values with data classes replaced by dictionaries."""
    if is_dataclass(values) and not isinstance(values, type | dict):
        return {field.name: as_plain(getattr(values, field.name)) for field in fields(values)}
    if isinstance(values, dict):
        return {key: as_plain(value) for key, value in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):  # a named one
        return type(values)(*map(as_plain, values))
    if type(values) in (list, tuple):
        return type(values)(map(as_plain, values))
    return values


def outputs_of(network: nn.Module, image: Tensor) -> list[Tensor]:
    """A network's output tensors for an image (B, C, H, W), on the CPU and in float32; complex
    tensors as pairs of real values."""
    with torch.inference_mode():
        outputs = tensors_in(network(image))
        reals = [
            torch.view_as_real(output.resolve_conj()) if output.is_complex() else output
            for output in outputs
        ]
        return [output.float().cpu() for output in reals]


def have_equal_shapes(outputs: list[Tensor], others: list[Tensor]) -> bool:
    """Whether two passes returned the same number of tensors with the same shapes."""
    return [output.shape for output in outputs] == [other.shape for other in others]


def are_equal(outputs: list[Tensor], others: list[Tensor]) -> bool:
    """Whether two passes returned the same values; NaN equals NaN."""
    if not have_equal_shapes(outputs, others):
        return False
    pairs = zip(outputs, others, strict=True)
    return all(torch.allclose(*pair, rtol=0, atol=0, equal_nan=True) for pair in pairs)


def output_difference(outputs: list[Tensor], stock: list[Tensor]) -> float | None:
    """The largest absolute difference from the stock outputs (same shapes), divided by the largest
    absolute stock value, for the tensor where this ratio is largest. 0 if all values are equal, NaN
    if any value is NaN. A tensor is skipped if its stock values are all 0, as a ViT's are with
    random weights, and its values are finite; None if all are skipped."""
    differences = [
        torch.where(output == expected, 0.0, (output - expected).abs()).max() / expected.abs().max()
        for output, expected in zip(outputs, stock, strict=True)
        if expected.numel() and (expected.any() or not output.isfinite().all())
    ]
    # Unlike Python's, this maximum of a NaN and a number is NaN.
    return float(torch.stack(differences).max()) if differences else None
