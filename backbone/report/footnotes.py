"""The conditions of stored times, as notes below a table."""

from backbone.record.rows import Record
from backbone.record.stored import StoredTimes
from backbone.record.titles import count
from backbone.report.numbers import show_range_of_counts


def format_conditions(times: list[StoredTimes]) -> str:
    """Versions, threads, processes, passes and dates of times, one line for all with the same
    device and versions."""
    lines: dict[str, list[Record]] = {}
    for entry in times:
        line = f"{entry.device}: {_conditions_of(entry.model)}"
        lines.setdefault(line, []).append(entry.model)
    return "\n".join(f"- {line}; {_passes_of(records)}" for line, records in lines.items())


def _passes_of(records: list[Record]) -> str:
    """The processes, passes and dates of records in words."""
    processes = [len(record.runs) for record in records]
    warmup, timed = (
        show_range_of_counts([record.conditions[name] for record in records])
        for name in ("warmup", "iterations")
    )
    noun = "process (which gives no interval)" if max(processes) == 1 else "processes"
    dates = sorted({record.runs[0]["date"][:10] for record in records})
    days = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    return (
        f"{show_range_of_counts(processes)} {noun} with {warmup} warm-up and {timed} timed passes "
        f"each; {days}"
    )


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
        # Below compute capability 8.0 there are no TF32 units, and the setting has no effect.
        has_tf32 = float(conditions["compute_capability"]) >= 8
        if has_tf32 and conditions["cudnn_allow_tf32"] == "True":
            words.append("TF32 convolutions")
    else:
        words.append(count(conditions["threads"], "thread"))
    return ", ".join(words)
