"""The tensors that a network gives, in whatever they stand: tuples, lists, dictionaries, ..."""

from dataclasses import fields, is_dataclass

from torch import Tensor
from torch.utils._pytree import tree_leaves


def tensors_in(values: object) -> list[Tensor]:
    """The tensors in nested tuples, lists, dictionaries and data classes, in order."""
    return [value for value in tree_leaves(as_plain(values)) if isinstance(value, Tensor)]


def as_plain(values: object) -> object:
    """The same with dictionaries in place of data classes."""
    if is_dataclass(values) and not isinstance(values, type | dict):
        return {field.name: as_plain(getattr(values, field.name)) for field in fields(values)}
    if isinstance(values, dict):
        return {key: as_plain(value) for key, value in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):  # a named one
        return type(values)(*map(as_plain, values))
    if type(values) in (list, tuple):
        return type(values)(map(as_plain, values))
    return values
