"""What a pass runs and holds, observed on the meta device, where nothing is computed."""

import sys
import weakref
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from backbone.command import ending
from backbone.command.errors import Failure, is_out_of_memory
from backbone.network.build import Backbone
from backbone.network.outputs import tensors_in
from backbone.trace.state import changed_by_a_pass


class Operator(NamedTuple):
    """One call of an operator of ATen's, and its outputs' shapes."""

    function: torch._ops.OpOverload
    output_shapes: list[torch.Size]


class ModuleCall(NamedTuple):
    """One call of a module, and its outputs' shapes."""

    module: nn.Module
    output_shapes: list[list[int]]


@dataclass
class Storage:
    """Memory that tensors share: its bytes (0, if it was there before the pass), and how many
    operators had run when it was made and when it was freed (None: not yet)."""

    size: int
    made: int
    freed: int | None = None


class Observer(TorchDispatchMode):
    """Follows the operators of a pass and the storages that they make; `held` are the tensors that
    are there before.

    flops: by torch.utils.flop_counter's formulas. calls: of modules, inner ones before outer ones;
    owners: of each operator the innermost module. Only observe() knows of modules: without it there
    are no calls, and each owner is None.
    """

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.operators: list[Operator] = []
        self.storages: list[Storage] = []
        self.calls: list[ModuleCall] = []
        self.owners: list[nn.Module | None] = []
        self.being_called: list[nn.Module] = []
        self.flops = 0
        self._inside_operator = False
        self._numbers: dict[int, int] = {}
        self._held = {tensor.untyped_storage()._cdata for tensor in held}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        inside = self._inside_operator
        self._inside_operator = True
        result = self._call_operator(func, args, kwargs)
        self._inside_operator = inside
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **kwargs, out_val=result)
        if not inside:
            self._note(func, tensors_in(result))
        return result

    def number_of(self, tensor: Tensor) -> int | None:
        """Which of `storages` a tensor is in; None where no operator of the pass made it."""
        return self._numbers.get(tensor.untyped_storage()._cdata)

    def _note(self, func: torch._ops.OpOverload, outputs: list[Tensor]) -> None:
        """Note an operator that has run, its module, and the storages that it has made."""
        self.operators.append(Operator(func, [output.shape for output in outputs]))
        self.owners.append(self.being_called[-1] if self.being_called else None)
        for output in outputs:
            storage = output.untyped_storage()
            key = storage._cdata
            if key not in self._numbers:
                self._numbers[key] = len(self.storages)
                size = 0 if key in self._held else storage.nbytes()
                self.storages.append(Storage(size=size, made=len(self.operators)))
                weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.storages[self._numbers.pop(key)].freed = len(self.operators)

    def _call_operator(self, func: torch._ops.OpOverload, args: tuple, kwargs: dict) -> object:
        # What meta tensors run as decompositions takes far longer than all else together: a batch
        # norm, and functions of one tensor in place.
        if func is torch.ops.aten.batch_norm.default:
            return torch.empty_like(args[0])
        in_place = func._schema.name.endswith("_") and torch.Tag.inplace_view not in func.tags
        if in_place and len(tensors_in((args, kwargs))) == 1:
            return args[0]
        with self:  # in inference mode composite operators are whole: this for their parts' FLOPs
            func.decompose(*args, **kwargs)
        return func(*args, **kwargs)


def observe(network: nn.Module, input_shape: list[int]) -> Observer:
    """Observe a pass for an input of a shape (B, C, H, W). The network may be on any device; it
    runs in the mode that it is in, and stays as it is. Raises what its forward raises."""
    state, image = on_meta(network, input_shape)
    observer = Observer([*state.values(), image])

    def begin(module: nn.Module, args: tuple) -> None:
        observer.being_called.append(module)

    def end(module: nn.Module, args: tuple, output: object) -> None:
        shapes = [list(tensor.shape) for tensor in tensors_in(output)]
        observer.calls.append(ModuleCall(observer.being_called.pop(), shapes))

    begin_hook = register_module_forward_pre_hook(begin)
    end_hook = register_module_forward_hook(end)
    with torch.inference_mode(), begin_hook, end_hook, observer:
        torch.func.functional_call(network, state, image, tie_weights=False)
    return observer


def check_input(backbone: Backbone, input_shape: list[int]) -> None:
    """Raise Failure if a network, as it is, cannot take an input of a shape (B, C, H, W).
    A user's own is refused too where it runs nothing, or where a pass leaves something to the next
    one, which then is another; what the first pass alone makes, to be used by all others, it may
    keep. What else each pass changes in it, a note on stderr says."""
    network = backbone.network
    changed = []
    try:
        if backbone.is_own:
            network = copy_on_meta(network)
            changed = changed_by_a_pass(network, on_meta(network, input_shape)[1])
        observed = observe(network, input_shape)
        again = observe(network, input_shape) if backbone.is_own else observed
    except Exception as error:  # whatever its forward runs into
        if is_out_of_memory(error):
            raise
        reason = str(error) if not isinstance(error, KeyError) else repr(error)
        message = f"{backbone.name} cannot take an input of shape {input_shape}: {reason}"
        raise Failure(message) from error
    if not observed.operators:
        raise Failure(f"{backbone.name} runs no operators: there is nothing to measure")
    if observed.operators != again.operators:
        raise Failure(f"{backbone.name} keeps state: each pass runs other operators")
    if any(storage.freed is None for storage in again.storages):
        raise Failure(f"{backbone.name} keeps state: tensors of a pass are still there after it")
    if changed:
        names = ", ".join(changed)
        print(f"{ending.PROGRAM}: {backbone.name} keeps state: {names}", file=sys.stderr)


def copy_on_meta(network: nn.Module) -> nn.Module:
    """A copy with parameters and buffers on the meta device: what a pass there keeps in it, such as
    a tensor for later passes, would be of no use to the network itself."""
    copies: dict[int, Tensor] = {}
    for parameter in network.parameters():
        empty = torch.empty_like(parameter, device="meta")
        copies[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in network.buffers():
        copies[id(buffer)] = torch.empty_like(buffer, device="meta")
    return deepcopy(network, copies)


def on_meta(network: nn.Module, input_shape: list[int]) -> tuple[dict[str, Tensor], Tensor]:
    """A network's state, by names, and an image (B, C, H, W) in its dtype, on the meta device.

    It is for functional_call() with tie_weights=False: a tensor of several modules has all their
    names, a module of several names has one of them. By two it would not get its own state back.
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
