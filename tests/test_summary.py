"""What a wrapper prints at its end."""

from dataclasses import replace

import pytest
import small_results
from small_results import on_gpu, with_conditions, with_runs, without_fields

from backbone.command.options import Mode
from backbone.record.loading import load_modes_of, load_times_of
from backbone.record.stored import StoredTimes
from backbone.report.summary import COLUMNS, format_modes, format_times

updated = small_results.updated  # fixture
STATS = "cpu/mobilenetv2_stats"


@pytest.fixture
def times(updated) -> list[StoredTimes]:
    folders = (STATS, f"{STATS}_keep-memory")
    return [load_times_of(updated / folder, "mobilenetv2_pascal.json") for folder in folders]


def lines_of(text: str) -> list[str]:
    """Its lines, of which none is too long, without the spaces that align them."""
    lines = text.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    return [" ".join(line.split()) for line in lines]


def test_stock_and_memory_kept_and_what_is_slow(times):
    # Page faults take 15 ms of the pass, by their number; kernels and reorders take half as long as
    # they would by the stock pass.
    assert lines_of(format_times(times)) == [
        "MobileNet-V2, PASCAL VOC 2012 (500 x 334), AMD EPYC, 2 threads: 3 rounds, 4 passes each",
        "stock 100 (78 to 128) ms",
        "memory kept 50 (39 to 64) ms, 2.00 (2.00 to 2.00) times as fast",
        "processes of stock: 90 to 110 ms, 1,000 to 3,000 page faults per pass",
        "",
        "slowest stages ms share largest part",
        "Inverted Residual Block at position 1 40.00 40 % rest 51 %",
        "Conv2D 39.00 39 % rest 45 %",
        "Inverted Residual Block at position 2 20.50 20 % rest 33 %",
        "slowest operations ms share largest part",
        "Conv2d features.1.conv.0 (pointwise convolution) 40.00 40 % rest 51 %",
        "Conv2d features.0.0 (convolution) 20.00 20 % rest 55 %",
        "Conv2d features.2.conv.0 (pointwise convolution) 20.00 20 % rest 32 %",
    ]
    # The range of processes is shown where these were in different states of their heap.
    for faults, is_shown in (((0, 100, 3), 0), ((2000, 2200, 2000), 0), ((0, 101, 0), 1)):
        row = replace(times[0].model.whole, page_faults=faults)
        text = format_times([replace(times[0], model=replace(times[0].model, rows=[row]))])
        assert text.count("  processes of stock: ") == is_shown
    assert " ms, 0 to 101 page faults per pass\n" in text


def test_without_kernels_and_memory_kept_it_says_nothing_of_what_bounds(times):
    """As on a GPU. And long names keep to the width."""
    layer = without_fields(times[0].layer, fields=("threads", "system_time"))
    rows = [replace(row, kernels=(), page_faults=(), path=9 * row.path) for row in layer.rows]
    alone = replace(times[0], layer=replace(layer, rows=rows), network="a_network_" * 9)
    lines = lines_of(format_times([alone]))
    assert not any("memory kept" in line for line in lines)
    assert lines[-1].endswith(" 20.00 20 %")
    folded = replace(times[0], mode=Mode(channels_last=True, fold=True), settings=["batch size 4"])
    lines = lines_of(format_times([folded]))
    assert " ".join(lines[:2]).endswith(" 2 threads, batch size 4: 3 rounds, 4 passes each")
    assert lines[2] == "--channels-last --fold 100 (78 to 128) ms"


def test_gpu_that_waits_for_its_host(times):
    records = {target: on_gpu(getattr(times[0], target)) for target in ("model", "block", "layer")}
    lines = lines_of(format_times([replace(times[0], **records)]))
    assert (
        lines[2] == "stock: 19.9 ms on the GPU, 90.00 ms to enqueue it; the host is the bottleneck"
    )
    assert lines[4:6] == [
        "slowest stages GPU ms share",
        "Inverted Residual Block at position 1 8.00 40 %",
    ]


def test_modes_on_a_users_images(updated):
    modes = load_modes_of(updated / STATS / "modes", "mobilenetv2_pascal_")
    agreed = {"share": 0.97, "images": 200, "low": 0.936, "high": 0.986, "of": "images"}
    fields = {f"agreement_{name}": value for name, value in agreed.items()}
    known = []
    for mode in modes.modes:
        runs = [each | fields for each in mode.record.runs]
        known.append(replace(mode, record=replace(mode.record, runs=runs)))
    lines = lines_of(format_modes([replace(modes, modes=known)]))
    answer = "194 of 200 images"
    assert lines[3] == "times as fast as stock stock's answer on fastest modes"
    assert lines[4].startswith(f"8.00 (8.00 to 8.00) {answer} LD_PRELOAD=")
    assert f"if stock's answer on {answer} will do" in " ".join(lines)


def test_modes(updated):
    modes = load_modes_of(updated / STATS / "modes", "mobilenetv2_pascal_")
    lines = lines_of(format_modes([modes, modes]))
    assert lines[: lines.index("")] == lines[lines.index("") + 1 :]
    assert lines[3 : lines.index("")] == [
        "times as fast as stock output difference fastest modes",
        "8.00 (8.00 to 8.00) 2e-06 LD_PRELOAD=libtcmalloc_minimal.so.4 --fold",
        "--dtype bfloat16",
        "4.00 (4.00 to 4.00) 2e-06 --channels-last --fold",
        "2.00 (2.00 to 2.00) none --keep-memory",
        "1.25 (1.25 to 1.25) none LD_PRELOAD=libtcmalloc_minimal.so.4",
        "Use LD_PRELOAD=libtcmalloc_minimal.so.4 --fold --dtype bfloat16 (8.00 times as fast as",
        "stock) if an output difference of 2e-06 will do, otherwise --keep-memory (2.00 times).",
    ]
    slow = [mode for mode in modes.modes if mode.is_stock or mode.mode.train]
    text = format_modes([replace(modes, modes=slow)])
    assert text.endswith("  no mode is certainly faster than stock\n")


def test_modes_after_one_round(updated):
    """It has no intervals, so all modes are listed and none is recommended."""
    modes = load_modes_of(updated / STATS / "modes", "mobilenetv2_pascal_")
    first = [replace(mode, record=with_runs(mode.record, 1)) for mode in modes.modes]
    first[0] = replace(first[0], record=with_conditions(first[0].record, iterations=1))
    lines = lines_of(format_modes([replace(modes, modes=first)]))
    assert lines[0].endswith(": 1 round, 1 pass each")
    assert lines[2:] == [
        "times as fast as stock output difference fastest modes",
        "8.00 6e-06 LD_PRELOAD=libtcmalloc_minimal.so.4 --fold",
        "--dtype bfloat16",
        "4.00 6e-06 --channels-last --fold",
        "2.00 none --keep-memory",
        "1.25 none LD_PRELOAD=libtcmalloc_minimal.so.4",
        "1.00 6e-06 --fold",
        "One round gives no intervals; more rounds do.",
    ]
