"""The stored files, read back as one collection. What is not what it should be is a Failure."""

from dataclasses import dataclass
from pathlib import Path

from backbone.command.errors import Failure
from backbone.command.files import ROOT
from backbone.record import records
from backbone.record.rows import Ceilings, Record, Row
from backbone.record.titles import (
    MAIN_NETWORK,
    dataset_order,
    dataset_title,
    labels_of,
    network_title,
)

TARGET_FOLDERS = {"model": "", "block": "blocks", "layer": "layers"}
TIMES = ("*_stats*", "cpu/*_stats*")
MODES = tuple(f"{folder}/modes" for folder in TIMES)


@dataclass(frozen=True)
class Stored:
    """The runs of one network in one configuration at one dataset's size.

    network, dataset: titles. device: its name, with that of its folder under devices/. labels:
    what of the conditions is not the default, such as a mode. records: by target or by mode.
    files: those of the records.
    """

    network: str
    device: str
    labels: list[str]
    dataset: str
    records: dict[str, Record]
    files: dict[str, Path]

    @property
    def configuration(self) -> str:
        """Device, mode, and what else is not the default."""
        return ", ".join([self.device, *self.labels])

    @property
    def title(self) -> str:
        """Dataset and configuration."""
        return f"{self.dataset}, {self.configuration}"

    @property
    def is_stock(self) -> bool:
        """Whether the times are of no mode."""
        return "mode" not in self.records["model"].conditions

    def share_of(self, path: str) -> float | None:
        """The part of the stages' time that is spent in a module; None where there is none."""
        rows = self.rows("block")
        inside = [row.mean for row in rows if f"{row.path}.".startswith(f"{path}.")]
        return sum(inside) / sum(row.mean for row in rows) if inside else None

    @property
    def macs(self) -> int:
        """Of a pass; 0 where its record does not say."""
        cost = self.records["model"].whole.cost
        return cost.macs if cost else 0

    @property
    def ceilings(self) -> Ceilings | None:
        """The machine's ceilings, medians over the runs of the layers that have them, if any."""
        layers = self.records["layer"]
        flops, moved = layers.median("flops_per_second"), layers.median("bytes_per_second")
        return None if flops is None or moved is None else Ceilings(flops, moved)

    def rows(self, target: str) -> list[Row]:
        """The rows of a target: of the whole pass, of the stages, or of the operations."""
        return [row for row in self.records[target].rows if row.level == target]


def load_times() -> list[Stored]:
    """The timers' records by target, checked to be of the same run; by dataset and MACs."""
    times = []
    for folder in folders_of(*TIMES):
        folders = [folder / subfolder for subfolder in TARGET_FOLDERS.values()]
        for name in sorted({file.name for each in folders for file in records_in(each)}):
            times.append(load_times_of(folder, name))
    if not of_main_network(times):
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return sorted(times, key=lambda stored: (dataset_order(stored.dataset), stored.macs))


def load_times_of(folder: Path, name: str) -> Stored:
    """The records of a name in a folder of times and those inside it, by target."""
    files = {target: folder / inside / name for target, inside in TARGET_FOLDERS.items()}
    loaded = {target: records.load(file) for target, file in files.items()}
    for target, record in loaded.items():
        _check_same_run(files[target], record, loaded["model"], target)
    return _stored(folder, loaded, files, loaded["model"].conditions)


def _check_same_run(file: Path, record: Record, first: Record, target: str) -> None:
    """Raise Failure if a record has other rounds than a first one, or another target."""
    expected = _comparable(first) | {"target": target}
    here = _comparable(record)
    if unlike := sorted(dict(here.items() ^ expected.items())):
        raise Failure(f"{file} is not of the run that the others are of: {unlike[0]}")


def _comparable(record: Record) -> dict[str, object]:
    """The conditions and rounds that the records of one measurement share. (A command that is in
    several groups of a round has more passes.)"""
    fields = {"runs": record.rounds} | record.conditions
    return {name: fields[name] for name in fields.keys() - {"passes"}}


def of_main_network(times: list[Stored]) -> list[Stored]:
    """MobileNet-V2's times."""
    return [stored for stored in times if stored.network == MAIN_NETWORK]


def load_modes() -> list[list[Stored]]:
    """The modes of all inputs, for each network and configuration: records by the mode as one
    would type it, the fastest first; before these "stock" and "stock again"."""
    groups: dict[tuple[str, str], list[Stored]] = {}
    for folder in folders_of(*MODES):
        left = set(records_in(folder))
        for stock in records_in(folder, "*_stock"):
            stored = load_modes_of(folder, stock.stem.removesuffix("stock"))
            left -= set(stored.files.values())
            groups.setdefault((stored.network, stored.configuration), []).append(stored)
        if left:
            raise Failure(f"{min(left)} has no record of the stock pass beside it")
    for inputs in groups.values():
        inputs.sort(key=lambda stored: dataset_order(stored.dataset))
    return list(groups.values())


def load_modes_of(folder: Path, start: str) -> Stored:
    """The modes of one network and input: the records in a folder whose names start like this.
    Raises Failure if two are of the same mode."""
    loaded: dict[str, Record] = {}
    files: dict[str, Path] = {}
    stock = folder / f"{start}stock.json"
    others = [file for file in records_in(folder, f"{start}*") if file != stock]
    for file in (stock, *others):
        record = records.load(file)
        again = "stock again" if "stock" in loaded else "stock"
        mode = records.mode_of(record, loaded.get("stock", record)) or again
        if mode in loaded:
            raise Failure(f"{file} has the same mode as {files[mode].name}: {mode}")
        loaded[mode] = record
        files[mode] = file
    ordered = {mode: loaded[mode] for mode in _in_order(loaded)}
    return _stored(folder.parent, ordered, files, loaded["stock"].conditions)


def _in_order(loaded: dict[str, Record]) -> list[str]:
    """Modes, the fastest first, behind the stock pass."""
    stock = [mode for mode in ("stock", "stock again") if mode in loaded]
    others = loaded.keys() - set(stock)
    return stock + sorted(others, key=lambda mode: loaded[mode].whole.mean)


def _stored(
    folder: Path,
    loaded: dict[str, Record],
    files: dict[str, Path],
    conditions: dict[str, str | int],
) -> Stored:
    if missing := {"network", "dataset", "device", "batch_size"} - conditions.keys():
        raise Failure(f"{next(iter(files.values()))} does not say its {min(missing)}")
    return Stored(
        network=network_title(
            conditions["network"],
            conditions.get("output_stride", 32),
            is_own="file_id" in conditions,
        ),
        device=conditions["device"] + device_folder(folder),
        labels=list(labels_of(conditions)),
        dataset=dataset_title(str(conditions["dataset"])),
        records=loaded,
        files=files,
    )


def records_in(folder: Path, pattern: str = "*_*") -> list[Path]:
    """The records in a folder whose names are like this, without the ending; also one that is
    missing beside its text, which reading it will tell."""
    files = [*folder.glob(f"{pattern}.json"), *folder.glob(f"{pattern}.txt")]
    return sorted({file.with_suffix(".json") for file in files})


def device_folder(folder: Path) -> str:
    """The name of a device's own folder under devices/, as tables have it."""
    if not folder.is_relative_to(ROOT):
        return ""
    parts = folder.relative_to(ROOT).parts
    return f" ({parts[1]})" if parts[0] == "devices" else ""


def folders_of(*names: str) -> list[Path]:
    """The folders of such names that hold files, here and of each device; MobileNet-V2's first."""
    roots = (ROOT, *sorted(ROOT.glob("devices/*")))
    folders = [folder for name in names for root in roots for folder in sorted(root.glob(name))]
    folders = [folder for folder in folders if records_in(folder)]
    return sorted(folders, key=lambda folder: "/mobilenetv2_stats" not in str(folder))
