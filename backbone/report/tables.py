"""The stored files as the README's tables, part by part."""

from dataclasses import dataclass, field

from backbone.command.options import EXACT_MODES
from backbone.record import stored
from backbone.record.records import Record
from backbone.record.stored import Stored, StoredMemory, count
from backbone.report.kinds import kind_blocks
from backbone.report.markdown import format_table, show
from backbone.report.statistics import interval, ratio_interval, speed_ups

MIB = 2**20


@dataclass(frozen=True)
class Results:
    """All that is stored: times, modes (of each network and setting those of all inputs), and
    memory."""

    times: list[Stored]
    modes: list[list[Stored]] = field(default_factory=list)
    memory: list[StoredMemory] = field(default_factory=list)

    @property
    def main_network(self) -> list[Stored]:
        """MobileNet-V2's times."""
        return stored.of_main_network(self.times)

    @property
    def others(self) -> list[Stored]:
        """All other networks' times."""
        return [each for each in self.times if each.network != stored.MAIN_NETWORK]


def format_parts(results: Results) -> dict[str, list[str]]:
    """The README's tables and their captions, block by block, by part, which may be empty."""
    parts: dict[str, list[str]] = {
        "Inference time": [
            format_table(map(time_cells, results.main_network)),
            format_conditions(results.main_network),
        ],
        "Where the time goes": [],
        "Modes": [],
        "Networks": [],
        "Memory": [],
        "Sums of the rows": [format_table(map(closure_cells, results.main_network))],
    }
    if not any(
        "cuda_version" in times.records["model"].conditions for times in results.main_network
    ):
        parts["Inference time"][1] += "\n- No GPU's times are stored here yet."
    for times in results.main_network:
        if times.is_stock:
            parts["Where the time goes"] += kind_blocks(times)
    for inputs in results.modes:
        parts["Modes"] += mode_blocks(inputs)
    if results.others:
        rows = [network_cells(times, results.memory) for times in results.times]
        parts["Networks"] = [format_table(rows), format_conditions(results.others)]
    reports = [each for each in results.memory if each.network == stored.MAIN_NETWORK]
    if reports:
        parts["Memory"] = [format_table(map(memory_cells, reports))]
    return parts


def time_cells(times: Stored) -> dict[str, str]:
    """Mean, interval and population std in ms, images a second, page faults, and memory."""
    record = times.records["model"]
    row = record.whole
    mean = interval(row.run_means)
    return {
        "Model": times.network,
        "Dataset": times.dataset,
        "Device": times.configuration,
        "Inference Time (ms)": f"{mean.mean:.3f}",
        "95 % interval": show("± {:.3f}", mean.half_width),
        "Std (ms)": f"{row.samples.std():.3f}",
        "FPS": f"{1000 * row.input_shape[0] / mean.mean:.2f}",
        "Page faults": show("{:,.0f}", row.median_faults),
        "System time (ms)": show("{:.0f}", record.median("system_time", 1000)),
        "Peak resident (MB)": show("{:.0f}", record.median("peak_resident_memory", 1 / MIB)),
    }


def closure_cells(times: Stored) -> dict[str, str]:
    """The sums of the blocks and of the layers, as ratios to the stock pass of the same round."""
    cells = {"Dataset": times.dataset, "Device": times.configuration}
    whole = times.records["model"].whole.run_means
    for head, target in (("Blocks'", "block"), ("Layers'", "layer")):
        ratio = interval(times.records[target].whole.run_means / whole)
        half_width = "" if ratio.half_width is None else f" ± {ratio.half_width:.3f}"
        cells[f"{head} sum / stock pass"] = f"{ratio.mean:.3f}{half_width}"
    return cells


def mode_blocks(inputs: list[Stored]) -> list[str]:
    """The modes of one network and setting against the stock pass, for one input / the other."""
    datasets = " / ".join(each.dataset for each in inputs)
    caption = f"{inputs[0].network}, {inputs[0].configuration}; {datasets}:"
    rows = []
    for mode in dict.fromkeys(mode for each in inputs for mode in each.records):
        cells = [mode_cells(mode, each) if mode in each.records else {} for each in inputs]
        heads = max(cells, key=len)
        row = {"Mode": f"`{mode}`" if mode.startswith("-") else mode}
        for head in heads:
            row[head] = " / ".join(each.get(head, "-") for each in cells)
        rows.append(row)
    return [caption, format_table(rows)]


def mode_cells(mode: str, modes: Stored) -> dict[str, str]:
    """How many times as fast as the stock pass of the same round, and what a pass takes."""
    record = modes.records[mode]
    row = record.whole
    peak = record.median("peak_resident_memory", 1 / MIB)
    if peak is None:
        peak = record.median("peak_allocated_memory", 1 / MIB)
    exact = record.conditions.get("mode", "") in EXACT_MODES
    difference = show("{:.0e}", record.median("output_difference"))
    return {
        **speed_up_cells(record, modes.records["stock"]),
        "Time (ms)": f"{row.mean:.1f}",
        "FPS": f"{1000 * row.input_shape[0] / row.mean:.2f}",
        "Output difference": "none" if exact else difference,
        "Page faults": show("{:,.0f}", row.median_faults),
        "Peak (MB)": show("{:.0f}", peak),
    }


def speed_up_cells(record: Record, stock: Record) -> dict[str, str]:
    """How many times as fast as the stock pass of the same rounds, and the interval of that."""
    ratios = speed_ups(record, stock)
    if not ratios:
        return {"Speed-up": "of other rounds", "95 % interval": "-"}
    ratio = ratio_interval(ratios)
    limits = "-" if ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}"
    return {"Speed-up": f"{ratio.mean:.2f}", "95 % interval": limits}


def network_cells(times: Stored, memory: list[StoredMemory]) -> dict[str, str]:
    """A network beside others: time, size by a memory report of like input, what it attains."""
    (row,) = times.rows("model")
    cells = time_cells(times)
    for each in memory:
        alike = each.network == times.network and each.dataset == times.dataset
        if alike and each.report.input.batch_size == row.input_shape[0]:
            cells |= memory_cells(each)
            break
    heads = (
        *("Model", "Dataset", "Device", "Inference Time (ms)", "95 % interval", "FPS"),
        *("# Params (M)", "MACs (G)", "Predicted Peak (MB)"),
    )
    runs, passes = row.samples.shape
    return {head: cells.get(head, "-") for head in heads} | {
        "GFLOP/s": f"{2e-6 * times.macs / row.mean:.1f}" if times.macs else "-",
        "Passes": f"{runs} x {passes}",
    }


def memory_cells(memory: StoredMemory) -> dict[str, str]:
    """What a memory report and its structure say, in the units of the head."""
    report = memory.report
    batch_size = report.input.batch_size
    measured = None if report.measured_peak is None else report.measured_peak / MIB
    return {
        "Model": memory.network,
        "Dataset": memory.dataset,
        "Reported on": memory.device + ("" if batch_size == 1 else f", batch {batch_size}"),
        "Allocated Memory (MB)": f"{report.allocated_bytes / MIB:.2f}",
        "# Params (M)": f"{report.parameters / 1e6:.3f}",
        "# Tensors (M)": f"{report.elements / 1e6:.3f}",
        "Predicted Peak (MB)": f"{report.predicted_peak.total / MIB:.1f}",
        "Measured Peak (MB)": show("{:.1f}", measured),
        "MACs (G)": f"{memory.structure.macs / 1e9:.3f}",
    }


def format_conditions(times: list[Stored]) -> str:
    """Processes, passes, versions, mode and date of times, a line for those that have all alike."""
    lines: dict[str, list[str]] = {}
    for each in times:
        if each.dataset == stored.DATASET_TITLES["pascal"]:
            record = each.records["model"]
            line = f"{each.device}: {_conditions_of(record)}; {record.runs[0]['date'][:10]}"
            lines.setdefault(line, []).append(each.network)
    return "\n".join(f"- {', '.join(networks)}, {line}" for line, networks in lines.items())


def _conditions_of(record: Record) -> str:
    conditions = record.conditions
    runs = len(record.runs)
    processes = f"{runs} processes" if runs > 1 else "one process (which gives no interval)"
    words = [
        f"{processes} of {conditions['warmup']} warm-up and {conditions['iterations']} timed "
        "passes",
        f"batch size {conditions['batch_size']}",
        str(conditions["dtype"]),
        f"torch {conditions['torch_version']}",
        f"torchvision {conditions['torchvision_version']}",
    ]
    if "cuda_version" in conditions:
        words.append(f"CUDA {conditions['cuda_version']}")
        words.append(f"cuDNN {conditions['cudnn_version']}")
        # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
        has_tf32 = float(conditions["compute_capability"]) >= 8
        if has_tf32 and conditions["cudnn_allow_tf32"] == "True":
            words.append("TF32 convolutions")
    else:
        words.append(count(conditions["threads"], "thread"))
    if "mode" in conditions:
        words.append(f"`{conditions['mode']}`")
    return ", ".join(words)
