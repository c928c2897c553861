"""Observes the operators and storages of a pass on the meta device, where nothing is computed."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from backbone.network.outputs import tensors_in
from backbone.trace.meta import on_meta
from backbone.trace.storages import Storages


class Operator(NamedTuple):
    """A call of an ATen operator, and the shapes of its outputs."""

    function: torch._ops.OpOverload
    output_shapes: list[torch.Size]


class ModuleCall(NamedTuple):
    """A call of a module, and the shapes of its outputs."""

    module: nn.Module
    output_shapes: list[list[int]]


class Observer(TorchDispatchMode):
    """Follows the operators of a pass, their FLOPs by torch.utils.flop_counter's formulas, and the
    storages that they allocate. held: tensors that exist before the pass."""

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.operators: list[Operator] = []
        self.storages = Storages(held)
        self.flops = 0
        self._inside_operator = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        inside = self._inside_operator
        self._inside_operator = True
        result = self._call_operator(func, args, kwargs)
        self._inside_operator = inside
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **kwargs, out_val=result)
        if not inside:
            outputs = tensors_in(result)
            self.operators.append(Operator(func, [output.shape for output in outputs]))
            self.storages.note(tensors_in((args, kwargs)), outputs)
        return result

    def _call_operator(self, func: torch._ops.OpOverload, args: tuple, kwargs: dict) -> object:
        # Operators that meta tensors run as decompositions would dominate the time: batch norms
        # and in-place functions of one tensor.
        if func is torch.ops.aten.batch_norm.default:
            return torch.empty_like(args[0])
        in_place = func._schema.name.endswith("_") and torch.Tag.inplace_view not in func.tags
        if in_place and len(tensors_in((args, kwargs))) == 1:
            return args[0]
        with self:  # inference mode does not split composite operators, whose parts have FLOPs
            func.decompose(*args, **kwargs)
        return func(*args, **kwargs)


class NetworkObserver(Observer):
    """Also follows the modules that are called, and what happens to the image.

    calls: calls of modules, inner before outer. owners: the innermost module of each operator; None
    outside of modules. writer: the first operator that changes the image in place, if any."""

    def __init__(self, held: Iterable[Tensor], image: Tensor) -> None:
        super().__init__([*held, image])
        self.calls: list[ModuleCall] = []
        self.owners: list[nn.Module | None] = []
        self.writer: str | None = None
        self._being_called: list[nn.Module] = []
        self._image = image.untyped_storage()._cdata

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = len(self.operators)
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if len(self.operators) > before:  # not a part of another operator
            self.owners.append(self._being_called[-1] if self._being_called else None)
            if self.writer is None and self._image in _written_by(func, args, kwargs or {}):
                self.writer = func._schema.name.removeprefix("aten::")
        return result

    def begin(self, module: nn.Module, args: tuple) -> None:
        """Forward pre-hook of a module."""
        self._being_called.append(module)

    def end(self, module: nn.Module, args: tuple, output: object) -> None:
        """Forward hook of a module."""
        shapes = [list(tensor.shape) for tensor in tensors_in(output)]
        self.calls.append(ModuleCall(self._being_called.pop(), shapes))


def _written_by(func: torch._ops.OpOverload, args: tuple, kwargs: dict) -> set[int]:
    """The keys of the storages that a call of an operator changes in place."""
    arguments = func._schema.arguments
    given = [*args, *(kwargs.get(argument.name) for argument in arguments[len(args) :])]
    return {
        tensor.untyped_storage()._cdata
        for argument, value in zip(arguments, given, strict=True)
        if argument.is_write
        for tensor in tensors_in(value)
    }


def observe(network: nn.Module, input_shape: list[int]) -> NetworkObserver:
    """Observe a pass for an input of a shape (B, C, H, W). The network may be on any device; it
    runs in its current mode and is not changed. Raises the forward's errors."""
    state, image = on_meta(network, input_shape)
    observer = NetworkObserver(state.values(), image)
    begin_hook = register_module_forward_pre_hook(observer.begin)
    end_hook = register_module_forward_hook(observer.end)
    with torch.inference_mode(), begin_hook, end_hook, observer:
        torch.func.functional_call(network, state, image, tie_weights=False)
    return observer
