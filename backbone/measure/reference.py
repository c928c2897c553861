"""The stock output, computed in a separate process, with which the outputs of modes are compared.

An environment variable or a process-wide setting affects everything that a process computes: a
reference from the mode's own process would have the same error.
"""

import io
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from backbone.command import ending
from backbone.command.errors import Failure
from backbone.command.options import Workload
from backbone.measure.apart import ask_apart, only_writer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StockPass:
    """A pass of the stock network. device: "cpu" or "cuda". threads: intra-op threads; None is
    PyTorch's default."""

    workload: Workload
    device: str
    threads: int | None


@dataclass(frozen=True)
class Reference:
    """outputs: see `outputs_of()` in network/outputs.py. weights: their digest. varies: whether a
    second pass on the same image returned other outputs. answers: see `answers_of()` in
    measure/agreement.py; empty without a user's images."""

    outputs: "list[Tensor]"
    weights: str
    varies: bool
    answers: "list[Tensor]" = field(default_factory=list)


def compute_reference(
    stock: StockPass, environment: Mapping[str, str], locks: tuple[int, ...] = ()
) -> bytes:
    """Compute the reference of a stock pass in a new process with this environment, as bytes for
    `read()`. locks: open files that the process keeps open. Raises Failure if it fails."""
    try:
        return ask_apart(__file__, asdict(stock), environment, locks)
    except Failure as failure:
        raise Failure(f"the stock output cannot be computed ({failure})") from failure


def read(reference: bytes) -> Reference:
    """Read a reference from its bytes."""
    import torch

    return Reference(**torch.load(io.BytesIO(reference), weights_only=True))


def main() -> None:
    """Write the reference to stdout, from which all other output is kept away."""
    asked = json.loads(sys.argv[1])
    with only_writer() as pipe:
        import torch

        from backbone.measure.agreement import answers_of, held_out_images
        from backbone.network.build import build
        from backbone.network.outputs import are_equal, outputs_of
        from backbone.network.own import failing_at_its_line
        from backbone.network.weights import digest_of

        torch.backends.cudnn.allow_tf32 = False  # convolutions on a GPU use TF32 by default
        workload = Workload(**asked["workload"])
        if asked["threads"] is not None:
            torch.set_num_threads(asked["threads"])
        backbone, image = build(workload, torch.device(asked["device"]))
        network = backbone.network
        weights = digest_of(network)
        answers = []
        with failing_at_its_line(workload.model):
            outputs = outputs_of(network, image)
            varies = workload.is_own and not are_equal(outputs, outputs_of(network, image))
            if workload.images is not None:
                images = held_out_images(workload)
                answers = list(answers_of(network, (batch.to(image.device) for batch in images)))
        reference = Reference(outputs, weights, varies, answers)
        content = io.BytesIO()
        torch.save(vars(reference), content)
        pipe.write(content.getbuffer())
    ending.end_at_once()


if __name__ == "__main__":
    ending.run(main)
