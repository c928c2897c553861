"""The instrumented pass: the network's own operations with clock marks between them."""

import operator
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode

from backbone.networks import Backbone, Stage
from backbone.observe import Observer, bytes_moved, kind_of, observe, on_meta, tensors_in
from backbone.rows import Cost
from backbone.script import Failure


class Operation(NamedTuple):
    """An operation: its type (of module, or the function's name), the path of the module that it
    runs in ("": the network itself), its (first) input's shape, and its cost."""

    type: str
    path: str
    input_shape: list[int]
    cost: Cost


def mark_pass(
    backbone: Backbone, input_shape: list[int], target: str, mark: Callable[[], object]
) -> tuple[Callable[[Tensor], Tensor], list[tuple[Stage, Operation]]]:
    """The pass with the marks of a target, for an input of a shape (B, C, H, W), and the operations
    between them, each with its stage.

    For "model" the stock pass between two marks, and no operations. Otherwise a mark comes first
    and after each stage or operation. The pass runs the network's own modules, returns what it
    returns, bit for bit, and keeps every tensor as long: when memory is given back decides what the
    next operation finds, and so its time. Raises script.Failure where it cannot be cut so.
    """
    network = backbone.network
    if target == "model":

        def forward(image: Tensor) -> Tensor:
            mark()
            output = network(image)
            mark()
            return output

        return forward, []
    try:
        graph, operations = trace_operations(network, input_shape)
        _keep_tensors(network, graph, input_shape)
    except Exception as error:  # whatever a forward of another form makes the recording run into
        reason = str(error).partition("\n")[0]
        message = f"{backbone.name} cannot be cut into operations faithfully ({reason})"
        raise Failure(f"{message}; use --target model") from error
    stages = [backbone.stage_at(operation.type, operation.path) for operation in operations]
    parts = stages if target == "block" else range(len(operations))
    return _insert_marks(network, graph, parts, mark), list(zip(stages, operations, strict=True))


def trace_operations(
    network: nn.Module, input_shape: list[int]
) -> tuple[fx.Graph, list[Operation]]:
    """The network's graph and its operations, in order, for an input of a shape (B, C, H, W): calls
    of torch.nn's modules, and of functions outside of them. Recorded on the meta device, which
    leaves the allocator as a run without a trace would find it. Raises what the forward raises, and
    NotImplementedError of a tensor that is not the network's."""
    recorder = _Recorder(network)
    recorder.record(*on_meta(network, input_shape))
    return recorder.graph, [node.meta["operation"] for node in _operation_nodes(recorder.graph)]


def _insert_marks(
    network: nn.Module, graph: fx.Graph, parts: Sequence, mark: Callable[[], object]
) -> Callable[[Tensor], Tensor]:
    """The graph's pass with a mark before its first operation and one wherever a part ends;
    parts[i] tells which part operation i is in."""
    marked, copies, attributes = fx.Graph(), {}, {}
    operations = zip(_operation_nodes(graph), parts, strict=True)
    ends = {node for (node, part), (_, after) in pairwise(operations) if part != after}
    for node in graph.nodes:
        if node.op == "output":
            marked.call_function(mark)
        copy = copies[node] = marked.node_copy(node, copies.__getitem__)
        if node.op in ("call_module", "get_attr"):
            # By a number: looking up features.1.conv.0.0 takes five steps.
            copy.target = f"attribute_{len(attributes)}"
            attributes[copy.target] = operator.attrgetter(node.target)(network)
        for tensor in node.meta["kept"]:
            marked.call_function(id, (copies[tensor],))  # its last use, after which it is dropped
        if node.op == "placeholder" or node in ends:
            marked.call_function(mark)
    return fx.GraphModule(attributes, marked)


def _keep_tensors(network: nn.Module, graph: fx.Graph, input_shape: list[int]) -> None:
    """Have a graph keep each tensor as long as the stock network does, and prove it: on the meta
    device both run the same operators with the same shapes, and each storage is made and freed
    between the same two. Raises NotImplementedError where that is not so."""
    stock = observe(network, input_shape)
    nodes = _operation_nodes(graph)
    ends = [node.meta["end"] for node in nodes]
    holders, last_uses = {}, {}  # of storages
    for node in graph.nodes:
        holders |= dict.fromkeys(node.meta["storages"], node)
        for used in (node, *node.all_input_nodes):
            last_uses |= dict.fromkeys(used.meta["storages"], node)
    for number, (_, _, freed) in enumerate(stock.storages):
        if number in holders and freed is not None:
            last = nodes[bisect_left(ends, freed)]
            if last > last_uses[number]:
                last.meta["kept"].append(holders[number])
    traced = observe(_insert_marks(network, graph, nodes, lambda: None), input_shape)
    if stock.operators != traced.operators:
        raise NotImplementedError("its operations run other operators, or of other shapes")
    if stock.storages != traced.storages:
        raise NotImplementedError("its operations keep tensors longer, or not as long")


def _operation_nodes(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if "operation" in node.meta]


class _Recorder(TorchFunctionMode):
    """Records a pass of a network on the meta device as a graph. A node's meta has the numbers of
    the "storages" that its tensors are in; the nodes that are "kept" until it has run; how many
    operators have run by its "end"; and the "operation" that it is. A tensor's `node` gave it last.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.observer, self.graph = network, Observer(), fx.Graph()
        self.paths = {module: path for path, module in network.named_modules()}
        self.around = [""]  # the paths of the modules that are being called
        self.inside = False  # an operation

    def record(self, state: dict[str, Tensor], image: Tensor) -> None:
        """Run the network with this state on an image."""
        self.names = {id(tensor): name for name, tensor in state.items()}
        self.image = image.node = self._finish(self.graph.placeholder("image"))
        call = nn.Module.__call__
        nn.Module.__call__ = lambda *args, **kwargs: self._call(call, *args, **kwargs)
        try:
            with torch.inference_mode(), self.observer, self:
                result = torch.func.functional_call(self.network, state, image)
        finally:
            nn.Module.__call__ = call
        self._finish(self.graph.output(map_aggregate(result, self._argument)))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return func(*args, **kwargs) if self.inside else self._run(func, None, args, kwargs)

    def _call(self, call: Callable, module: nn.Module, *args, **kwargs) -> object:
        """A call of a module, which is an operation if the module is torch.nn's own."""
        inside = self.inside
        container = isinstance(module, (nn.Sequential, nn.Identity))
        self.around.append(self.paths.get(module, self.around[-1]))
        if inside or container or not module.__module__.startswith("torch.nn."):
            result = call(module, *args, **kwargs)
        else:
            self.inside = True
            result = self._run(partial(call, module), module, args, kwargs)
        self.inside = inside
        self.around.pop()
        return result

    def _run(self, run: Callable, module: nn.Module | None, args: tuple, kwargs: dict) -> object:
        """Run a module or a function, and record it as an operation if it is a module or runs
        operators. What gives a tensor without any is recorded as part of the next operation."""
        seen = self.observer
        start, flops = len(seen.operators), seen.flops
        result = run(*args, **kwargs)
        ran, outputs = seen.operators[start:], tensors_in(result)
        is_operation = module is not None or len(ran) > 0
        if not (is_operation or outputs):
            return result
        arguments = map_aggregate((args, kwargs), self._argument)
        path = self.around[-1]
        if module is None:
            name = run.__name__.removeprefix("__").removesuffix("__")
            node = self.graph.call_function(run, *arguments)
        else:
            name = type(module).__name__
            node = self.graph.call_module(path, *arguments)
        self._finish(node, *outputs)
        if is_operation:
            inputs = tensors_in((args, kwargs))
            shape = list(inputs[0].shape) if inputs else []
            writes = any(func._schema.is_mutable for func, _ in ran)
            moved = bytes_moved(module, inputs, outputs, writes)
            cost = Cost(kind_of(module, name), (seen.flops - flops) // 2, moved)
            node.meta["operation"] = Operation(name, path, shape, cost)
        if isinstance(result, Tensor):
            result.node = node
        elif outputs:
            for index, item in enumerate(result):
                if isinstance(item, Tensor):
                    part = self.graph.call_function(operator.getitem, (node, index))
                    item.node = self._finish(part, item)
        return result

    def _finish(self, node: fx.Node, *outputs: Tensor) -> fx.Node:
        numbers = {self.observer.number_of(tensor) for tensor in outputs} - {None}
        node.meta = {"storages": numbers, "end": len(self.observer.operators), "kept": []}
        return node

    def _argument(self, value: object) -> object:
        """What stands in the graph for an argument of a call."""
        if isinstance(value, torch.device):  # the meta device, in place of the image's
            return self._finish(self.graph.call_function(getattr, (self.image, "device")))
        if not isinstance(value, Tensor):
            return value
        if hasattr(value, "node"):
            return value.node
        if id(value) not in self.names:
            raise NotImplementedError(f"a tensor of shape {list(value.shape)} is not the network's")
        return self._finish(self.graph.get_attr(self.names[id(value)]))
