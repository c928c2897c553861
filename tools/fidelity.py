"""What the marks cost: the instrumented passes against the stock pass, interleaved.

A program for people, not a test. Each round runs, in random order, the stock pass, the block and
the layer pass, and torch.utils.benchmark.Timer on the stock pass, after two passes of its own to
warm up; printed is the median of the rounds' ratios to the stock pass, with its 95 % confidence
interval (by order statistics), and the ratios' quartiles. "stock again" shows what noise alone
does, "training mode" what a forgotten eval() does. On CUDA, Timer's time has launches and
synchronisation in it too.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flags
from backbone.command.errors import Failure
from backbone.command.options import Workload
from backbone.network import catalog


def parse_arguments() -> argparse.Namespace:
    parser = flags.script_parser(__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to run")
    enough = partial(flags.whole_number, least=6)  # fewer have no 95 % interval
    parser.add_argument("--rounds", type=enough, default=100, help="rounds, 6 or more")
    arguments = parser.parse_args()
    arguments.workload = flags.fill(Workload, arguments)
    catalog.check_named(arguments.workload, parser.error)
    return arguments


def main() -> None:
    arguments = parse_arguments()
    from scipy.stats import quantile_test

    from backbone.measure import machine
    from backbone.network.build import build
    from cpu.timer import CpuClock
    from timer import CudaClock

    if arguments.device == "cuda" and (reason := machine.why_no_cuda()):
        raise Failure(f"{reason}; --device cpu measures the CPU")
    clock = CudaClock() if arguments.device == "cuda" else CpuClock()
    backbone, image = build(arguments.workload, arguments.device)
    passes = make_passes(backbone, image, clock)
    ratios = compare(passes, arguments.rounds)
    workload = arguments.workload
    print(
        f"{backbone.name}, {workload.dataset} on {arguments.device}, {arguments.rounds} rounds, "
        "ratio to the stock pass:"
    )
    for name in list(passes)[1:]:
        first, median, third = statistics.quantiles(ratios[name], n=4)
        limits = quantile_test(ratios[name], p=0.5).confidence_interval(0.95)
        print(
            f"{name:<13} {median:.4f}  ({limits.low:.4f} to {limits.high:.4f}; "
            f"quartiles {first:.4f} and {third:.4f})"
        )


def make_passes(backbone, image, clock) -> dict[str, Callable[[], float]]:
    """What is compared, the stock pass first: each runs a pass of its own on an image (B, C, H, W)
    and gives its milliseconds. Raises Failure where the network cannot take such an image."""
    import torch
    from torch.utils.benchmark import Timer

    from backbone.trace.instrument import cut_pass
    from backbone.trace.observe import check_input

    network = backbone.network
    training = replace(backbone, network=deepcopy(network).train())
    for each in (backbone, training):
        check_input(each, list(image.shape))

    def timed(target: str, backbone=backbone) -> Callable[[], float]:
        cut = cut_pass(backbone, list(image.shape), target)
        forward = cut.with_marks(clock.mark)

        def one_pass() -> float:
            forward(image)
            return sum(clock.read())

        return one_pass

    timer = Timer(
        "network(image)",
        globals={"network": network, "image": image},
        num_threads=torch.get_num_threads(),
    )
    return {
        "stock": timed("model"),
        "stock again": timed("model"),
        "block": timed("block"),
        "layer": timed("layer"),
        "training mode": timed("model", training),
        "Timer": lambda: timer.timeit(1).mean * 1e3,
    }


def compare(passes: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each pass's time over that of the stock pass, round by round."""
    import torch
    from tqdm import tqdm

    ratios: dict[str, list[float]] = {name: [] for name in passes}
    with torch.inference_mode():
        for _ in range(3):
            for one_pass in passes.values():
                one_pass()
        for _ in tqdm(range(rounds), disable=None, leave=False):
            times = {name: passes[name]() for name in random.sample(list(passes), len(passes))}
            for name, time in times.items():
                ratios[name].append(time / times["stock"])
    return ratios


if __name__ == "__main__":
    ending.run(main)
