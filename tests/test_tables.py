"""The cells of results.py's tables, on small results.

What is expected is worked out by hand from the numbers in small_results.py: each run has a mean of
its own, 10 % from the next, and a table has 4.3027 as Student's t for three runs.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import small_results
from project import assert_one_line, python
from small_results import MIB, TCMALLOC, change_records, refusal, results, with_conditions

from backbone.command.options import STOCK
from backbone.record import records
from backbone.record.rows import Record
from backbone.report import kinds

updated, checkout = small_results.updated, small_results.checkout  # fixtures

TIMES = "cpu/mobilenetv2_stats"
VOC = "PASCAL VOC 2012"


def pages_of(checkout: Path) -> str:
    """All pages of a checkout, updated."""
    assert results(checkout, "--update") == ""
    return "".join((checkout / page).read_text() for page in ("RESULTS.md", *small_results.PARTS))


@pytest.fixture(scope="module")
def pages(updated: Path) -> str:
    return pages_of(updated)


def assert_rows(page: str, *lines: str) -> None:
    """A table of a page has these rows, one after the other."""
    assert "".join(f"\n| {line} |" for line in lines) in page


def test_times_have_the_interval_of_their_runs(pages):
    # The runs' means are 90, 100 and 110 ms: their logarithms have the mean log(99.67) and the
    # standard deviation 0.1004; 4.3027 * 0.1004 / sqrt(3) is log(1.283). The variance of all passes
    # is that of the runs, 200 / 3, and that of the passes, 2.5.
    assert_rows(
        pages,
        "AMD EPYC | 100 | 78 to 128 | 8 | 3: 90 to 110 | 30 | 400",
        "AMD EPYC, --keep-memory | 50 | 39 to 64 | 4 | 3: 45.0 to 55.0 | 0 | 400",
    )
    conditions = "batch size 1, float32, torch 2.13.0, torchvision 0.28.0, 2 threads"
    passes = "3 processes with 1 warm-up and 4 timed passes each"
    line = f"\n- AMD EPYC: {conditions}; {passes}"
    assert f"{line}; 2026-11-20\n- No times on a GPU are stored yet.\n" in pages
    # A pass that is cut into blocks takes 1.00, 1.02 and 1.04 times as long as an uncut pass.
    assert_rows(pages, f"{VOC} | AMD EPYC | 1.020 (0.971 to 1.071) | 1.00 (1.00 to 1.00)")


def test_what_a_pass_is_made_of(checkout, pages):
    title = (
        "The pass takes 100 ms; its roofline bound is 36.4 ms, from ceilings of 200 GFLOP/s and "
        "10.0 GB/s."
    )
    assert f"\n{VOC}, AMD EPYC. {title}\n\n" in pages
    assert_rows(
        pages,
        "pointwise convolution | 2 | 60 | 15.0 | 60.0 | 79.5 | 16.00 | 0.27 | 700",
        "convolution | 1 | 20.0 | 5.0 | 20.0 | 20.0 | 5.00 | 0.25 | 100",
        "batch norm | 1 | 15.0 | - | 15.0 | 0.0 | 10.00 | 0.67 | 200",
        "ReLU6 | 1 | 4.00 | - | 4.0 | 0.0 | 5.00 | 1.25 | 0",
        "addition, Dropout, linear | 3 | 1.00 | - | 1.0 | 0.5 | 0.40 | 0.40 | 0",
        "all | 8 | 100 | 20.0 | 100.0 | 100.0 | 36.40 | 0.36 | 1,000",
    )
    # A mode's operations are other ones: they are in no table.
    assert pages.count("The pass takes ") == 2
    # Kernels and reorders of the stock pass are those with memory kept; the rest is what is left.
    assert_rows(
        pages,
        "AMD EPYC | 100 | 15 | 10 | 30 | 45",
        "AMD EPYC, --keep-memory | 50 | 0 | 20 | 60 | 20",
    )
    # Without the passes with memory kept it can't be told, and README begins with the stages.
    shutil.rmtree(checkout / f"{TIMES}_keep-memory")
    pages = pages_of(checkout)
    assert "## What a pass is made of" not in pages and "parts.svg" not in pages
    readme = pages[pages.index("<!-- results.py: Findings -->") :]
    assert readme.index("![Latency of the 21 stages, Cityscapes]") < readme.index("results.py: end")


def test_layers_by_the_time_that_they_lose(updated, monkeypatch):
    monkeypatch.setattr(kinds, "WORST", 3)
    first, kept = results(updated, "--layers", "pascal").split(f"\n\n{VOC}, ")
    assert kept.startswith("AMD EPYC, --keep-memory\n")
    title, head, *lines = first.splitlines()
    assert title == f"{VOC}, AMD EPYC" and head.split()[:3] == ["lost,", "ms", "reorders"]
    worst = "30.000 10.000 40.000 10.000 pointwise convolution jit:avx512_core features.1.conv.0"
    assert " ".join(lines[0].split()) == f"{worst} [1, 3, 500, 334]"
    lost = ["30.000", "15.000", "14.000", "", "5.000", "0.250", "0.200", "0.150", "-1.000"]
    assert [line[:9].strip() for line in lines] == lost
    assert len({line.index("[") for line in lines if line}) == 1  # aligned


def test_records_without_ceilings(checkout):
    other, remove = checkout / "devices/other", small_results.without_fields
    shutil.copytree(checkout / TIMES, other / TIMES)
    change_records(other, remove, fields=small_results.CEILINGS)
    none = "no ceilings are stored, perhaps because memory ran out; stats.sh measures them"
    page, lack = results(checkout), f"{VOC}, AMD EPYC (other): {none}"
    assert f"\n- {lack}\n" in page and page.count("The pass takes ") == 2
    listed = results(checkout, "--layers", "pascal")
    assert listed.startswith(f"{VOC}, AMD EPYC\n") and f"\n\n{lack}\n" in listed
    shutil.rmtree(other)
    change_records(checkout / "cpu", remove, fields=small_results.CEILINGS)
    pages = pages_of(checkout)
    assert pages.count(f"\n- {VOC}, AMD EPYC: {none}\n") == 1 and "roofline_" not in pages
    assert refusal(checkout, "--layers", "pascal") == f"{VOC}, AMD EPYC: {none}"


def test_modes_are_compared_round_by_round(pages):
    # The rounds' speed-ups by --fold are 1, 2 and 4: their geometric mean is 2, and 4.3027 * log(2)
    # / sqrt(3) is log(5.596). Those of the stock pass are 0.9, 1 and 1 / 0.9.
    assert_rows(
        pages,
        "`--keep-memory` | 2.00 (2.00 to 2.00) | 1 | 50 | none | 1.0 | 400",
        "`--fold` | 2.0 (0.4 to 11.2) | 1.0 (0.2 to 5.6) | 50 | 2e-06 | 9.0 | 400",
        f"`{TCMALLOC}` | 1.25 (1.25 to 1.25) | 0.625 (0.625 to 0.625) | 80 | none | 1.0 | 400",
        "stock | 1 | 0.500 (0.500 to 0.500) | 100 | none | 1.0 | 400",
        "stock again | 1.00 (0.77 to 1.30) | 0.50 (0.38 to 0.65) | 99.7 | none | 1.0 | 400",
        "`--train` | 0.500 (0.500 to 0.500) | 0.250 (0.250 to 0.250) | 199 | 2e-06 | 9.0 | 400",
    )
    assert_rows(pages, "`--fold` | 3: 27.5 to 90.0 | 1,000 to 3,000")
    # They start 8 s later than memory kept, and save 25 and 37.4 of its 49.8 ms in each pass.
    told = f"`{TCMALLOC} --fold --dtype bfloat16` 215, `--channels-last --fold` 322."
    start = f"{VOC}, AMD EPYC: compared with `--keep-memory`, the fastest modes amortize their"
    assert f"\n{start} longer start after this many passes: {told}\n" in pages


def test_sessions_of_modes_and_of_times_side_by_side(checkout, pages):
    start = f"{VOC}, AMD EPYC: stock takes 100 (78 to 128) ms in the table above, and"
    middle = "ms in the separate session of [Inference time](#inference-time); `--keep-memory` is"
    ratio = "2.00 (2.00 to 2.00)"
    assert f"\n{start} 100 (78 to 128) {middle} {ratio} and {ratio} times as fast.\n" in pages
    stock = checkout / TIMES / "mobilenetv2_pascal.json"
    change_records(stock, small_results.with_times, factors=2)
    twice = f"199 (155 to 256) {middle} {ratio} and 4.00 (4.00 to 4.00) times as fast. Some of"
    assert f"\n{start} {twice} these intervals do not overlap" in pages_of(checkout)


def test_modes_of_another_network_and_agreement_on_images(checkout):
    folder = checkout / "cpu/resnet18_stats/modes"
    shutil.copytree(checkout / TIMES / "modes", folder)
    for file in folder.iterdir():
        file.rename(folder / file.name.replace("mobilenetv2", "resnet18"))
    change_records(folder, small_results.with_conditions, network="resnet18")
    swapped = folder / "resnet18_pascal_channels-last_fold.json"  # 16 instead of 4 times as fast
    change_records(swapped, small_results.with_times, factors=1 / 4)
    page = results(checkout)
    fastest = "channels_last, folded"
    pair = f'"{fastest}" is faster than "tcmalloc, folded, bfloat16"'
    ratios = "16.0 (16.0 to 16.0) | 8.00 (8.00 to 8.00)"
    assert_rows(page, f"resnet18 | {VOC} | AMD EPYC | {fastest} | {ratios} | {pair}")
    assert "| MobileNet-V2 | PASCAL VOC 2012 | AMD EPYC | " in page

    def agree(record: Record) -> Record:
        shares = {"share": 0.97, "images": 200, "low": 0.936, "high": 0.986, "of": "images"}
        agreed = {f"agreement_{name}": value for name, value in shares.items()}
        return replace(record, runs=[record.runs[0] | agreed, *record.runs[1:]])

    change_records(swapped, agree)
    page = results(checkout)
    assert " | 6.2 | 194 of 200 images (93.6 to 98.6 %) | 9.0 | 400 |\n" in page


def with_ceilings(record: Record) -> Record:
    """A record with ceilings so high that all bounds are small."""
    ceilings = {"flops_per_second": 1e15, "bytes_per_second": 1e14}
    return replace(record, runs=[run | ceilings for run in record.runs])


def test_gpu_stands_beside_a_cpu(checkout):
    gpu = checkout / "devices/h200"
    for name in ("mobilenetv2_stats", "resnet18_stats"):
        shutil.copytree(checkout / "cpu" / name, gpu / name)
    change_records(gpu, small_results.on_gpu)
    for file in (gpu / "mobilenetv2_stats/layers").glob("*.json"):
        change_records(file, with_ceilings)
    page = pages_of(checkout)
    where, gpu_times = "NVIDIA H200 (h200)", "19.9 | 90.00"
    times = f"100 | 78 to 128 | 8 | {gpu_times} | 3: 90 to 110 | - | -"
    assert_rows(page, f"{where} | {times}")
    computes = "The GPU computes 20.0 ms in a pass of 100 ms; its roofline bound is 0.0055 ms"
    assert f"{where}. {computes}" in page
    assert " | 0.0055 | 0.00028 |\n" in page
    # Modes too, and a network has a row for each device.
    assert "| GPU time (ms) | Enqueue time (ms) |" in page
    for device in ("AMD EPYC", where):
        assert f"| resnet18 | {device} | " in page
    latency = (checkout / "figures/latency_pascal.svg").read_text()
    assert latency.startswith("2 panels\n")


def test_the_fastest_modes_and_their_price(checkout, pages):
    timer = "python cpu/timer.py --i pascal"
    assert_rows(
        pages,
        f"{VOC} | with identical output | `{timer} --keep-memory`"
        " | 2.00 (2.00 to 2.00) | none | 400 | 400",
        f"{VOC} | in float32 | `{timer} --channels-last --fold`"
        " | 4.00 (4.00 to 4.00) | 2e-06 | 400 | 400",
        f"{VOC} | overall | `{TCMALLOC} {timer} --fold --dtype bfloat16`"
        " | 8.00 (8.00 to 8.00) | 2e-06 | 400 | 400",
    )
    # --train, which makes it another function, is no advice however fast it is.
    file = checkout / TIMES / "modes/mobilenetv2_pascal_train.json"
    change_records(file, small_results.with_times, factors=0.01)
    assert "overall | `python cpu/timer.py --i pascal --train`" not in pages_of(checkout)


def test_findings(pages):
    # 15 ms of each stock pass, of 399 and of 100 ms, are page faults.
    times = "\N{MULTIPLICATION SIGN}"
    modes = "tcmalloc, folded, bfloat16"
    findings = [
        "- **Page faults** take 4 % of a stock pass at Cityscapes size and 15 % of a stock pass "
        f"at {VOC} size. Keeping freed memory in the process avoids these faults and the cache "
        f"misses that they cause: the pass is 2.00{times} and 2.00{times} as fast, with identical "
        "output.",
        "- **Fastest mode by precision**, relative to stock. At Cityscapes size: tcmalloc, float32 "
        f"5.00{times}; {modes} 10.0{times}. At {VOC} size: channels_last, folded, float32 "
        f"4.00{times}; {modes} 8.00{times}. "
        "Weights here are random: check the accuracy of lower precisions with yours.",
    ]
    assert "\n".join(findings) in pages
    assert "\n- **MACs do not predict time**: at Cityscapes size, " in pages


def test_modes_of_other_rounds_groups_and_inputs(checkout):
    def in_groups(record: Record, order_seed: int = 7) -> Record:
        """As where memory does not hold all runs of a round: stock has a run in each group, --train
        in the second, in a minute when all takes twice as long."""
        runs = [run | {"group": 1, "order_seed": order_seed} for run in record.runs]
        second = replace(small_results.with_times(record, 2), runs=runs)
        if record.mode.train:
            return second
        return records.join([record, second]) if record.mode == STOCK else record

    modes = checkout / TIMES / "modes"
    train = modes / "mobilenetv2_pascal_train.json"
    change_records(modes, in_groups)
    change_records(train, small_results.with_runs, count=2)  # compared by the rounds that both have
    ratios = "0.500 (0.500 to 0.500) | 0.250 (0.250 to 0.250)"
    assert f"\n| `--train` | {ratios} | " in results(checkout)
    change_records(train, in_groups, order_seed=8)
    other = "\n| `--train` | of other rounds | of other rounds | "
    assert results(checkout).count(other) == 1
    # As in a timer's own --json.
    change_records(train, small_results.without_fields, fields=("round", "group"))
    for file in modes.glob("mobilenetv2_cityscapes_fold.*"):
        file.unlink()
    page = results(checkout)
    assert page.count(other) == 1 and page.count("\n| `--fold` | 2.0 ") == 1
    file = modes / "mobilenetv2_cityscapes_stock.json"
    file.unlink()
    assert refusal(checkout) == f"{file} is missing; modes.sh creates it"


def test_networks_and_memory(checkout, pages):
    assert_rows(
        pages,
        "MobileNet-V2 | AMD EPYC | 100 (78 to 128) | 50 (39 to 64) | 2.621 | 2.000 | 32.0 | -",
        "resnet18 | AMD EPYC | 199 (155 to 256) | - | 7.864 | 6.000 | 52.0 | 79",
    )
    assert_rows(
        pages,
        "MobileNet-V2 | Cityscapes | cpu | 6.00 | 2.621 | 1.573 | 95.0 | 8.000",
        f"MobileNet-V2 | {VOC} | cpu | 3.00 | 2.621 | 0.786 | 32.0 | 2.000",
    )
    report, structure = small_results.make_memory("pascal")
    of_4 = replace(report.input, batch_size=4, input_shape=[4, 3, 500, 334])
    on_gpu = replace(report, device="A GPU", input=of_4, measured_peak=40 * MIB)
    file = checkout / "memory_reports/mobilenetv2_pascal.json"
    small_results.store(file, on_gpu)
    assert refusal(checkout).startswith(f"{file} has no structure of the same input; summary.sh ")
    file = checkout / "model_structures_s_4/mobilenetv2_pascal.json"
    small_results.store(file, replace(structure, input=of_4))
    page, sizes = results(checkout), "3.00 | 2.621 | 0.786 | 32.0 | 40.0 | 2.000"
    assert_rows(page, f"MobileNet-V2 | {VOC} | A GPU, batch 4 | {sizes}")
    # The times are of one image: no memory report is of that.
    times = "100 (78 to 128) | 50 (39 to 64)"
    assert_rows(page, f"MobileNet-V2 | AMD EPYC | {times} | - | - | - | -")


def test_networks_are_those_of_their_records(checkout):
    # A mode of one network alone is beside no other.
    kept = checkout / f"{TIMES}_keep-memory"
    change_records(kept, with_conditions, channels_last="True")
    change_records(kept, small_results.without_fields, fields=("output_difference",))
    pages, mode = pages_of(checkout), "AMD EPYC, --keep-memory --channels-last | 50 "
    assert f"\n| {mode}" in pages and "2 threads, --keep" not in pages
    both = {"keep_memory": "True", "channels_last": "True"}
    change_records(checkout / "cpu/resnet18_stats", with_conditions, **both)
    assert "\n| MobileNet-V2 | AMD EPYC, --channels-last | - | 50 " in results(checkout)
    # Files and folders may be called anything.
    for path in sorted(checkout.rglob("*resnet18*"), reverse=True):  # a folder after its files
        path.rename(path.with_name(path.name.replace("resnet18", "my_stats")))
    folder, weights = checkout / "cpu/my_stats_stats", "trained.pt 0123456789ab"
    device = f"AMD EPYC, --channels-last, weights {weights}"
    for conditions, network, sizes in (
        ({"weights": weights}, "resnet18", "7.864 | 6.000 | 52.0"),
        ({"output_stride": 16}, "resnet18, output stride 16", "- | - | -"),
        ({"network": "MobileNetV2", "file_id": "0123456789ab"}, "MobileNetV2 (own)", "- | - | -"),
    ):
        change_records(folder, with_conditions, **conditions)
        row = f"{network} | {device} | - | 199 (155 to 256) | {sizes} | 79"
        assert_rows(results(checkout), row)


def test_times_of_batches_threads_gpus_and_one_process(checkout):
    def batch_of_4(record: Record) -> Record:
        images = [replace(row, input_shape=[4, *row.input_shape[1:]]) for row in record.rows]
        return with_conditions(replace(record, rows=images), batch_size=4)

    times = checkout / TIMES
    change_records(times, batch_of_4)
    page = results(checkout)
    assert "\n| AMD EPYC, batch size 4 | 100 | 78 to 128 | 8 | 3: 90 to 110 | " in page
    change_records(times, with_conditions, batch_size=1, threads=1, threads_chosen=1)
    pages = pages_of(checkout)
    assert "| AMD EPYC, 1 thread | 100 | 8 | " in pages
    assert "| AMD EPYC, 2 threads, --keep-memory | 50 | 4 | " in pages
    change_records(times, small_results.without_fields, fields=("threads", "threads_chosen"))
    about = {"device": "A GPU", "cuda_version": "12.8", "cudnn_version": "91002"}
    about |= {"cudnn_allow_tf32": "True"}
    for capability, tf32 in (("7.5", ""), ("8.0", ", TF32 convolutions"), ("12.0", ", TF32 ")):
        change_records(times, with_conditions, compute_capability=capability, **about)
        assert f", CUDA 12.8, cuDNN 91002{tf32 or '; 3 processes'}" in results(checkout)
    change_records(times, with_conditions, cudnn_allow_tf32="False")
    page = results(checkout)
    assert ", cuDNN 91002; 3 processes" in page and "No times on a GPU" not in page
    assert "`python timer.py --i pascal --keep-memory`" in page
    change_records(times, small_results.with_runs, count=1)
    page = results(checkout)
    assert_rows(page, "A GPU | 90.0 | - | 1.58 | 1: 90.0 | 90 | 1,200")
    assert_rows(pages_of(checkout), f"{VOC} | A GPU | 1.00 | 1.00")
    assert "; 1 process (which gives no interval) with 1 warm-up and 4 timed passes" in page
    assert "What to try first" not in page  # no mode is certain to be faster


def test_parts_without_results_are_left_out(checkout):
    gone = [*checkout.glob("cpu/resnet18_stats/**/*cityscapes*"), *checkout.rglob("*LD_PRELOAD*")]
    for file in gone:
        file.unlink()
    pages = pages_of(checkout)
    assert "modes.svg" in pages and "allocators.svg" not in pages
    shutil.rmtree(checkout / TIMES / "modes")
    shutil.rmtree(checkout / "cpu/resnet18_stats")
    page = results(checkout)
    for part in ("## Modes", "modes.svg", "## Networks", "networks.svg"):
        assert part not in page
    for file in checkout.rglob("*_cityscapes*.*"):
        file.unlink()
    pages_of(checkout)
    assert "no times of cityscapes are stored; " in refusal(checkout, "--layers", "cityscapes")
    with pytest.raises(SystemExit, match="2"):
        results(checkout, "--layers", "imagenet")


def test_each_device_has_its_rows(checkout):
    shutil.copytree(checkout / "cpu", checkout / "devices/other/cpu")
    shutil.copytree(checkout / "memory_reports", checkout / "devices/other/memory_reports")
    pages = pages_of(checkout)
    for row in (
        *("AMD EPYC (other) | 100 | 78", "AMD EPYC (other), --keep-memory | 50 | 39"),
        f"{VOC} | AMD EPYC (other) | 1.020 (",
        f"{VOC} | AMD EPYC (other), 2 threads, --keep-memory | 50 | ",
    ):
        assert f"\n| {row}" in pages and f"\n| {row.replace(' (other)', '')}" in pages
    assert pages.index(f"| {VOC} | cpu | 3.00") < pages.index(f"| {VOC} | cpu (other) | 3.00")
    assert (checkout / "figures/roofline_pascal.svg").read_text().startswith("4 panels\n")


def test_trials_simulated_comparisons_and_passes_per_process(checkout, pages):
    same = "VOC, twice | 2 | 1 undecided, 1 faster | 1.00 to 1.10 | 5.00 | 5 | 30 | 2.66 to 3.93"
    assert_rows(pages, same, "VOC, another | 1 | 1 faster | 2.00 | 5.00 | 5 | 30 | 2.66")
    assert_rows(pages, "normal, 1 % | 10 | 0 / 5 | 6.8 / 5.0 | 98 / 98 | 2.0 / 0.0")
    assert_rows(pages, "VOC | 60 | 12.3 | 21.3 | 4.57")
    file = checkout / "tools/trials.json"
    file.write_text('[{"title": "VOC"}]')
    assert refusal(checkout).startswith(f"{file} holds no Trial")
    file.unlink()
    results(checkout)
    words = ("--title", "twice", "--file", "/proc/none/trials.json", "no-timer")
    assert_one_line(python("tools/trials.py", *words), "/proc/none/trials.json")
