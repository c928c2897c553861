"""A timer's report as it is printed."""

from backbone.record.names import details_of, name_row
from backbone.record.rows import Record, Row

CUT_MARGIN = 1.05  # by which a pass cut into parts may differ from the network's own
LEAST_PASSES = 21  # timed, of a single process, beside which there are three that are not cut


def format_rows(rows: list[Row]) -> str:
    """The printed text: a line a row, and the whole pass, which comes last, on its own."""
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


def doubt_of_cut(
    target: str,
    record: Record,
    ratio: float,
    low: float | None = None,
    high: float | None = None,
) -> str | None:
    """A line that says so if a pass cut into parts takes another time than the network's own pass,
    by more than 5 %; None if not, or if a single process has timed too few passes to tell.

    target: "block" or "layer". record: of the cut pass. ratio: of its time to the network's own
    pass's; low, high: the limits of the ratio, None of a single process."""
    if low is None and record.whole.samples.shape[1] < LEAST_PASSES:
        return None
    if (low or ratio) <= CUT_MARGIN and (high or ratio) >= 1 / CUT_MARGIN:
        return None
    milliseconds = record.whole.mean
    does_not = "apparently does not" if low is None else "does not"
    return (
        f"--target {target} {does_not} show the network's own pass, which takes "
        f"{milliseconds / ratio:,.1f} ms: cut into parts it takes {milliseconds:,.1f} ms"
    )
