"""The stored files as RESULTS.md's tables, part by part."""

from dataclasses import dataclass, field, replace

from backbone.record import stored
from backbone.record.rows import Record
from backbone.record.stored import Stored
from backbone.record.stored_memory import StoredMemory
from backbone.record.titles import MAIN_NETWORK, count
from backbone.record.tools import PassesTried, Simulated, Trial
from backbone.report.kinds import kind_blocks, word_parts
from backbone.report.markdown import format_table, format_tables
from backbone.report.modes import first_cells, mode_blocks, process_blocks, process_cells
from backbone.report.numbers import (
    MIB,
    show,
    show_interval,
    show_limits,
    show_mean,
)
from backbone.statistics.intervals import per_pass
from backbone.statistics.ratios import mean_of_rounds, speed_up


@dataclass(frozen=True)
class Results:
    """All that is stored: times, modes (of each network and setting those of all inputs), and
    memory; and what the programs in tools/ store."""

    times: list[Stored]
    modes: list[list[Stored]] = field(default_factory=list)
    memory: list[StoredMemory] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    simulated: list[Simulated] = field(default_factory=list)
    passes: list[PassesTried] = field(default_factory=list)

    @property
    def main_network(self) -> list[Stored]:
        """MobileNet-V2's times."""
        return stored.of_main_network(self.times)

    @property
    def others(self) -> list[Stored]:
        """All other networks' times."""
        return [each for each in self.times if each.network != MAIN_NETWORK]

    @property
    def networks(self) -> list[Stored]:
        """All networks' times, but MobileNet-V2's in modes that change its arithmetic and that no
        other network has."""
        others = {each.configuration for each in self.others}
        return [
            each
            for each in self.times
            if each.records["model"].is_exact or each.configuration in others
        ]


def format_parts(results: Results) -> dict[str, list[str]]:
    """The tables and their captions, block by block, by part, which may be empty."""
    conditions = format_conditions(results.main_network)
    if not any(
        "cuda_version" in times.records["model"].conditions for times in results.main_network
    ):
        conditions += "\n- No GPU's times are stored here yet."
    rows = [without(time_cells(times), "Model") for times in results.main_network]
    parts: dict[str, list[str]] = {
        "Inference time": [*format_tables(rows, by="Dataset"), conditions],
        "What a pass is made of": word_parts(results.main_network, results.times),
        "Where the time goes": [],
        "What to try first": [],
        "Modes": [],
        "Processes of the modes": [],
        "Networks": [],
        "Memory": [],
        "Sums of the rows": [format_table(map(closure_cells, results.main_network))],
    }
    for times in results.main_network:
        if times.is_stock:
            parts["Where the time goes"] += kind_blocks(times)
    for inputs in results.modes:
        parts["Modes"] += mode_blocks(inputs)
        parts["Processes of the modes"] += process_blocks(inputs)
        if first := list(first_cells(inputs)):
            title = f"{inputs[0].network}, {inputs[0].configuration}:"
            parts["What to try first"] += [title, format_table(first)]
    if results.others:
        rows = [network_cells(times, results.memory) for times in results.networks]
        conditions = format_conditions(results.others)
        parts["Networks"] = [*format_tables(rows, by="Dataset"), conditions]
    reports = [each for each in results.memory if each.network == MAIN_NETWORK]
    if reports:
        parts["Memory"] = [format_table(map(memory_cells, reports))]
    return parts


def without(cells: dict[str, str], head: str) -> dict[str, str]:
    """A row's cells but for one."""
    return {name: cell for name, cell in cells.items() if name != head}


def time_cells(times: Stored) -> dict[str, str]:
    """Mean, interval and population std in ms, images a second, what the processes were, memory."""
    record = times.records["model"]
    row = record.whole
    mean = mean_of_rounds(record)
    return {
        "Model": times.network,
        "Dataset": times.dataset,
        "Device": times.configuration,
        "Inference Time (ms)": show_mean(mean),
        "Interval": show_limits(mean),
        "Std (ms)": show_mean(replace(mean, mean=float(row.samples.std()))),
        "FPS": show_mean(per_pass(row.input_shape[0], mean)),
        **process_cells(row),
        "System time (ms)": show("{:,.0f}", record.median("system_time", 1000)),
        "Peak resident (MB)": show("{:,.0f}", record.median("peak_resident_memory", 1 / MIB)),
    }


def closure_cells(times: Stored) -> dict[str, str]:
    """The sums of the blocks and of the layers, as ratios to the stock pass of the same round."""
    cells = {"Dataset": times.dataset, "Device": times.configuration}
    whole = times.records["model"]
    for head, target in (("Blocks'", "block"), ("Layers'", "layer")):
        ratio = speed_up(whole, times.records[target], whole)
        shown = "of other rounds" if ratio is None else show_interval(ratio)
        cells[f"{head} sum / stock pass"] = shown
    return cells


def network_cells(times: Stored, memory: list[StoredMemory]) -> dict[str, str]:
    """A network beside others: time, size by a memory report of like input, what it attains."""
    mean = mean_of_rounds(times.records["model"])
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


def sizes_of(times: Stored, memory: list[StoredMemory]) -> dict[str, str]:
    """What the first memory report of like network and input says; no cells where there is none."""
    batch_size = times.records["model"].whole.input_shape[0]
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


def format_conditions(times: list[Stored]) -> str:
    """Processes, passes, versions, mode and date of times, a line for those that have all alike."""
    by_configuration: dict[tuple[str, str], list[Stored]] = {}
    for each in times:
        by_configuration.setdefault((each.network, each.configuration), []).append(each)
    lines: dict[str, list[str]] = {}
    for (network, _), inputs in by_configuration.items():
        date = min(each.records["model"].runs[0]["date"][:10] for each in inputs)
        conditions = _conditions_of(inputs[0].records["model"])
        line = f"{inputs[0].device}: {_passes_of(inputs)}, {conditions}; {date}"
        lines.setdefault(line, []).append(network)
    return "\n".join(f"- {'; '.join(networks)}, {line}" for line, networks in lines.items())


def _passes_of(inputs: list[Stored]) -> str:
    """Of how many processes and passes the times of some inputs are, said once if it is the same of
    all."""
    passes: dict[str, list[str]] = {}
    for each in inputs:
        record = each.records["model"]
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
