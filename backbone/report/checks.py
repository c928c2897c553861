"""Checks that stored texts match the records beside them."""

from pathlib import Path

from backbone.command.errors import Failure
from backbone.record.reading import read_stored
from backbone.record.text import format_rows
from backbone.report.memory_text import format_report, format_structure
from backbone.report.stored_results import Results


def check_texts(results: Results) -> None:
    """Raise Failure, naming the file, if a text does not match its record."""
    for stored in [*results.times, *(stored for inputs in results.modes for stored in inputs)]:
        for file, record in stored.files.items():
            _check(file, format_rows(record.rows))
    for memory in results.memory:
        _check(memory.report_file, format_report(memory.report))
        _check(memory.structure_file, format_structure(memory.structure))


def _check(record_file: Path, expected: str) -> None:
    text_file = record_file.with_suffix(".txt")
    if read_stored(text_file) != expected:
        raise Failure(f"{text_file} does not match {record_file.name}")
