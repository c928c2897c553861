"""The stored files as RESULTS.md's tables, section by section."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from backbone.record import stored
from backbone.record.rows import Record
from backbone.record.stored import StoredModes, StoredScaling, StoredTimes
from backbone.record.stored_memory import StoredMemory
from backbone.record.titles import MAIN_NETWORK, count
from backbone.record.tools import PassesTried, Simulated, Trial
from backbone.report.kinds import kind_blocks, part_cells
from backbone.report.markdown import format_table, format_tables
from backbone.report.mode_tables import (
    first_cells,
    gpu_cells,
    process_blocks,
    process_cells,
    speed_blocks,
)
from backbone.report.numbers import MIB, show, show_interval, show_limits, show_mean
from backbone.statistics.intervals import per_pass
from backbone.statistics.ratios import cut_over_uncut, mean_of_rounds


@dataclass(frozen=True)
class Results:
    """All that is stored: times, modes (of each network and setting those of all inputs), memory
    and scaling; and what the programs in tools/ store."""

    times: list[StoredTimes]
    modes: list[list[StoredModes]] = field(default_factory=list)
    memory: list[StoredMemory] = field(default_factory=list)
    scaling: list[StoredScaling] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    simulated: list[Simulated] = field(default_factory=list)
    passes: list[PassesTried] = field(default_factory=list)

    @property
    def main_network(self) -> list[StoredTimes]:
        """MobileNet-V2's times."""
        return stored.of_main_network(self.times)

    @property
    def others(self) -> list[StoredTimes]:
        """All other networks' times."""
        return [each for each in self.times if each.network != MAIN_NETWORK]

    @property
    def networks(self) -> list[StoredTimes]:
        """All networks' times, but MobileNet-V2's in modes that change its arithmetic and that no
        other network has."""
        others = {each.configuration for each in self.others}
        return [each for each in self.times if each.model.is_exact or each.configuration in others]


def time_blocks(results: Results) -> list[str]:
    """Times of MobileNet-V2, a table for each dataset, and their conditions."""
    times = results.main_network
    conditions = format_conditions(times)
    if not any(each.model.is_of_gpu for each in times):
        conditions += "\n- No GPU's times are stored here yet."
    left_out = {"Model", "FPS", "Page faults"}
    rows = [without(time_cells(each), left_out) for each in times]
    return [*format_tables(rows, by="Dataset"), conditions]


def part_blocks(results: Results) -> list[str]:
    """What passes are made of."""
    rows = part_cells(results.main_network, results.times)
    return format_tables(rows, by="Dataset") if rows else []


def operation_blocks(results: Results) -> list[str]:
    """The operations of stock passes by kind."""
    stock = [times for times in results.main_network if times.is_stock]
    return [block for times in stock for block in kind_blocks(times)]


def advice_blocks(results: Results) -> list[str]:
    """The fastest modes, a table for each network and setting."""
    blocks = []
    for inputs in results.modes:
        if first := list(first_cells(inputs)):
            title = f"{inputs[0].network}, {inputs[0].configuration}:"
            blocks += [title, format_table(first)]
    return blocks


def mode_blocks(results: Results) -> list[str]:
    """How fast the modes are, a table for each input."""
    return [block for inputs in results.modes for block in speed_blocks(inputs)]


def mode_process_blocks(results: Results) -> list[str]:
    """What the processes of the modes were, likewise, folded."""
    blocks = [block for inputs in results.modes for block in process_blocks(inputs)]
    return ["<details><summary>Tables</summary>", *blocks, "</details>"] if blocks else []


def network_blocks(results: Results) -> list[str]:
    """Other networks beside MobileNet-V2, a table for each dataset, and their conditions."""
    if not results.others:
        return []
    rows = [network_cells(times, results.memory) for times in results.networks]
    return [*format_tables(rows, by="Dataset"), format_conditions(results.others)]


def memory_blocks(results: Results) -> list[str]:
    """MobileNet-V2's memory reports."""
    reports = [each for each in results.memory if each.network == MAIN_NETWORK]
    return [format_table(map(memory_cells, reports))] if reports else []


def sum_blocks(results: Results) -> list[str]:
    """The sums of MobileNet-V2's rows, where uncut passes were timed beside them."""
    known = [each for each in results.main_network if cut_over_uncut(each.layer)]
    return [format_table(map(closure_cells, known))] if known else ["None are stored yet."]


def without(cells: dict[str, str], heads: Collection[str]) -> dict[str, str]:
    """A row's cells but for those with some heads."""
    return {name: cell for name, cell in cells.items() if name not in heads}


def time_cells(times: StoredTimes) -> dict[str, str]:
    """Mean, interval and population std in ms, images a second, what the processes were, memory."""
    record = times.model
    row = record.whole
    mean = mean_of_rounds(record)
    return {
        "Model": times.network,
        "Dataset": times.dataset,
        "Device": times.configuration,
        "Inference Time (ms)": show_mean(mean),
        "Interval": show_limits(mean),
        "Std (ms)": show_mean(replace(mean, mean=float(row.samples.std()))),
        "FPS": show_mean(per_pass(record.images_per_pass, mean)),
        **gpu_cells(record),
        **process_cells(row),
        "System time (ms)": show("{:,.0f}", record.median("system_time", 1000)),
        "Peak resident (MB)": show("{:,.0f}", record.median("peak_resident_memory", 1 / MIB)),
    }


def closure_cells(times: StoredTimes) -> dict[str, str]:
    """The sums of the blocks and of the layers, as ratios to uncut passes of the same processes."""
    cells = {"Dataset": times.dataset, "Device": times.configuration}
    for head, record in (("Blocks'", times.block), ("Layers'", times.layer)):
        ratio = cut_over_uncut(record)
        cells[f"{head} sum / uncut pass"] = "-" if ratio is None else show_interval(ratio)
    return cells


def network_cells(times: StoredTimes, memory: list[StoredMemory]) -> dict[str, str]:
    """A network beside others: time, size by a memory report of like input, what it attains."""
    mean = mean_of_rounds(times.model)
    cells = time_cells(times) | sizes_of(times, memory)
    cells["Inference Time (ms)"] = show_interval(mean)
    heads = (
        *("Model", "Dataset", "Device", "Inference Time (ms)"),
        *("# Params (M)", "MACs (G)", "Predicted Peak (MB)"),
    )
    share = times.share_of("backbone")
    return {head: cells.get(head, "-") for head in heads} | {
        "GFLOP/s": show_mean(per_pass(2e-9 * times.macs, mean)) if times.macs else "-",
        "Backbone's share (%)": show("{:.0f}", share and 100 * share),
    }


def sizes_of(times: StoredTimes, memory: list[StoredMemory]) -> dict[str, str]:
    """What the first memory report of like network and input says; no cells where there is none."""
    batch_size = times.model.whole.input_shape[0]
    wanted = times.network, times.dataset, batch_size
    for each in memory:
        if (each.network, each.dataset, each.report.input.batch_size) == wanted:
            return memory_cells(each)
    return {}


def memory_cells(memory: StoredMemory) -> dict[str, str]:
    """What a memory report and its structure say, in the units of the head."""
    report = memory.report
    batch_size, weights = report.input.batch_size, report.input.weights
    further = [] if batch_size == 1 else [f"batch {batch_size}"]
    further += [] if weights is None else [f"weights {weights}"]
    measured = None if report.measured_peak is None else report.measured_peak / MIB
    return {
        "Model": memory.network,
        "Dataset": memory.dataset,
        "Reported on": ", ".join([memory.device, *further]),
        "Allocated Memory (MB)": f"{report.allocated_bytes / MIB:.2f}",
        "# Params (M)": f"{report.parameters / 1e6:.3f}",
        "# Tensors (M)": f"{report.elements / 1e6:.3f}",
        "Predicted Peak (MB)": f"{report.predicted_peak.total / MIB:,.1f}",
        "Measured Peak (MB)": show("{:.1f}", measured),
        "MACs (G)": f"{memory.structure.macs / 1e9:,.3f}",
    }


def format_conditions(times: list[StoredTimes]) -> str:
    """Processes, passes, versions, mode and date of times, a line for those that have all alike."""
    by_configuration: dict[tuple[str, str], list[StoredTimes]] = {}
    for each in times:
        by_configuration.setdefault((each.network, each.configuration), []).append(each)
    lines: dict[str, list[str]] = {}
    for (network, _), inputs in by_configuration.items():
        date = min(each.model.runs[0]["date"][:10] for each in inputs)
        conditions = _conditions_of(inputs[0].model)
        line = f"{inputs[0].device}: {_passes_of(inputs)}, {conditions}; {date}"
        lines.setdefault(line, []).append(network)
    networks_of = {line: "; ".join(dict.fromkeys(names)) for line, names in lines.items()}
    return "\n".join(f"- {networks}, {line}" for line, networks in networks_of.items())


def _passes_of(inputs: list[StoredTimes]) -> str:
    """Of how many processes and passes the times of some inputs are, said once if it is the same of
    all."""
    passes: dict[str, list[str]] = {}
    for each in inputs:
        record = each.model
        runs = len(record.runs)
        processes = f"{runs} processes" if runs > 1 else "one process (which gives no interval)"
        warmup, iterations = record.conditions["warmup"], record.conditions["iterations"]
        timed = "1 timed pass" if iterations == 1 else f"{iterations} timed passes"
        text = f"{processes} of {warmup} warm-up and {timed}"
        passes.setdefault(text, []).append(each.dataset)
    if len(passes) == 1:
        return next(iter(passes))
    return "; ".join(f"{', '.join(datasets)}: {text}" for text, datasets in passes.items())


def _conditions_of(record: Record) -> str:
    conditions = record.conditions
    words = [
        f"batch size {conditions['batch_size']}",
        str(conditions["dtype"]),
        f"torch {conditions['torch_version']}",
        f"torchvision {conditions['torchvision_version']}",
    ]
    if record.is_of_gpu:
        words.append(f"CUDA {conditions['cuda_version']}")
        words.append(f"cuDNN {conditions['cudnn_version']}")
        # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
        has_tf32 = float(conditions["compute_capability"]) >= 8
        if has_tf32 and conditions["cudnn_allow_tf32"] == "True":
            words.append("TF32 convolutions")
    else:
        words.append(count(conditions["threads"], "thread"))
    return ", ".join(words)
