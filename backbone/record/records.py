"""A timer's records as pyperf suites: one benchmark per row, samples in seconds."""

import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyperf

from backbone.command.errors import Failure
from backbone.record import schema
from backbone.record.names import name_row, number_rows
from backbone.record.reading import read_stored
from backbone.record.rows import Cost, Kernels, Record, Row

# pyperf collects more, such as host name and paths; a record does not identify its user.
COLLECTED = ("cpu_model_name", "python_implementation", "python_version")


def collect_conditions() -> dict[str, str | int]:
    """The conditions that pyperf reports: Python, and the CPU (the device, unless a GPU is
    used)."""
    collected = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    cpu = {"device": collected.get("cpu_model_name", platform.machine())}
    return cpu | {field: collected[field] for field in COLLECTED if field in collected}


def find_difference(first: Record, other: Record) -> str | None:
    """How two runs that should be equal differ, in words: the first condition that differs, or
    their operations; None if they are alike."""
    if unlike := sorted(dict(first.conditions.items() ^ other.conditions.items())):
        there, here = (record.conditions.get(unlike[0], "unset") for record in (first, other))
        return f"{unlike[0]} was {there} and is {here}"
    if list(map(name_row, first.rows)) != list(map(name_row, other.rows)):
        return "they ran different operations"
    return None


def join(runs: Sequence[Record]) -> Record:
    """Join records of the same command into one record, with their runs in order."""
    rows = []
    for same in zip(*(run.rows for run in runs), strict=True):
        rows.append(
            replace(
                same[0],
                samples=np.concatenate([row.samples for row in same]),
                page_faults=tuple(faults for row in same for faults in row.page_faults),
                kernels=_join_kernels(*same),
                queued_ms=_join_queued(*same),
            )
        )
    return Record(rows, runs[0].conditions, [fields for run in runs for fields in run.runs])


def _join_kernels(*rows: Row) -> tuple[Kernels | None, ...]:
    """The kernels of all runs of several rows; empty if no run collected any."""
    if not any(row.kernels for row in rows):
        return ()
    return tuple(kernels for row in rows for kernels in row.kernels or [None] * len(row.samples))


def _join_queued(*rows: Row) -> tuple[float, ...]:
    """The queued times of all runs of several rows; empty if a run has none."""
    if not all(row.queued_ms for row in rows):
        return ()
    return tuple(milliseconds for row in rows for milliseconds in row.queued_ms)


def dumps(record: Record) -> str:
    """A record as the JSON text of a pyperf suite."""
    benchmarks = []
    names: set[str] = set()
    for row in record.rows:
        name = name_row(row)
        if name in names:  # a stage with a single operation has its name
            name = f"{row.level} {name}"
        names.add(name)
        of_row = _row_fields(row, name)
        runs = []
        for number, samples in enumerate(row.samples.tolist()):
            of_run = dict(record.runs[number]) if row is record.whole else {}
            if row.page_faults:
                of_run["page_faults"] = row.page_faults[number]
            if row.queued_ms:
                of_run["queued_time"] = round(row.queued_ms[number] / 1e3, 9)
            if row.kernels and row.kernels[number] is not None:
                of_run |= _kernel_fields(row.kernels[number])
            seconds = [round(ms / 1e3, 9) for ms in samples]
            metadata = record.conditions | of_row | of_run
            runs.append(pyperf.Run(seconds, metadata=metadata, collect_metadata=False))
        benchmarks.append(pyperf.Benchmark(runs))
    text = io.StringIO()
    pyperf.BenchmarkSuite(benchmarks).dump(text)
    return text.getvalue()


def _row_fields(row: Row, name: str) -> dict[str, str | int]:
    fields = {
        "name": name,
        "unit": "second",
        "level": row.level,
        "type": row.type,
        "path": row.path,
        "stage": row.stage,
        "input_shape": json.dumps(row.input_shape),
        "settings": json.dumps(row.settings) if row.settings else None,
    }
    if row.cost is not None:
        fields |= asdict(row.cost)
    # pyperf accepts neither empty text nor None.
    return {field: value for field, value in fields.items() if value not in ("", None)}


def _kernel_fields(kernels: Kernels) -> dict[str, str | float]:
    fields = {
        "implementation": kernels.implementation,
        "kernel_time": round(kernels.kernel_ms / 1e3, 9),
        "reorder_time": round(kernels.reorder_ms / 1e3, 9),
    }
    return {field: value for field, value in fields.items() if value != ""}


def loads(text: str, file: Path | str) -> Record:
    """Parse a record. Raises Failure, naming the file, if the text is not a record."""
    try:
        benchmarks = pyperf.BenchmarkSuite.loads(text).get_benchmarks()
        rows = [_row_of(benchmark) for benchmark in benchmarks]
        metadata = benchmarks[-1].get_metadata()
        conditions = {
            field: value for field, value in metadata.items() if schema.is_of_conditions(field)
        }
        runs = [
            {field: value for field, value in run.get_metadata().items() if field in schema.RUN}
            for run in benchmarks[-1].get_runs()
        ]
    except Exception as error:  # pyperf may raise anything for other formats
        raise Failure(f"{file} is not a timer's record: {error!r}") from error
    return Record(rows=number_rows(rows), conditions=conditions, runs=runs)


def load(file: Path) -> Record:
    """The record in a file. Raises Failure if the file is missing or invalid."""
    return loads(read_stored(file), file)


def _row_of(benchmark: pyperf.Benchmark) -> Row:
    fields, runs = benchmark.get_metadata(), benchmark.get_runs()
    of_runs = [run.get_metadata() for run in runs]
    faults = [fields.get("page_faults") for fields in of_runs]
    kernels = [_kernels_of(fields) for fields in of_runs]
    queued = [fields.get("queued_time") for fields in of_runs]
    cost = None
    if "macs" in fields:
        cost = Cost(
            kind=fields.get("kind", ""),
            macs=int(fields["macs"]),
            bytes_moved=int(fields["bytes_moved"]),
        )
    return Row(
        level=fields["level"],
        type=fields["type"],
        path=fields.get("path", ""),
        stage=fields.get("stage"),
        input_shape=json.loads(fields["input_shape"]),
        samples=np.round(np.array([run.values for run in runs]) * 1e3, 6),
        settings=json.loads(fields.get("settings", "{}")),
        page_faults=() if None in faults else tuple(faults),
        kernels=tuple(kernels) if any(kernels) else (),
        queued_ms=() if None in queued else tuple(round(seconds * 1e3, 6) for seconds in queued),
        cost=cost,
    )


def _kernels_of(run: dict[str, str | float]) -> Kernels | None:
    if "kernel_time" not in run:
        return None
    return Kernels(
        implementation=run.get("implementation", ""),
        kernel_ms=round(run["kernel_time"] * 1e3, 6),
        reorder_ms=round(run["reorder_time"] * 1e3, 6),
    )
