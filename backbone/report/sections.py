"""RESULTS.md: its sections, with their introductions, tables and pictures."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from backbone.report import figures, mode_blocks, mode_orders, tables
from backbone.report.figures import Picture
from backbone.report.scaling import scaling_blocks
from backbone.report.stored_results import Results

HEAD = """\
# Results

`python results.py --update` generates this page from the stored records; no number on it is written
by hand. [METHOD.md](METHOD.md) describes how everything is measured, and how far to trust it.
"""


def nothing(results: Results) -> list:
    """No tables, or no pictures."""
    return []


@dataclass(frozen=True)
class Section:
    """A section of the page. reading: its introduction. blocks, pictures: functions that return its
    tables and pictures."""

    title: str
    reading: str
    blocks: Callable[[Results], list[str]] = nothing
    pictures: Callable[[Results], Iterable[Picture]] = nothing


SECTIONS = [
    Section(
        "Inference time",
        """\
Stock and the modes whose stages and operations were also timed, named by their flags. Unless a
row says otherwise: batch size 1, float32, `torch.inference_mode()`, random weights and images,
the same in every process. The time and its interval are computed from the means of the
processes; the standard deviation is over all passes. *Processes* gives their number and the
fastest and slowest process mean. System time is per pass, summed over threads: page faults,
unmapping and other system calls. The peak is per process. Intervals are at 98.5 % if the
measurement could stop early, otherwise at 95 % (see [METHOD.md](METHOD.md#when-to-stop)).""",
        blocks=tables.time_blocks,
    ),
    Section(
        "What a pass is made of",
        """\
*Page faults* are the system time of a pass, divided by the threads that share it: the operating
system finds and clears each new page of memory that the pass touches, and takes it back later.
*Reorders* are oneDNN's copies of tensors from one memory layout to another. *Kernels* are
oneDNN's kernels, by operation type in the picture, and every operation that oneDNN does not
run, such as a batch norm. *The rest* is what PyTorch does around them and, in a stock pass,
what page faults cost outside the operating system. [METHOD.md](METHOD.md#what-an-operation-ran)
describes how each part is measured. The pass is the sum of its operations, which were timed in
different processes from the passes above. The black line is the roofline bound (see
[Roofline](#roofline)). The bars of other runtimes are the stock pass divided by their speed-up
in [Modes](#modes), since they were measured in another session.""",
        blocks=tables.part_blocks,
        pictures=figures.part_pictures,
    ),
    Section(
        "Where the time goes",
        """\
Operations of the stock pass by kind, slowest kind first; on a GPU, by GPU time (see
[METHOD.md](METHOD.md#on-a-gpu)). A MAC is a multiply-accumulate, two FLOPs. The bound is the
roofline bound (see [Roofline](#roofline)). Where bound / time is near 1, the hardware is
saturated, and only folding or fusing helps. Above 1, the operation read its data from caches,
which are faster than main memory. Reorders were measured in stock passes here, so their times
include page faults; in [What a pass is made of](#what-a-pass-is-made-of) they do not. `python
results.py --layers cityscapes` lists single operations, sorted by their time above the bound.""",
        blocks=tables.operation_blocks,
    ),
    Section(
        "Stages",
        """\
What each of the network's 21 stages spends its time on, in the order of the pass. The stages
are the first convolution, 17 inverted residual blocks (by number), the last convolution,
pooling and the classifier. The axes of stock and memory kept have different scales.""",
        pictures=figures.stage_pictures,
    ),
    Section(
        "Roofline",
        """\
Each point is an operation. Points further right compute more per byte; points higher up are
faster. The lines are the machine's limits, from two ceilings that are measured in the same
session: the FLOP/s of a matrix product and the bandwidth of a copy. An operation's *roofline
bound* is the time it would take on these lines if it ran on its own; fused operations can beat
the sum of their bounds. Below the slope, memory bandwidth is the limit; below the flat part,
arithmetic is. Points above the lines had their data in caches. Numbers mark the five operations
that exceed their bound by the most time.""",
        pictures=figures.roofline_pictures,
    ),
    Section(
        "What to try first",
        """\
For each input, the fastest mode with identical output, in float32, and overall. Only modes that
are certainly faster than stock count: the interval of their speed-up excludes 1. Others may be
just as fast: see [Modes](#modes). The output difference is the largest difference from stock's
output, divided by stock's largest output value; check what it does to your outputs. *Peak* is
the peak memory of the process; with another runtime, this includes PyTorch and the stock
network.""",
        blocks=mode_blocks.advice_blocks,
    ),
    Section(
        "Speed-up of the modes",
        """\
The ratios of the next section, fastest mode first, on a logarithmic axis.
[Allocators](#allocators) shows the modes that change only the allocator.""",
        pictures=figures.mode_pictures,
    ),
    Section(
        "Modes",
        """\
A mode is named by its flags and environment variables. Stock has none; it is measured twice to
show the noise. *Times as fast* is the geometric mean of the rounds' ratios, with its interval.
Compare these ratios rather than the times, since modes differ in their number of rounds. A
table of many modes asks many questions: about one in twenty intervals may miss. Stock's page
faults make *Times as fast as stock* uncertain; to compare modes without page faults, use *Times
as fast as memory kept*, which is `--keep-memory`. `--train` shows the effect of a forgotten
`eval()`; since dropout is active, its output differs. *Ready after* is the time from the built
network to the end of its first pass, including export, quantization and compilation, in the
first process of a measurement, which starts with an empty compiler cache. *Peak* is the peak
memory of the process or, on a GPU, of PyTorch's allocator.""",
        blocks=mode_blocks.mode_blocks,
    ),
    Section(
        "Modes of other networks",
        """\
The fastest mode of each network, in words. *Other order* names two modes that rank in the
opposite order for MobileNet-V2, both times with intervals that exclude 1: the pair whose ratio
differs most, and the number of further pairs.""",
        blocks=mode_orders.order_blocks,
    ),
    Section(
        "Processes of the modes",
        """\
The number of processes of each mode, one per round, the pass time of the fastest and the
slowest process, and the fewest and the most page faults per pass. If the page faults of a mode
vary widely, as stock's do, its processes were in different heap states, which makes its time
and ratios equally uncertain.""",
        blocks=mode_blocks.mode_process_blocks,
    ),
    Section(
        "Allocators",
        """\
The effect of the allocator alone: on the left the speed-up over stock, on the right the peak
memory of the process.""",
        pictures=figures.allocator_pictures,
    ),
    Section(
        "Networks",
        """\
Stock and memory kept, sorted by MACs. The predicted peak covers the tensors of one pass (see
[Memory](#memory)). The backbone's share is the part of the time that a segmentation network
spends in its backbone, with memory kept; the rest is its head. *Output stride* 16 and 8 are
MobileNet-V2 with dilations instead of its last strides. Networks of users are listed as `NAME
(own)`. If MACs predicted time, all bars of one colour would be equally long.""",
        blocks=tables.network_blocks,
        pictures=figures.network_pictures,
    ),
    Section(
        "Scaling",
        """\
The time per image, stock and with memory kept, over the batch size, the image size and the
number of threads. Unless varied: one image of PASCAL VOC's size and PyTorch's default number of
threads. Axes are logarithmic. Page faults are counted in stock passes.""",
        blocks=lambda results: scaling_blocks(results.scaling),
        pictures=figures.scaling_pictures,
    ),
    Section(
        "Memory",
        """\
*Allocated* is what remains after a pass: parameters, buffers and the image, each rounded up to
a multiple of 512 bytes as by CUDA's allocator. *# Tensors* counts their elements. The predicted
peak is the memory that tensors need at the worst moment of a pass, from their shapes: the bytes
that are alive after each operation. Kernels' scratch space, the allocator's rounding and a CUDA
context are extra. On a GPU, the measured peak is the allocator's, which includes cuBLAS's
workspace. MB are 1024² bytes.""",
        blocks=tables.memory_blocks,
    ),
]


def format_page(texts: dict[str, str]) -> str:
    """The page from the sections' texts by title; sections without a text are left out."""
    sections = [section for section in SECTIONS if section.title in texts]
    contents = [f"- [{section.title}](#{_anchor_of(section.title)})\n" for section in sections]
    parts = [
        f"## {section.title}\n\n{section.reading}\n\n{texts[section.title]}" for section in sections
    ]
    return "\n".join([HEAD, "".join(contents), *parts])


def _anchor_of(title: str) -> str:
    """GitHub's anchor of a heading."""
    return title.lower().replace(" ", "-")
