"""The record of the run that is under way, and the file that it goes to."""

from dataclasses import replace
from pathlib import Path

from backbone.command.files import (
    check_writable,
    is_written_in_place,
    update_whole,
    write_whole,
)
from backbone.command.options import TimerOptions
from backbone.record import records
from backbone.record.records import Record
from backbone.record.rows import Row


class RunRecord:
    """A run's record on its way to a file: alone there (--json), or with the runs that are there
    already (--append)."""

    def __init__(self, path: str, append: bool, conditions: dict[str, str | int]) -> None:
        """Start the record. Raises Failure where the file can't be written to, or holds what is no
        record, or runs of other conditions."""
        self.path = path
        self.append = append
        self.record = records.start(conditions)
        self._position: int | None = None  # of this run among those in the file, once it is there
        self.known: frozenset[str] = frozenset()  # fields of the runs before this one
        check_writable(path)
        if append and Path(path).exists():
            before = records.load(Path(path))
            records.check_alike(before, self.record, Path(path))
            self.known = frozenset(field for run in before.runs for field in run)

    def store(self, rows: list[Row], run: dict[str, str | int | float]) -> list[Row]:
        """Write the run; its rows with the samples of all runs in the file. A device or a pipe
        waits for amend(): what is written there can't be written again."""
        (date,) = self.record.runs
        self.record = replace(self.record, rows=rows, runs=[date | run])
        if is_written_in_place(self.path):
            return rows
        return self._write().rows

    def amend(self, run: dict[str, str | int | float]) -> None:
        """Write what has been measured of the run since it was stored, if anything has."""
        (before,) = self.record.runs
        self.record = replace(self.record, runs=[before | run])
        if run or is_written_in_place(self.path):
            self._write()

    def _write(self) -> Record:
        """Give the file this run; what it then holds."""
        if not self.append:
            write_whole(self.path, records.dumps(self.record))
            return self.record
        written = []

        def with_this_run(text: str | None) -> str:
            written.append(self._among(text))
            return records.dumps(written[0])

        update_whole(self.path, with_this_run)
        return written[0]

    def _among(self, text: str | None) -> Record:
        """This run among those of a file's text."""
        old = None if text is None else records.loads(text, Path(self.path))
        if old is None:
            self._position = 0
            return self.record
        if self._position is None:
            self._position = len(old.runs)
            return records.join(old, self.record, Path(self.path))
        runs = list(old.runs)
        runs[self._position] = self.record.runs[0]
        return replace(old, runs=runs)


def open_record(options: TimerOptions, network: str, conditions: dict[str, str | int]) -> RunRecord:
    """The record that a timer is asked for by its options, of a network of this name, under these
    further conditions. Raises what RunRecord raises."""
    asked = {
        "network": network,
        "dataset": options.workload.dataset,
        "target": options.target,
        "batch_size": options.workload.batch_size,
        "warmup": options.warmup,
        "iterations": options.iterations,
        "dtype": options.mode.dtype,
    }
    if options.mode.flags:
        asked["mode"] = options.mode.flags
    if options.threads is not None:
        asked["threads_chosen"] = options.threads
    if options.workload.output_stride != 32:
        asked["output_stride"] = options.workload.output_stride
    if options.workload.weights is not None:
        asked["weights"] = options.workload.weights_id
    if options.workload.file_id is not None:
        asked["file_id"] = options.workload.file_id
    return RunRecord(options.record_file, options.append is not None, conditions | asked)
