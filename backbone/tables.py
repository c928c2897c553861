"""The stored files as tables: Markdown for the README, and the list of operations."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

import numpy as np

from backbone import stored
from backbone.flags import EXACT
from backbone.rows import Ceilings, Row, interval
from backbone.script import Failure
from backbone.stored import Memory, Stored

LACK = "no ceilings, for lack of memory perhaps; stats.sh measures them"


def format_parts(
    times: list[Stored], modes: list[list[Stored]], memory: list[Memory]
) -> dict[str, list[str]]:
    """The README's tables and what is said of them, block by block, by part, which may be empty."""
    first = stored.of_first(times)
    others = [each for each in times if each not in first]
    conditions = format_conditions(first)
    if "CUDA" not in conditions:
        conditions += "\n- No GPU's times are stored here yet."
    kinds = [block for each in stored.of_stock(times) for block in kind_blocks(each)]
    networks = format_table(network_cells(each, memory) for each in times)
    reports = [report for report in memory if report.network == stored.FIRST]
    return {
        "Inference time": [format_table(map(time_cells, first)), conditions],
        "Where the time goes": kinds,
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
    stock, *sums = (times.records[target].rows[-1].run_means for target in stored.TARGETS)
    heads = "Blocks' sum / stock pass", "Layers' sum / stock pass"
    for head, means in zip(heads, sums, strict=True):
        ratio, half_width = interval(means / stock)
        cells[head] = f"{ratio:.3f}" + (f" ± {half_width:.3f}" if half_width else "")
    return cells


def kind_blocks(times: Stored) -> list[str]:
    """The operations by kind, and what their floor is; or why there is no such table."""
    if not times.ceilings:
        return [f"- {times.title}: {LACK}"]
    kinds = sum_by_kind(times.rows("layer"), times.ceilings)
    _, time, least, *_ = kinds["all"]
    flops, moved = (ceiling / 1e9 for ceiling in times.ceilings)
    return [
        f"{times.title}. The pass takes {time:.1f} ms, its floor is {least:.1f} ms, by ceilings of "
        f"{flops:.0f} GFLOP/s and {moved:.1f} GB/s.",
        format_table(kind_cells(kind, sums, kinds["all"]) for kind, sums in kinds.items()),
    ]


def sum_by_kind(rows: list[Row], ceilings: Ceilings) -> dict[str, np.ndarray]:
    """The number of layers' rows, their time and floor in ms, MACs, bytes and page faults (NaN:
    not counted), by kind, the one that takes longest first, and of "all". Those of kinds that take
    less than one percent of the time are together."""
    kinds: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(6))
    for row in rows:
        kind, macs, moved = row.cost
        faults = np.nan if row.median_faults is None else row.median_faults
        kinds[kind] += [1, row.mean, row.floor(ceilings), macs, moved, faults]
    whole = sum(kinds.values())
    if small := [kind for kind, sums in kinds.items() if sums[1] < whole[1] / 100]:
        kinds[", ".join(small)] = sum(kinds.pop(kind) for kind in small)
    return dict(sorted(kinds.items(), key=lambda item: -item[1][1])) | {"all": whole}


def kind_cells(kind: str, sums: np.ndarray, whole: np.ndarray) -> dict[str, str]:
    """A kind's share of the whole pass, what it attains, and how close that is to its floor."""
    operations, time, least, macs, moved, faults = sums
    return {
        "Kind": kind,
        "Operations": f"{operations:.0f}",
        "Time (ms)": f"{time:.2f}",
        "% of the time": f"{100 * time / whole[1]:.1f}",
        "% of the MACs": f"{100 * macs / whole[3]:.1f}",
        "GFLOP/s": f"{2e-6 * macs / time:.1f}" if macs else "-",
        "GB/s": f"{1e-6 * moved / time:.1f}" if moved else "-",
        "Floor (ms)": f"{least:.2f}",
        "Floor / time": f"{least / time:.2f}",
        "Page faults": "-" if np.isnan(faults) else f"{faults:,.0f}",
    }


def mode_blocks(modes: list[list[Stored]]) -> list[str]:
    """The modes of each network and device against the stock pass, for one input / the other."""
    blocks = []
    for inputs in modes:
        names = " / ".join(each.dataset for each in inputs)
        blocks.append(f"{inputs[0].network}, {inputs[0].device}; {names}:")
        rows = []
        for mode in dict.fromkeys(mode for each in inputs for mode in each.records):
            cells = [mode_cells(mode, each) if mode in each.records else {} for each in inputs]
            heads, name = max(cells, key=len), f"`{mode}`" if mode.startswith("-") else mode
            both = {head: " / ".join(each.get(head, "-") for each in cells) for head in heads}
            rows.append({"Mode": name} | both)
        blocks.append(format_table(rows))
    return blocks


def mode_cells(mode: str, modes: Stored) -> dict[str, str]:
    """How many times as fast as the stock pass of the same round, and what a pass takes."""
    record = modes.records[mode]
    row, ratios = record.rows[-1], stored.speed_ups(record, modes.records["stock"])
    mean, width = interval(ratios) if ratios else (None, None)
    exact = record.conditions.get("mode", "") in EXACT
    difference = show("{:.0e}", record.median("output_difference"))
    peaks = [record.median(f"peak_{kind}_memory", 2**-20) for kind in ("resident", "allocated")]
    return {
        "Speed-up": f"{median(ratios):.2f}" if ratios else "of other rounds",
        "95 % interval": f"{mean - width:.2f} to {mean + width:.2f}" if width is not None else "-",
        "Time (ms)": f"{row.mean:.1f}",
        "FPS": f"{1000 * row.input_shape[0] / row.mean:.2f}",
        "Output difference": "none" if exact else difference,
        "Page faults": show("{:,.0f}", row.median_faults),
        "Peak (MB)": show("{:.0f}", peaks[0] or peaks[1]),
    }


def network_cells(times: Stored, memory: list[Memory]) -> dict[str, str]:
    """A network beside others: time, size by a memory report of like input, what it attains."""
    (row,) = times.rows("model")
    like = times.network, times.dataset, str(row.input_shape[0])
    sizes = [each for each in memory if (each.network, each.dataset, each.said["batch"]) == like]
    cells = time_cells(times) | (memory_cells(sizes[0]) if sizes else {})
    shown = ("Model", "Dataset", "Device", "Inference Time (ms)", "95 % interval", "FPS")
    shown += ("# Params (M)", "MACs (G)", "Predicted Peak (MB)")
    return {head: cells.get(head, "-") for head in shown} | {
        "GFLOP/s": f"{2e-6 * times.macs / row.mean:.1f}" if times.macs else "-",
        "Passes": "{} x {}".format(*row.samples.shape),
    }


def memory_cells(report: Memory) -> dict[str, str]:
    """What a memory report and its structure say, in the units of the head."""
    said = report.said
    mb = {"K": 1 / 1024, "M": 1, "G": 1024}[said["unit"]]
    return {
        "Model": report.network,
        "Dataset": report.dataset,
        "Reported on": report.device + f", batch {said['batch']}" * (said["batch"] != "1"),
        "Allocated Memory (MB)": f"{float(said['used']) * mb:.2f}",
        "# Params (M)": f"{int(said['parameters']) / 1e6:.3f}",
        "# Tensors (M)": f"{int(said['tensors']) / 1e6:.3f}",
        "Predicted Peak (MB)": said["predicted"],
        "Measured Peak (MB)": said["measured"] or "-",
        "MACs (G)": f"{int(said['macs'].replace(',', '')) / 1e9:.3f}",
    }


def format_conditions(times: list[Stored]) -> str:
    """Processes, passes, versions, mode and date of times, a line for those that have all alike."""
    lines: dict[str, list[str]] = {}
    for each in (each for each in times if each.dataset == stored.TITLES["pascal"]):
        record = each.records["model"]
        about, runs = record.conditions, len(record.runs)
        form = "{} processes" if runs > 1 else "one process (which gives no interval)"
        form += (
            " of {warmup} warm-up and {iterations} timed passes, batch size {batch_size}, {dtype}, "
        )
        form += "torch {torch_version}, torchvision {torchvision_version}"
        gpu = "cuda_version" in about
        form += ", CUDA {cuda_version}, cuDNN {cudnn_version}" if gpu else ", {threads} threads"
        # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
        if gpu and about["cudnn_allow_tf32"] == "True" and float(about["compute_capability"]) >= 8:
            form += ", TF32 convolutions"
        form += ", `{mode}`" if "mode" in about else ""
        line = f"{each.device}: {form.format(runs, **about)}; {record.runs[0]['date'][:10]}"
        lines.setdefault(line, []).append(each.network)
    return "\n".join(f"- {', '.join(networks)}, {line}" for line, networks in lines.items())


def format_layers(times: list[Stored]) -> str:
    """The operations by the time that they lose against their floor, device by device, the ten
    worst apart; or why there is no such list. Raises script.Failure where there is none at all."""
    if not any(each.ceilings for each in times):
        raise Failure(f"{times[0].title}: {LACK}")
    blocks = []
    for each in times:
        if not (ceilings := each.ceilings):
            blocks.append(f"{each.title}: {LACK}")
            continue
        head = f" lost, ms  time, ms floor, ms  {'kind':<22} {'path':<22} input shape"
        lines = [each.title, head]
        for row in sorted(each.rows("layer"), key=lambda row: row.floor(ceilings) - row.mean):
            least, about = row.floor(ceilings), f"{row.cost.kind:<22} {row.path or '-':<22}"
            cells = f"{row.mean - least:9.3f} {row.mean:9.3f} {least:9.3f}"
            lines.append(f"{cells}  {about} {row.input_shape}")
        blocks.append("\n".join([*lines[:12], "", *lines[12:]]))
    return "\n\n".join(blocks)
