"""The stored files as tables: Markdown for the README, and the list of operations."""

from collections import Counter
from collections.abc import Iterable
from statistics import median

from backbone.flags import EXACT
from backbone.inputs import DATASETS
from backbone.roofline import Ceilings, Cost, floor, sum_costs
from backbone.rows import Row, interval
from backbone.script import Failure
from backbone.stored import FIRST, TARGETS, Memory, Stored, by_device, of_first, speed_ups


def format_parts(
    times: list[Stored], modes: list[Stored], memory: list[Memory]
) -> dict[str, list[str]]:
    """The tables of the README, and what is said of them, block by block: by part, which is empty
    where there is nothing for it."""
    first = of_first(times)
    others = [each for each in times if each not in first]
    conditions = format_conditions(first)
    if not any("cuda_version" in each.records["model"].conditions for each in first):
        conditions += "\n- No GPU's times are stored here yet."
    networks = format_table(network_cells(each, memory) for each in times)
    reports = [report for report in memory if report.network == FIRST]
    return {
        "Inference time": [format_table(map(time_cells, first)), conditions],
        "Where the time goes": [block for each in first for block in kind_blocks(each)],
        "Modes": mode_blocks(modes),
        "Networks": [networks, format_conditions(others)] * bool(others),
        "Memory": [format_table(map(memory_cells, reports))] * bool(reports),
        "Sums of the rows": [format_table(map(closure_cells, first))],
    }


def format_table(rows: Iterable[dict[str, str]]) -> str:
    """A Markdown table of rows: their cells, by the heads of the columns."""
    rows = list(rows)
    lines = [rows[0], ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def show(form: str, value: float | None) -> str:
    """A value in a form such as "{:.2f}"; "-" where there is none."""
    return "-" if value is None else form.format(value)


def time_cells(times: Stored) -> dict[str, str]:
    """Mean, interval and population std in ms, images a second, and what of the system it takes."""
    record = times.records["model"]
    row = record.rows[-1]
    mean, half_width = interval(row.run_means)
    return {
        "Model": times.network,
        "Dataset": times.dataset,
        "Device": times.device,
        "Inference Time (ms)": f"{mean:.3f}",
        "95 % interval": show("± {:.3f}", half_width),
        "Std (ms)": f"{row.samples.std():.3f}",
        "FPS": f"{1000 * row.input_shape[0] / mean:.2f}",
        "Page faults": show("{:,.0f}", row.median_faults),
        "System time (ms)": show("{:.0f}", record.median("system_time", 1000)),
        "Peak resident (MB)": show("{:.0f}", record.median("peak_resident_memory", 2**-20)),
    }


def closure_cells(times: Stored) -> dict[str, str]:
    """The sums of the blocks and of the layers, as ratios to the stock pass of the same round."""
    cells = {"Dataset": times.dataset, "Device": times.device}
    stock, block, layer = (times.records[target].rows[-1].run_means for target in TARGETS)
    for name, sums in {"Blocks'": block, "Layers'": layer}.items():
        ratio, half_width = interval(sums / stock)
        width = "" if half_width is None else f" ± {half_width:.3f}"
        cells[f"{name} sum / stock pass"] = f"{ratio:.3f}{width}"
    return cells


def by_kind(rows: list[Row]) -> dict[str, list[Row]]:
    """Layers' rows, kind by kind, the one that takes longest first; those of kinds that take less
    than one percent of the time are together."""
    times, kinds = Counter(), {}
    for row in rows:
        times[row.cost.kind] += row.mean
    small = [kind for kind, time in times.items() if time < times.total() / 100]
    for row in rows:
        kind = ", ".join(small) if row.cost.kind in small else row.cost.kind
        kinds.setdefault(kind, []).append(row)
    return dict(sorted(kinds.items(), key=lambda kind: -sum(row.mean for row in kind[1])))


def add_up(rows: list[Row], ceilings: Ceilings) -> tuple[float, float, Cost]:
    """Layers' rows together: time and floor, in milliseconds a pass, and what they cost."""
    time = sum(row.mean for row in rows)
    least = sum(floor(row.cost, ceilings) for row in rows)
    return time, least, sum_costs(row.cost for row in rows)


def kind_blocks(times: Stored) -> list[str]:
    """The operations by kind, and what their floor is; or why there is no such table."""
    if times.lack:
        return [f"- {times.lack}"]
    ceilings, rows = times.ceilings, times.rows("layer")
    time, least, _ = add_up(rows, ceilings)
    kinds = by_kind(rows) | {"all": rows}
    return [
        f"{times.title}. The pass takes {time:.1f} ms, its floor is {least:.1f} ms, by ceilings of "
        f"{ceilings.flops_per_second / 1e9:.0f} GFLOP/s and "
        f"{ceilings.bytes_per_second / 1e9:.1f} GB/s.",
        format_table(kind_cells(kind, inside, rows, ceilings) for kind, inside in kinds.items()),
    ]


def kind_cells(kind: str, rows: list[Row], whole: list[Row], ceilings: Ceilings) -> dict[str, str]:
    """A kind's share of the whole pass, what it attains, and how close that is to its floor."""
    time, least, (_, macs, moved) = add_up(rows, ceilings)
    all_time, _, (_, all_macs, _) = add_up(whole, ceilings)
    faults = [row.median_faults for row in rows]
    return {
        "Kind": kind,
        "Operations": str(len(rows)),
        "Time (ms)": f"{time:.2f}",
        "% of the time": f"{100 * time / all_time:.1f}",
        "% of the MACs": f"{100 * macs / all_macs:.1f}",
        "GFLOP/s": f"{2e-6 * macs / time:.1f}" if macs else "-",
        "GB/s": f"{1e-6 * moved / time:.1f}" if moved else "-",
        "Floor (ms)": f"{least:.2f}",
        "Floor / time": f"{least / time:.2f}",
        "Page faults": "-" if None in faults else f"{round(sum(faults)):,}",
    }


def mode_blocks(modes: list[Stored]) -> list[str]:
    """The modes of each network and device against the stock pass, in the order of the first
    input's."""
    blocks = []
    for inputs in by_device(modes):
        order = dict.fromkeys(mode for each in inputs for mode in each.records)
        names = " / ".join(each.dataset for each in inputs)
        blocks.append(f"{inputs[0].network}, {inputs[0].device}; {names}:")
        blocks.append(format_table(mode_cells(mode, inputs) for mode in order))
    return blocks


def mode_cells(mode: str, inputs: list[Stored]) -> dict[str, str]:
    """A mode's cells, for one input / for the other."""
    cells = [compare_mode(mode, each) if mode in each.records else {} for each in inputs]
    heads = max(cells, key=len)
    joined = {head: " / ".join(each.get(head, "-") for each in cells) for head in heads}
    return {"Mode": f"`{mode}`" if mode.startswith("-") else mode} | joined


def compare_mode(mode: str, modes: Stored) -> dict[str, str]:
    """How many times as fast as the stock pass of the same round, and what a pass takes."""
    record = modes.records[mode]
    row, ratios = record.rows[-1], speed_ups(record, modes.records["stock"])
    mean, width = interval(ratios) if ratios else (None, None)
    differences = [run["output_difference"] for run in record.runs if "output_difference" in run]
    exact = record.conditions.get("mode", "") in EXACT
    peaks = [record.median(f"peak_{kind}_memory", 2**-20) for kind in ("resident", "allocated")]
    return {
        "Speed-up": f"{median(ratios):.2f}" if ratios else "of other rounds",
        "95 % interval": f"{mean - width:.2f} to {mean + width:.2f}" if width is not None else "-",
        "Time (ms)": f"{row.mean:.1f}",
        "FPS": f"{1000 * row.input_shape[0] / row.mean:.2f}",
        "Output difference": f"{max(differences):.0e}" if differences else "none" if exact else "-",
        "Page faults": show("{:,.0f}", row.median_faults),
        "Peak (MB)": show("{:.0f}", peaks[0] or peaks[1]),
    }


def network_cells(times: Stored, memory: list[Memory]) -> dict[str, str]:
    """A network beside others: time, size by a memory report of like input, what it attains."""
    (row,) = times.rows("model")
    like = (times.network, times.dataset, row.input_shape[0])
    size = next((each for each in memory if (each.network, each.dataset, each.batch) == like), None)
    shown = ("Model", "Dataset", "Device", "Inference Time (ms)", "95 % interval", "FPS")
    cells = time_cells(times)
    return {head: cells[head] for head in shown} | {
        "# Params (M)": f"{size.parameters / 1e6:.1f}" if size else "-",
        "MACs (G)": f"{size.macs / 1e9:.2f}" if size else "-",
        "Peak Memory (MB)": f"{size.predicted_peak:.1f}" if size else "-",
        "GFLOP/s": f"{2e-6 * times.macs / row.mean:.1f}" if times.macs else "-",
        "Passes": "{} x {}".format(*row.samples.shape),
    }


def memory_cells(report: Memory) -> dict[str, str]:
    """What a memory report and its structure say, in the units of the head."""
    peaks = f"{report.predicted_peak:.1f} / {show('{:.1f}', report.measured_peak)}"
    return {
        "Model": report.network,
        "Dataset": report.dataset,
        "Reported on": report.device + f", batch {report.batch}" * (report.batch != 1),
        "Allocated Memory (MB)": f"{report.allocated:.2f}",
        "# Params (M)": f"{report.parameters / 1e6:.3f}",
        "# Tensors (M)": f"{report.tensors / 1e6:.3f}",
        "Peak Memory (MB)<br>predicted / measured": peaks,
        "MACs (G)": f"{report.macs / 1e9:.3f}",
    }


def format_conditions(times: list[Stored]) -> str:
    """Processes, passes, versions, mode and date of times, a line for those that have all of it in
    common."""
    lines: dict[str, list[str]] = {}
    for each in (each for each in times if each.dataset == DATASETS["pascal"].title):
        record = each.records["model"]
        about, row = record.conditions, record.rows[-1]
        software = ["torch {torch_version}", "torchvision {torchvision_version}"]
        if "cuda_version" in about:
            software += ["CUDA {cuda_version}", "cuDNN {cudnn_version}"]
            # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
            if about["cudnn_allow_tf32"] == "True" and float(about["compute_capability"]) >= 8.0:
                software.append("TF32 convolutions")
        else:
            software.append("{threads} threads")
        software += ["`{mode}`"] if "mode" in about else []
        runs, iterations = row.samples.shape
        processes = f"{runs} processes" if runs > 1 else "one process (which gives no interval)"
        line = (
            f"{each.device}: {processes} of {about['warmup']} warm-up and {iterations} timed "
            f"passes, batch size {row.input_shape[0]}, {about['dtype']}, "
            f"{', '.join(software).format(**about)}; {record.runs[0]['date'][:10]}"
        )
        lines.setdefault(line, []).append(each.network)
    return "\n".join(f"- {', '.join(networks)}, {line}" for line, networks in lines.items())


def format_layers(times: list[Stored]) -> str:
    """The operations by the time that they lose against their floor, device by device, the ten
    worst apart; or why there is no such list. Raises script.Failure where there is none at all."""
    if all(each.lack for each in times):
        raise Failure(times[0].lack)
    return "\n\n".join(each.lack or list_layers(each) for each in times)


def list_layers(times: Stored) -> str:
    """One device's list."""
    floors = {row: floor(row.cost, times.ceilings) for row in times.rows("layer")}
    lines = [
        f"{row.mean - least:9.3f} {row.mean:9.3f} {least:9.3f}  "
        f"{row.cost.kind:<22} {row.path or '-':<22} {row.input_shape}"
        for row, least in sorted(floors.items(), key=lambda item: item[1] - item[0].mean)
    ]
    head = f" lost, ms  time, ms floor, ms  {'kind':<22} {'path':<22} input shape"
    return "\n".join([times.title, head, *lines[:10], "", *lines[10:]])
