"""Rows and records: the samples of timed passes, their costs, and the conditions."""

from dataclasses import dataclass, field, fields
from statistics import median

import numpy as np

from backbone.command.options import PYTORCH, STOCK, Mode
from backbone.record import schema
from backbone.record.agreement import Agreement


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates, the least number of bytes to be moved, and the kind of an operation (""
    for several operations)."""

    macs: int
    bytes_moved: int
    kind: str = ""


@dataclass(frozen=True)
class Ceilings:
    """A machine's peak FLOP/s of a matrix product (2 FLOPs per MAC), and bytes per second that a
    copy reads and writes."""

    flops_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class Kernels:
    """oneDNN's kernels for an operation: their implementation, by oneDNN's name, and the
    milliseconds per pass in kernels and in reorders between memory layouts."""

    implementation: str
    kernel_ms: float
    reorder_ms: float


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a report.

    level: "model", "block" or "layer". type: type of the network, stage, module or function. path:
    path of the module ("" is the network itself). stage: number of the stage in the pass, from 0;
    None for the whole pass. samples: elapsed milliseconds of each pass, shape (runs, iterations).
    settings: further details in the line of a stage. page_faults: per pass, the median of each run;
    empty if not counted. kernels: one entry per run, None if that run did not collect them; empty
    if oneDNN ran no kernel. queued_ms: on a GPU, the mean milliseconds in queued passes, for each
    run. cost: total cost of its operations. number: distinguishes rows with the same name, from 1.
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
        """Milliseconds per pass."""
        return float(self.samples.mean())

    @property
    def run_means(self) -> np.ndarray:
        """Milliseconds per pass in each run, shape (runs,)."""
        return self.samples.mean(axis=1)

    @property
    def device_means(self) -> np.ndarray:
        """Milliseconds per pass that the device is busy, in each run, shape (runs,): the time in
        queued passes on a GPU, if known; otherwise run_means."""
        return np.array(self.queued_ms) if self.queued_ms else self.run_means

    @property
    def device_mean(self) -> float:
        """The mean of device_means."""
        return float(self.device_means.mean())

    @property
    def median_faults(self) -> float | None:
        """Page faults per pass, the median over the runs; None if not counted."""
        return median(self.page_faults) if self.page_faults else None

    @property
    def implementation(self) -> str:
        """The implementation of oneDNN's kernels; "" if it ran none."""
        return next((item.implementation for item in self.kernels if item is not None), "")

    @property
    def kernel_ms(self) -> float | None:
        """Milliseconds per pass in oneDNN's kernels, the median over the runs; None if unknown."""
        times = [item.kernel_ms for item in self.kernels if item is not None]
        return median(times) if times else None

    @property
    def reorder_ms(self) -> float | None:
        """Milliseconds per pass in oneDNN's reorders, the median over the runs; None if unknown."""
        times = [item.reorder_ms for item in self.kernels if item is not None]
        return median(times) if times else None

    def bound(self, ceilings: Ceilings) -> float:
        """The roofline bound of an operation in milliseconds: its arithmetic at peak FLOP/s or its
        bytes at peak bandwidth, whichever takes longer. Source: Williams, Waterman, Patterson,
        "Roofline: An Insightful Visual Performance Model ...", CACM 52(4), 2009."""
        arithmetic = 2 * self.cost.macs / ceilings.flops_per_second
        return 1e3 * max(arithmetic, self.cost.bytes_moved / ceilings.bytes_per_second)


@dataclass(frozen=True)
class Record:
    """The runs of one command.

    rows: with the samples of all runs. conditions: fields that are equal in all runs. runs: the
    fields of each run. schema.py lists both.
    """

    rows: list[Row]
    conditions: dict[str, str | int]
    runs: list[dict[str, str | int | float]]

    @property
    def mode(self) -> Mode:
        """The mode in which the network ran."""

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
        """Whether the device is a CUDA GPU; otherwise it is a CPU."""
        return "cuda_version" in self.conditions

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables among the conditions."""
        return {
            name: value for name, value in self.conditions.items() if schema.is_of_environment(name)
        }

    @property
    def is_exact(self) -> bool:
        """Whether the mode is stock, or its output was found bit-identical to stock's."""
        difference = self.median("output_difference")
        return self.mode == STOCK if difference is None else difference == 0

    @property
    def agreement(self) -> Agreement | None:
        """The agreement with stock on a user's images; None if not measured."""
        found = [run for run in self.runs if "agreement_share" in run]
        names = [item.name for item in fields(Agreement)]
        return Agreement(*(found[0][f"agreement_{name}"] for name in names)) if found else None

    @property
    def ready_after(self) -> float | None:
        """Seconds from the built network to the end of the first pass, in the first process; None
        if not measured."""
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
        """The sorted numbers of the rounds in which the command has runs. A run outside of rounds
        counts as a round."""
        return tuple(sorted({run.get("round", number) for number, run in enumerate(self.runs, 1)}))

    def median(self, field: str, scale: float = 1) -> float | None:
        """The median of a field over the runs that have it, times `scale`; None if no run has
        it."""
        values = [run[field] for run in self.runs if field in run]
        return scale * median(values) if values else None
