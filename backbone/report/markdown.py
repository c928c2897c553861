"""Markdown tables."""

from collections.abc import Iterable
from itertools import groupby

UNKNOWN = "-"  # a cell


def format_table(rows: Iterable[dict[str, str]]) -> str:
    """A table from rows of cells by column head. Columns without any value are left out."""
    rows = list(rows)
    heads = [head for head in rows[0] if any(row[head] != UNKNOWN for row in rows)]
    lines = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def format_tables(rows: Iterable[dict[str, str]], by: str) -> list[str]:
    """A table for each value of a column by which rows are sorted. The value precedes the table and
    replaces the column."""
    blocks = []
    for value, group in groupby(rows, key=lambda row: row[by]):
        inside = [{head: cell for head, cell in row.items() if head != by} for row in group]
        blocks += [f"{value}:", format_table(inside)]
    return blocks
