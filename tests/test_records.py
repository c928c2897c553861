"""Records: what they say of a run and of the machine, and several runs in one."""

import ctypes
import json
import os
from dataclasses import replace

import numpy as np
import pyperf
import pytest
import torch
from project import python, script

from backbone.command.errors import Failure
from backbone.measure import allocator, machine
from backbone.record import records, schema
from backbone.record.rows import Kernels, Record, Row
from backbone.record.text import format_rows
from backbone.statistics.ratios import mean_of_rounds, speed_ups

# A pass of four images asks for tensors that the C library maps, and gives back.
TIMER = ("cpu/timer.py", "--i", "pascal", "--s", "4", "--iterations", "3", "--warmup", "3")
TIMER += ("--target", "layer", "--json")
FULL = """
import os, sys
from backbone.measure import ceilings, reference, yardsticks
ceilings.MATRIX_SIDES, ceilings.COPIED_BYTES = {"cpu": 256}, 2**24
def full(*_):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
"""
FIELDS = """dataset target network device torch_version torchvision_version batch_size iterations
warmup dtype threads cpus keep_memory transparent_huge_pages fold OMP_NUM_THREADS date stolen_time
cut_over_uncut involuntary_context_switches"""


def test_peak_memory_excludes_that_of_the_parent_process():
    ballast = b"1" * 2**30
    code = "from backbone.measure import passes; print(passes.peak_resident_bytes())"
    result = python("-c", code)
    assert 2**26 < int(result.stdout) < len(ballast), result.stderr


def test_record_of_layers_and_of_two_runs(tmp_path):
    file = tmp_path / "layers.json"
    before = f"{FULL}reference.compute_reference = lambda *_: b''; yardsticks.read = full"
    result = script(*TIMER, file, "--fold", before=before)
    assert (result.returncode, result.stderr) == (0, "")
    record, stored = records.load(file), set()
    assert result.stdout == format_rows(record.rows)
    for benchmark in pyperf.BenchmarkSuite.load(str(file)).get_benchmarks():
        for run in benchmark.get_runs():
            stored |= run.get_metadata().keys()
    (run,) = record.runs
    of_row = schema.ROW.keys() - {"queued_time"}  # of a GPU
    assert stored == record.conditions.keys() | run.keys() | of_row
    assert set(FIELDS.split()) <= stored and "output_difference" not in run
    assert run["peak_resident_memory"] > 2**27 and run["system_time"] > 0
    assert run["flops_per_second"] > 1e9 and run["bytes_per_second"] > 1e8
    faults = dict.fromkeys(("model", "block", "layer"), 0)
    for row in record.rows:
        faults[row.level] += sum(row.page_faults)
    # The operations are counted in passes of their own, the whole pass in the timed ones.
    assert faults["model"] == pytest.approx(faults["layer"], rel=0.5)
    assert faults["block"] == faults["layer"] > 10_000
    assert json.loads(records.dumps(record)) == json.loads(file.read_text())
    assert any(row.reorder_ms for row in record.rows)
    mine = Kernels("mine", kernel_ms=3.0, reorder_ms=0.25)
    first = replace(record, rows=[replace(row, kernels=(mine,)) for row in record.rows])
    rows = [replace(row, samples=2 * row.samples, kernels=()) for row in record.rows]
    other = replace(record, rows=rows, runs=[{"date": "2026-11-29"}])
    joined = records.loads(records.dumps(records.join([first, other])), file)
    assert joined.runs == record.runs + other.runs
    assert joined.conditions == record.conditions
    for row, before in zip(joined.rows, record.rows, strict=True):
        assert row.samples == pytest.approx(np.concatenate([before.samples, 2 * before.samples]))
        assert row.page_faults == 2 * before.page_faults
        assert row.kernels == (mine, None) and row.kernel_ms == 3.0


def test_memory_is_kept_where_ceilings_do_not_fit_and_stdout_is_closed(tmp_path, monkeypatch):
    file = tmp_path / "layers.json"
    before = f"{FULL}os.close(1); sys.stdout = sys.__stdout__ = None; "
    before += "yardsticks.measure_ceilings = full"
    result = script(*TIMER, file, "--keep-memory", before=before)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    record = records.load(file)
    assert record.conditions["keep_memory"] == "True" and record.whole.page_faults[0] < 100
    assert record.runs[0]["output_difference"] == 0 and "flops_per_second" not in record.runs[0]
    assert all(row.kernels for row in record.rows if row.cost.kind == "depthwise convolution")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # as of musl
    with pytest.raises(Failure, match="--keep-memory needs glibc's mallopt"):
        allocator.keep_freed_memory()


def test_runs_of_other_conditions_operations_or_rounds():
    row = Row("model", "Net", "", None, [1], samples=np.ones((1, 2)))
    record = Record([row], {"batch_size": 4}, runs=[{"date": "2026-11-29"}])
    assert records.find_difference(record, replace(record, runs=[])) is None
    for field, was in (("batch_size", 4), ("OMP_WAIT_POLICY", "unset")):
        other = replace(record, conditions=record.conditions | {field: "other"})
        assert records.find_difference(record, other) == f"{field} was {was} and is other"
    other = replace(record, rows=[replace(row, type="Other")])
    assert records.find_difference(record, other) == "they ran different operations"
    stored = replace(record, runs=[{"order_seed": 7, "round": 1, "group": 0}])
    assert speed_ups(stored, stored, stored) == [1]
    # A timer's own record is compared with no round.
    assert speed_ups(record, stored, stored) == speed_ups(stored, record, record) == []
    assert speed_ups(record, record, record) == []
    assert mean_of_rounds(record) == mean_of_rounds(stored)


def test_record_says_what_decides_the_time_of_a_cpu(monkeypatch):
    for name in filter(schema.is_of_environment, [*os.environ]):
        monkeypatch.delenv(name)
    same = {"OMP_WAIT_POLICY": "PASSIVE", "MALLOC_ARENA_MAX": "1", "THP_MEM_ALLOC_ENABLE": "1"}
    given = same | {"LD_PRELOAD": "/lib/a.so:b/c.so", "GLIBC_TUNABLES": "", "KMP_WARNINGS": " 0\n"}
    for name, value in (given | {"UNRELATED": "1", "CUDA_CACHE_DISABLE": "1"}).items():
        monkeypatch.setenv(name, value)
    about = machine.describe_cpu()
    assert about.pop("transparent_huge_pages") in ("always", "madvise", "never")
    processors = {"threads": torch.get_num_threads(), "cpus": len(os.sched_getaffinity(0))}
    told = {"LD_PRELOAD": "a.so:c.so", "GLIBC_TUNABLES": "empty", "KMP_WARNINGS": "0"}
    assert about == processors | same | told
