"""The int8 network, made once per measurement in a separate process."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from time import perf_counter

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from backbone.command import ending
from backbone.command.errors import Failure
from backbone.command.image_files import image_files
from backbone.command.interrupts import interrupts_raised
from backbone.command.options import INT8, Mode, TimerOptions, Workload
from backbone.measure.apart import ask_apart, only_writer, without_changing

# A folder that exists for the duration of a measurement with several processes.
CACHE = "PROFILE_CACHE"


@dataclass(frozen=True)
class Quantized:
    """file: an ONNX model; None if the mode is not int8. seconds: the time to make it, from the
    built network; 0 if it already existed."""

    file: Path | None = None
    seconds: float = 0.0


@contextmanager
def quantized_network(options: TimerOptions) -> Iterator[Quantized]:
    """Quantize the stock network of a run if the mode's dtype is int8. The file exists until the
    context exits. Raises Failure if quantization fails."""
    if options.mode.dtype != INT8:
        yield Quantized()
        return
    import torch

    from backbone.network.quantization import has_dot_products

    runtime = options.mode.runtime
    asked = {"workload": asdict(options.workload), "threads": torch.get_num_threads()}
    asked |= {"runtime": runtime}
    with ExitStack() as stack:
        folder = os.environ.get(CACHE)
        if folder is None:
            stack.enter_context(interrupts_raised())  # so that the folder is removed in any case
            folder = stack.enter_context(tempfile.TemporaryDirectory())
        name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]
        file = Path(folder, f"{name}.onnx")
        seconds = 0.0
        if not file.exists():
            # Its temporary files are in a folder of the requesting process.
            with tempfile.TemporaryDirectory(dir=folder) as own:
                environment = without_changing(os.environ) | {"TMPDIR": own}
                if not has_dot_products():
                    ending.say("this CPU has no VNNI: int8 weights have 7 bits, to avoid overflow")
                asked["file"] = str(Path(own, file.name))
                try:
                    seconds = float(ask_apart(__file__, asked, environment))
                except Failure as failure:
                    raise Failure(f"--dtype int8 in {runtime}: {failure}") from failure
                Path(asked["file"]).replace(file)
        yield Quantized(file, seconds)


def main() -> None:
    """Write the network to the requested file, and the seconds it took to stdout."""
    asked = json.loads(sys.argv[1])
    with only_writer() as pipe:
        import torch

        from backbone.network.build import build
        from backbone.network.images import random_images, read_images
        from backbone.network.own import failing_at_its_line
        from backbone.network.quantization import RANDOM_IMAGES
        from backbone.network.runtimes import export_network, quantize_network

        workload, file = Workload(**asked["workload"]), Path(asked["file"])
        torch.set_num_threads(asked["threads"])
        backbone, image = build(workload, "cpu")
        shape = workload.input_shape
        if workload.images is None:
            images, count = random_images(shape, RANDOM_IMAGES), RANDOM_IMAGES
        else:
            files = image_files(workload.images).calibrating
            if not files:
                raise Failure(f"{workload.images} has one image, but int8 needs two")
            images, count = read_images(files, shape), ceil(len(files) / workload.batch_size)
        start = perf_counter()
        with failing_at_its_line(workload.model):
            quantize_network(backbone.network, image, images, count, file)
            seconds = perf_counter() - start
            # If the runtime crashes on it, it does so here and not in the timed process.
            export_network(
                backbone.network, image, Mode(runtime=asked["runtime"], dtype=INT8), file
            )
        pipe.write(f"{seconds}".encode())
    ending.end_at_once()


if __name__ == "__main__":
    ending.run(main)
