"""The stored files as tables: Markdown for the README, and the list of operations."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, product, starmap
from statistics import median

from backbone.flags import EXACT
from backbone.inputs import DATASETS
from backbone.intervals import interval
from backbone.records import Record
from backbone.reports import Memory
from backbone.roofline import Total, floor, total, total_by_kind
from backbone.script import Failure
from backbone.stored import TARGETS, Stored, of_first, speed_ups, title_of

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
UNITS = "MB are 1024² bytes, M and G are 10⁶ and 10⁹."


def format_tables(times: list[Stored], modes: list[Stored], memory: list[Memory]) -> list[str]:
    """All tables of the README, and what is said of them, block by block."""
    first = of_first(times)
    pairs = list(product(DATASETS, first))
    measured = [f"- {format_conditions(device)}" for device in first]
    if not any("cuda_version" in device.conditions for device in first):
        measured.append("- No GPU's times are stored here yet.")
    blocks = ["#### Inference time", format_table(time_cells, pairs), "\n".join(measured)]
    blocks += ["#### Sums of the rows against the stock pass", format_table(closure_cells, pairs)]
    blocks += ["#### Where the time goes", *chain.from_iterable(starmap(kind_blocks, pairs))]
    blocks += [FLOORS] if any(device.lack(dataset) is None for dataset, device in pairs) else []
    if modes:
        of_modes = starmap(mode_blocks, product(DATASETS, modes))
        blocks += ["#### Modes", *chain.from_iterable(of_modes), SPEED_UPS]
    if times != first:
        measured = [f"- {title_of(each.network)}, {format_conditions(each)}" for each in times]
        networks = format_table(partial(network_cells, memory), product(DATASETS, times))
        blocks += ["#### Networks", networks, "\n".join(measured)]
    return [*blocks, "#### Memory", format_table(memory_cells, zip(memory)), UNITS]


def format_table(cells_of: Callable[..., dict[str, str]], things: Iterable[tuple]) -> str:
    """A Markdown table of a row for each thing: its cells, by the heads of their columns."""
    rows = list(starmap(cells_of, things))
    lines = [rows[0], ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def show(form: str, value: float | None, scale: float = 1) -> str:
    """A value, times a scale, in a form such as "{:.2f}"; "-" where there is none."""
    return "-" if value is None else form.format(scale * value)


def time_cells(dataset: str, device: Stored) -> dict[str, str]:
    """Mean, its interval and the population std in ms, images a second, and what the process used
    of the system."""
    record = device.records[dataset]["model"]
    row = record.rows[-1]
    mean, half_width = interval(row.run_means)
    return {
        "Model": title_of(device.network),
        "Dataset": DATASETS[dataset].title,
        "Device": device.name,
        "Inference Time (ms)": f"{mean:.3f}",
        "95 % interval": show("± {:.3f}", half_width),
        "Std (ms)": f"{row.samples.std():.3f}",
        "FPS": f"{1000 * row.input_shape[0] / mean:.2f}",
        "Page faults": f"{median(row.page_faults):,.0f}" if row.page_faults else "-",
        "System time (ms)": show("{:.0f}", record.median("system_time"), 1000),
        "Peak resident (MB)": show("{:.0f}", record.median("peak_resident_memory"), 2**-20),
    }


def closure_cells(dataset: str, device: Stored) -> dict[str, str]:
    """The sums of the blocks and of the layers, as ratios to the stock pass of the same round."""
    cells = {"Dataset": DATASETS[dataset].title, "Device": device.name}
    stock, *sums = (device.records[dataset][target].rows[-1].run_means for target in TARGETS)
    for name, of_runs in zip(("Blocks'", "Layers'"), sums, strict=True):
        ratio, half_width = interval(of_runs / stock)
        width = "" if half_width is None else f" ± {half_width:.3f}"
        cells[f"{name} sum / stock pass"] = f"{ratio:.3f}{width}"
    return cells


def kind_blocks(dataset: str, device: Stored) -> list[str]:
    """A device's operations by kind, and what its floor is; or why there is no such table."""
    if lack := device.lack(dataset):
        return [f"- {lack}"]
    ceilings, rows = device.ceilings(dataset), device.rows(dataset, "layer")
    whole = total("all", rows, ceilings)
    return [
        f"{DATASETS[dataset].title}, {device.name}:",
        format_table(kind_cells, product([*total_by_kind(rows, ceilings), whole], [whole])),
        f"The pass takes {whole.time:.1f} ms, its floor is {whole.floor:.1f} ms, at "
        f"{ceilings.flops_per_second / 1e9:.0f} GFLOP/s and "
        f"{ceilings.bytes_per_second / 1e9:.1f} GB/s.",
    ]


def kind_cells(kind: Total, whole: Total) -> dict[str, str]:
    """A kind's share of the pass, what it attains, and how close that is to its floor."""
    seconds = kind.time / 1e3
    return {
        "Kind": kind.kind,
        "Operations": str(kind.operations),
        "Time (ms)": f"{kind.time:.2f}",
        "% of the time": f"{100 * kind.time / whole.time:.1f}",
        "% of the MACs": f"{100 * kind.macs / whole.macs:.1f}",
        "GFLOP/s": f"{2 * kind.macs / seconds / 1e9:.1f}" if kind.macs else "-",
        "GB/s": f"{kind.bytes_moved / seconds / 1e9:.1f}" if kind.bytes_moved else "-",
        "Floor (ms)": f"{kind.floor:.2f}",
        "Floor / time": f"{kind.floor / kind.time:.2f}",
        "Page faults": show("{:,}", kind.page_faults),
    }


def mode_blocks(dataset: str, device: Stored) -> list[str]:
    """A device's modes against the stock pass, the fastest first."""
    modes = device.records[dataset]
    order = sorted(modes, key=lambda mode: modes[mode].rows[-1].mean)
    order.sort(key=lambda mode: (mode != "stock", mode != "stock again"))
    return [
        f"{title_of(device.network)}, {DATASETS[dataset].title}, {device.name}:",
        format_table(mode_cells, [(mode, modes[mode], modes["stock"]) for mode in order]),
    ]


def mode_cells(mode: str, record: Record, stock: Record) -> dict[str, str]:
    """How many times as fast as the stock pass of the same round, and what a pass takes."""
    row, ratios = record.rows[-1], speed_ups(record, stock)
    mean, width = interval(ratios) if ratios else (None, None)
    differences = [run["output_difference"] for run in record.runs if "output_difference" in run]
    exact = record.conditions.get("mode", "") in EXACT
    peak = record.median("peak_resident_memory") or record.median("peak_allocated_memory")
    return {
        "Mode": f"`{mode}`" if mode.startswith("-") else mode,
        "Speed-up": f"{median(ratios):.2f}" if ratios else "of other rounds",
        "95 % interval": f"{mean - width:.2f} to {mean + width:.2f}" if width is not None else "-",
        "Time (ms)": f"{row.mean:.1f}",
        "FPS": f"{1000 * row.input_shape[0] / row.mean:.2f}",
        "Output difference": f"{max(differences):.0e}" if differences else "none" if exact else "-",
        "Page faults": f"{median(row.page_faults):,.0f}" if row.page_faults else "-",
        "Peak (MB)": show("{:.0f}", peak, 2**-20),
    }


def network_cells(memory: list[Memory], dataset: str, device: Stored) -> dict[str, str]:
    """A network beside others: time, size by a memory report of like input, what it attains."""
    (row,) = device.rows(dataset, "model")
    like = (device.network, dataset, row.input_shape[0])
    size = next((each for each in memory if (each.network, each.dataset, each.batch) == like), None)
    shown = ("Model", "Dataset", "Device", "Inference Time (ms)", "95 % interval", "FPS")
    return {head: time_cells(dataset, device)[head] for head in shown} | {
        "# Params (M)": f"{size.parameters / 1e6:.1f}" if size else "-",
        "MACs (G)": f"{size.macs / 1e9:.2f}" if size else "-",
        "Peak Memory (MB)": f"{size.predicted_peak:.1f}" if size else "-",
        "GFLOP/s": f"{2e-6 * row.cost.macs / row.mean:.1f}" if row.cost else "-",
        "Passes": "{} x {}".format(*row.samples.shape),
    }


def memory_cells(report: Memory) -> dict[str, str]:
    """What a memory report and its structure say, in the units of the head."""
    peaks = f"{report.predicted_peak:.1f} / {show('{:.1f}', report.measured_peak)}"
    return {
        "Model": title_of(report.network),
        "Dataset": DATASETS[report.dataset].title,
        "Reported on": report.device + f", batch {report.batch}" * (report.batch != 1),
        "Allocated Memory (MB)": f"{report.allocated:.2f}",
        "# Params (M)": f"{report.parameters / 1e6:.3f}",
        "# Tensors (M)": f"{report.tensors / 1e6:.3f}",
        "Peak Memory (MB)<br>predicted / measured": peaks,
        "MACs (G)": f"{report.macs / 1e9:.3f}",
    }


def format_conditions(device: Stored) -> str:
    """One line on what a device's times were measured with."""
    about, record = device.conditions, device.records["pascal"]["model"]
    software = [f"torch {about['torch_version']}", f"torchvision {about['torchvision_version']}"]
    if "cuda_version" in about:
        software += [f"CUDA {about['cuda_version']}", f"cuDNN {about['cudnn_version']}"]
        # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
        tf32 = about["cudnn_allow_tf32"] == "True" and float(about["compute_capability"]) >= 8.0
        software += ["TF32 convolutions"] if tf32 else []
    else:
        software += [f"{about['threads']} threads"]
    software += [f"`{about['mode']}`"] if "mode" in about else []
    runs, iterations = record.rows[-1].samples.shape
    processes = f"{runs} processes" if runs > 1 else "one process (which gives no interval)"
    return (
        f"{device.name}: {processes} of {about['warmup']} warm-up and {iterations} timed passes, "
        f"batch size {record.rows[-1].input_shape[0]}, {about['dtype']}, {', '.join(software)}; "
        f"{record.runs[0]['date'][:10]}"
    )


def format_layers(times: list[Stored], dataset: str) -> str:
    """The operations by the time that they lose against their floor, device by device, the ten
    worst apart; or why there is no such list. Raises script.Failure where there is none at all."""
    texts = []
    for device in times:
        lack, ceilings = device.lack(dataset), device.ceilings(dataset)
        if lack:
            texts.append(lack)
            continue
        lost = {row: row.mean - floor(row.cost, ceilings) for row in device.rows(dataset, "layer")}
        lines = [
            f"{lost[row]:9.3f} {row.mean:9.3f} {row.mean - lost[row]:9.3f}  "
            f"{row.cost.kind:<22} {row.path or '-':<22} {row.input_shape}"
            for row in sorted(lost, key=lost.get, reverse=True)
        ]
        title = f"{DATASETS[dataset].title}, {device.name}"
        head = f" lost, ms  time, ms floor, ms  {'kind':<22} {'path':<22} input shape"
        texts.append("\n".join([title, head, *lines[:10], "", *lines[10:]]))
    if all(device.lack(dataset) for device in times):
        raise Failure(texts[0])
    return "\n\n".join(texts)
