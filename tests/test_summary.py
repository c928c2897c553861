"""What a wrapper prints at its end."""

from dataclasses import replace

import pytest
import small_results

from backbone.command.options import Mode
from backbone.record.loading import load_modes_of, load_times_of
from backbone.record.rows import Record
from backbone.record.stored import StoredTimes
from backbone.report.summary import COLUMNS, format_modes, format_times

updated, checkout = small_results.updated, small_results.checkout  # fixtures
STATS = "cpu/mobilenetv2_stats"
NAME = "mobilenetv2_pascal.json"


@pytest.fixture
def times(checkout) -> list[StoredTimes]:
    folders = (STATS, f"{STATS}_keep-memory")
    return [load_times_of(checkout / folder, NAME) for folder in folders]


def lines_of(text: str) -> list[str]:
    lines = text.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    return lines


def with_faults(times: StoredTimes, faults: tuple[int, ...]) -> StoredTimes:
    row = replace(times.model.whole, page_faults=faults)
    return replace(times, model=replace(times.model, rows=[row]))


def test_stock_and_memory_kept_and_what_is_slow(times):
    head, stock, kept, *others = lines_of(format_times(times))
    assert head.startswith(
        "MobileNet-V2, PASCAL VOC 2012 (500 x 334), AMD EPYC, 2 threads: 3 rounds"
    )
    assert stock.startswith("  stock        ") and " ms" in stock
    assert kept.startswith("  memory kept  ") and kept.endswith(") times as fast")
    tables = others[others.index("") + 1 :]
    assert [tables[0].split()[:2], tables[4].split()[:2]] == [
        ["slowest", "stages"],
        ["slowest", "operations"],
    ]
    rows = times[0].operations
    slowest = sorted(rows, key=lambda row: -row.mean)[:3]
    for row, line in zip(slowest, tables[5:8], strict=True):
        assert line.startswith(f"    {row.type} {row.path} ({row.cost.kind})")
        assert f"{row.mean:.2f}" in line and line.endswith(" %")


@pytest.mark.parametrize(
    ("faults", "is_shown"),
    [((0, 0, 0), False), ((0, 90, 3), False), ((8780, 8781, 8790), False), ((0, 8780, 0), True)],
)
def test_range_of_processes_in_different_heap_states(times, faults, is_shown):
    text = format_times([with_faults(times[0], faults), times[1]])
    assert ("  processes of stock: " in text) is is_shown
    assert not is_shown or " ms, 0 to 8,780 page faults per pass\n" in text


def test_without_kernels_and_memory_kept_it_says_nothing_of_what_bounds(times):
    """As on a GPU."""
    record = times[0].layer
    rows = [replace(row, kernels=(), page_faults=()) for row in record.rows]
    conditions = {name: value for name, value in record.conditions.items() if name != "threads"}
    runs = [{name: run[name] for name in run if name != "system_time"} for run in record.runs]
    layers = Record(rows, conditions, runs)
    alone = replace(times[0], layer=layers)
    lines = lines_of(format_times([alone]))
    assert not any("memory kept" in line for line in lines)
    assert lines[-1].endswith(" %") and "kernel" not in lines[-1]


def test_long_names_keep_to_the_width(times):
    long = replace(times[0], network="a_network_" * 9, device="Some(R) CPU @ 2.90 GHz, 64 cores")
    lines_of(format_times([long]))
    mode = Mode(channels_last=True, fold=True)
    folded = replace(times[0], mode=mode, settings=["batch size 4"])
    lines = lines_of(format_times([folded]))
    assert "".join(lines[:2]).endswith("batch size 4: 3 rounds, 4  passes each")
    assert lines[2].startswith("  --channels-last --fold  ")


def test_modes(checkout):
    modes = load_modes_of(checkout / STATS / "modes", "mobilenetv2_pascal_")
    lines = lines_of(format_modes([modes, modes]))
    first = lines[: lines.index("")]
    assert lines[lines.index("") + 1 :] == first
    head, *rows = first[3:]
    assert head == "  times as fast as stock   output difference  fastest modes"
    ratios = [row.split()[0] for row in rows if row[2:3].isdigit()]
    assert ratios == ["8.00", "4.00", "2.00", "1.25"]
    assert rows[0].endswith("LD_PRELOAD=libtcmalloc_minimal.so.4 --fold")
    assert rows[1].strip() == "--dtype bfloat16"
    advice = " ".join(line.strip() for line in rows if line)
    assert advice.endswith("otherwise --keep-memory (2.00 times).")


def test_modes_of_which_none_is_faster(checkout):
    modes = load_modes_of(checkout / STATS / "modes", "mobilenetv2_pascal_")
    names = ("stock", "stock again", "--train")
    slow = [mode for mode in modes.modes if mode.name in names]
    text = format_modes([replace(modes, modes=slow)])
    assert text.endswith("  no mode is faster than stock for certain\n")
