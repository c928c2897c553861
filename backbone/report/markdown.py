"""Markdown tables."""

from collections.abc import Iterable


def format_table(rows: Iterable[dict[str, str]]) -> str:
    """A table of rows: their cells, by the heads of the columns."""
    rows = list(rows)
    lines = [rows[0], ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
