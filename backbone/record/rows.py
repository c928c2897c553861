"""Rows and records: what was timed, what it costs, how long each pass of it took, and where."""

from dataclasses import dataclass, field, fields, replace
from statistics import median

import numpy as np

from backbone.command.options import PYTORCH, STOCK, Mode
from backbone.record import schema
from backbone.record.agreement import Agreement


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates, and the bytes that must be moved at the least; of one operation also
    its kind, in the field's words ("": operations of several kinds)."""

    macs: int
    bytes_moved: int
    kind: str = ""


@dataclass(frozen=True)
class Ceilings:
    """A machine's: FLOPs of a matrix product (2 a MAC), bytes that a copy reads and writes."""

    flops_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class Kernels:
    """What oneDNN has run for an operation: the implementation of its kernels by oneDNN's name, and
    the milliseconds of a pass in these and in reorders between layouts in memory."""

    implementation: str
    kernel_ms: float
    reorder_ms: float


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a report.

    level: "model", "block" or "layer". type: of network, stage, module or function. path: of the
    module ("": the network itself). stage: its number in the pass, from 0; None for the whole pass.
    samples: elapsed milliseconds of each pass, shape (runs, iterations). settings: what else the
    line of a stage says. page_faults: of a pass, the median of each run; none where not counted.
    kernels: of each run, None where they were not collected; none where oneDNN has run none.
    queued_ms: of a GPU, the mean milliseconds in passes that it began once they were enqueued
    whole, of each run.
    cost: of its operations together. number: among rows that would have the same name, from 1.
    """

    level: str
    type: str
    path: str
    stage: int | None
    input_shape: list[int]
    samples: np.ndarray
    settings: dict[str, int | float] = field(default_factory=dict)
    page_faults: tuple[int, ...] = ()
    kernels: tuple[Kernels | None, ...] = ()
    queued_ms: tuple[float, ...] = ()
    cost: Cost | None = None
    number: int = 1

    @property
    def mean(self) -> float:
        """Milliseconds a pass."""
        return float(self.samples.mean())

    @property
    def run_means(self) -> np.ndarray:
        """Milliseconds a pass in each run, shape (runs,)."""
        return self.samples.mean(axis=1)

    @property
    def device_means(self) -> np.ndarray:
        """Milliseconds that the device computes in a pass, in each run, shape (runs,): a GPU's in
        queued passes, where they are known; otherwise like run_means."""
        return np.array(self.queued_ms) if self.queued_ms else self.run_means

    @property
    def device_mean(self) -> float:
        """The mean of device_means."""
        return float(self.device_means.mean())

    @property
    def median_faults(self) -> float | None:
        """Page faults of a pass, the median of the runs'."""
        return median(self.page_faults) if self.page_faults else None

    @property
    def implementation(self) -> str:
        """Of oneDNN's kernels; "" where it has run none."""
        return next((each.implementation for each in self.kernels if each is not None), "")

    @property
    def kernel_ms(self) -> float | None:
        """Milliseconds of a pass in oneDNN's kernels, the median of the runs'."""
        times = [each.kernel_ms for each in self.kernels if each is not None]
        return median(times) if times else None

    @property
    def reorder_ms(self) -> float | None:
        """Milliseconds of a pass in oneDNN's reorders, the median of the runs'."""
        times = [each.reorder_ms for each in self.kernels if each is not None]
        return median(times) if times else None

    def floor(self, ceilings: Ceilings) -> float:
        """The least milliseconds that the ceilings allow an operation: its arithmetic at the one,
        or its bytes at the other, whichever takes longer. Source: Williams, Waterman, Patterson,
        "Roofline: An Insightful Visual Performance Model ...", CACM 52(4), 2009."""
        arithmetic = 2 * self.cost.macs / ceilings.flops_per_second
        return 1e3 * max(arithmetic, self.cost.bytes_moved / ceilings.bytes_per_second)


@dataclass(frozen=True)
class Record:
    """The runs of one thing.

    rows: with the samples of all runs. conditions: what is the same in all runs. runs: what is of
    each run alone. For the fields of both see schema.py.
    """

    rows: list[Row]
    conditions: dict[str, str | int]
    runs: list[dict[str, str | int | float]]

    @property
    def mode(self) -> Mode:
        """How the network was run, by its flags."""

        def is_set(name: str) -> bool:
            return self.conditions.get(name) == "True"

        return Mode(
            keep_memory=is_set("keep_memory"),
            channels_last=is_set("channels_last"),
            fold=is_set("fold"),
            compile=is_set("compile"),
            freeze=is_set("freeze"),
            cuda_graph=is_set("cuda_graph"),
            train=is_set("train"),
            dtype=self.conditions.get("dtype", "float32"),
            runtime=self.conditions.get("runtime", PYTORCH),
        )

    @property
    def is_of_gpu(self) -> bool:
        """Whether it is of a CUDA GPU; otherwise it is of a CPU."""
        return "cuda_version" in self.conditions

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the environment among the conditions."""
        return {
            name: value for name, value in self.conditions.items() if schema.is_of_environment(name)
        }

    @property
    def is_exact(self) -> bool:
        """Whether the output was measured to be bit-identical to stock's, or the mode is stock."""
        difference = self.median("output_difference")
        if difference is not None:
            return difference == 0
        if "stop_rule" in self.conditions:
            return self.mode == STOCK
        # Stored when this was not measured of all modes.
        return replace(self.mode, keep_memory=False) == STOCK

    @property
    def agreement(self) -> Agreement | None:
        """On a user's images; None if it was not measured."""
        found = [run for run in self.runs if "agreement_share" in run]
        names = [each.name for each in fields(Agreement)]
        return Agreement(*(found[0][f"agreement_{name}"] for name in names)) if found else None

    @property
    def ready_after(self) -> float | None:
        """Seconds to the end of the first pass, in the first process; None if not measured."""
        return self.runs[0].get("ready_after")

    @property
    def whole(self) -> Row:
        """The row of the whole pass."""
        return self.rows[-1]

    @property
    def images_per_pass(self) -> int:
        """The batch size."""
        return self.whole.input_shape[0]

    @property
    def rounds(self) -> tuple[int, ...]:
        """The numbers of the rounds in which it has runs, in order. A run that was not part of a
        round counts as one."""
        return tuple(sorted({run.get("round", number) for number, run in enumerate(self.runs, 1)}))

    def median(self, field: str, scale: float = 1) -> float | None:
        """The median of a field over the runs that have it; None, if none has."""
        values = [run[field] for run in self.runs if field in run]
        return scale * median(values) if values else None
