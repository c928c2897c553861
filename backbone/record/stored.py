"""What is stored of the same network, device and image size: times by target, and modes."""

from dataclasses import dataclass, replace
from pathlib import Path

from backbone.command.options import MEMORY_KEPT, STOCK, Mode
from backbone.record.rows import Ceilings, Record, Row
from backbone.record.titles import MAIN_NETWORK


@dataclass(frozen=True)
class Stored:
    """Stored records of one network on one device, at one image size.

    network, dataset: their titles in tables. device: its name, followed by the name of its folder
    under devices/, if it has one. mode: the mode of the times; for a set of modes, stock. settings:
    other conditions that are not the default, such as a batch size. files: each record by its file.
    """

    network: str
    device: str
    dataset: str
    mode: Mode
    settings: list[str]
    files: dict[Path, Record]

    @property
    def labels(self) -> list[str]:
        """What is not the default."""
        return [*filter(None, [self.mode.flags]), *self.settings]

    @property
    def configuration(self) -> str:
        """Device, mode, and what else is not the default."""
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
        """Whether the times are of no mode."""
        return self.mode == STOCK

    @property
    def stages(self) -> list[Row]:
        """The rows of the stages."""
        return [row for row in self.block.rows if row.level == "block"]

    @property
    def operations(self) -> list[Row]:
        """The rows of the operations."""
        return [row for row in self.layer.rows if row.level == "layer"]

    def share_of(self, path: str) -> float | None:
        """The part of the stages' time that is spent in a module; None if there is none."""
        stages = self.stages
        inside = [row.mean for row in stages if f"{row.path}.".startswith(f"{path}.")]
        return sum(inside) / sum(row.mean for row in stages) if inside else None

    @property
    def macs(self) -> int:
        """Of a pass; 0 if its record does not say."""
        cost = self.model.whole.cost
        return cost.macs if cost else 0

    @property
    def ceilings(self) -> Ceilings | None:
        """The machine's ceilings, medians over the runs of the layers that have them, if any."""
        flops = self.layer.median("flops_per_second")
        moved = self.layer.median("bytes_per_second")
        return None if flops is None or moved is None else Ceilings(flops, moved)


@dataclass(frozen=True)
class StoredMode:
    """The runs of the whole pass in one mode.

    variables: of the environment, by name, unless stock had the same. is_again: whether it is
    stock, measured a second time.
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
        """Whether it is stock, measured once or again."""
        return self.mode == STOCK and not self.variables

    @property
    def is_kept(self) -> bool:
        """Whether it is stock but for the memory, which the process keeps."""
        return self.mode == MEMORY_KEPT and not self.variables

    @property
    def is_exact(self) -> bool:
        """Whether it is stock, or was measured to give the same output, bit for bit."""
        is_measured = self.record.median("output_difference") is not None
        is_old = "stop_rule" not in self.record.conditions
        return self.record.is_exact and (is_measured or is_old or not self.variables)

    @property
    def is_of_allocator(self) -> bool:
        """Whether it is exact, and differs from stock by where its memory comes from alone."""
        return self.is_exact and replace(self.mode, keep_memory=False) == STOCK

    @property
    def name(self) -> str:
        """The mode as one would type it."""
        if self.is_stock:
            return "stock again" if self.is_again else "stock"
        variables = [f"{name}={value}" for name, value in self.variables.items()]
        return " ".join([*variables, *filter(None, [self.mode.flags])])


@dataclass(frozen=True)
class StoredModes(Stored):
    """The modes of one input: stock, then stock again if it is there, then the others, the fastest
    first."""

    modes: list[StoredMode]

    @property
    def stock(self) -> StoredMode:
        """Stock, which all modes are compared with."""
        return self.modes[0]

    @property
    def kept(self) -> StoredMode | None:
        """Memory kept, which modes are also compared with; None if it was not measured."""
        return next((mode for mode in self.modes if mode.is_kept), None)


@dataclass(frozen=True)
class StoredScaling(Stored):
    """Whole passes of one network with batches, images and numbers of threads of several sizes,
    stock and with memory kept. The first, which the fields of Stored are of, is a stock pass on one
    image, with PyTorch's own number of threads."""

    @property
    def records(self) -> list[Record]:
        """Those of all passes."""
        return [*self.files.values()]


def of_main_network(times: list[StoredTimes]) -> list[StoredTimes]:
    """MobileNet-V2's times."""
    return [stored for stored in times if stored.network == MAIN_NETWORK]
