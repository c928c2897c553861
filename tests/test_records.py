"""Records: several runs in one, what they say of the machine, and their arithmetic."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyperf
import pytest
from project import CEILINGS, assert_one_line, script

from backbone.record import records, schema
from backbone.record.rows import Cost, Record, Row
from backbone.statistics.intervals import geometric_interval, interval
from backbone.statistics.ratios import mean_of_rounds, speed_ups

QUICK = ("cpu/timer.py", "--i", "pascal", "--iterations", "2", "--warmup", "1")
# A library that every process here has, by its path.
PRELOADED = re.search(r"/\S*/libc[.-]\S*", Path("/proc/self/maps").read_text())[0]


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> Record:
    """A timer's own record of the blocks, as --json stores it."""
    file = tmp_path_factory.mktemp("records") / "block.json"
    result = script(*QUICK, "--target", "block", "--json", file)
    assert (result.returncode, result.stderr) == (0, "")
    return records.load(file)


def test_runs_joined_in_one_record(blocks, tmp_path):
    rows = [replace(row, samples=2 * row.samples) for row in blocks.rows]
    other = replace(blocks, rows=rows, runs=[{"date": "2026-11-29"}])
    text = records.dumps(records.join([blocks, other]))
    joined = records.loads(text, tmp_path)
    assert joined.runs == blocks.runs + other.runs
    assert joined.conditions == blocks.conditions
    assert len(joined.rows) == 22
    for before, row in zip(blocks.rows, joined.rows, strict=True):
        assert row.samples == pytest.approx(np.concatenate([before.samples, 2 * before.samples]))
        assert row.page_faults == 2 * before.page_faults


CONDITIONS = """
dataset target network device torch_version torchvision_version batch_size iterations warmup dtype
threads cpus keep_memory transparent_huge_pages
"""


def test_runs_of_other_conditions_or_operations_differ(blocks):
    assert records.find_difference(blocks, replace(blocks, runs=[{"date": "another"}])) is None
    for field in CONDITIONS.split():
        other = replace(blocks, conditions=blocks.conditions | {field: "other"})
        said = f"{field} was {blocks.conditions[field]}, and is other"
        assert records.find_difference(blocks, other) == said
    other = replace(blocks, conditions=blocks.conditions | {"OMP_WAIT_POLICY": "ACTIVE"})
    said = "OMP_WAIT_POLICY was unset, and is ACTIVE"
    assert records.find_difference(blocks, other) == said
    other = replace(blocks, rows=blocks.rows[1:])
    assert records.find_difference(blocks, other) == "they ran different operations"


def test_a_timers_own_record_is_compared_with_no_round(blocks):
    place = {"order_seed": 7, "round": 1, "group": 0}
    stored = replace(blocks, runs=[blocks.runs[0] | place])
    assert speed_ups(stored, stored, stored) == [1]
    assert speed_ups(blocks, stored, stored) == speed_ups(stored, blocks, blocks) == []
    assert speed_ups(blocks, blocks, blocks) == []
    assert mean_of_rounds(blocks) == mean_of_rounds(stored)


def test_every_field_of_a_record_is_in_the_schema(tmp_path):
    file = tmp_path / "record.json"
    flags = ("--output-stride", "8", "--fold", "--target", "layer", "--json", file)
    result = script(*QUICK, *flags, before=CEILINGS)
    assert (result.returncode, result.stderr) == (0, "")
    found = set()
    for benchmark in pyperf.BenchmarkSuite.load(str(file)).get_benchmarks():
        for run in benchmark.get_runs():
            found |= run.get_metadata().keys()
    known = schema.CONDITIONS.keys() | schema.RUN.keys() | schema.ROW.keys()
    assert not {field for field in found - known if not re.fullmatch(schema.CPU_ENVIRONMENT, field)}
    assert {"output_stride", "fold", "output_difference", "settings", "page_faults"} <= found


def metadata(file: Path) -> dict:
    return pyperf.BenchmarkSuite.load(str(file)).get_benchmarks()[-1].get_metadata()


def test_page_faults_of_every_row(tmp_path):
    file = tmp_path / "layers.json"
    # A pass of four images asks for tensors that the C library maps, and gives back.
    flags = ("--s", "4", "--target", "layer", "--json", file)
    assert script(*QUICK, *flags, before=CEILINGS).returncode == 0
    rows = records.load(file).rows
    faults = {row.level: 0 for row in rows}
    for row in rows:
        (count,) = row.page_faults
        faults[row.level] += count
    assert faults["block"] == faults["layer"]
    # The operations are counted in passes of their own, the whole pass in the timed ones.
    assert faults["layer"] > 10_000
    assert faults["layer"] == pytest.approx(faults["model"], rel=0.5)
    about = metadata(file)
    assert about["peak_resident_memory"] > 2**27 and about["system_time"] > 0


def test_memory_that_is_kept_faults_no_more(tmp_path):
    flags = ("cpu/timer.py", "--i", "pascal", "--s", "4", "--iterations", "3", "--warmup", "3")
    faults = {}
    for kept in ([], ["--keep-memory"]):
        file = tmp_path / f"{len(kept)}.json"
        result = script(*flags, *kept, "--json", file)
        assert (result.returncode, result.stderr) == (0, "")
        about = metadata(file)
        assert about["keep_memory"] == str(bool(kept))
        faults[about["keep_memory"]] = about["page_faults"]
    assert faults["True"] < 100 < 10_000 < faults["False"]


@pytest.mark.parametrize("library", ["object()", "type('', (), {'mallopt': lambda *a: 0})"])
def test_keep_memory_without_mallopt(library):
    # As musl has it, and a mallopt that does nothing.
    before = f"import ctypes; ctypes.CDLL = lambda name: {library}"
    result = script(*QUICK, "--keep-memory", before=before)
    assert_one_line(result, "cpu/timer.py: --keep-memory needs glibc's mallopt")


def test_record_says_what_decides_the_time_of_a_cpu(tmp_path):
    file = tmp_path / "record.json"
    variables = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "MALLOC_ARENA_MAX": "1",
        "KMP_AFFINITY": "",
        "THP_MEM_ALLOC_ENABLE": "1",
        "GLIBC_TUNABLES": "",
        "KMP_WARNINGS": " 0\n",
        "LD_PRELOAD": f"{PRELOADED}:{PRELOADED}",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "UNRELATED": "1",
    }
    before = f"import os; os.environ.update({variables})"
    result = script(*QUICK, "--json", file, before=before)
    assert result.returncode == 0, result.stderr
    about = metadata(file)
    name = Path(PRELOADED).name
    expected = variables | {
        "LD_PRELOAD": f"{name}:{name}",
        "GLIBC_TUNABLES": "empty",
        "KMP_AFFINITY": "empty",
        "KMP_WARNINGS": "0",
    }
    del expected["UNRELATED"]
    assert {key: str(about[key]) for key in expected} == expected
    assert "UNRELATED" not in about and "/" not in file.read_text()
    assert about["cpus"] == len(os.sched_getaffinity(0))
    assert about["transparent_huge_pages"] in ("always", "madvise", "never")


def test_record_of_300_passes_stays_under_1500_kilobytes():
    samples = np.round(np.random.default_rng(0).gamma(9, size=(175, 5, 60)), 6)
    rows = [
        Row(
            level="layer",
            type="Conv2d",
            path=f"features.{i}.conv.0.0",
            stage=1,
            input_shape=[1, 32, 512, 1024],
            samples=samples[i],
            page_faults=tuple(range(10_000, 10_005)),
            cost=Cost(kind="pointwise convolution", macs=10**9, bytes_moved=10**8),
        )
        for i in range(175)
    ]
    run = {
        "date": "2026-11-23 12:00:00",
        "system_time": 0.1,
        "flops_per_second": 123456789012.3456,
        "bytes_per_second": 12345678901.23456,
    }
    record = records.Record(rows=rows, conditions={"dataset": "pascal"}, runs=[run] * 5)
    text = records.dumps(record)
    first = json.loads(text)["benchmarks"][0]["runs"][0]["values"]
    assert first == pytest.approx(samples[0, 0] / 1e3, abs=1e-9)
    assert len(text) < 1.5e6


def test_intervals_come_from_the_means_of_runs():
    samples = np.array([[9.0, 11.0], [11.0, 13.0], [13.0, 15.0]])  # means 10, 12, 14: s is 2
    means = samples.mean(axis=1)
    found = interval(means, 0.05)
    half_width = 4.302652730 * 2 / 3**0.5
    limits = (12 - half_width, 12, 12 + half_width)
    assert (found.low, found.mean, found.high) == pytest.approx(limits)
    # Passes say nothing of the interval: one run, however long, has none.
    alone = interval(np.arange(300.0)[np.newaxis].mean(axis=1), 0.05)
    assert (alone.mean, alone.low, alone.high) == (149.5, None, None)


def test_ratios_have_the_geometric_mean_and_an_interval_that_cannot_pass_zero():
    found = geometric_interval([1.0, 2.0, 4.0], 0.05)  # logarithms 0, 1, 2 of base 2: s is 1
    factor = 2 ** (4.302652730 / 3**0.5)
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 / factor, 2 * factor))
    inverse = geometric_interval([1.0, 0.5, 0.25], 0.05)
    assert (inverse.low, inverse.high) == pytest.approx((1 / found.high, 1 / found.low))
    assert geometric_interval([3.0], 0.05).low is None


@pytest.mark.parametrize(
    ("runs", "t"), [(2, 12.706204736), (5, 2.776445105), (31, 2.042272456), (36, 2.030107928)]
)
def test_students_t(runs, t):
    values = [0.0, 2.0] * runs
    s = np.std(values[:runs], ddof=1)
    found = interval(values[:runs], 0.05)
    assert found.high - found.mean == pytest.approx(t * s / runs**0.5)
