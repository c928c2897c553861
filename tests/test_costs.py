"""Costs from shapes alone, ceilings, and the floors that follow."""

from collections import Counter

import numpy as np
import pytest
import torch
from project import CEILINGS, script
from torch import nn

from backbone.command.options import DATASETS
from backbone.measure.structure import list_layers
from backbone.network.build import build_network
from backbone.record import records
from backbone.record.rows import Ceilings, Cost, Row
from backbone.report import kinds
from backbone.trace.costs import kind_of
from backbone.trace.recorder import record_pass

QUICK = ("cpu/timer.py", "--i", "pascal", "--iterations", "2", "--warmup", "0")
KINDS = {
    "convolution": 1,
    "pointwise convolution": 34,
    "depthwise convolution": 17,
    "batch norm": 52,
    "ReLU6": 35,
    "addition": 10,
    "pooling": 1,
    "flatten": 1,
    "Dropout": 1,
    "linear": 1,
}


@pytest.mark.parametrize("dataset", DATASETS)
def test_macs_are_the_structures_and_every_operation_has_a_kind(dataset):
    shape = [1, *DATASETS[dataset]]
    with torch.device("meta"):
        network = build_network().network
    operations = record_pass(network, shape).operations
    _, macs = list_layers(network, shape)
    assert sum(operation.macs for operation in operations) == macs > 1e9
    assert Counter(operation.kind for operation in operations) == KINDS


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.norm, self.activation = nn.BatchNorm2d(8), nn.ReLU6(inplace=True)
        self.drop, self.linear = nn.Dropout(), nn.Linear(8 * 4 * 4, 10, bias=False)

    def forward(self, x):
        x = self.activation(self.norm(self.convolution(x)))
        return self.linear(self.drop(torch.flatten(x + x, 1)))


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_costs_by_hand(dtype, size):
    operations = record_pass(Small().eval().to(dtype), [2, 3, 4, 4]).operations
    image, tensor = 2 * 3 * 16, 2 * 8 * 16
    expected = [
        ("convolution", tensor * 3 * 9, image + 8 * 3 * 9 + 8 + tensor),
        ("batch norm", 0, 2 * tensor + 4 * 8),
        ("ReLU6", 0, 2 * tensor),  # in place: its tensor twice
        ("addition", 0, 3 * tensor),
        ("flatten", 0, 0),  # a view
        ("Dropout", 0, 0),  # inactive
        ("linear", 2 * 128 * 10, tensor + 128 * 10 + 2 * 10),
    ]
    found = [(each.kind, each.macs, each.bytes_moved // size) for each in operations]
    assert found == expected
    assert all(each.bytes_moved % size == 0 for each in operations)


@pytest.mark.parametrize(
    ("module", "function", "kind"),
    [
        (nn.Conv2d(8, 8, 1, groups=1), "", "pointwise convolution"),
        (nn.Conv2d(8, 16, 3, groups=8), "", "depthwise convolution"),
        (nn.Conv2d(8, 8, 1, groups=8), "", "depthwise convolution"),
        (nn.Conv2d(8, 8, 3, groups=2), "", "grouped convolution"),
        (nn.Conv2d(8, 8, (1, 3)), "", "convolution"),
        (nn.MaxPool2d(2), "", "pooling"),
        (nn.Hardswish(), "", "Hardswish"),
        (None, "add_", "addition"),
        (None, "adaptive_avg_pool2d", "pooling"),
        (None, "cat", "cat"),
        (None, "mul", "multiplication"),
        (None, "relu", "ReLU"),
        (nn.LayerNorm(8), "", "layer norm"),
    ],
)
def test_kinds(module, function, kind):
    name = function if module is None else type(module).__name__
    assert kind_of(module, name) == kind


def test_records_carry_costs_and_ceilings(tmp_path):
    found = {}
    # Fewer repeats of what the ceilings are measured by.
    before = "from backbone.measure import ceilings; ceilings.REPEATS = 2"
    for target in ("model", "block", "layer"):
        file = tmp_path / f"{target}.json"
        result = script(*QUICK, "--target", target, "--json", file, before=before)
        assert (result.returncode, result.stderr) == (0, "")
        found[target] = records.load(file)
    wholes = {record.whole.cost for record in found.values()}
    assert wholes == {Cost(macs=1031535392, bytes_moved=550665696)}
    layers = found["layer"].rows
    for target in ("block", "layer"):
        for row in (row for row in found[target].rows if row.level == "block"):
            inside = [r.cost for r in layers if r.level == "layer" and r.stage == row.stage]
            assert row.cost.macs == sum(cost.macs for cost in inside)
            assert row.cost.bytes_moved == sum(cost.bytes_moved for cost in inside)
    assert Counter(row.cost.kind for row in layers if row.level == "layer") == KINDS
    (run,) = found["layer"].runs
    assert run["flops_per_second"] > 1e9 and run["bytes_per_second"] > 1e8
    assert not {"flops_per_second", "bytes_per_second"} & found["block"].runs[0].keys()


def test_ceilings_that_do_not_fit_the_memory_are_left_out(tmp_path):
    before = """
import torch
full = torch.ones
def ones(*size, **options):
    if len(size) == 2:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
    return full(*size, **options)
torch.ones = ones
"""
    file = tmp_path / "record.json"
    result = script(*QUICK, "--target", "layer", "--json", file, before=before)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    assert len(record.rows) == 175 and "flops_per_second" not in record.runs[0]


def test_output_that_does_not_fit_the_memory_is_left_out_alone(tmp_path):
    before = """
from backbone.measure import yardsticks
def difference(*_):
    raise MemoryError
yardsticks.difference_from_stock = difference
"""
    file = tmp_path / "record.json"
    result = script(*QUICK, "--fold", "--target", "layer", "--json", file, before=CEILINGS + before)
    assert (result.returncode, result.stderr) == (0, "")
    (run,) = records.load(file).runs
    assert "flops_per_second" in run and "output_difference" not in run


def row(kind: str, macs: int, moved: int, ms: float, faults: int) -> Row:
    return Row(
        level="layer",
        type="",
        path="",
        stage=0,
        input_shape=[1],
        samples=np.full((2, 3), ms),
        page_faults=(faults, faults),
        cost=Cost(kind=kind, macs=macs, bytes_moved=moved),
    )


def test_floors():
    ceilings = Ceilings(flops_per_second=100e9, bytes_per_second=10e9)
    rows = [
        row("batch norm", 0, 10_000_000, 4.0, 10),  # 1 ms of bytes
        row("pointwise convolution", 100_000_000, 10_000_000, 3.0, 20),  # 2 ms of arithmetic
        row("pointwise convolution", 10_000_000, 10_000_000, 5.0, 30),  # 1 ms of bytes
    ]
    assert [each.floor(ceilings) for each in rows] == pytest.approx([1, 2, 1])
    whole = kinds.sum_rows(rows, ceilings, 0.05)
    first, second = (
        list(kinds.kind_cells(kind, total, whole).values())
        for kind, total in kinds.sum_by_kind(rows, ceilings, 0.05).items()
    )
    assert first[:3] == ["pointwise convolution", "2", "8.00"] and second[1:3] == ["1", "4.00"]
    assert first[3:] == ["-", "66.7", "100.0", "27.5", "2.50", "3.00", "0.38", "50"]
    assert second[3:] == ["-", "33.3", "0.0", "-", "2.50", "1.00", "0.25", "10"]
