"""Costs from shapes alone, ceilings, and the floors that follow."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from project import CEILINGS, script
from torch import nn

from backbone import memory, networks, records, tables
from backbone.flags import DATASETS
from backbone.instrument import trace_operations
from backbone.observe import kind_of
from backbone.rows import Ceilings, Cost, Row, sum_costs

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
        network, image = networks.build().network, torch.empty(shape)
    _, operations = trace_operations(network, shape)
    _, macs = memory.list_layers(network, image)
    assert sum(operation.cost.macs for operation in operations) == macs > 1e9
    assert Counter(operation.cost.kind for operation in operations) == KINDS


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
    _, operations = trace_operations(Small().eval().to(dtype), [2, 3, 4, 4])
    image, tensor = 2 * 3 * 16, 2 * 8 * 16
    expected = [
        Cost("convolution", tensor * 3 * 9, image + 8 * 3 * 9 + 8 + tensor),
        Cost("batch norm", 0, 2 * tensor + 4 * 8),
        Cost("ReLU6", 0, 2 * tensor),  # in place: its tensor twice
        Cost("addition", 0, 3 * tensor),
        Cost("flatten", 0, 0),  # a view
        Cost("Dropout", 0, 0),  # inactive
        Cost("linear", 2 * 128 * 10, tensor + 128 * 10 + 2 * 10),
    ]
    found = [operation.cost for operation in operations]
    assert found == [cost._replace(bytes_moved=size * cost.bytes_moved) for cost in expected]


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
    assert kind_of(module, function) == kind


def load(file: Path) -> records.Record:
    return records.loads(file.read_text(), file)


def test_records_carry_costs_and_ceilings(tmp_path):
    found = {}
    # Fewer repeats of what the ceilings are measured by.
    before = "from backbone import timing; timing.range = lambda n: range(n if n < 9 else 2)"
    for target in ("model", "block", "layer"):
        file = tmp_path / f"{target}.json"
        result = script(*QUICK, "--target", target, "--append", file, before=before)
        assert (result.returncode, result.stderr) == (0, "")
        found[target] = load(file)
    wholes = {record.rows[-1].cost for record in found.values()}
    assert wholes == {Cost("", 1031535392, 550665696)}
    layers = found["layer"].rows
    for target in ("block", "layer"):
        for row in (row for row in found[target].rows if row.level == "block"):
            inside = [r.cost for r in layers if r.level == "layer" and r.stage == row.stage]
            assert row.cost == sum_costs(inside)
    assert Counter(row.cost.kind for row in layers if row.level == "layer") == KINDS
    (run,) = found["layer"].runs
    assert run["flops_per_second"] > 1e9 and run["bytes_per_second"] > 1e8
    assert not any(field in found["block"].runs[0] for field in Ceilings._fields)


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
    result = script(*QUICK, "--target", "layer", "--append", file, before=before)
    assert (result.returncode, result.stderr) == (0, "")
    record = load(file)
    assert len(record.rows) == 175 and "flops_per_second" not in record.runs[0]


def test_output_that_does_not_fit_the_memory_is_left_out_alone(tmp_path):
    before = """
from backbone import networks
def output_difference(*_):
    raise MemoryError
networks.output_difference = output_difference
"""
    file = tmp_path / "record.json"
    result = script(*QUICK, "--fold", "--target", "layer", "--json", file, before=CEILINGS + before)
    assert (result.returncode, result.stderr) == (0, "")
    (run,) = load(file).runs
    assert "flops_per_second" in run and "output_difference" not in run


def row(kind: str, macs: int, moved: int, ms: float, faults: int) -> Row:
    samples = np.full((2, 3), ms)
    cost = Cost(kind, macs, moved)
    return Row("layer", "", "", 0, [1], samples, page_faults=[faults, faults], cost=cost)


def test_floors():
    ceilings = Ceilings(flops_per_second=100e9, bytes_per_second=10e9)
    rows = [
        row("batch norm", 0, 10_000_000, 4.0, 10),  # 1 ms of bytes
        row("pointwise convolution", 100_000_000, 10_000_000, 3.0, 20),  # 2 ms of arithmetic
        row("pointwise convolution", 10_000_000, 10_000_000, 5.0, 30),  # 1 ms of bytes
    ]
    assert [each.floor(ceilings) for each in rows] == pytest.approx([1, 2, 1])
    kinds = tables.sum_by_kind(rows, ceilings)
    first, second, _ = (
        list(tables.kind_cells(kind, sums, kinds["all"]).values()) for kind, sums in kinds.items()
    )
    assert first[:3] == ["pointwise convolution", "2", "8.00"] and second[1:3] == ["1", "4.00"]
    assert first[3:] == ["66.7", "100.0", "27.5", "2.5", "3.00", "0.38", "50"]
    assert second[3:] == ["33.3", "0.0", "-", "2.5", "1.00", "0.25", "10"]
