"""The instrumented pass: the network's own operations with clock marks between them."""

import operator
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode

from backbone.costs import cost_of, kind_of
from backbone.observe import Observer, observe, on_meta, tensors_in
from backbone.roofline import Cost


@dataclass(frozen=True)
class Operation:
    """One operation of the pass: its type (of module, or the function's name), the path of the
    module that it runs in ("": the network's own forward), the shape of its (first) input, and what
    it costs."""

    type: str
    path: str
    input_shape: list[int]
    cost: Cost


def trace_operations(
    network: nn.Module, input_shape: list[int]
) -> tuple[fx.Graph, list[Operation]]:
    """The network's graph and its operations, in the order in which they run, for an input of a
    shape (B, C, H, W).

    An operation is a call of one of torch.nn's modules, or of a function outside of them. The graph
    is recorded from a pass on the meta device, so that nothing is computed. No weight is copied for
    it: the allocator is left as a run without a trace would find it. Raises what the network's
    forward raises, and NotImplementedError of a tensor that is not the network's.
    """
    state, image = on_meta(network, input_shape)
    with torch.no_grad(), Observer() as observer:
        recorder = _Recorder(network, observer)
        recorder.record(state, image)
    return recorder.graph, [node.meta["operation"] for node in _operation_nodes(recorder.graph)]


def insert_marks(
    network: nn.Module, graph: fx.Graph, parts: Sequence, mark: Callable[[], object]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The pass with a mark before its first operation and one wherever a part ends.

    parts[i] tells which part operation i is in; with n parts, a pass makes n + 1 marks. What yields
    no operation, such as taking a tuple apart, belongs to the next one. The pass
    runs the network's own modules on an image (B, C, H, W) and returns what the network returns,
    bit for bit; it also keeps every tensor for as long as the network does, since when memory is
    given back decides how much of it is at hand for the next operation, and so the time that this
    one takes.
    """
    marked, copies, attributes = fx.Graph(), {}, {}
    nodes = _operation_nodes(graph)
    following = [*parts[1:], None]
    ends = {n for n, part, after in zip(nodes, parts, following, strict=True) if part != after}
    last = nodes[-1]
    for node in graph.nodes:
        if node.op == "output":
            marked.call_function(mark)
        copy = copies[node] = marked.node_copy(node, copies.__getitem__)
        if node.op in ("call_module", "get_attr"):
            # By a number: looking up features.1.conv.0.0 takes five steps.
            copy.target = f"attribute_{len(attributes)}"
            attributes[copy.target] = operator.attrgetter(node.target)(network)
        for tensor in node.meta["kept"]:
            marked.call_function(_release, (copies[tensor],))
        if node.op == "placeholder" or node in ends - {last}:
            marked.call_function(mark)
    return fx.GraphModule(attributes, marked)


def keep_tensors(network: nn.Module, graph: fx.Graph, input_shape: list[int]) -> None:
    """Have a recorded graph keep each tensor as long as the stock network keeps it, and prove it:
    on the meta device both run the same operators with the same shapes, and the storages that these
    make are made and freed between the same ones.

    Raises NotImplementedError where they do not.
    """
    stock = observe(network, input_shape)
    last_use, holders = {}, {}
    order = {node: index for index, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        for used in (*node.all_input_nodes, node):
            last_use |= dict.fromkeys(used.meta["storages"], order[node])
        holders |= dict.fromkeys(node.meta["storages"], node)
    nodes = _operation_nodes(graph)
    ends = [node.meta["end"] for node in nodes]
    for number, (_, _, freed) in enumerate(stock.storages):
        if number in holders and freed is not None:
            last = nodes[bisect_left(ends, freed)]
            if order[last] > last_use[number]:
                last.meta["kept"].append(holders[number])
    traced = observe(insert_marks(network, graph, [None] * len(nodes), lambda: None), input_shape)
    for stock_runs, traced_runs in zip_longest(stock.operators, traced.operators):
        if stock_runs != traced_runs:
            raise NotImplementedError(f"{traced_runs} in place of {stock_runs}")
    for stock_keeps, traced_keeps in zip(stock.storages, traced.storages, strict=True):
        if stock_keeps != traced_keeps:
            operator, shapes = stock.operators[stock_keeps[1] - 1]
            raise NotImplementedError(f"a tensor of {operator}, {shapes}, is kept until {traced_keeps[2]} in place of {stock_keeps[2]}")


def _release(tensor: torch.Tensor) -> None:
    """A last use: the generated code drops a tensor after it."""


def _operation_nodes(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if "operation" in node.meta]


class _Recorder(TorchFunctionMode):
    """Records a pass of a network on the meta device as a graph.

    Each node's meta has the numbers of the "storages" that its tensors are in, which nodes are
    "kept" until it has run, how many operators have by its "end", and of an operation the
    "operation". A tensor's `node` is the last one that gave it.
    """

    def __init__(self, network: nn.Module, observer: Observer) -> None:
        super().__init__()
        self.network, self.observer, self.graph = network, observer, fx.Graph()
        self.paths = {module: path for path, module in network.named_modules()}
        self.around = [""]  # the paths of the modules that are being called
        self.inside = False  # an operation

    def record(self, state: dict[str, Tensor], image: Tensor) -> None:
        """Run the network with this state on an image."""
        self.names = {id(tensor): name for name, tensor in state.items()}
        self.image = image.node = self._finish(self.graph.placeholder("image"), [])
        call = nn.Module.__call__
        nn.Module.__call__ = lambda *args, **kwargs: self._call(call, *args, **kwargs)
        try:
            with self:
                result = torch.func.functional_call(self.network, state, image)
        finally:
            nn.Module.__call__ = call
        self._finish(self.graph.output(map_aggregate(result, self._argument)), [])

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return func(*args, **kwargs) if self.inside else self._run(func, None, args, kwargs)

    def _call(self, call: Callable, module: nn.Module, *args, **kwargs) -> object:
        """A call of a module, which is an operation if the module is torch.nn's own."""
        self.around.append(self.paths.get(module, self.around[-1]))
        container = isinstance(module, (nn.Sequential, nn.Identity))
        own = module.__module__.startswith("torch.nn.") and not container
        try:
            if self.inside or not own:
                return call(module, *args, **kwargs)
            self.inside = True
            return self._run(partial(call, module), module, args, kwargs)
        finally:
            self.inside = self.inside and not own
            self.around.pop()

    def _run(self, run: Callable, module: nn.Module | None, args: tuple, kwargs: dict) -> object:
        """Run what may be an operation, and record it if it is."""
        seen = self.observer
        before = len(seen.operators), seen.flops, seen.writes
        result = run(*args, **kwargs)
        ran, flops, writes = len(seen.operators) - before[0], seen.flops - before[1], seen.writes - before[2]
        outputs = tensors_in(result)
        # What runs nothing and gives no new tensor is Python's own: sizes, checks.
        if not (module or ran) and all(hasattr(tensor, "node") for tensor in outputs):
            return result
        arguments = map_aggregate((args, kwargs), self._argument)
        if module is None:
            node = self.graph.call_function(run, *arguments)
            name = run.__name__.removeprefix("__").removesuffix("__")
        else:
            node = self.graph.call_module(self.around[-1], *arguments)
            name = type(module).__name__
        self._finish(node, outputs)
        if module or ran:
            inputs = tensors_in((args, kwargs))
            cost = cost_of(kind_of(module, name), module, inputs, outputs, flops, bool(writes))
            shape = list(inputs[0].shape) if inputs else []
            node.meta["operation"] = Operation(name, self.around[-1], shape, cost)
        if isinstance(result, Tensor):
            result.node = node
        elif outputs:
            for index, item in enumerate(result):
                if isinstance(item, Tensor):
                    item.node = self.graph.call_function(operator.getitem, (node, index))
                    self._finish(item.node, [item])
        return result

    def _finish(self, node: fx.Node, outputs: list[Tensor]) -> fx.Node:
        numbers = {self.observer.number_of(tensor) for tensor in outputs} - {None}
        node.meta = {"storages": numbers, "end": len(self.observer.operators), "kept": []}
        return node

    def _argument(self, value: object) -> object:
        """What stands in the graph for an argument of a call."""
        if isinstance(value, torch.device):  # the meta device, in place of the image's
            return self._finish(self.graph.call_function(getattr, (self.image, "device")), [])
        if not isinstance(value, Tensor):
            return value
        if hasattr(value, "node"):
            return value.node
        if id(value) not in self.names:
            raise NotImplementedError(f"a tensor of shape {list(value.shape)} is not the network's")
        return self._finish(self.graph.get_attr(self.names[id(value)]), [])
