"""Whether the stored texts are what the records beside them say."""

from pathlib import Path

from backbone.command.errors import Failure
from backbone.record.reading import read_stored
from backbone.record.text import format_rows
from backbone.report.memory_text import format_report, format_structure
from backbone.report.tables import Results


def check_texts(results: Results) -> None:
    """Raise Failure, which names the file, of a text that is not what its record says."""
    for stored in [*results.times, *(stored for inputs in results.modes for stored in inputs)]:
        for file, record in stored.files.items():
            _check(file, format_rows(record.rows))
    for memory in results.memory:
        _check(memory.report_file, format_report(memory.report))
        _check(memory.structure_file, format_structure(memory.structure))


def _check(record_file: Path, expected: str) -> None:
    text_file = record_file.with_suffix(".txt")
    if read_stored(text_file) != expected:
        raise Failure(f"{text_file} is not what {record_file.name} says")
