"""What NVIDIA's driver says of GPUs, by nvidia-smi: their settings, and their clocks under load."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PATIENCE = 10  # seconds that nvidia-smi may take


@dataclass(frozen=True)
class GpuState:
    """A GPU's clocks in MHz, and the bits of NVML's reasons why they are not higher."""

    sm: int
    memory: int
    reasons: int


def query_state(gpu: str, keep_busy: Callable[[], object]) -> GpuState | None:
    """The state of a GPU, by its UUID, while it computes: keep_busy is called until the answer is
    there. None if nvidia-smi cannot say."""
    for reasons in ("clocks_event_reasons.active", "clocks_throttle_reasons.active"):
        fields = ("clocks.sm", "clocks.mem", reasons)  # a driver before 535 has the second name
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
    """The values of fields of nvidia-smi, a list for each GPU; empty if it refuses, as a field that
    it does not know; None if it is not there, or does not answer. gpu: the UUID of one, which alone
    is asked for. meanwhile: called again and again until it has answered."""
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
