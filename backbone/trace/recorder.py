"""A pass recorded as a graph of operations."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from backbone.network.outputs import as_plain, tensors_in
from backbone.trace.costs import bytes_moved, kind_of
from backbone.trace.meta import on_meta
from backbone.trace.observe import Observer, Operator


class Operation(NamedTuple):
    """A call of one of torch.nn's modules, or of a function outside of them.

    type: the module's type, or the function's name. path: the path of the module, or of the module
    that calls the function ("" is the network itself). input_shape: shape of the first input. kind:
    see `kind_of()`. macs: multiply-accumulates. bytes_moved: see `bytes_moved()`.
    """

    type: str
    path: str
    input_shape: list[int]
    kind: str
    macs: int
    bytes_moved: int


@dataclass(frozen=True)
class Step:
    """A node of a recorded pass.

    storages: the numbers of the storages of its tensors. end: the number of operators that have run
    when it ends. operation: None if the node is part of the next operation.
    """

    storages: set[int]
    end: int
    operation: Operation | None


@dataclass(frozen=True)
class RecordedPass:
    """A pass as a graph of operations, with a step for each of its nodes."""

    graph: fx.Graph
    steps: dict[fx.Node, Step]

    @property
    def operation_nodes(self) -> list[fx.Node]:
        """The nodes that are operations, in order."""
        return [node for node, step in self.steps.items() if step.operation is not None]

    @property
    def operations(self) -> list[Operation]:
        """The operations, in order."""
        return [self.steps[node].operation for node in self.operation_nodes]


def record_pass(network: nn.Module, input_shape: list[int]) -> RecordedPass:
    """The network's pass for an input of a shape (B, C, H, W), recorded on the meta device, so that
    the allocator's state does not depend on it. Raises the forward's errors, and
    NotImplementedError for a tensor that does not belong to the network."""
    recorder = _Recorder(network)
    recorder.record(*on_meta(network, input_shape))
    return RecordedPass(recorder.graph, recorder.steps)


class _Recorder(TorchFunctionMode):
    """Records a pass of a network on the meta device as a graph."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.observer = Observer()
        self.graph = fx.Graph()
        self.steps: dict[fx.Node, Step] = {}
        self.sources = WeakTensorKeyDictionary()  # for each tensor, the last node that returned it
        self.module_paths = {module: path for path, module in network.named_modules()}
        self.paths_being_called = [""]
        self.inside_operation = False
        self.state_names: dict[int, str] = {}
        self.image_node: fx.Node | None = None

    def record(self, state: dict[str, Tensor], image: Tensor) -> None:
        """Run the network with this state on an image."""
        self.state_names = {id(tensor): name for name, tensor in state.items()}
        self.image_node = self._add_step(self.graph.placeholder("image"))
        self.sources[image] = self.image_node
        # Not a hook, since calls inside an operation must not be recorded.
        call = nn.Module.__call__
        nn.Module.__call__ = lambda *args, **kwargs: self._call(call, *args, **kwargs)
        try:
            with torch.inference_mode(), self.observer, self:
                result = torch.func.functional_call(self.network, state, image, tie_weights=False)
        finally:
            nn.Module.__call__ = call
        self._add_step(self.graph.output(map_aggregate(as_plain(result), self._argument)))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.inside_operation:
            return func(*args, **kwargs)
        return self._record_call(func, None, args, kwargs)

    def _call(self, call: Callable, module: nn.Module, *args, **kwargs) -> object:
        """Call a module; the call is an operation if the module is one of torch.nn's."""
        inside = self.inside_operation
        is_container = isinstance(module, (nn.Sequential, nn.Identity))
        is_torchs = module.__module__.startswith("torch.nn.")
        path = self.module_paths.get(module, self.paths_being_called[-1])
        self.paths_being_called.append(path)
        if inside or is_container or not is_torchs:
            result = call(module, *args, **kwargs)
        else:
            self.inside_operation = True
            result = self._record_call(partial(call, module), module, args, kwargs)
        self.inside_operation = inside
        self.paths_being_called.pop()
        return result

    def _record_call(
        self, run: Callable, module: nn.Module | None, args: tuple, kwargs: dict
    ) -> object:
        """Run a module or a function, and record it as an operation if it is a module or runs
        operators. A function that returns a tensor without running any operator is recorded as
        part of the next operation."""
        observer = self.observer
        operators_before = len(observer.operators)
        flops_before = observer.flops
        result = run(*args, **kwargs)
        operators = observer.operators[operators_before:]
        outputs = tensors_in(result)
        is_operation = module is not None or len(operators) > 0
        if not (is_operation or outputs):
            return result
        node = self._add_node(run, module, args, kwargs)
        operation = None
        if is_operation:
            macs = (observer.flops - flops_before) // 2
            inputs = tensors_in((args, kwargs))
            operation = self._operation(run, module, inputs, outputs, operators, macs)
        self._add_step(node, outputs, operation)
        self._note_sources(node, result, outputs)
        return result

    def _add_node(
        self, run: Callable, module: nn.Module | None, args: tuple, kwargs: dict
    ) -> fx.Node:
        arguments = map_aggregate((args, kwargs), self._argument)
        if module is None:
            return self.graph.call_function(run, *arguments)
        return self.graph.call_module(self.paths_being_called[-1], *arguments)

    def _operation(
        self,
        run: Callable,
        module: nn.Module | None,
        inputs: list[Tensor],
        outputs: list[Tensor],
        operators: list[Operator],
        macs: int,
    ) -> Operation:
        if module is None:
            name = run.__name__.removeprefix("__").removesuffix("__")
        else:
            name = type(module).__name__
        writes = any(operator.function._schema.is_mutable for operator in operators)
        return Operation(
            type=name,
            path=self.paths_being_called[-1],
            input_shape=list(inputs[0].shape) if inputs else [],
            kind=kind_of(module, name),
            macs=macs,
            bytes_moved=bytes_moved(module, inputs, outputs, writes),
        )

    def _note_sources(self, node: fx.Node, result: object, outputs: list[Tensor]) -> None:
        """Remember, for each tensor of a result, which node returns it."""
        if isinstance(result, Tensor):
            self.sources[result] = node
        elif outputs:
            for index, item in enumerate(result):
                if isinstance(item, Tensor):
                    part = self.graph.call_function(operator.getitem, (node, index))
                    self.sources[item] = self._add_step(part, [item])

    def _add_step(
        self, node: fx.Node, outputs: Sequence[Tensor] = (), operation: Operation | None = None
    ) -> fx.Node:
        """Add the step of a node that has run, and return the node."""
        numbers = {self.observer.storages.number_of(tensor) for tensor in outputs} - {None}
        self.steps[node] = Step(numbers, len(self.observer.operators), operation)
        return node

    def _argument(self, value: object) -> object:
        """The graph's representation of a call's argument."""
        if isinstance(value, torch.device):  # the meta device, instead of the image's device
            return self._add_step(self.graph.call_function(getattr, (self.image_node, "device")))
        if not isinstance(value, Tensor):
            return value
        if value in self.sources:
            return self.sources[value]
        if id(value) not in self.state_names:
            raise NotImplementedError(
                f"a tensor of shape {list(value.shape)} does not belong to the network"
            )
        return self._add_step(self.graph.get_attr(self.state_names[id(value)]))
