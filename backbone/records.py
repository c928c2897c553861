"""Records: a timer's runs as a pyperf suite in seconds, a benchmark a row, a Run a process."""

import io
import json
import platform
import statistics
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyperf

from backbone.rows import Ceilings, Cost, Row, name_row, number_rows
from backbone.script import Failure

# pyperf collects more, host name and paths among it; a record says nothing of its user.
COLLECTED = ("cpu_model_name", "python_implementation", "python_version")
# What is of a process, and stands with the whole pass.
OF_A_RUN = ("date", "system_time", "peak_resident_memory", "peak_allocated_memory")
OF_A_RUN += ("compile_time", "output_difference", *Ceilings._fields)


class Record(NamedTuple):
    """The runs of one thing.

    conditions: what is the same in all runs. runs: what is of each run alone: its `date`; on a CPU
    the median `system_time` of a pass in seconds and the `peak_resident_memory` in bytes, on a GPU
    the `peak_allocated_memory`; where memory suffices, of layers the machine's ceilings, of a mode
    that changes arithmetic its `output_difference`; the `compile_time` in seconds.
    """

    rows: list[Row]
    conditions: dict[str, str | int]
    runs: list[dict[str, str | int | float]]

    def median(self, key: str, scale: float = 1) -> float | None:
        """Of what is of each run, the median over those that have it; None where none has."""
        values = [run[key] for run in self.runs if key in run]
        return scale * statistics.median(values) if values else None


def start(conditions: dict[str, str | int]) -> Record:
    """A record of one run that has no rows yet. Where its conditions name no device, the CPU is."""
    collected = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    cpu = {"device": collected.get("cpu_model_name", platform.machine())}
    kept = {key: collected[key] for key in COLLECTED if key in collected}
    return Record([], cpu | kept | conditions, [{"date": collected["date"]}])


def read_like(file: Path, new: Record) -> Record | None:
    """The record that stands in a file, to which a new one's runs can be added; None where there is
    no file. Raises script.Failure where it is no record, or of other conditions."""
    if not file.exists():
        return None
    old = loads(file.read_text("utf-8", "replace"), file)
    for key in [*new.conditions, *old.conditions]:
        here, there = new.conditions.get(key, "unset"), old.conditions.get(key, "unset")
        if here != there:
            raise Failure(f"cannot add to {file}: {key} is {there} there, {here} here")
    return old


def add(file: Path, new: Record) -> Record:
    """A new record's runs behind those in a file, if any. Raises script.Failure of unlike ones."""
    old = read_like(file, new)
    if old is None:
        return new
    rows = []
    for row, added in zip(old.rows, new.rows, strict=True):
        samples = np.concatenate([row.samples, added.samples])
        rows.append(replace(row, samples=samples, page_faults=row.page_faults + added.page_faults))
    return Record(rows, old.conditions, old.runs + new.runs)


def dumps(record: Record) -> str:
    """A record as the JSON text of a pyperf suite."""
    benchmarks, names = [], set()
    for row in record.rows:
        if (name := name_row(row)) in names:  # a stage of one operation has that one's name
            name = f"{row.level} {name}"
        names.add(name)
        about = {key: getattr(row, key) for key in ("level", "type", "path", "stage")}
        about |= {"name": name, "unit": "second", "input_shape": json.dumps(row.input_shape)}
        about |= {"settings": json.dumps(row.settings)} if row.settings else {}
        about |= row.cost._asdict() if row.cost else {}
        about = {key: value for key, value in about.items() if value not in ("", None)}  # of pyperf
        runs = []
        for number, samples in enumerate(row.samples.tolist()):
            own = dict(record.runs[number]) if row is record.rows[-1] else {}
            own |= {"page_faults": row.page_faults[number]} if row.page_faults else {}
            seconds, said = [round(ms / 1e3, 9) for ms in samples], record.conditions | about | own
            runs.append(pyperf.Run(seconds, metadata=said, collect_metadata=False))
        benchmarks.append(pyperf.Benchmark(runs))
    text = io.StringIO()
    pyperf.BenchmarkSuite(benchmarks).dump(text)
    return text.getvalue()


def loads(text: str, file: Path) -> Record:
    """The record of a text. Raises script.Failure, which names a file, where it is none."""
    rows = []
    try:
        benchmarks = pyperf.BenchmarkSuite.loads(text).get_benchmarks()
        for about, runs in ((each.get_metadata(), each.get_runs()) for each in benchmarks):
            faults = [run.get_metadata().get("page_faults") for run in runs]
            cost = [about[key] for key in ("macs", "bytes_moved") if key in about]
            row = Row(
                *(about["level"], about["type"], about.get("path", ""), about.get("stage")),
                json.loads(about["input_shape"]),
                np.round(np.array([run.values for run in runs]) * 1e3, 6),
                json.loads(about.get("settings", "{}")),
                [] if None in faults else faults,
                Cost(about.get("kind", ""), *cost) if cost else None,
            )
            rows.append(row)
        own = {"name", "unit", *vars(rows[-1]), *Cost._fields, *OF_A_RUN}
    except Exception as error:  # pyperf raises whatever a text of another form makes it run into
        raise Failure(f"{file} is no record of a timer: {error!r}") from error
    conditions = {key: value for key, value in about.items() if key not in own}  # the last row's
    of_runs = [{key: v for key, v in run.get_metadata().items() if key in OF_A_RUN} for run in runs]
    return Record(number_rows(rows), conditions, of_runs)
