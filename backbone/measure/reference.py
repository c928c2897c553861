"""The stock output, from a process of its own, which the outputs of modes are compared with.

A variable of the environment, or a setting of a process, changes all that the process computes: a
reference computed beside a mode's output would have the same error.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from backbone.command import ending
from backbone.command.errors import Failure
from backbone.command.options import Workload

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StockPass:
    """A pass of the stock network. device: "cpu" or "cuda". threads: intra-op; None is PyTorch's
    choice."""

    workload: Workload
    device: str
    threads: int | None


@dataclass(frozen=True)
class Reference:
    """outputs: see `outputs_of()` of network/outputs.py. weights: their digest. varies: whether a
    second pass on the same image gave other outputs."""

    outputs: "list[Tensor]"
    weights: str
    varies: bool


def compute_reference(
    stock: StockPass, environment: Mapping[str, str], locks: tuple[int, ...] = ()
) -> bytes:
    """The reference of a stock pass, for `read()`, computed by a process that is started for it
    with this environment. locks: open files that it keeps open. Raises Failure if it fails."""
    ended = subprocess.run(
        [sys.executable, __file__, json.dumps(asdict(stock))],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        pass_fds=locks,
    )
    if ended.returncode != 0:
        last_line = ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        reason = last_line.partition(": ")[2]  # behind the program's name
        raise Failure(f"the stock output cannot be computed ({reason or ended.returncode})")
    return ended.stdout


def read(reference: bytes) -> Reference:
    """A reference from its bytes."""
    import torch

    return Reference(**torch.load(io.BytesIO(reference), weights_only=True))


def main() -> None:
    """Write the reference to stdout, which nothing else in this process writes to."""
    asked = json.loads(sys.argv[1])
    stdout = os.dup(1)
    os.dup2(2, 1)
    with redirect_stdout(sys.stderr), os.fdopen(stdout, "wb") as pipe:
        import torch

        from backbone.network.build import build
        from backbone.network.outputs import are_equal, outputs_of
        from backbone.network.own import failing_at_its_line
        from backbone.network.weights import digest_of

        workload = Workload(**asked["workload"])
        if asked["threads"] is not None:
            torch.set_num_threads(asked["threads"])
        backbone, image = build(workload, torch.device(asked["device"]))
        weights = digest_of(backbone.network)
        with failing_at_its_line(workload.model):
            outputs = outputs_of(backbone.network, image)
            varies = False
            if workload.is_own:
                varies = not are_equal(outputs, outputs_of(backbone.network, image))
        content = io.BytesIO()
        torch.save({"outputs": outputs, "weights": weights, "varies": varies}, content)
        pipe.write(content.getbuffer())
    ending.end_at_once()


if __name__ == "__main__":
    ending.run(main)
