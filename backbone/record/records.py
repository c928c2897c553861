"""A timer's records: runs of one thing, as a pyperf suite in seconds, a benchmark a row."""

import io
import json
import platform
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyperf

from backbone.command.errors import Failure
from backbone.command.options import EXACT_MODES
from backbone.record import schema
from backbone.record.names import name_row, number_rows
from backbone.record.rows import Cost, Kernels, Row

# pyperf collects more, host name and paths among it; a record says nothing of its user.
COLLECTED = ("cpu_model_name", "python_implementation", "python_version")


@dataclass(frozen=True)
class Record:
    """The runs of one thing.

    rows: with the samples of all runs. conditions: what is the same in all runs. runs: what is of
    each run alone. For the fields of both see schema.py.
    """

    rows: list[Row]
    conditions: dict[str, str | int]
    runs: list[dict[str, str | int | float]]

    @property
    def is_exact(self) -> bool:
        """Whether the output is stock's, bit for bit, by the mode."""
        return self.conditions.get("mode", "") in EXACT_MODES

    @property
    def is_of_training(self) -> bool:
        """Whether the network was in training mode, which makes it another function."""
        return "--train" in self.conditions.get("mode", "").split()

    @property
    def whole(self) -> Row:
        """The row of the whole pass."""
        return self.rows[-1]

    def median(self, field: str, scale: float = 1) -> float | None:
        """The median of a field over the runs that have it; None, if none has."""
        values = [run[field] for run in self.runs if field in run]
        return scale * statistics.median(values) if values else None


def start(conditions: dict[str, str | int]) -> Record:
    """A record of one run that has no rows yet. Where its conditions name no device, the CPU is."""
    collected = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    cpu = {"device": collected.get("cpu_model_name", platform.machine())}
    kept = {field: collected[field] for field in COLLECTED if field in collected}
    run = {"date": collected["date"]}
    return Record(rows=[], conditions=cpu | kept | conditions, runs=[run])


def join(old: Record, new: Record, file: Path) -> Record:
    """A new record's runs behind those of the old one. Raises Failure, which names the old one's
    file, where they are of other conditions."""
    check_alike(old, new, file)
    rows = []
    for row, added in zip(old.rows, new.rows, strict=True):
        rows.append(
            replace(
                row,
                samples=np.concatenate([row.samples, added.samples]),
                page_faults=row.page_faults + added.page_faults,
                kernels=_join_kernels(row, added),
            )
        )
    return Record(rows=rows, conditions=old.conditions, runs=old.runs + new.runs)


def _join_kernels(*rows: Row) -> tuple[Kernels | None, ...]:
    """Those of all runs of some rows, in some of which they may not have been collected."""
    if not any(row.kernels for row in rows):
        return ()
    return tuple(kernels for row in rows for kernels in row.kernels or [None] * len(row.samples))


def check_alike(old: Record, new: Record, file: Path) -> None:
    """Raise Failure where a new record's runs are of other conditions than those in a file."""
    for field in [*new.conditions, *old.conditions]:
        here, there = new.conditions.get(field, "unset"), old.conditions.get(field, "unset")
        if here != there:
            raise Failure(f"cannot add to {file}: {field} is {there} there, {here} here")


def mode_of(record: Record, stock: Record) -> str:
    """A record's mode as one would type it: the variables of the environment that stock did not
    have so, and flags; nothing for stock."""
    fields = sorted(record.conditions.items() - stock.conditions.items())
    words = [f"{name}={value}" for name, value in fields if schema.is_of_environment(name)]
    if "mode" in record.conditions:
        words.append(record.conditions["mode"])
    return " ".join(words)


def dumps(record: Record) -> str:
    """A record as the JSON text of a pyperf suite."""
    benchmarks = []
    names: set[str] = set()
    for row in record.rows:
        name = name_row(row)
        if name in names:  # a stage of one operation has that one's name
            name = f"{row.level} {name}"
        names.add(name)
        of_row = _row_fields(row, name)
        runs = []
        for number, samples in enumerate(row.samples.tolist()):
            of_run = dict(record.runs[number]) if row is record.whole else {}
            if row.page_faults:
                of_run["page_faults"] = row.page_faults[number]
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
    # pyperf takes no empty text, and no None.
    return {field: value for field, value in fields.items() if value not in ("", None)}


def _kernel_fields(kernels: Kernels) -> dict[str, str | float]:
    fields = {
        "implementation": kernels.implementation,
        "kernel_time": round(kernels.kernel_ms / 1e3, 9),
        "reorder_time": round(kernels.reorder_ms / 1e3, 9),
    }
    return {field: value for field, value in fields.items() if value != ""}


def loads(text: str, file: Path) -> Record:
    """The record of a text. Raises Failure, which names a file, where it is none."""
    try:
        benchmarks = pyperf.BenchmarkSuite.loads(text).get_benchmarks()
        rows = [_row_of(benchmark) for benchmark in benchmarks]
        conditions = {
            field: value
            for field, value in benchmarks[-1].get_metadata().items()
            if schema.is_of_conditions(field)
        }
        runs = [
            {field: value for field, value in run.get_metadata().items() if field in schema.RUN}
            for run in benchmarks[-1].get_runs()
        ]
    except Exception as error:  # pyperf raises whatever a text of another form makes it run into
        raise Failure(f"{file} is no record of a timer: {error!r}") from error
    return Record(rows=number_rows(rows), conditions=conditions, runs=runs)


def load(file: Path) -> Record:
    """The record in a file. Raises Failure where it is none, and OSError."""
    return loads(file.read_text("utf-8", "replace"), file)


def _row_of(benchmark: pyperf.Benchmark) -> Row:
    fields, runs = benchmark.get_metadata(), benchmark.get_runs()
    of_runs = [run.get_metadata() for run in runs]
    faults = [each.get("page_faults") for each in of_runs]
    kernels = [_kernels_of(each) for each in of_runs]
    cost = None
    if "macs" in fields:
        cost = Cost(
            kind=fields.get("kind", ""), macs=fields["macs"], bytes_moved=fields["bytes_moved"]
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
