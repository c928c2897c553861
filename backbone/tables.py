"""The stored files as tables: Markdown for the README, and the list of operations."""

from collections.abc import Iterable
from itertools import product
from statistics import median
from typing import TYPE_CHECKING

from backbone.flags import EXACT
from backbone.inputs import DATASETS
from backbone.intervals import Interval, interval, mean_of_runs, ratio_of_rounds
from backbone.reports import Memory
from backbone.roofline import Total, floor, total, total_by_kind
from backbone.stored import Modes, Times, of_first, speed_ups, title_of

if TYPE_CHECKING:
    from backbone.records import Record

FLOORS = (
    "A floor is the least time that the machine's two measured ceilings, a matrix product's "
    "GFLOP/s and a copy's GB/s, allow the operations one by one. One that finds its data in the "
    "caches can be faster, and one in place, which need not fetch what it overwrites."
)
SPEED_UPS = (
    "Speed-up is the median of the rounds' ratios of the stock pass's time to the mode's, with "
    "Student's interval of their mean. The output difference is the largest, over the largest "
    "value of the stock float32 output; `--train`, which drops out at random and normalises by the "
    "image's own statistics, is another function. The peak of what is compiled has the compiler in "
    "it on a CPU."
)


def format_tables(times: list[Times], modes: list[Modes], memory: list[Memory]) -> list[str]:
    """All tables of the README, line by line."""
    first = of_first(times)
    head = "Model|Dataset|Device|Inference Time (ms)|95 % interval|Std (ms)|FPS|"
    head += "Page faults|System time (ms)|Peak resident (MB)"
    lines = ["#### Inference time", ""]
    lines += format_table(head, [time_cells(*pair) for pair in product(DATASETS, first)])
    lines += ["", *(f"- {format_conditions(device)}" for device in first)]
    if not any("cuda_version" in device.conditions() for device in first):
        lines += ["- No GPU's times are stored here yet."]
    lines += ["", "#### Sums of the rows against the stock pass", ""]
    head = "Dataset|Device|Blocks' sum / stock pass|Layers' sum / stock pass"
    lines += format_table(head, [closure_cells(*pair) for pair in product(DATASETS, first)])
    lines += ["", "#### Where the time goes", ""]
    for dataset, device in product(DATASETS, first):
        lines += [*kind_lines(dataset, device), ""]
    if any(device.lack(dataset) is None for dataset, device in product(DATASETS, first)):
        lines += [FLOORS, ""]
    lines += ["#### Modes", ""] * bool(modes)
    for dataset, device in product(DATASETS, modes):
        lines += [*mode_lines(dataset, device), ""]
    lines += [SPEED_UPS, ""] * bool(modes)
    if len(times) > len(first):
        lines += ["#### Networks", "", *model_lines(times, memory), ""]
        lines += [f"- {title_of(each.network)}, {format_conditions(each)}" for each in times] + [""]
    lines += ["#### Memory", ""]
    head = "Model|Dataset|Reported on|Allocated Memory (MB)|# Params (M)|# Tensors (M)|"
    head += "Peak Memory (MB)<br>predicted / measured|MACs (G)"
    lines += format_table(head, [memory_cells(report) for report in memory])
    return [*lines, "", "MB are 1024² bytes, M and G are 10⁶ and 10⁹.", ""]


def format_table(head: str, rows: Iterable[list[str]]) -> list[str]:
    """Lines of a Markdown table; head: the columns' names, between bars."""
    names = head.split("|")
    return [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows)]


def time_cells(dataset: str, device: Times) -> list[str]:
    """Mean, its interval and the population std in ms, images a second, and what the process used
    of the system."""
    row, runs = device.whole("model", dataset), device.records["model", dataset].runs
    mean, half_width = mean_of_runs(row.samples)
    used = ["-"] * 3
    if row.page_faults and "system_time" in runs[0]:
        used = [
            f"{median(row.page_faults):,.0f}",
            f"{1000 * median(each['system_time'] for each in runs):.0f}",
            f"{median(each['peak_resident_memory'] for each in runs) / 2**20:.0f}",
        ]
    return [
        title_of(device.network),
        DATASETS[dataset].title,
        device.name,
        f"{mean:.3f}",
        "-" if half_width is None else f"± {half_width:.3f}",
        f"{row.samples.std():.3f}",
        f"{1000 * row.input_shape[0] / mean:.2f}",
        *used,
    ]


def closure_cells(dataset: str, device: Times) -> list[str]:
    """The sums of the blocks and of the layers, as ratios to the stock pass of the same round."""
    stock = device.whole("model", dataset).samples
    ratios = [
        ratio_of_rounds(device.whole(target, dataset).samples, stock)
        for target in ("block", "layer")
    ]
    return [DATASETS[dataset].title, device.name, *map(format_ratio, ratios)]


def kind_lines(dataset: str, device: Times) -> list[str]:
    """A device's operations by kind, and what its floor is; or why there is no such table."""
    if lack := device.lack(dataset):
        return [f"- {lack}"]
    ceilings, rows = device.ceilings(dataset), device.layers(dataset)
    whole = total("all", rows, ceilings)
    head = "Kind|Operations|Time (ms)|% of the time|% of the MACs|GFLOP/s|GB/s|Floor (ms)|"
    head += "Floor / time|Page faults"
    kinds = [*total_by_kind(rows, ceilings), whole]
    return [
        f"{DATASETS[dataset].title}, {device.name}:",
        "",
        *format_table(head, [kind_cells(kind, whole) for kind in kinds]),
        "",
        f"The pass takes {whole.time:.1f} ms, its floor is {whole.floor:.1f} ms, at "
        f"{ceilings.flops_per_second / 1e9:.0f} GFLOP/s and "
        f"{ceilings.bytes_per_second / 1e9:.1f} GB/s.",
    ]


def kind_cells(kind: Total, whole: Total) -> list[str]:
    """A kind's share of the pass, what it attains, and how close that is to its floor."""
    seconds = kind.time / 1e3
    return [
        kind.kind,
        str(kind.operations),
        f"{kind.time:.2f}",
        f"{100 * kind.time / whole.time:.1f}",
        f"{100 * kind.macs / whole.macs:.1f}",
        f"{2 * kind.macs / seconds / 1e9:.1f}" if kind.macs else "-",
        f"{kind.bytes_moved / seconds / 1e9:.1f}" if kind.bytes_moved else "-",
        f"{kind.floor:.2f}",
        f"{kind.floor / kind.time:.2f}",
        "-" if kind.page_faults is None else f"{kind.page_faults:,}",
    ]


def model_lines(times: list[Times], memory: list[Memory]) -> list[str]:
    """All networks beside each other: time, size, and what they attain."""
    head = "Model|Dataset|Device|Inference Time (ms)|95 % interval|FPS|# Params (M)|MACs (G)|"
    head += "Peak Memory (MB)|GFLOP/s|Passes"
    sizes = {(report.network, report.dataset): report for report in reversed(memory)}
    rows = []
    for dataset, device in product(DATASETS, times):
        row, report = device.whole("model", dataset), sizes.get((device.network, dataset))
        title, dataset_title, name, mean, width, _, frames, *_ = time_cells(dataset, device)
        about = ["-"] * 3
        if report:
            size = f"{report.parameters / 1e6:.1f}"
            about = [size, f"{report.macs / 1e9:.2f}", report.predicted_peak]
        attained = f"{2e-6 * row.cost.macs / row.samples.mean():.1f}" if row.cost else "-"
        about += [attained, "{} x {}".format(*row.samples.shape)]
        rows.append([title, dataset_title, name, mean, width, frames, *about])
    return format_table(head, rows)


def mode_lines(dataset: str, device: Modes) -> list[str]:
    """A device's modes against the stock pass, the fastest first."""
    modes = device.records[dataset]
    head = "Mode|Speed-up|95 % interval|Time (ms)|FPS|Output difference|Page faults|Peak (MB)"
    order = sorted(modes, key=lambda mode: modes[mode].rows[-1].samples.mean())
    order.sort(key=lambda mode: (mode != "stock", mode != "stock again"))
    rows = [mode_cells(mode, modes[mode], modes["stock"]) for mode in order]
    where = f"{title_of(device.network)}, {DATASETS[dataset].title}, {device.name}:"
    return [where, "", *format_table(head, rows)]


def mode_cells(mode: str, record: "Record", stock: "Record") -> list[str]:
    """How many times as fast as the stock pass of the same round, and what a pass takes."""
    row, ratios = record.rows[-1], speed_ups(record, stock)
    peak = "peak_resident_memory" if "threads" in record.conditions else "peak_allocated_memory"
    differences = [run["output_difference"] for run in record.runs if "output_difference" in run]
    exact = record.conditions.get("mode", "") in EXACT
    peaks = [run[peak] for run in record.runs if peak in run]
    return [
        f"`{mode}`" if mode.startswith("-") else mode,
        f"{median(ratios):.2f}" if ratios else "of other rounds",
        format_range(interval(ratios)) if len(ratios) > 1 else "-",
        f"{row.samples.mean():.1f}",
        f"{1000 * row.input_shape[0] / row.samples.mean():.2f}",
        f"{max(differences):.0e}" if differences else "none" if exact else "-",
        f"{median(row.page_faults):,.0f}" if row.page_faults else "-",
        f"{median(peaks) / 2**20:.0f}" if peaks else "-",
    ]


def format_range(ratio: Interval) -> str:
    return f"{ratio.mean - ratio.half_width:.2f} to {ratio.mean + ratio.half_width:.2f}"


def format_layers(device: Times, dataset: str) -> str:
    """A device's operations by the time that they lose against the floor, the ten worst apart; or
    why there is no such list."""
    if lack := device.lack(dataset):
        return f"{lack}\n"
    ceilings = device.ceilings(dataset)
    times = {row: float(row.samples.mean()) for row in device.layers(dataset)}
    lost = {row: time - floor(row.cost, ceilings) for row, time in times.items()}
    lines = [
        f"{lost[row]:9.3f} {times[row]:9.3f} {times[row] - lost[row]:9.3f}  "
        f"{row.cost.kind:<22} {row.path or '-':<22} {row.input_shape}"
        for row in sorted(lost, key=lost.get, reverse=True)
    ]
    head = (
        f"{'lost, ms':>9} {'time, ms':>9} {'floor, ms':>9}  {'kind':<22} {'path':<22} input shape"
    )
    title = f"{DATASETS[dataset].title}, {device.name}"
    return "\n".join([title, head, *lines[:10], "", *lines[10:]]) + "\n"


def format_ratio(ratio: Interval) -> str:
    width = "" if ratio.half_width is None else f" ± {ratio.half_width:.3f}"
    return f"{ratio.mean:.3f}{width}"


def memory_cells(report: Memory) -> list[str]:
    """What a memory report and its structure say, in the units of the head."""
    return [
        title_of(report.network),
        DATASETS[report.dataset].title,
        report.reported_on,
        report.allocated,
        f"{report.parameters / 1e6:.3f}",
        f"{report.tensors / 1e6:.3f}",
        f"{report.predicted_peak} / {report.measured_peak or '-'}",
        f"{report.macs / 1e9:.3f}",
    ]


def format_conditions(device: Times) -> str:
    """One line on what a device's times were measured with."""
    about, row = device.conditions(), device.whole("model", "pascal")
    software = [f"torch {about['torch_version']}", f"torchvision {about['torchvision_version']}"]
    if "cuda_version" in about:
        software += [f"CUDA {about['cuda_version']}", f"cuDNN {about['cudnn_version']}"]
        # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
        tf32 = about["cudnn_allow_tf32"] == "True" and float(about["compute_capability"]) >= 8.0
        software += ["TF32 convolutions"] if tf32 else []
    else:
        software += [f"{about['threads']} threads"]
    software += [f"`{about['mode']}`"] if "mode" in about else []
    (runs, iterations), date = row.samples.shape, device.records["model", "pascal"].runs[0]["date"]
    processes = f"{runs} processes" if runs > 1 else "one process (which gives no interval)"
    return (
        f"{device.name}: {processes} of {about['warmup']} warm-up and {iterations} timed passes, "
        f"batch size {row.input_shape[0]}, {about['dtype']}, {', '.join(software)}; {date[:10]}"
    )
