"""README's findings: three sentences, made from stored results."""

from collections.abc import Sequence
from operator import attrgetter

from backbone.command.options import PYTORCH, Mode
from backbone.record.stored import StoredMode, StoredModes, StoredTimes
from backbone.record.titles import MAIN_NETWORK
from backbone.report.kinds import sum_by_kind, sum_rows
from backbone.report.mode_tables import ALL, FLOAT32, fastest_modes, over
from backbone.report.numbers import show_mean
from backbone.report.parts import parts_of
from backbone.report.tables import Results
from backbone.statistics.intervals import Interval
from backbone.statistics.looks import level_of

TIMES = "\N{MULTIPLICATION SIGN}"
DEAREST = 2  # kinds of operations that are told
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
FLAGS = {
    "keep_memory": "memory kept",
    "channels_last": "channels_last",
    "fold": "folded",
    "compile": "compiled",
    "freeze": "frozen",
    "cuda_graph": "CUDA graph",
    "train": "training mode",
}


def word_mode(mode: Mode, variables: dict[str, str]) -> str:
    """A mode in words, such as: OpenVINO, int8."""
    words = [f"`{name}={value}`" for name, value in variables.items()]
    words += [] if mode.runtime == PYTORCH else [RUNTIMES[mode.runtime]]
    words += [FLAGS[name] for name in mode.switched_on]
    words += [] if mode.dtype == "float32" else [mode.dtype]
    return ", ".join(words) or "stock"


def finding_lines(results: Results) -> list[str]:
    """What there is to say of memory, of the fastest modes, and of MACs."""
    modes = [each for inputs in results.modes for each in inputs if each.network == MAIN_NETWORK]
    stock = [times for times in results.main_network if times.is_stock and times.ceilings]
    findings = (_of_memory(stock, results.times, modes), _of_modes(modes), _of_macs(stock))
    return [f"- {finding}" for finding in findings if finding]


def _of_memory(
    stock: Sequence[StoredTimes], all_times: list[StoredTimes], inputs: Sequence[StoredModes]
) -> str:
    """How much of a stock pass page faults are, and what keeping memory is worth."""
    shares = []
    for times in stock:
        if (parts := parts_of(times, all_times)) is not None:
            share = 100 * parts.page_faults / parts.whole
            shares.append(f"{share:.0f} % of a stock pass at {times.dataset} size")
    worth = []
    for modes in inputs:
        if modes.kept is not None and (ratio := over(modes, modes.kept, modes.stock)):
            worth.append(f"{show_mean(ratio)}{TIMES}")
    if not shares or not worth:
        return ""
    return (
        f"**Page faults** take {' and '.join(shares)}. Keeping freed memory in the process makes "
        f"it {' and '.join(worth)} as fast, with identical output."
    )


def _of_modes(inputs: Sequence[StoredModes]) -> str:
    """The fastest mode of each input, and the fastest in float32."""
    sentences = []
    for modes in inputs:
        fastest, in_float32 = (fastest_modes(modes, category)[:1] for category in (ALL, FLOAT32))
        if not fastest:
            continue
        text = f"at {modes.dataset} size {_word_speed(*fastest[0])}"
        if in_float32 and in_float32[0][0] is not fastest[0][0]:
            text += f" and, in float32, {_word_speed(*in_float32[0])}"
        sentences.append(text)
    return f"**Fastest**: {'; '.join(sentences)}." if sentences else ""


def _word_speed(mode: StoredMode, ratio: Interval) -> str:
    return f"{word_mode(mode.mode, mode.variables)} ({show_mean(ratio)}{TIMES})"


def _of_macs(stock: Sequence[StoredTimes]) -> str:
    """The kinds of operations that take most time for their MACs, on the largest input."""
    if not stock:
        return ""
    times = max(stock, key=attrgetter("macs"))
    level = level_of(times.layer.conditions)
    whole = sum_rows(times.operations, times.ceilings, level)
    shares = {
        kind: (100 * total.time.mean / whole.time.mean, 100 * total.macs / whole.macs)
        for kind, total in sum_by_kind(times.operations, times.ceilings, level).items()
    }
    worst = sorted(shares, key=lambda kind: shares[kind][1] - shares[kind][0])[:DEAREST]
    told = [
        f"{kind} {shares[kind][0]:.0f} % of the time for {shares[kind][1]:.0f} % of the MACs"
        for kind in worst
    ]
    return f"**MACs do not predict time**: at {times.dataset} size, {', '.join(told)}."
