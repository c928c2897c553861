"""Other networks: their operations, stages and names, what they hold, and what they refuse."""

import weakref

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils._python_dispatch import TorchDispatchMode

from backbone import networks, peak, records, structure, timing
from backbone.instrument import insert_marks, keep_tensors, trace_operations
from backbone.observe import tensors_in
from backbone.rows import name_row
from backbone.script import Failure
from cpu.timer import CpuClock

FAMILIES = {
    "resnet18": 64,
    "densenet121": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "efficientnet_b0": 64,
    "mobilenet_v3_small": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "mnasnet0_5": 64,
    "regnet_y_400mf": 64,
    "convnext_tiny": 64,
    "swin_t": 64,
    "swin_v2_t": 70,
}


def on_meta(name: str, output_stride: int | None = None) -> networks.Backbone:
    with torch.device("meta"):
        return networks.build(name, output_stride)


def mark_layers(backbone: networks.Backbone, shape: list[int]):
    return timing.mark_pass(backbone, shape, "layer", lambda: None)


class LiveBytes(TorchDispatchMode):
    """The operators of a pass, each with the bytes of all storages that are alive after it."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.history = weakref.WeakSet(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.live |= {tensor.untyped_storage() for tensor in tensors_in(result)}
        self.history.append((func, sum(storage.nbytes() for storage in self.live)))
        return result


def compare_passes(network: nn.Module, forward, image: torch.Tensor) -> None:
    """The same values, bit for bit; the same operators; the same bytes alive after each."""
    with torch.inference_mode():
        assert torch.equal(network(image), forward(image))
        histories = []
        for run in (network, forward):
            with LiveBytes() as live:
                run(image)
            histories.append(live.history)
    assert histories[0] == histories[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_pass_is_the_stock_networks(name):
    backbone, shape = networks.build(name), [2, 3, FAMILIES[name], FAMILIES[name]]
    forward, operations = mark_layers(backbone, shape)
    compare_passes(backbone.network, forward, torch.rand(shape))
    with torch.device("meta"):
        layers, macs = structure.list_layers(on_meta(name).network, torch.empty(shape))
    assert sum(operation.cost.macs for _, operation in operations) == macs
    assert all(operation.input_shape for _, operation in operations)
    total = sum(parameter.numel() for parameter in backbone.network.parameters())
    assert sum(layer.parameters for layer in layers) == total
