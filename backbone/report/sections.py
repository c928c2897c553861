"""RESULTS.md: its sections, how to read each, and what makes it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from backbone.report import figures, mode_orders, tables
from backbone.report.figures import Picture
from backbone.report.scaling import scaling_blocks
from backbone.report.tables import Results

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
    """A section of the page. reading: how to read it. blocks, pictures: what makes its tables and
    its pictures, which may be none."""

    title: str
    reading: str
    blocks: Callable[[Results], list[str]] = nothing
    pictures: Callable[[Results], Iterable[Picture]] = nothing


SECTIONS = [
    Section(
        "Inference time",
        """\
Stock, and three modes: memory kept (`--keep-memory`), channels_last with folded batch norms,
and both. Unless a row says otherwise: batch size 1, float32, `torch.inference_mode()`, random
weights and images, the same in every process. The time and its interval are over the means of
the processes; the standard deviation is over all passes. *Processes* gives their number and the
fastest and slowest process mean. System time is per pass, summed over threads; it includes page
faults, unmapping and other kernel work. The peak is per process. Intervals are at 98.5 % if the
measurement stopped at a look, otherwise at 95 % (see [METHOD.md](METHOD.md#when-to-stop)).""",
        blocks=tables.time_blocks,
    ),
    Section(
        "What a pass is made of",
        """\
*Page faults* are the system time of a pass: the system finds and clears each new page of memory
that the pass touches. *Reorders* are oneDNN's copies of tensors from one memory layout to
another. *Kernels* are oneDNN's kernels, grouped by operation type in the picture, and every
operation that oneDNN does not run, such as a batch norm. *The rest* is what PyTorch does around
them and, in a stock pass, what page faults cost outside the system. The line is the floor (see
[Floors](#floors)). [METHOD.md](METHOD.md#what-an-operation-ran) describes how each part is
measured.""",
        blocks=tables.part_blocks,
        pictures=figures.part_pictures,
    ),
    Section(
        "Where the time goes",
        """\
Operations of the stock pass by kind, the slowest kind first; on a GPU, by GPU time (see
[METHOD.md](METHOD.md#on-a-gpu)). A MAC is a multiply-accumulate, two FLOPs. The floor is the
time at the machine's two measured ceilings (see [Floors](#floors)). Where floor / time is near
1, the hardware is used up, and only folding or fusing helps; above 1, the data came from
caches, which are faster than the memory that the ceiling is measured with. `python results.py
--layers cityscapes` lists single operations, those that lose most first.""",
        blocks=tables.operation_blocks,
    ),
    Section(
        "Stages",
        """\
The network's 21 stages in the order of the pass: the first convolution, the 17 inverted
residual blocks by number, the last convolution, pooling, and the classifier.""",
        pictures=figures.stage_pictures,
    ),
    Section(
        "Floors",
        """\
Each point is an operation: further to the right, it computes more per byte; further up, it is
faster. The line is the machine's limit, from two ceilings that are measured in the same
session: the FLOP/s of a matrix product and the bandwidth of a copy. An operation's *floor*
(roofline bound) is the time it would take on that line, if it ran on its own; fused operations
can beat the sum of their floors. Under the slope memory bandwidth is the limit, under the flat
part arithmetic. Points above the line had their data in caches. Operations without MACs are on
the left.""",
        pictures=figures.roofline_pictures,
    ),
    Section(
        "What to try first",
        """\
The fastest modes that are certainly faster than stock: with identical output, in float32, and
overall. Others may be just as fast: see [Modes](#modes). The output difference is the largest
difference from stock's output, divided by stock's largest output value; check what it does to
your outputs. *Peak* is the peak memory of the process; with another runtime, this includes
PyTorch and the stock network.""",
        blocks=tables.advice_blocks,
    ),
    Section(
        "Modes",
        """\
A mode is named by its flags and environment variables. Stock has none; it is measured twice, so
that the noise shows. *Times as fast* is the geometric mean, with its interval, of the ratios of
the two runs of each round. Compare these ratios rather than the times, since each mode has its
own number of rounds. A table of many modes asks many questions: about one in twenty intervals
may miss. The page faults of stock make the first of these columns uncertain; compare modes
without page faults by the second. `--train` is what a forgotten `eval()` runs; with its
dropout, it is a different function. *Ready after* is the time from the built network to the end
of its first pass, including export, quantization and compilation, in the first process of a
measurement, which starts with an empty compiler cache. *Peak* is the peak memory of the process
or, on a GPU, the peak of PyTorch's allocator.""",
        blocks=tables.mode_blocks,
    ),
    Section(
        "Modes of other networks",
        """\
The fastest mode of each network, and where its modes rank differently from MobileNet-V2's: of
all pairs of modes of which each is certainly faster than the other in one of the two networks,
the pair that differs most.""",
        blocks=mode_orders.order_blocks,
    ),
    Section(
        "Processes of the modes",
        """\
The number of processes of each mode, one per round, the pass time of the fastest and the
slowest process, and the fewest and the most page faults per pass. If the page faults of a mode
vary widely, as stock's do, its processes were in different heap states, which makes its time
and ratios equally uncertain.""",
        blocks=tables.mode_process_blocks,
    ),
    Section(
        "Speed-up of the modes",
        """\
The same ratios as bars, stock first, then the fastest at Cityscapes size, one colour per input.
Of the modes with identical output, only stock and memory kept are shown;
[Allocators](#allocators) has the others.""",
        pictures=figures.mode_pictures,
    ),
    Section(
        "Allocators",
        """\
The allocator's effect alone: on the left the speed-up over stock, on the right the most memory
that the process used.""",
        pictures=figures.allocator_pictures,
    ),
    Section(
        "Networks",
        """\
Networks other than MobileNet-V2, sorted by MACs. The predicted peak covers the tensors of one
pass (see [Memory](#memory)). The backbone's share is the part of the time that a segmentation
network spends in its backbone; the rest is its head. Rows with different dates come from
separate sessions. Networks of users are listed as `NAME (own)`.""",
        blocks=tables.network_blocks,
    ),
    Section(
        "Time against MACs",
        """\
Milliseconds per billion multiply-accumulates, networks with the fewest MACs first. If MACs
predicted time, all bars of one colour would be equally long.""",
        pictures=figures.network_pictures,
    ),
    Section(
        "Scaling",
        """\
The time per image, stock and with memory kept, over the batch size, the image size and the
number of threads. Whatever does not vary is one image of PASCAL VOC's size and PyTorch's
default number of threads. Axes are logarithmic; the dotted line is proportional scaling. Page
faults are counted in stock passes.""",
        blocks=lambda results: scaling_blocks(results.scaling),
        pictures=figures.scaling_pictures,
    ),
    Section(
        "Memory",
        """\
*Allocated* is what remains after a pass: parameters, buffers and the image, each rounded up to
a multiple of 512 bytes as by CUDA's allocator. *# Tensors* counts their elements. The predicted
peak is what tensors need at the worst moment of a pass, from their shapes: the bytes that are
alive after each operation. Kernels' scratch space, the allocator's rounding and a CUDA context
are extra. On a GPU, the measured peak is the allocator's, which includes cuBLAS's workspace. MB
are 1024² bytes.""",
        blocks=tables.memory_blocks,
    ),
]


def format_page(texts: dict[str, str]) -> str:
    """The page, of the sections' texts by their titles; a section without a text is left out."""
    sections = [section for section in SECTIONS if section.title in texts]
    contents = [f"- [{section.title}](#{_anchor_of(section.title)})\n" for section in sections]
    parts = [
        f"## {section.title}\n\n{section.reading}\n\n{texts[section.title]}" for section in sections
    ]
    return "\n".join([HEAD, "".join(contents), *parts])


def _anchor_of(title: str) -> str:
    """What GitHub calls the heading in a link."""
    return title.lower().replace(" ", "-")
