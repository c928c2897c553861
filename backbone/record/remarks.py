"""What stands beside a record, on stderr: what its times may not show."""

from collections.abc import Iterator

from backbone.record.rows import Record
from backbone.record.titles import count

CUT_MARGIN = 1.05  # by which a pass cut into parts may differ from the network's own
LEAST_PASSES = 21  # timed, of a single process, beside which there are three that are not cut
# A pass takes so many times as long as its GPU computes, or longer, where the host is too slow.
LEAST_RATIO = 1.1
# Bits of NVML's clock event reasons that stand for a lower clock than the load would get (nvml.h);
# others stand for an idle GPU, and for clocks that somebody has set.
THROTTLING = {
    0x04: "software power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}


def remarks_on(record: Record) -> Iterator[str]:
    """Lines on a record of a GPU: if the host is the bottleneck of its passes, and if it was
    throttled."""
    whole = record.whole
    if is_bound_by_launches(record):
        enqueue = record.median("enqueue_time", 1e3)
        yield (
            f"the host is the bottleneck: a pass takes {whole.mean:.2f} ms, in which the GPU "
            f"computes {whole.device_mean:.2f} ms; enqueueing it takes {enqueue:.2f} ms "
            "(a larger batch, --cuda-graph or --compile help)"
        )
    said = " ".join(run.get("throttle_reasons", "") for run in record.runs)
    turns = [int(bits, 16) for bits in said.split()]
    throttled = [bits for bits in turns if bits & sum(THROTTLING)]
    if throttled:
        reasons = [why for bit, why in THROTTLING.items() if any(bit & each for each in throttled)]
        number = f"{len(throttled)} of {count(len(turns), 'turn')}"
        yield f"the GPU was throttled at the end of {number} ({', '.join(reasons)})"


def is_bound_by_launches(record: Record) -> bool:
    """Whether a GPU waits for launches: its passes take longer than it computes."""
    whole = record.whole
    return bool(whole.queued_ms) and whole.mean >= LEAST_RATIO * whole.device_mean


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
