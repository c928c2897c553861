"""What mem.py finds, as records: the memory report of a pass, and the structure of a network."""

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from backbone.command.errors import Failure
from backbone.command.options import Workload
from backbone.record.reading import read_stored


@dataclass(frozen=True)
class Input:
    """The network by its name in reports, and its input; for the fields see Workload, of which
    weights is weights_id."""

    network: str
    output_stride: int
    dataset: str
    batch_size: int
    input_shape: list[int]
    weights: str | None = None
    file_id: str | None = None


@dataclass(frozen=True)
class Peak:
    """The worst moment of a pass: bytes that are live then, part by part, and the operation."""

    parameters: int
    buffers: int
    input: int
    activations: int
    operation: str

    @property
    def parts(self) -> dict[str, int]:
        """The bytes by their parts."""
        sizes = asdict(self)
        del sizes["operation"]
        return sizes

    @property
    def total(self) -> int:
        """All bytes together."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class TensorSize:
    """A tensor: its name, shape and elements, and the bytes that it takes of the allocator."""

    name: str
    shape: list[int]
    elements: int
    allocated_bytes: int


@dataclass(frozen=True)
class MemoryReport:
    """What a network holds in memory.

    device: "cpu", or the name of the GPU. storage: torch's name of the device. tensors: all that
    are left after a pass. allocator_bytes: what CUDA's allocator says of them; None on a CPU.
    parameters: how many. predicted_peak: of a pass, from shapes. measured_peak: the most bytes that
    CUDA's allocator held in it; None on a CPU. denormal_weights, denormal_activations: how many
    values are denormal, where weights are a user's.
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
        """The elements of all tensors together."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def allocated_bytes(self) -> int:
        """The bytes of all tensors together."""
        return sum(tensor.allocated_bytes for tensor in self.tensors)


@dataclass(frozen=True)
class Layer:
    """One call of a module: its type, its (first) output's shape, its parameters' elements."""

    type: str
    output_shape: list[int]
    parameters: int


@dataclass(frozen=True)
class Structure:
    """The layers that a pass calls, in order, and its multiply-accumulates."""

    input: Input
    layers: list[Layer]
    macs: int

    @property
    def parameters(self) -> int:
        """The parameters of all layers together."""
        return sum(layer.parameters for layer in self.layers)


def describe_input(workload: Workload, network: str) -> Input:
    """A workload whose network has this name in reports, as records have it."""
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
    """A report or a structure as JSON, a line an item of its list."""
    lines = []
    for name, value in asdict(record).items():
        if isinstance(value, list):
            items = ",\n".join(json.dumps(item) for item in value)
            lines.append(f"{json.dumps(name)}: [\n{items}\n]")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load_report(file: Path) -> MemoryReport:
    """The memory report in a file. Raises Failure if it is none or is missing."""
    parts = {"input": Input, "predicted_peak": Peak, "tensors": TensorSize}
    return _load(file, MemoryReport, parts)


def load_structure(file: Path) -> Structure:
    """The structure in a file. Raises Failure if it is none or is missing."""
    return _load(file, Structure, {"input": Input, "layers": Layer})


def _load(file: Path, form: type, parts: dict[str, type]) -> Any:
    """The structure in a file, of a form whose fields of these names have forms of their own."""
    try:
        values = json.loads(read_stored(file))
        for name, part in parts.items():
            value = values[name]
            is_list = isinstance(value, list)
            values[name] = [part(**item) for item in value] if is_list else part(**value)
        known = fields(form)
        needed = {field.name for field in known if field.default is MISSING}
        if not needed <= values.keys() <= {field.name for field in known}:
            raise KeyError("its fields are others")
        return form(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise Failure(
            f"{file} is cut short, or of another form; its wrapper makes it anew"
        ) from error
