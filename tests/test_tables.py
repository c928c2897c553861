"""The cells of results.py's tables, on small results.

What is expected is worked out by hand from the numbers in small_results.py: each run has a mean of
its own, 10 % from the next, and a table has 4.3027 as Student's t for three runs, 2.7764 for five.
"""

import shutil
import subprocess
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small_results
from matplotlib.figure import Figure
from project import assert_one_line, script
from small_results import (
    MIB,
    STOCK,
    TCMALLOC,
    change_records,
    make_record,
    make_report,
    make_structure,
    results,
    store,
    with_conditions,
    with_runs,
    with_times,
)

from backbone.record.memory_record import TensorSize
from backbone.record.names import number_rows
from backbone.record.rows import Record
from backbone.report.panels import colour_kinds, draw_latency, draw_networks, draw_parts
from backbone.report.parts import Parts, SplitPass

updated, checkout = small_results.updated, small_results.checkout  # fixtures
printed = small_results.printed

TIMES = "cpu/mobilenetv2_stats"
CITYSCAPES, VOC = "Cityscapes", "PASCAL VOC 2012"
# To run before results.py, where a test looks at pages alone: to draw takes longer than all else.
WITHOUT_PICTURES = """
from backbone.report import figures
figures._draw = lambda *_, **__: ""
"""
NO_CEILINGS = "no ceilings, for lack of memory perhaps; stats.sh measures them"


def table(result: subprocess.CompletedProcess, title: str) -> list[list[str]]:
    """The cells of the rows of the first table under a title; of one that is cut by dataset, all
    rows, with the dataset as their second cell."""
    assert (result.returncode, result.stderr) == (0, "")
    _, found, text = result.stdout.partition(f"{title}\n\n")
    assert found, result.stdout
    blocks = ["", *text.partition("\n## ")[0].split("\n\n")]
    rows = []
    for caption, block in pairwise(blocks):
        dataset = caption.removesuffix(":")
        if block.startswith("|") and (not rows or dataset in (CITYSCAPES, VOC)):
            cut = [dataset] if dataset in (CITYSCAPES, VOC) else []
            for line in block.splitlines()[2:]:
                first, *others = [cell.strip() for cell in line.strip("|").split("|")]
                rows.append([first, *cut, *others])
    return rows


def cells(*lines: str) -> list[list[str]]:
    """The cells of lines."""
    return [line.split(" | ") for line in lines]


def rest_of(rows: list[list[str]], start: str) -> list[list[str]]:
    """What follows the first cells, of the rows that start with these."""
    (first,) = cells(start)
    return [row[len(first) :] for row in rows if row[: len(first)] == first]


# Times.


def test_times_have_the_interval_of_their_runs(printed):
    # The runs' means are 90, 100 and 110 ms: their logarithms have the mean log(99.67) and the
    # standard deviation 0.1004; 4.3027 * 0.1004 / sqrt(3) is log(1.283). The variance of all passes
    # is that of the runs, 200 / 3, and that of the passes, 2.5.
    assert table(printed, "## Inference time") == cells(
        "AMD EPYC | Cityscapes"
        " | 399 | 311 to 512 | 33 | 2.51 | 3: 360 to 440 | 4,000 to 12,000 | 30 | 400",
        "AMD EPYC, --keep-memory | Cityscapes"
        " | 199 | 155 to 256 | 17 | 5.0 | 3: 180 to 220 | 0 | 0 | 400",
        "AMD EPYC | PASCAL VOC 2012"
        " | 100 | 78 to 128 | 8 | 10.0 | 3: 90 to 110 | 1,000 to 3,000 | 30 | 400",
        "AMD EPYC, --keep-memory | PASCAL VOC 2012"
        " | 50 | 39 to 64 | 4 | 20.1 | 3: 45.0 to 55.0 | 0 | 0 | 400",
    )
    protocol = "3 processes of 1 warm-up and 4 timed passes, batch size 1, float32, torch 2.13.0"
    start = f"- MobileNet-V2, AMD EPYC: {protocol}, torchvision 0.28.0, 2 threads"
    assert f"\n{start}; 2026-11-20\n{start}, `--keep-memory`; 2026-11-20\n" in printed.stdout
    assert "\n- No GPU's times are stored here yet.\n" in printed.stdout


def test_one_run_has_no_interval(checkout):
    change_records(checkout / TIMES, lambda record: with_runs(record, count=1))
    result = results(checkout)
    times = table(result, "## Inference time")
    assert [row[3] for row in times] == ["-", "155 to 256", "-", "39 to 64"]
    assert rest_of(times, "AMD EPYC | PASCAL VOC 2012 | 90.0 | -")
    sums = table(result, "## Sums of the rows")
    assert rest_of(sums, "PASCAL VOC 2012 | AMD EPYC") == cells("1.00 | 1.00")
    modes = table(result, f"MobileNet-V2, {VOC}, AMD EPYC:")
    assert not any(" to " in row[1] for row in modes)
    assert "What to try first" not in result.stdout  # none is certain to be faster
    assert ", AMD EPYC: one process (which gives no interval) of 1 warm-up" in result.stdout


def test_sums_of_rows_are_compared_run_by_run(printed):
    # A pass that is cut into blocks takes 1.00, 1.02 and 1.04 times as long as an uncut pass.
    assert table(printed, "## Sums of the rows") == cells(
        "Cityscapes | AMD EPYC | 1.020 (0.971 to 1.071) | 1.00 (1.00 to 1.00)",
        "Cityscapes | AMD EPYC, --keep-memory | 1.020 (0.971 to 1.071) | 1.00 (1.00 to 1.00)",
        "PASCAL VOC 2012 | AMD EPYC | 1.020 (0.971 to 1.071) | 1.00 (1.00 to 1.00)",
        "PASCAL VOC 2012 | AMD EPYC, --keep-memory | 1.020 (0.971 to 1.071) | 1.00 (1.00 to 1.00)",
    )


def batch_of_4(record: Record) -> Record:
    rows = [replace(row, input_shape=[4, *row.input_shape[1:]]) for row in record.rows]
    return with_conditions(replace(record, rows=rows), batch_size=4)


def test_frames_a_second_of_a_batch_are_images(checkout):
    change_records(checkout / TIMES, batch_of_4)
    result = results(checkout)
    start = "MobileNet-V2 | PASCAL VOC 2012 | AMD EPYC, batch size 4"
    times = table(result, "## Inference time")
    (times,) = rest_of(times, "AMD EPYC, batch size 4 | PASCAL VOC 2012")
    assert (times[0], times[3]) == ("100", "40")
    # The memory reports are of one image: none is of this batch.
    networks = table(result, "## Networks")
    assert rest_of(networks, start) == cells("100 (78 to 128) | - | - | - | 40 | -")


def test_device_says_how_many_threads_where_they_were_chosen(checkout):
    def chosen(record):
        return with_conditions(record, threads=1, threads_chosen=1)

    change_records(checkout / TIMES, chosen)
    times = table(results(checkout), "## Inference time")
    devices = ["AMD EPYC, --keep-memory", "AMD EPYC, 1 thread"]
    assert sorted({row[0] for row in times}) == devices


@pytest.mark.parametrize(
    ("capability", "allowed", "said"),
    [
        ("7.5", "True", False),
        ("8.0", "True", True),
        ("12.0", "True", True),
        ("9.0", "False", False),
    ],
)
def test_tf32_is_said_of_gpus_that_have_it(checkout, capability, allowed, said):
    shutil.copytree(checkout / TIMES, checkout / "mobilenetv2_stats")
    about = {
        "device": "NVIDIA GPU",
        "cuda_version": "12.8",
        "cudnn_version": "91002",
        "cudnn_allow_tf32": allowed,
        "compute_capability": capability,
    }

    def on_cuda(record: Record) -> Record:
        kept = {k: v for k, v in record.conditions.items() if k not in ("threads", "cpus")}
        return replace(record, conditions=kept | about)

    change_records(checkout / "mobilenetv2_stats", on_cuda)
    result = results(checkout)
    times = table(result, "## Inference time")
    assert rest_of(times, "NVIDIA GPU | PASCAL VOC 2012 | 100")
    begins = "- MobileNet-V2, NVIDIA GPU: "
    line = next(line for line in result.stdout.splitlines() if line.startswith(begins))
    assert ("TF32 convolutions" in line) is said and "CUDA 12.8, cuDNN 91002" in line
    assert "No GPU's times" not in result.stdout


# Operations.


def test_time_by_kind_is_all_of_the_pass(printed):
    assert table(
        printed,
        "PASCAL VOC 2012, AMD EPYC. The pass takes 100 ms, its floor is 36.4 ms, by ceilings of "
        "200 GFLOP/s and 10.0 GB/s.",
    ) == cells(
        "pointwise convolution | 2 | 60 | 15.0 | 60.0 | 79.5 | 53 | 1.67 | 16.00 | 0.27 | 700",
        "convolution | 1 | 20.0 | 5.0 | 20.0 | 20.0 | 40 | 2.50 | 5.00 | 0.25 | 100",
        "batch norm | 1 | 15.0 | - | 15.0 | 0.0 | - | 6.7 | 10.00 | 0.67 | 200",
        "ReLU6 | 1 | 4.00 | - | 4.0 | 0.0 | - | 12.5 | 5.00 | 1.25 | 0",
        "addition, Dropout, linear | 3 | 1.00 | - | 1.0 | 0.5 | 20.0 | 4.0 | 0.40 | 0.40 | 0",
        "all | 8 | 100 | 20.0 | 100.0 | 100.0 | 40 | 3.04 | 36.40 | 0.36 | 1,000",
    )
    *_, whole = table(
        printed,
        "Cityscapes, AMD EPYC. The pass takes 400 ms, its floor is 145.6 ms, by ceilings of "
        "200 GFLOP/s and 10.0 GB/s.",
    )
    sums = "all | 8 | 400 | 80.0 | 100.0 | 100.0 | 40 | 3.04 | 145.60 | 0.36 | 4,000"
    assert [whole] == cells(sums)
    # A mode's operations are other ones: they are in no table.
    assert printed.stdout.count("The pass takes ") == 2


def test_what_a_pass_is_made_of(checkout):
    """Kernels and reorders of the stock pass are those with memory kept; the rest is what is
    left."""
    title = "## What a pass is made of\n\n"
    lines = results(checkout).stdout.partition(title)[2].splitlines()
    assert [line for line in lines if line.startswith(f"- {VOC}")] == [
        f"- {VOC}, AMD EPYC: page faults (the system's time) 15 %, reorders 10 %, "
        "the kernels' own time 30 %, the rest 45 % of 100 ms.",
        f"- {VOC}, AMD EPYC, --keep-memory: page faults (the system's time) 0 %, reorders 20 %, "
        "the kernels' own time 60 %, the rest 20 % of 50 ms.",
    ]
    picture = (checkout / "figures/parts.svg").read_text()
    assert picture.count("what a pass is made of") == 2 and "pointwise convolution" in picture
    # Without the passes with memory kept it can't be told, and README begins with the stages.
    shutil.rmtree(checkout / "cpu/mobilenetv2_stats_keep-memory")
    result = results(checkout)
    assert (result.returncode, title in result.stdout) == (0, False)
    assert "parts.svg" not in result.stdout
    assert results(checkout, "--update").returncode == 0
    marker = "<!-- results.py: Picture -->\n![Latency of the 21 stages, Cityscapes]"
    assert marker in (checkout / "README.md").read_text()


def test_a_kind_has_the_same_colour_in_every_panel():
    times = SimpleNamespace(ceilings=None, device="AMD EPYC", labels=[], dataset=VOC)
    kinds = [("linear", "addition", "pooling"), ("pooling", "linear")]
    panels = [[SplitPass(times, Parts(1, 1, dict.fromkeys(each, 1), 1))] for each in kinds]
    colours = colour_kinds(each for panel in panels for each in panel)
    found = []
    for panel in panels:
        axes = Figure().subplots()
        draw_parts(colours, axes, panel)
        bars = {bar.get_label(): bar.patches[0].get_facecolor() for bar in axes.containers}
        assert len(set(bars.values())) == len(bars)
        found.append(bars)
    first, second = found
    assert len(second) == 5 and second.items() <= first.items()


def test_layers_by_the_time_that_they_lose(checkout):
    def doubled(record: Record) -> Record:
        """Every operation twice: so there are more than the ten that are listed apart."""
        *parts, whole = record.rows
        again = [row for row in parts if row.level == "layer"]
        return replace(record, rows=number_rows([*parts, *again, whole]))

    change_records(checkout / TIMES / "layers", doubled)
    shutil.rmtree(checkout / "cpu/mobilenetv2_stats_keep-memory")
    result = results(checkout, "--layers", "pascal")
    assert (result.returncode, result.stderr) == (0, "")
    title, head, *lines = result.stdout.splitlines()
    assert title == f"{VOC}, AMD EPYC" and head.split()[:3] == ["lost,", "ms", "reorders"]
    assert lines[10] == "" and len(lines) == 17
    expected = "30.000 10.000 40.000 10.000 pointwise convolution jit:avx512_core "
    expected += "features.1.conv.0 [1, 3, 500, 334]"
    assert " ".join(lines[0].split()) == expected
    lost = ["30.000", "15.000", "14.000", "5.000", "0.250", "0.200", "0.150", "-1.000"]
    assert [line.split()[0] for line in lines if line] == [each for each in lost for _ in range(2)]
    assert len({line.index("[") for line in lines if line}) == 1  # aligned


def test_layers_of_every_setting_are_listed(updated):
    result = results(updated, "--layers", "pascal")
    assert (result.returncode, result.stderr) == (0, "")
    titles = [line for line in result.stdout.splitlines() if line.startswith(VOC)]
    assert titles == [f"{VOC}, AMD EPYC", f"{VOC}, AMD EPYC, --keep-memory"]
    result = results(updated, "--layers", "imagenet")
    assert result.returncode == 2 and "'imagenet' is none of cityscapes" in result.stderr


def without_ceilings(record: Record) -> Record:
    gone = ("flops_per_second", "bytes_per_second")
    runs = [{k: v for k, v in run.items() if k not in gone} for run in record.runs]
    return replace(record, runs=runs)


def test_records_without_ceilings(checkout):
    for folder in checkout.glob("cpu/mobilenetv2_stats*"):
        change_records(folder, without_ceilings)
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    for dataset in (CITYSCAPES, VOC):
        assert f"\n- {dataset}, AMD EPYC: {NO_CEILINGS}\n" in result.stdout
    assert result.stdout.count(NO_CEILINGS) == 2 and "roofline" not in result.stdout
    said = f"{VOC}, AMD EPYC: {NO_CEILINGS}"
    assert_one_line(results(checkout, "--layers", "pascal"), said)
    assert results(checkout, "--update").returncode == 0
    assert results(checkout, "--check").returncode == 0


def test_device_without_ceilings_beside_one_with_them(checkout):
    shutil.rmtree(checkout / "cpu/mobilenetv2_stats_keep-memory")
    other = checkout / "devices/other" / TIMES
    shutil.copytree(checkout / TIMES, other)
    change_records(other, without_ceilings)
    lack = f"AMD EPYC (other): {NO_CEILINGS}\n"
    result = results(checkout)
    assert result.stdout.count(lack) == 2 and result.stdout.count("The pass takes ") == 2
    listed = results(checkout, "--layers", "pascal")
    assert listed.returncode == 0 and listed.stdout.startswith(f"{VOC}, AMD EPYC\n")
    assert listed.stdout.endswith(f"\n\n{VOC}, {lack}")


def test_roofline_has_a_panel_for_each_device(checkout):
    picture = checkout / "figures/roofline_pascal.svg"
    assert picture.read_text().count("without MACs") == 1
    shutil.copytree(checkout / TIMES, checkout / "devices/other" / TIMES)
    assert results(checkout).stdout.count("The pass takes ") == 4
    assert results(checkout, "--update").returncode == 0
    assert picture.read_text().count("without MACs") == 2


# Modes.


def test_modes_are_compared_round_by_round(printed):
    # The rounds' speed-ups by --fold are 1, 2 and 4: their geometric mean is 2, and 4.3027 * log(2)
    # / sqrt(3) is log(5.596). Those of the stock pass are 0.9, 1 and 1 / 0.9.
    assert table(printed, f"MobileNet-V2, {VOC}, AMD EPYC:") == cells(
        f"`{TCMALLOC} --fold --dtype bfloat16` | 8.00 (8.00 to 8.00) | 4.00 (4.00 to 4.00)"
        " | faster | 12.5 | 2e-06 | 400",
        "`--channels-last --fold` | 4.00 (4.00 to 4.00) | 2.00 (2.00 to 2.00)"
        " | faster | 24.9 | 2e-06 | 400",
        "`--keep-memory` | 2.00 (2.00 to 2.00) | 1 | faster | 50 | none | 400",
        "`--fold` | 2.0 (0.4 to 11.2) | 1.0 (0.2 to 5.6) | undecided | 50 | 2e-06 | 400",
        f"`{TCMALLOC}` | 1.25 (1.25 to 1.25) | 0.625 (0.625 to 0.625) | faster | 80 | none | 400",
        "stock | 1 | 0.500 (0.500 to 0.500) | - | 100 | none | 400",
        "stock again | 1.00 (0.77 to 1.30) | 0.50 (0.38 to 0.65) | undecided | 99.7 | none | 400",
        "`--train` | 0.500 (0.500 to 0.500) | 0.250 (0.250 to 0.250) | slower | 199 | 2e-06 | 400",
    )
    cityscapes = table(printed, f"MobileNet-V2, {CITYSCAPES}, AMD EPYC:")
    assert rest_of(cityscapes, "`--keep-memory` | 3.00 (3.00 to 3.00) | 1 | faster | 133")
    assert "](figures/modes.svg)" in printed.stdout


def test_processes_of_the_modes_are_in_the_order_of_the_modes(printed):
    processes = printed.stdout.partition("\n## Processes of the modes\n")[2]
    _, _, voc = processes.partition(f"MobileNet-V2, {VOC}, AMD EPYC:\n\n")
    lines = voc.partition("\n\n")[0].splitlines()[2:]
    assert [line.strip("| ") for line in lines] == [
        f"`{TCMALLOC} --fold --dtype bfloat16` | 3: 11.2 to 13.8 | 1,000 to 3,000",
        "`--channels-last --fold` | 3: 22.5 to 27.5 | 1,000 to 3,000",
        "`--keep-memory` | 3: 45.0 to 55.0 | 1,000 to 3,000",
        "`--fold` | 3: 27.5 to 90.0 | 1,000 to 3,000",
        f"`{TCMALLOC}` | 3: 72.0 to 88.0 | 1,000 to 3,000",
        "stock | 3: 90 to 110 | 1,000 to 3,000",
        "stock again | 3: 99 to 100 | 1,000 to 3,000",
        "`--train` | 3: 180 to 220 | 1,000 to 3,000",
    ]


def test_page_faults_are_counts(checkout):
    def with_few_faults(record: Record) -> Record:
        return replace(record, rows=[replace(record.whole, page_faults=[0, 1, 1])])

    change_records(checkout / TIMES / "modes/mobilenetv2_pascal_fold.json", with_few_faults)
    assert "| `--fold` | 3: 27.5 to 90.0 | 0 to 1 |\n" in results(checkout).stdout


def test_what_to_try_first(printed):
    timer = "python cpu/timer.py --i"
    assert table(printed, "## What to try first") == cells(
        f"Cityscapes | that changes no arithmetic | `{TCMALLOC} {timer} cityscapes`"
        " | 5.00 (5.00 to 5.00) | none | 400 | 400",
        f"Cityscapes | in float32 | `{TCMALLOC} {timer} cityscapes`"
        " | 5.00 (5.00 to 5.00) | none | 400 | 400",
        f"Cityscapes | of all | `{TCMALLOC} {timer} cityscapes --fold --dtype bfloat16`"
        " | 10.0 (10.0 to 10.0) | 2e-06 | 400 | 400",
        f"PASCAL VOC 2012 | that changes no arithmetic | `{timer} pascal --keep-memory`"
        " | 2.00 (2.00 to 2.00) | none | 400 | 400",
        f"PASCAL VOC 2012 | in float32 | `{timer} pascal --channels-last --fold`"
        " | 4.00 (4.00 to 4.00) | 2e-06 | 400 | 400",
        f"PASCAL VOC 2012 | of all | `{TCMALLOC} {timer} pascal --fold --dtype bfloat16`"
        " | 8.00 (8.00 to 8.00) | 2e-06 | 400 | 400",
    )
    assert "](figures/allocators.svg)" in printed.stdout


def test_without_allocators_no_picture_of_them(checkout):
    for file in (checkout / TIMES / "modes").glob("*LD_PRELOAD*"):
        file.unlink()
    result = results(checkout)
    assert result.returncode == 0 and "modes.svg" in result.stdout
    assert "allocators.svg" not in result.stdout


def of_other_rounds(record: Record) -> Record:
    return replace(record, runs=[run | {"order_seed": 8} for run in record.runs])


def of_no_rounds(record: Record) -> Record:
    """As a timer's own --json has it."""
    return replace(record, runs=[{"date": run["date"]} for run in record.runs])


@pytest.mark.parametrize("change", [of_other_rounds, of_no_rounds])
def test_mode_of_other_rounds_is_not_compared(checkout, change):
    modes = checkout / TIMES / "modes"
    change_records(modes / "mobilenetv2_cityscapes_train.json", change)
    change_records(modes / "mobilenetv2_pascal_train.json", lambda record: with_runs(record, 2))
    result = results(checkout)
    (train,) = rest_of(table(result, f"MobileNet-V2, {CITYSCAPES}, AMD EPYC:"), "`--train`")
    assert train[:4] == ["of other rounds", "of other rounds", "undecided", "797"]
    (train,) = rest_of(table(result, f"MobileNet-V2, {VOC}, AMD EPYC:"), "`--train`")
    assert train[0] == "0.500 (0.500 to 0.500)"  # by the rounds that both have
    assert results(checkout, "--update").returncode == 0


def test_modes_in_groups_are_compared_by_stock(checkout):
    """Where memory does not hold all runs of a round, each group has a run of stock."""
    modes = checkout / TIMES / "modes"

    def in_group_1(record: Record) -> Record:
        """In a minute when all takes twice as long."""
        runs = [run | {"group": 1} for run in record.runs]
        return replace(with_times(record, 2), runs=runs)

    def in_both_groups(record: Record) -> Record:
        other = in_group_1(record)
        samples = np.concatenate([record.whole.samples, other.whole.samples])
        row = replace(record.whole, samples=samples, page_faults=2 * record.whole.page_faults)
        return replace(record, rows=[row], runs=record.runs + other.runs)

    change_records(modes / "mobilenetv2_pascal_stock.json", in_both_groups)
    change_records(modes / "mobilenetv2_pascal_train.json", in_group_1)
    rows = table(results(checkout), f"MobileNet-V2, {VOC}, AMD EPYC:")
    (train,) = rest_of(rows, "`--train`")
    assert train[:2] == ["0.500 (0.500 to 0.500)", "0.250 (0.250 to 0.250)"]


def test_mode_that_failed_for_one_input(checkout):
    modes = checkout / TIMES / "modes"
    for file in modes.glob("mobilenetv2_cityscapes_fold.*"):
        file.unlink()
    result = results(checkout)
    assert not rest_of(table(result, f"MobileNet-V2, {CITYSCAPES}, AMD EPYC:"), "`--fold`")
    assert rest_of(table(result, f"MobileNet-V2, {VOC}, AMD EPYC:"), "`--fold`")
    assert results(checkout, "--update").returncode == 0
    (modes / "mobilenetv2_cityscapes_stock.json").unlink()
    said = "mobilenetv2_cityscapes_stock.json is missing; modes.sh makes it"
    assert_one_line(results(checkout), said)


def test_no_modes(checkout):
    shutil.rmtree(checkout / TIMES / "modes")
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    assert "## Modes" not in result.stdout and "modes.svg" not in result.stdout


# Networks, devices and memory.


def test_networks_beside_each_other_may_differ_in_runs_and_passes(printed):
    rows = table(printed, "## Networks")
    assert [row[0] for row in rows] == ["MobileNet-V2", "MobileNet-V2", "resnet18"] * 2
    # The runs' means are 160 to 240 ms, 20 apart: 2.7764 * 0.1602 / sqrt(5) is log(1.220).
    assert rest_of(rows, "resnet18 | PASCAL VOC 2012 | AMD EPYC") == cells(
        "198 (162 to 242) | 10.486 | 6.000 | 62.0 | 61 | -"
    )
    assert rest_of(rows, "MobileNet-V2 | Cityscapes | AMD EPYC, --keep-memory") == cells(
        "199 (155 to 256) | 2.621 | 8.000 | 95.0 | 80 | -"
    )
    assert "\n- resnet18, AMD EPYC: 5 processes of 1 warm-up and 2 timed passes" in printed.stdout
    assert {row[0] for row in table(printed, "## Memory")} == {"MobileNet-V2"}
    assert len(table(printed, "## Inference time")) == 4


def readme_lines(checkout: Path, part: str) -> list[str]:
    """The lines of a part of README that results.py makes."""
    text = (checkout / "README.md").read_text()
    return text.partition(f"<!-- results.py: {part} -->\n")[2].partition("<!--")[0].splitlines()


def test_the_fastest_are_told_with_their_output_difference(updated):
    head, _, exact, in_float32, of_all = readme_lines(updated, "In short")
    stock = "Cityscapes, AMD EPYC: stock 399 ms | PASCAL VOC 2012, AMD EPYC: stock 100 ms"
    assert head == f"| The fastest | {stock} |"
    assert exact == (
        f"| that changes no arithmetic | `{TCMALLOC}`: 5.00 times | `--keep-memory`: 2.00 times |"
    )
    assert in_float32 == (
        f"| in float32 | `{TCMALLOC}`: 5.00 times "
        "| `--channels-last --fold`: 4.00 times, output difference 2e-06 |"
    )
    both = f"`{TCMALLOC} --fold --dtype bfloat16`"
    assert of_all == (
        f"| of all | {both}: 10.0 times, output difference 2e-06 "
        f"| {both}: 8.00 times, output difference 2e-06 |"
    )


def test_modes_that_may_be_as_fast_as_the_fastest_are_told(checkout):
    def make_noisy(mode: str, before: float, speed_ups: list[float]) -> None:
        """Give a mode's rounds these speed-ups over stock at VOC size, where all had one before."""
        factors = before / np.array(speed_ups)[:, None]
        file = checkout / TIMES / f"modes/mobilenetv2_pascal_{mode.replace('=', '_')}.json"
        change_records(file, partial(with_times, factors=factors))

    make_noisy(TCMALLOC, 1.25, [3.5, 4, 4.3])
    make_noisy("keep-memory", 2, [3.6, 4, 4.3])
    assert results(checkout, "--update", before=WITHOUT_PICTURES).returncode == 0
    _, _, exact, in_float32, of_all = readme_lines(checkout, "In short")
    assert exact.endswith(f"| `--keep-memory`: 3.96 times; `{TCMALLOC}` may be as fast |")
    fastest = "`--channels-last --fold`: 4.00 times, output difference 2e-06"
    assert in_float32.endswith(f"| {fastest}; `--keep-memory`, `{TCMALLOC}` may be as fast |")
    assert "may be as fast" not in of_all


def test_readme_has_a_column_for_each_device_and_setting(checkout):
    shutil.copytree(checkout / "cpu", checkout / "devices/other/cpu")
    assert results(checkout, "--update", before=WITHOUT_PICTURES).returncode == 0
    titles = [
        f"{dataset}, {device}"
        for device in ("AMD EPYC", "AMD EPYC (other)")
        for dataset in (CITYSCAPES, VOC)
    ]
    head = readme_lines(checkout, "In short")[0]
    assert [each.partition(": ")[0] for each in head.strip("| ").split(" | ")[1:]] == titles


def test_readme_says_how_many_threads(updated):
    devices = [line.split(" | ")[2] for line in readme_lines(updated, "Performance Stats")]
    assert devices[2:4] == ["AMD EPYC, 2 threads", "AMD EPYC, 2 threads, --keep-memory"]


def test_networks_in_short_have_both_inputs_in_a_cell(checkout):
    for file in checkout.glob("cpu/resnet18_stats/**/*cityscapes*"):
        file.unlink()
    assert results(checkout, "--update", before=WITHOUT_PICTURES).returncode == 0
    assert readme_lines(checkout, "Networks in short")[2:] == [
        "| MobileNet-V2 | 2.621 | 8.0 / 2.0 | 399 / 100 | 199 / 50 |",
        "| resnet18 | 10.486 | - / 6.0 | - / 198 | - / - |",
    ]


def test_networks_picture_has_the_times_of_the_tables():
    """Of a round with several groups all runs count once together."""
    record = make_record(STOCK, "pascal", "model")
    groups = [{"round": 1, "group": 0}, {"round": 1, "group": 1}, {"round": 2, "group": 0}]
    runs = [run | group for run, group in zip(record.runs, groups, strict=True)]
    times = SimpleNamespace(
        network="resnet18",
        device="AMD EPYC",
        labels=[],
        dataset=VOC,
        macs=2e9,
        model=replace(record, runs=runs),
    )
    axes = Figure().subplots()
    draw_networks(axes, [times])
    # The runs' means are 90 and 100, and 110 ms, for two billion MACs.
    milliseconds = (90 * 100) ** 0.25 * 110**0.5 / 2
    assert axes.patches[0].get_width() == pytest.approx(milliseconds)


def test_stages_picture_has_the_means_of_the_texts():
    """They are arithmetic, so that they sum up."""
    record = make_record(STOCK, "pascal", "block")
    rows = [row for row in record.rows if row.level == "block"]
    times = SimpleNamespace(device="AMD EPYC", labels=[], dataset=VOC, block=record, stages=rows)
    axes = Figure().subplots()
    draw_latency(axes, [times])
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == pytest.approx([row.mean for row in rows])


def test_what_readme_shows_as_printed_is_of_the_stock_pass_of_one_image(checkout):
    shutil.copytree(checkout / TIMES, checkout / f"{TIMES}_s_4")
    change_records(checkout / f"{TIMES}_s_4", batch_of_4)
    assert results(checkout, "--update", before=WITHOUT_PICTURES).returncode == 0
    _, first, stock, kept, *_ = readme_lines(checkout, "What is printed")
    assert first.startswith("MobileNet-V2, PASCAL VOC 2012 (500 x 334), AMD EPYC, 2 threads: 3 ")
    assert stock.startswith("  stock        ") and kept.startswith("  memory kept  ")


def test_a_mode_of_one_network_alone_is_beside_no_other(checkout):
    def in_channels_last(record: Record) -> Record:
        return with_conditions(record, channels_last="True")

    new = checkout / "cpu/mobilenetv2_stats_channels-last"
    shutil.copytree(checkout / TIMES, new, ignore=shutil.ignore_patterns("modes"))
    change_records(new, in_channels_last)
    start = "AMD EPYC, --channels-last"
    assert results(checkout, "--update", before=WITHOUT_PICTURES).returncode == 0
    result = results(checkout)
    readme = (checkout / "README.md").read_text()
    assert len(rest_of(table(result, "## Inference time"), start)) == 2
    assert start not in {row[2] for row in table(result, "## Networks")} and start not in readme
    change_records(checkout / "cpu/resnet18_stats", in_channels_last)
    beside = [row[0] for row in table(results(checkout), "## Networks") if row[2] == start]
    assert beside == ["MobileNet-V2", "resnet18"] * 2


def test_no_other_networks(checkout):
    shutil.rmtree(checkout / "cpu/resnet18_stats")
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    assert "## Networks" not in result.stdout and "networks.svg" not in result.stdout


def test_titles_are_those_of_the_records_whatever_the_files_are_called(checkout):
    expected = results(checkout).stdout
    for path in sorted(checkout.rglob("*resnet18*"), reverse=True):  # a folder after its files
        path.rename(path.with_name(path.name.replace("resnet18", "another")))
    assert (checkout / "cpu/another_stats/another_pascal.json").exists()
    assert (checkout / "memory_reports/another_pascal.json").exists()
    assert results(checkout).stdout == expected
    dilated = {"network": "resnet50", "output_stride": 16}
    change_records(
        checkout / "cpu/another_stats", lambda record: with_conditions(record, **dilated)
    )
    rows = table(results(checkout), "## Networks")
    # It is another network than that of the memory report now.
    start = "resnet50, output stride 16 | PASCAL VOC 2012 | AMD EPYC"
    expected = "198 (162 to 242) | - | - | - | 61 | -"
    assert rest_of(rows, start) == cells(expected)


def test_the_backbones_share_of_a_segmentation_network(checkout):
    def with_backbone(record: Record) -> Record:
        paths = {"features.0": "backbone", "features.1": "backbone.more", "features.2": "backbones"}
        rows = [replace(row, path=paths.get(row.path, row.path)) for row in record.rows]
        return replace(record, rows=number_rows(rows))

    change_records(checkout / "cpu/resnet18_stats/blocks", with_backbone)
    rows = table(results(checkout), "## Networks")
    # The first two of the four stages, 39 and 40 of 100 ms.
    assert [row[-1] for row in rows if row[0] == "resnet18"] == ["79", "79"]


def test_a_users_own_network_is_never_taken_for_torchvisions(checkout):
    own = {"network": "MobileNetV2", "file_id": "0123456789ab"}
    change_records(checkout / "cpu/resnet18_stats", lambda record: with_conditions(record, **own))
    result = results(checkout)
    networks = [row[0] for row in table(result, "## Networks")]
    assert networks.count("MobileNetV2 (own)") == 2 and networks.count("MobileNet-V2") == 4
    assert len(table(result, "## Inference time")) == 4


def test_weights_of_a_file_are_of_the_configuration(checkout):
    given = {"weights": "trained.pt 0123456789ab"}
    change_records(checkout / "cpu/resnet18_stats", lambda record: with_conditions(record, **given))
    rows = table(results(checkout), "## Networks")
    expected = "AMD EPYC, weights trained.pt 0123456789ab"
    assert [row[2] for row in rows if row[0] == "resnet18"] == [expected] * 2


def test_a_file_of_weights_may_be_called_stats(checkout):
    folder = checkout / "cpu/resnet18_stats"
    folder.rename(folder.with_name("resnet18_stats_weights_my_stats"))
    rows = table(results(checkout), "## Networks")
    assert [row[0] for row in rows].count("resnet18") == 2


def test_a_network_may_be_stored_at_one_size_alone(checkout):
    for file in checkout.glob("cpu/resnet18_stats/**/*cityscapes*"):
        file.unlink()
    rows = table(results(checkout), "## Networks")
    assert [row[1] for row in rows if row[0] == "resnet18"] == ["PASCAL VOC 2012"]


def test_each_device_has_its_rows(checkout):
    shutil.copytree(checkout / "cpu", checkout / "devices/other/cpu")
    shutil.copytree(checkout / "memory_reports", checkout / "devices/other/memory_reports")
    result = results(checkout)
    devices = [
        *("AMD EPYC", "AMD EPYC (other)"),
        *("AMD EPYC, --keep-memory", "AMD EPYC (other), --keep-memory"),
    ]
    for title, number in (("## Inference time", 0), ("## Sums of the rows", 1)):
        assert sorted(row[number] for row in table(result, title)) == sorted(2 * devices)
    assert [row[2] for row in table(result, "## Memory")] == ["cpu", "cpu (other)"] * 2
    assert f"\nMobileNet-V2, {CITYSCAPES}, AMD EPYC (other):\n" in result.stdout
    assert results(checkout, "--update").returncode == 0
    assert " (other)" in (checkout / "RESULTS.md").read_text()
    picture = (checkout / "figures/parts.svg").read_text()
    assert all(f"<!-- {device} -->" in picture for device in ("AMD EPYC", "AMD EPYC (other)"))


def test_memory_of_a_cpu(printed):
    assert table(printed, "## Memory") == cells(
        "MobileNet-V2 | Cityscapes | cpu | 6.00 | 2.621 | 1.573 | 95.0 | - | 8.000",
        "MobileNet-V2 | PASCAL VOC 2012 | cpu | 3.00 | 2.621 | 0.786 | 32.0 | - | 2.000",
    )


def test_memory_on_a_gpu_is_named_and_measured(checkout):
    report = replace(
        make_report(STOCK, "pascal"),
        device="GPU (of a kind)",
        storage="cuda:0",
        allocator_bytes=3 * MIB,
        measured_peak=40 * MIB,
    )
    store(checkout / "devices/other/memory_reports/mobilenetv2_pascal.json", report)
    rows = table(results(checkout), "## Memory")
    start = "MobileNet-V2 | PASCAL VOC 2012 | GPU (of a kind) (other)"
    expected = "3.00 | 2.621 | 0.786 | 32.0 | 40.0 | 2.000"
    assert rest_of(rows, start) == cells(expected)


def test_memory_of_another_batch_size(checkout):
    report, structure = make_report(STOCK, "pascal"), make_structure(STOCK, "pascal")
    batch_of_4 = replace(report.input, batch_size=4, input_shape=[4, 3, 500, 334])
    file = checkout / "memory_reports/mobilenetv2_pascal.json"
    store(file, replace(report, input=batch_of_4))
    words = f"{file} has no structure of the same input; summary.sh with the same flags makes one"
    assert_one_line(results(checkout), words)
    of_batch = replace(structure, input=batch_of_4)
    store(checkout / "model_structures_s_4/mobilenetv2_pascal.json", of_batch)
    result = results(checkout)
    memory = table(result, "## Memory")
    assert rest_of(memory, "MobileNet-V2 | PASCAL VOC 2012 | cpu, batch 4 | 3.00")
    # The times are of one image: no memory report is of that.
    networks = table(result, "## Networks")
    (stock,) = rest_of(networks, "MobileNet-V2 | PASCAL VOC 2012 | AMD EPYC")
    assert stock[1:4] == ["-", "-", "-"]


def test_memory_of_more_than_a_gigabyte(checkout):
    report = make_report(STOCK, "pascal")
    gibibyte = TensorSize(
        name="x", shape=[402653184], elements=402653184, allocated_bytes=3 * 2**29
    )
    file = checkout / "memory_reports/mobilenetv2_pascal.json"
    store(file, replace(report, tensors=[gibibyte]))
    assert "Used Memory: 1.50G\n" in file.with_suffix(".txt").read_text()
    assert table(results(checkout), "## Memory")[1][3:6] == ["1536.00", "2.621", "402.653"]


# Trials.


def method_rows(checkout: Path, title: str) -> list[list[str]]:
    """The cells of the rows of METHOD.md's table of a title."""
    text = (checkout / "METHOD.md").read_text().partition(f"<!-- results.py: {title} -->\n")[2]
    lines = text.partition("<!-- ")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_trials_of_compare(updated):
    same, other = method_rows(updated, "Trials")
    assert same[:5] == ["VOC, twice", "2", "1 undecided, 1 faster", "1.00 to 1.10", "5.00"]
    assert same[5:] == ["5", "30", "2.66 to 3.93"]
    assert other[:3] == ["VOC, another", "1", "1 faster"]


def test_simulated_comparisons_and_passes_per_process(updated):
    assert method_rows(updated, "Simulation") == [
        ["normal, 1 %", "10", "0 / 5", "6.8 / 5.0", "98 / 98", "2.0 / 0.0"]
    ]
    assert method_rows(updated, "Passes per process") == [["VOC", "60", "12.3", "21.3", "4.57"]]


def test_trials_that_cannot_be_stored_are_not_begun():
    words = ("--title", "twice", "--file", "/proc/none/trials.json", "no-timer")
    assert_one_line(script("tools/trials.py", *words), "/proc/none/trials.json")


def test_trials_that_cannot_be_read(checkout):
    (checkout / "tools/trials.json").write_text('[{"title": "VOC"}]')
    assert_one_line(results(checkout), f"{checkout}/tools/trials.json holds no Trial")
    (checkout / "tools/trials.json").unlink()
    assert results(checkout).returncode == 0
