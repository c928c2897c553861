"""Stored results of one network, device and image size: times by target, modes, scaling."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from backbone.command.options import MEMORY_KEPT, STOCK, Mode
from backbone.record.rows import Ceilings, Record, Row
from backbone.record.titles import MAIN_NETWORK

Kind = TypeVar("Kind", bound="Stored")


@dataclass(frozen=True)
class Stored:
    """Stored records of one network on one device, at one image size.

    network, dataset: titles in tables. device: its name, followed by the name of its folder under
    devices/, if any. mode: the mode of the times; stock for a set of modes. settings: other
    conditions that differ from the default, such as the batch size. files: records by file.
    """

    network: str
    device: str
    dataset: str
    mode: Mode
    settings: list[str]
    files: dict[Path, Record]

    @property
    def labels(self) -> list[str]:
        """The labels of conditions that differ from the default."""
        return [*filter(None, [self.mode.flags]), *self.settings]

    @property
    def configuration(self) -> str:
        """Device, mode, and other conditions that differ from the default."""
        return ", ".join([self.device, *self.labels])

    @property
    def title(self) -> str:
        """Dataset and configuration."""
        return f"{self.dataset}, {self.configuration}"


@dataclass(frozen=True)
class StoredTimes(Stored):
    """The runs of each target in one mode."""

    model: Record
    block: Record
    layer: Record

    @property
    def is_stock(self) -> bool:
        """Whether the mode is stock."""
        return self.mode == STOCK

    @property
    def is_kept(self) -> bool:
        """Whether the mode differs from stock only by keeping memory."""
        return self.mode == MEMORY_KEPT

    @property
    def stages(self) -> list[Row]:
        """The rows of the stages."""
        return [row for row in self.block.rows if row.level == "block"]

    @property
    def operations(self) -> list[Row]:
        """The rows of the operations."""
        return [row for row in self.layer.rows if row.level == "layer"]

    def share_of(self, path: str) -> float | None:
        """The percentage of the stages' time that is spent in a module; None if there is no such
        module."""
        stages = self.stages
        inside = [row.mean for row in stages if f"{row.path}.".startswith(f"{path}.")]
        return sum(inside) / sum(row.mean for row in stages) if inside else None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a pass; 0 if unknown."""
        cost = self.model.whole.cost
        return cost.macs if cost else 0

    @property
    def ceilings(self) -> Ceilings | None:
        """The machine's ceilings, medians over the layer runs that measured them; None if none
        did."""
        flops = self.layer.median("flops_per_second")
        moved = self.layer.median("bytes_per_second")
        return None if flops is None or moved is None else Ceilings(flops, moved)


@dataclass(frozen=True)
class StoredMode:
    """The runs of the whole pass in one mode.

    variables: environment variables that differ from stock's. is_again: whether it is the second
    measurement of stock.
    """

    variables: dict[str, str]
    record: Record
    is_again: bool = False

    @property
    def mode(self) -> Mode:
        """Its flags."""
        return self.record.mode

    @property
    def is_stock(self) -> bool:
        """Whether it is stock, in its first or second measurement."""
        return self.mode == STOCK and not self.variables

    @property
    def is_kept(self) -> bool:
        """Whether it differs from stock only by keeping memory."""
        return self.mode == MEMORY_KEPT and not self.variables

    @property
    def is_exact(self) -> bool:
        """Whether it is stock, or its output was found bit-identical to stock's."""
        is_measured = self.record.median("output_difference") is not None
        return self.record.is_exact and (is_measured or not self.variables)

    @property
    def is_of_allocator(self) -> bool:
        """Whether it is exact and differs from stock only by its allocator."""
        return self.is_exact and replace(self.mode, keep_memory=False) == STOCK

    @property
    def name(self) -> str:
        """The mode as typed on a command line."""
        if self.is_stock:
            return "stock again" if self.is_again else "stock"
        variables = [f"{name}={value}" for name, value in self.variables.items()]
        return " ".join([*variables, *filter(None, [self.mode.flags])])


@dataclass(frozen=True)
class StoredModes(Stored):
    """The modes of one input: stock, then stock again if it exists, then the others, fastest
    first."""

    modes: list[StoredMode]

    @property
    def stock(self) -> StoredMode:
        """Stock, with which all modes are compared."""
        return self.modes[0]

    @property
    def kept(self) -> StoredMode | None:
        """Memory kept, with which modes are also compared; None if it was not measured."""
        return next((mode for mode in self.modes if mode.is_kept), None)


@dataclass(frozen=True)
class StoredScaling(Stored):
    """Whole passes of one network for several batch sizes, image sizes and numbers of threads,
    stock and with memory kept. The first, which determines the fields of Stored, is a stock pass on
    one image with PyTorch's default number of threads."""

    @property
    def records(self) -> list[Record]:
        """The records of all passes."""
        return [*self.files.values()]


def of_main_network(results: Iterable[Kind]) -> list[Kind]:
    """Select MobileNet-V2's times or modes."""
    return [stored for stored in results if stored.network == MAIN_NETWORK]
