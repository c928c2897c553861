"""mem.py's records: the memory report of a pass, and the structure of a network."""

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from backbone.command.errors import Failure
from backbone.command.options import Workload
from backbone.record.reading import read_stored


@dataclass(frozen=True)
class Input:
    """The network's name in reports, and its input. For the fields see Workload; weights is its
    weights_id."""

    network: str
    output_stride: int
    dataset: str
    batch_size: int
    input_shape: list[int]
    weights: str | None = None
    file_id: str | None = None


@dataclass(frozen=True)
class Peak:
    """The peak of a pass: the live bytes by part, and the operation."""

    parameters: int
    buffers: int
    input: int
    activations: int
    operation: str

    @property
    def parts(self) -> dict[str, int]:
        """The bytes of each part."""
        sizes = asdict(self)
        del sizes["operation"]
        return sizes

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class TensorSize:
    """A tensor: its name, shape, number of elements, and allocated bytes."""

    name: str
    shape: list[int]
    elements: int
    allocated_bytes: int


@dataclass(frozen=True)
class MemoryReport:
    """A network's memory.

    device: "cpu", or the name of the GPU. storage: torch's name of the device. tensors: all tensors
    that remain after a pass. allocator_bytes: their size according to CUDA's allocator; None on a
    CPU. parameters: their number. predicted_peak: the peak of a pass, from shapes. measured_peak:
    the peak bytes of CUDA's allocator in a pass; None on a CPU. denormal_weights,
    denormal_activations: numbers of denormal values, if the weights are a user's.
    """

    input: Input
    device: str
    storage: str
    tensors: list[TensorSize]
    allocator_bytes: int | None
    parameters: int
    predicted_peak: Peak
    measured_peak: int | None
    denormal_weights: int = 0
    denormal_activations: int = 0

    @property
    def elements(self) -> int:
        """The total number of elements."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def allocated_bytes(self) -> int:
        """The total allocated bytes."""
        return sum(tensor.allocated_bytes for tensor in self.tensors)


@dataclass(frozen=True)
class Layer:
    """A call of a module: its type, the shape of its first output, its number of parameters."""

    type: str
    output_shape: list[int]
    parameters: int


@dataclass(frozen=True)
class Structure:
    """The layers that a pass calls, in order, and the pass's multiply-accumulates."""

    input: Input
    layers: list[Layer]
    macs: int

    @property
    def parameters(self) -> int:
        """The total number of parameters."""
        return sum(layer.parameters for layer in self.layers)


def describe_input(workload: Workload, network: str) -> Input:
    """The input of a workload whose network has this name in reports."""
    return Input(
        network=network,
        output_stride=workload.output_stride,
        dataset=workload.dataset,
        batch_size=workload.batch_size,
        input_shape=workload.input_shape,
        weights=workload.weights_id,
        file_id=workload.file_id,
    )


def dumps(record: MemoryReport | Structure) -> str:
    """A report or a structure as JSON, with one line per item of its list."""
    lines = []
    for name, value in asdict(record).items():
        if isinstance(value, list):
            items = ",\n".join(json.dumps(item) for item in value)
            lines.append(f"{json.dumps(name)}: [\n{items}\n]")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load_report(file: Path) -> MemoryReport:
    """The memory report in a file. Raises Failure if the file is missing or invalid."""
    parts = {"input": Input, "predicted_peak": Peak, "tensors": TensorSize}
    return _load(file, MemoryReport, parts)


def load_structure(file: Path) -> Structure:
    """The structure in a file. Raises Failure if the file is missing or invalid."""
    return _load(file, Structure, {"input": Input, "layers": Layer})


def _load(file: Path, form: type, parts: dict[str, type]) -> Any:
    """Read a record of a data class from a file. parts: the data classes of its nested fields."""
    try:
        values = json.loads(read_stored(file))
        for name, part in parts.items():
            value = values[name]
            is_list = isinstance(value, list)
            values[name] = [part(**item) for item in value] if is_list else part(**value)
        known = fields(form)
        needed = {field.name for field in known if field.default is MISSING}
        if not needed <= values.keys() <= {field.name for field in known}:
            raise KeyError("its fields differ")
        return form(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise Failure(
            f"{file} is truncated or has another format; its wrapper creates it again"
        ) from error
