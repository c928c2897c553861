"""RESULTS.md: its sections, how to read each, and what makes it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from backbone.report import figures, mode_orders, tables
from backbone.report.figures import Picture
from backbone.report.scaling import scaling_blocks
from backbone.report.tables import Results

HEAD = """\
# Results

`python results.py --update` writes this page from the records that are stored here, and no number
in it is written by hand. [METHOD.md](METHOD.md) says how all is measured, and how far to trust
it.
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
The stock pass, and the same in modes: where the process keeps the memory that it frees
(`--keep-memory`), and in channels_last memory format with batch norms folded. Where a row says
nothing else, it is of batch size 1, float32, `torch.inference_mode()`, weights and images random,
the same each time. The time and its interval are over the means of the processes, the std is that
of all passes. *Processes* says how many there were, and what a pass took in the fastest and the
slowest; if their page faults differ as well, the processes were in different heap states, and the
interval is for the mean over them. Page faults and system time are per pass, with system time
summed over threads; the peak is per process. Intervals are at 98.5 % if a measurement stopped at a
look, otherwise at 95 % (see [METHOD.md](METHOD.md#when-to-stop)).""",
        blocks=tables.time_blocks,
    ),
    Section(
        "What a pass is made of",
        """\
Each bar is a pass, cut into what its time goes to. *Page faults* are the system's time: it finds
and clears each new page of memory that the pass touches first. *Reorders* are oneDNN's copies of
tensors from one layout in memory to another. The kernels are told by the kind of their operation;
an operation that oneDNN does not run, such as a batch norm, counts as a kernel whole. *The rest*
is what PyTorch does around them and, in a stock pass, what page faults cost outside the system.
The line is the floor (see [Floors](#floors)). [METHOD.md](METHOD.md#what-an-operation-ran) says
how each is measured.""",
        blocks=tables.part_blocks,
        pictures=figures.part_pictures,
    ),
    Section(
        "Where the time goes",
        """\
The operations of the stock pass by kind, those that take longest first; on a GPU, by its own time
(see [METHOD.md](METHOD.md#on-a-gpu)). MACs are multiply-accumulates, of two FLOPs each; GFLOP/s and
GB/s are what a kind attains: of its MACs, and of the bytes that it must move at the least, which
are its inputs, weights and outputs, once each. The floor is the time at the machine's two measured
ceilings (see [Floors](#floors)). Where floor / time is near 1 these are used up, and only folding
or fusing helps; above 1 the data came from caches, which are faster than the memory that the
ceiling is of. Those operations that lose most are the first in `python results.py --layers
cityscapes`.""",
        blocks=tables.operation_blocks,
    ),
    Section(
        "Stages",
        """\
The network's 21 stages in the order of the pass: the first convolution, the 17 inverted residual
blocks by number, the last convolution, pooling, and the classifier.""",
        pictures=figures.stage_pictures,
    ),
    Section(
        "Floors",
        """\
Each point is an operation: the further to the right, the more arithmetic it has for each byte;
the higher, the faster. The line is the machine's own limit, by two ceilings, measured beside
these passes, and so of their hour: the FLOPs of a matrix product, and the bytes of a copy. An
operation's *floor* is the time that it would take on that line. The nearer a point is to the
line, the less there is to win; under the slope memory bounds it, under the flat part arithmetic.
Points above the line had their data in caches. Operations without MACs are at the left.""",
        pictures=figures.roofline_pictures,
    ),
    Section(
        "What to try first",
        """\
Of the modes below those that are the fastest, and faster than stock for certain: without any
change of arithmetic, with float32, and of all. Others may be as fast for all that is known: see
[Modes](#modes). The output difference is the largest difference from stock's output over its
largest value; check what it does to yours. The peak is the process's; in another runtime it has
PyTorch and the stock network in it too.""",
        blocks=tables.advice_blocks,
    ),
    Section(
        "Modes",
        """\
A mode is named by its flags and variables, as one would type them; stock has none, and is
measured twice, so that noise shows. *Times as fast* is the geometric mean, with its interval, of
the ratios of the two runs of each round: compare these, not the times, since each mode has its
own number of rounds. A table of many modes asks many questions: about one in twenty intervals may
miss. The stock pass's page faults make the first of these columns uncertain: compare modes
without page faults by the second. The verdict is by the first, unrounded: *same* where its
interval lies within 2 % of 1, else *undecided* where it holds 1. `--train` is what a forgotten
`eval()` runs; its dropout makes it another function. *Ready after* is the time from the built
network to the end of its first pass, including export, quantization and compilation. It is taken
from the first process of a measurement, which starts with an empty compiler cache. The peak is
that of the process, on a GPU that of PyTorch's allocator.""",
        blocks=tables.mode_blocks,
    ),
    Section(
        "Modes of other networks",
        """\
The fastest mode of each network, and where the order of its modes is another than MobileNet-V2's:
of two modes, each certainly faster than the other in one of the two networks, the pair that
differs most.""",
        blocks=mode_orders.order_blocks,
    ),
    Section(
        "Processes of the modes",
        """\
What those times rest on: how many processes there were of each mode, one a round, the
milliseconds of a pass in the fastest and in the slowest of them, and the page faults of a pass,
from the fewest to the most. Where the counts of a mode differ widely, as those of stock do, its
processes have drawn different states of their heap, and the mode's time and ratios are as
uncertain as that.""",
        blocks=tables.mode_process_blocks,
    ),
    Section(
        "Speed-up of the modes",
        """\
The same as bars, stock first, then the fastest at Cityscapes size: how many times as fast as the
stock pass each mode is, with the intervals, a colour for each input. Of what changes no
arithmetic only stock and memory kept are here; [Allocators](#allocators) has the others.""",
        pictures=figures.mode_pictures,
    ),
    Section(
        "Allocators",
        """\
What an allocator alone does, for the pass as it is: at the left how many times as fast it is as
with the default one, at the right the most memory that the process has had.""",
        pictures=figures.allocator_pictures,
    ),
    Section(
        "Networks",
        """\
Other networks beside MobileNet-V2, those with the fewest MACs first. The predicted peak is that
of a pass's tensors (see [Memory](#memory)), GFLOP/s is what the pass attains. The backbone's
share is the part of the stages' time that a segmentation network spends in its backbone, the rest
being its head. Rows of other dates met other hours; what has no row was not measured. A user's
own networks stand here as well, as `NAME (own)`.""",
        blocks=tables.network_blocks,
    ),
    Section(
        "Time against MACs",
        """\
How long a billion multiply-accumulates take in each network, the network with the fewest MACs at
the top: were time a matter of MACs alone, all bars of a colour would be of one length.""",
        pictures=figures.network_pictures,
    ),
    Section(
        "Scaling",
        """\
The time of an image, stock and with memory kept, over the number of images in a batch, the size of
an image, and the number of threads; what is not varied is one image of VOC size and PyTorch's own
number of threads. The axes are logarithmic; on the dotted line time is in proportion. Page faults
are those of the stock pass.""",
        blocks=lambda results: scaling_blocks(results.scaling),
        pictures=figures.scaling_pictures,
    ),
    Section(
        "Memory",
        """\
*Allocated* is what stays after a pass: parameters, buffers and the image, each as a multiple of
512 bytes, the unit of CUDA's allocator; *# Tensors* counts their elements. The predicted peak is
what tensors need at a pass's worst moment, by their shapes: the bytes that are alive after each
operation. Kernels' scratch space, an allocator's rounding and a CUDA context come on top; on a
GPU the allocator's own peak is the measured one, which cuBLAS's workspace is in. MB are 1024²
bytes.""",
        blocks=tables.memory_blocks,
    ),
    Section(
        "Sums of the rows",
        """\
Stages and operations are timed between marks, in passes that are cut there. Each process also
times some passes that are not cut. If marks cost nothing, the sum of the rows is the time of such
a pass, and the ratio is 1. It can be less: a cut pass calls the operations alone, without the
modules around them, and of a folded network without those that stand in place of batch norms,
which saves Python some work.""",
        blocks=tables.sum_blocks,
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
