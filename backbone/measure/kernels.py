"""The kernels that oneDNN ran for each operation, from its verbose output.

On a CPU, PyTorch runs convolutions in oneDNN. In its verbose mode, oneDNN prints a line for each
primitive that it executes: kind, implementation, milliseconds. Source: "Verbose Mode" in oneDNN's
developer guide.
"""

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from backbone.command import ending
from backbone.measure.captured import STDOUT, flush_stdout, stdout_captured, write_stdout
from backbone.record.rows import Kernels
from backbone.trace.instrument import CutPass

KERNEL_PASSES = 3
MARK = b"MobileNet-V2 Profile: the end of an operation\n"
LINE = re.compile(rb"onednn_verbose,([^\n]*)\n")  # a line of oneDNN's, wherever it begins
VERBOSE_VARIABLES = ("ONEDNN_VERBOSE", "DNNL_VERBOSE")  # with which a user asks for the lines
NOT_RUN = ("info", "create")  # in lines that do not report an executed primitive
REORDER = "reorder"  # the primitive that changes a tensor's memory layout


class UnknownForm(Exception):
    """oneDNN printed a line in an unknown format."""


@dataclass(frozen=True)
class Primitive:
    """An executed primitive: its kind, implementation and duration."""

    kind: str
    implementation: str
    milliseconds: float


def collect_kernels(cut: CutPass, image: Tensor) -> list[Kernels | None]:
    """oneDNN's kernels for each operation of a pass on an image (B, C, H, W), with medians over
    three passes; None for an operation for which oneDNN ran nothing.

    Page faults are part of these times if they are part of the pass. The list is empty if PyTorch
    has no oneDNN or does not use it, outside Linux, and, with a note on stderr, if oneDNN's output
    has an unknown format.
    """
    has_onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    if not (has_onednn and hasattr(os, "memfd_create")):
        return []
    try:
        passes = [[_primitives_in(text) for text in of_pass] for of_pass in _printed(cut, image)]
    except UnknownForm as error:
        print(f"{ending.PROGRAM}: no kernels: oneDNN printed {error}", file=sys.stderr)
        return []
    return [_kernels_of(of_operation) for of_operation in zip(*passes, strict=True)]


def _printed(cut: CutPass, image: Tensor) -> list[list[bytes]]:
    """The stdout of each operation, pass by pass. It is printed afterwards, without oneDNN's lines
    unless the user asked for them."""

    def mark() -> None:
        flush_stdout()
        os.write(STDOUT, MARK)

    forward = cut.with_marks(mark)
    asked_by_user = any(os.environ.get(name, "0") != "0" for name in VERBOSE_VARIABLES)
    verbose = torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON)
    printing = contextlib.nullcontext() if asked_by_user else verbose
    with torch.inference_mode(), stdout_captured() as captured, printing:
        for _ in range(KERNEL_PASSES):
            forward(image)
    texts = bytes(captured).split(MARK)
    write_stdout(b"".join(text if asked_by_user else LINE.sub(b"", text) for text in texts))
    marks = len(cut.operations) + 1  # of a pass; text before the first mark belongs to no operation
    return [texts[number * marks + 1 : (number + 1) * marks] for number in range(KERNEL_PASSES)]


def _primitives_in(text: bytes) -> list[Primitive]:
    """The executed primitives in oneDNN's output, whose lines have the form

        onednn_verbose,v1,primitive,exec,ENGINE,KIND,IMPLEMENTATION,...,MILLISECONDS

    where the fields before "exec" depend on version and settings. Raises UnknownForm."""
    primitives = []
    for line in LINE.findall(text):
        fields = line.decode("utf-8", "replace").split(",")
        if any(field.startswith(NOT_RUN) for field in fields[:4]):
            continue
        try:
            _, kind, implementation, *_, milliseconds = fields[fields.index("exec") + 1 :]
            primitives.append(Primitive(kind, implementation, float(milliseconds)))
        except ValueError as error:
            raise UnknownForm(f"a line in an unknown format: {','.join(fields)}") from error
    return primitives


def _kernels_of(passes: tuple[list[Primitive], ...]) -> Kernels | None:
    """The kernels of an operation, from its primitives in each pass."""
    if not any(passes):
        return None
    names = dict.fromkeys(
        primitive.implementation for primitive in passes[-1] if primitive.kind != REORDER
    )
    times = [
        median(
            sum(
                primitive.milliseconds
                for primitive in of_pass
                if (primitive.kind == REORDER) is reorders
            )
            for of_pass in passes
        )
        for reorders in (False, True)
    ]
    return Kernels(" + ".join(names), kernel_ms=times[0], reorder_ms=times[1])
