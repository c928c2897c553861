"""RESULTS.md's tables from stored results, by section."""

from collections.abc import Collection
from dataclasses import replace

from backbone.record.stored import StoredTimes
from backbone.record.stored_memory import StoredMemory
from backbone.record.titles import MAIN_NETWORK
from backbone.report.footnotes import format_conditions
from backbone.report.kinds import kind_blocks, part_cells
from backbone.report.markdown import format_table, format_tables
from backbone.report.mode_tables import gpu_cells, process_cells
from backbone.report.numbers import MIB, show, show_interval, show_limits, show_mean
from backbone.report.stored_results import Results
from backbone.statistics.intervals import per_pass
from backbone.statistics.ratios import cut_over_uncut, mean_of_rounds


def time_blocks(results: Results) -> list[str]:
    """The times of MobileNet-V2, a table per dataset, and their conditions."""
    times = results.main_network
    conditions = format_conditions(times)
    if not any(entry.model.is_of_gpu for entry in times):
        conditions += "\n- No times on a GPU are stored yet."
    left_out = {"Model", "FPS", "Page faults"}
    rows = [without(time_cells(entry), left_out) for entry in times]
    return [*format_tables(rows, by="Dataset"), conditions]


def part_blocks(results: Results) -> list[str]:
    """The parts of passes."""
    rows = part_cells(results.main_network, results.times)
    return format_tables(rows, by="Dataset") if rows else []


def operation_blocks(results: Results) -> list[str]:
    """The operations of stock passes, by kind."""
    stock = [times for times in results.main_network if times.is_stock]
    return [block for times in stock for block in kind_blocks(times)]


def network_blocks(results: Results) -> list[str]:
    """Networks other than MobileNet-V2, a table per dataset, and their conditions."""
    if not results.others:
        return []
    by_mode: dict[tuple, dict[bool, StoredTimes]] = {}
    for times in results.networks:
        mode = replace(times.mode, keep_memory=False)
        key = times.dataset, times.network, times.device, mode, tuple(times.settings)
        by_mode.setdefault(key, {})[times.mode.keep_memory] = times
    rows = [
        network_cells(pair.get(False), pair.get(True), results.memory) for pair in by_mode.values()
    ]
    return [*format_tables(rows, by="Dataset"), format_conditions(results.networks)]


def memory_blocks(results: Results) -> list[str]:
    """MobileNet-V2's memory reports."""
    reports = [entry for entry in results.memory if entry.network == MAIN_NETWORK]
    return [format_table(map(memory_cells, reports))] if reports else []


def sum_blocks(results: Results) -> list[str]:
    """The sums of MobileNet-V2's rows relative to uncut passes."""
    known = [entry for entry in results.main_network if cut_over_uncut(entry.layer)]
    return [format_table(map(closure_cells, known))] if known else ["None are stored yet."]


def without(cells: dict[str, str], heads: Collection[str]) -> dict[str, str]:
    """A row's cells without those in certain columns."""
    return {name: cell for name, cell in cells.items() if name not in heads}


def time_cells(times: StoredTimes) -> dict[str, str]:
    """A row of times: mean, interval and population std in ms, processes, system time, memory."""
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
    """The sums of blocks and of layers, relative to uncut passes of the same processes."""
    cells = {"Dataset": times.dataset, "Device": times.configuration}
    for head, record in (("Blocks'", times.block), ("Layers'", times.layer)):
        ratio = cut_over_uncut(record)
        cells[f"{head} sum / uncut pass"] = "-" if ratio is None else show_interval(ratio)
    return cells


def network_cells(
    stock: StoredTimes | None, kept: StoredTimes | None, memory: list[StoredMemory]
) -> dict[str, str]:
    """A row for a network: its times, its size from a memory report of the same input, and, from
    the times with memory kept if there are any, the backbone's share."""
    times = kept or stock
    mode = replace(times.mode, keep_memory=False)
    sizes = sizes_of(times, memory)
    share = times.share_of("backbone")
    return {
        "Model": times.network,
        "Dataset": times.dataset,
        "Device": replace(times, mode=mode).configuration,
        "Stock (ms)": show_interval(mean_of_rounds(stock.model)) if stock else "-",
        "Memory kept (ms)": show_interval(mean_of_rounds(kept.model)) if kept else "-",
        **{head: sizes.get(head, "-") for head in ("# Params (M)", "MACs (G)")},
        "Predicted Peak (MB)": sizes.get("Predicted Peak (MB)", "-"),
        "Backbone's share (%)": show("{:.0f}", share and 100 * share),
    }


def sizes_of(times: StoredTimes, memory: list[StoredMemory]) -> dict[str, str]:
    """The sizes from the first memory report of the same network and input; empty if there is
    none."""
    batch_size = times.model.whole.input_shape[0]
    wanted = times.network, times.dataset, batch_size
    for entry in memory:
        if (entry.network, entry.dataset, entry.report.input.batch_size) == wanted:
            return memory_cells(entry)
    return {}


def memory_cells(memory: StoredMemory) -> dict[str, str]:
    """A row from a memory report and its structure, in the units of the heads."""
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
