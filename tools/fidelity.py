"""What the marks cost: the instrumented passes against the stock pass, interleaved.

A program for people, not a test. Each round runs, in random order, the stock pass, the block and
the layer pass, and torch.utils.benchmark.Timer on the stock pass, after two passes of its own to
warm up; printed is the median of the rounds' ratios to the stock pass, with its quartiles. "stock
again" shows what noise alone does, "training mode" what a forgotten eval() does. On CUDA, Timer's
time has launches and synchronisation in it too.
"""

import random
import statistics
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone import flags, script


def main() -> None:
    parser = flags.script_parser(__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to run")
    least_two = partial(flags.whole_number, least=2)
    parser.add_argument("--rounds", type=least_two, default=100, help="rounds")
    args = flags.parse(parser)
    import torch
    from torch.utils.benchmark import Timer
    from tqdm import tqdm

    from backbone import machine, networks, timing
    from cpu.timer import CpuClock
    from timer import CudaClock

    if args.device == "cuda" and (reason := machine.why_no_cuda()):
        raise script.Failure(f"{reason}; --device cpu measures the CPU")
    clock = CudaClock() if args.device == "cuda" else CpuClock()
    backbone, image = networks.make_stock(args, args.device)
    network = backbone.network
    training = backbone._replace(network=deepcopy(network).train())

    def timed(target: str, backbone: networks.Backbone = backbone) -> Callable[[], float]:
        forward, _ = timing.mark_pass(backbone, list(image.shape), target, clock.mark)

        def one_pass() -> float:
            forward(image)
            return sum(clock.read())

        return one_pass

    timer = Timer(
        "network(image)",
        globals={"network": network, "image": image},
        num_threads=torch.get_num_threads(),
    )
    passes = {
        "stock": timed("model"),
        "stock again": timed("model"),
        "block": timed("block"),
        "layer": timed("layer"),
        "training mode": timed("model", training),
        "Timer": lambda: timer.timeit(1).mean * 1e3,
    }
    ratios = {name: [] for name in passes}
    with torch.inference_mode():
        for _ in range(3):
            for one_pass in passes.values():
                one_pass()
        for _ in tqdm(range(args.rounds), disable=None, leave=False):
            times = {name: passes[name]() for name in random.sample(list(passes), len(passes))}
            for name, time in times.items():
                ratios[name].append(time / times["stock"])
    what = f"{args.model}, {args.dataset} on {args.device}, {args.rounds} rounds"
    print(f"{what}, ratio to the stock pass:")
    for name in list(passes)[1:]:
        low, median, high = statistics.quantiles(ratios[name], n=4)
        print(f"{name:<13} {median:.4f}  (quartiles {low:.4f} to {high:.4f})")


if __name__ == "__main__":
    script.run(main)
