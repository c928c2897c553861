"""Queries to nvidia-smi: a GPU's settings, and its clocks under load."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PATIENCE = 10  # seconds to wait for nvidia-smi


@dataclass(frozen=True)
class GpuState:
    """A GPU's clocks in MHz, and the bits of NVML's reasons for not running faster."""

    sm: int
    memory: int
    reasons: int


def query_state(gpu: str, keep_busy: Callable[[], object]) -> GpuState | None:
    """The state of a GPU, by its UUID, under load: keep_busy is called until nvidia-smi answers.
    None if nvidia-smi does not report it."""
    for reasons in ("clocks_event_reasons.active", "clocks_throttle_reasons.active"):
        fields = ("clocks.sm", "clocks.mem", reasons)  # drivers before 535 use the second name
        answer = query_driver(fields, gpu, keep_busy)
        if answer is None:
            return None
        for values in answer:
            try:
                sm, memory, bits = values
                return GpuState(int(sm.split()[0]), int(memory.split()[0]), int(bits, base=16))
            except ValueError:  # "[N/A]", or another text
                return None
    return None


def query_driver(
    fields: Sequence[str], gpu: str | None = None, meanwhile: Callable[[], object] | None = None
) -> list[list[str]] | None:
    """The values of fields of nvidia-smi, a list per GPU; empty if it reports an error, such as an
    unknown field; None if it is not installed or does not answer. gpu: UUID of the only GPU to
    query. meanwhile: called repeatedly until it has answered."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    command += [] if gpu is None else [f"--id={gpu}"]
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as asked:
            deadline = time.monotonic() + PATIENCE
            while meanwhile is not None and asked.poll() is None and time.monotonic() < deadline:
                meanwhile()
            try:
                said, _ = asked.communicate(timeout=max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                asked.kill()
                return None
    except OSError:
        return None
    if asked.returncode != 0:
        return []
    return [[value.strip() for value in line.split(",")] for line in said.splitlines()]
