"""compare.py's table of differences by stage or operation."""

from collections.abc import Sequence

from backbone.record.titles import count
from backbone.report.differences import Difference, Differences, together

LISTED = 10  # number of rows without --all
HEAD = ("first (ms)", "second (ms)", "difference (ms)", "of it", "page faults", "reorders (ms)")
WIDTHS = (10, 11, 32, 8, 19, 17)


def format_differences(found: Differences, lists_all: bool) -> str:
    """The rows that certainly differ, largest difference first, at most ten unless `lists_all`; and
    the sum of the remaining rows."""
    certain = [row for row in found.rows if row.is_certain]
    others = [row for row in found.rows if not row.is_certain]
    listed = certain if lists_all else certain[:LISTED]
    rest = certain[len(listed) :]
    lines = [found.whole, *listed]
    for rows, what in ((rest, "more (--all lists them)"), (others, "with no certain difference")):
        if rows:
            kind, _, of_what = found.noun.partition(" ")  # "operation", or "kind of operation"
            number = f"{count(len(rows), kind)} {of_what}".strip()
            lines.append(together(f"{number} {what}", rows))
    level = 100 * (1 - found.whole.level)
    title = (
        f"By {found.noun}, {found.unit}, {count(len(found.whole.by_round), 'round')}; the rows' "
        f"intervals hold together at {level:.4g} % (Bonferroni):"
    )
    table = [_line(HEAD, found.noun), *(_format_row(row, found) for row in lines)]
    return "\n".join([title, *table]) + "\n"


def _format_row(row: Difference, found: Differences) -> str:
    sides = (row.first, row.second)
    times = ["-" if side is None else f"{side.milliseconds:,.3f}" for side in sides]
    limits = row.milliseconds
    between = "" if limits.low is None else f" ({limits.low:+,.3f} to {limits.high:+,.3f})"
    share = found.share_of(row)
    cells = [
        *times,
        f"{limits.mean:+,.3f}{between}",
        "-" if share is None else f"{share:.1f} %",
        _from_to([None if side is None else side.page_faults for side in sides], "{:,.0f}"),
        _from_to([None if side is None else side.reorder_ms for side in sides], "{:.3f}"),
    ]
    return _line(cells, row.name)


def _from_to(values: Sequence[float | None], form: str) -> str:
    if all(value is None for value in values):
        return "-"
    return " -> ".join("-" if value is None else form.format(value) for value in values)


def _line(cells: Sequence[str], name: str) -> str:
    padded = [f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)]
    return f"{' '.join(padded)}  {name}"
