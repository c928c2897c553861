"""Remarks on a record for stderr: reasons to doubt its times."""

from collections.abc import Iterator

from backbone.record.rows import Record
from backbone.record.titles import count

CUT_MARGIN = 1.05  # tolerated difference of a cut pass from the network's own pass
LEAST_PASSES = 21  # timed passes of a single process, which correspond to three uncut ones
# The host is the bottleneck if latency exceeds GPU time by at least this factor.
LEAST_RATIO = 1.1
# Bits of NVML's clock event reasons (nvml.h) that mean throttling; the others mean an idle GPU or
# clocks set by an administrator.
THROTTLING = {
    0x04: "software power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}


def remarks_on(record: Record) -> Iterator[str]:
    """Remarks on a GPU's record: whether the host was the bottleneck, and whether the GPU was
    throttled."""
    whole = record.whole
    if is_bound_by_launches(record):
        enqueue = record.median("enqueue_time", 1e3)
        yield (
            f"the host is the bottleneck: the GPU is busy for only {whole.device_mean:.2f} ms of a "
            f"{whole.mean:.2f} ms pass, which takes {enqueue:.2f} ms to enqueue "
            "(a larger batch, --cuda-graph or --compile may help)"
        )
    said = " ".join(run.get("throttle_reasons", "") for run in record.runs)
    turns = [int(bits, 16) for bits in said.split()]
    throttled = [bits for bits in turns if bits & sum(THROTTLING)]
    if throttled:
        reasons = [why for bit, why in THROTTLING.items() if any(bit & bits for bits in throttled)]
        number = f"{len(throttled)} of {count(len(turns), 'turn')}"
        yield f"the GPU was throttled at the end of {number} ({', '.join(reasons)})"


def is_bound_by_launches(record: Record) -> bool:
    """Whether passes are launch-bound: they take longer than their GPU time."""
    whole = record.whole
    return bool(whole.queued_ms) and whole.mean >= LEAST_RATIO * whole.device_mean


def doubt_of_cut(
    target: str,
    record: Record,
    ratio: float,
    low: float | None = None,
    high: float | None = None,
) -> str | None:
    """A warning that cutting a pass into parts changes its time by more than 5 %; None if it does
    not, or if a single process timed too few passes to tell.

    target: "block" or "layer". ratio: the time of the cut pass divided by that of the network's
    own; low, high: limits of the ratio, None for a single process."""
    if low is None and record.whole.samples.shape[1] < LEAST_PASSES:
        return None
    if (low or ratio) <= CUT_MARGIN and (high or ratio) >= 1 / CUT_MARGIN:
        return None
    milliseconds = record.whole.mean
    does_not = "apparently does not" if low is None else "does not"
    return (
        f"--target {target} {does_not} represent the network's own pass: cut into parts it takes "
        f"{milliseconds:,.1f} ms, uncut {milliseconds / ratio:,.1f} ms"
    )
