"""A timer's report as printed text."""

from backbone.record.names import details_of, name_row
from backbone.record.rows import Row


def format_rows(rows: list[Row]) -> str:
    """The printed text: one line per row, with the whole pass last, after an empty line."""
    *parts, whole = map(format_row, rows)
    lines = [*parts, "", whole] if parts else [whole]
    return "\n".join(lines) + "\n"


def format_row(row: Row) -> str:
    """Mean and population standard deviation over all passes, in milliseconds."""
    indent = "  " if row.level == "layer" else ""
    return (
        f"{indent}Average Execution Time for {name_row(row)} "
        f"with {details_of(row)}input shape: {row.input_shape} "
        f"is {row.mean:.3f} ms with std = {row.samples.std():.3f} ms"
    )
