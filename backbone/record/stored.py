"""The stored files, read back as one collection. What is not what it should be is a Failure."""

from dataclasses import dataclass, replace
from pathlib import Path

from backbone.command.errors import Failure
from backbone.command.files import ROOT
from backbone.record import memory, records
from backbone.record.memory import MemoryReport, Structure
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


@dataclass(frozen=True)
class StoredMemory:
    """One memory report and the structure of the same input, with titles as in Stored."""

    network: str
    device: str
    dataset: str
    report: MemoryReport
    structure: Structure
    report_file: Path
    structure_file: Path


def load_times() -> list[Stored]:
    """The timers' records by target, checked to be of the same run; by dataset and MACs."""
    times = []
    for folder in _folders_of(*TIMES):
        folders = {target: folder / subfolder for target, subfolder in TARGET_FOLDERS.items()}
        for name in sorted({file.name for each in folders.values() for file in _records_in(each)}):
            files = {target: each / name for target, each in folders.items()}
            loaded = {target: records.load(file) for target, file in files.items()}
            for target, record in loaded.items():
                _check_same_run(files[target], record, loaded["model"], target)
            times.append(_stored(folder, loaded, files, loaded["model"].conditions))
    if not of_main_network(times):
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return sorted(times, key=lambda stored: (dataset_order(stored.dataset), stored.macs))


def _check_same_run(file: Path, record: Record, first: Record, target: str) -> None:
    """Raise Failure if a record has other rounds than a first one, or another target."""
    expected = first.conditions | {"target": target, "runs": _rounds_of(first)}
    here = record.conditions | {"runs": _rounds_of(record)}
    if unlike := sorted(dict(here.items() ^ expected.items())):
        raise Failure(f"{file} is not of the run that the others are of: {unlike[0]}")


def _rounds_of(record: Record) -> tuple[int, ...]:
    """The rounds of a record's runs; one record may have several runs in a round, one in each of
    its groups."""
    return tuple(sorted({run.get("round", number) for number, run in enumerate(record.runs, 1)}))


def of_main_network(times: list[Stored]) -> list[Stored]:
    """MobileNet-V2's times."""
    return [stored for stored in times if stored.network == MAIN_NETWORK]


def load_modes() -> list[list[Stored]]:
    """The modes of all inputs, for each network and configuration: records by the mode as one
    would type it, the fastest first; before these "stock" and "stock again"."""
    groups: dict[tuple[str, str], list[Stored]] = {}
    for folder in _folders_of(*MODES):
        left = set(_records_in(folder))
        for stock in _records_in(folder, "*_stock"):
            start = stock.stem.removesuffix("stock")
            others = [file for file in _records_in(folder, f"{start}*") if file != stock]
            left -= {stock, *others}
            stored = _load_modes_of(folder, stock, others)
            groups.setdefault((stored.network, stored.configuration), []).append(stored)
        if left:
            raise Failure(f"{min(left)} has no record of the stock pass beside it")
    for inputs in groups.values():
        inputs.sort(key=lambda stored: dataset_order(stored.dataset))
    return list(groups.values())


def _load_modes_of(folder: Path, stock: Path, others: list[Path]) -> Stored:
    """The modes of one input. Raises Failure if two records are of the same mode."""
    loaded: dict[str, Record] = {}
    files: dict[str, Path] = {}
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


def load_memory() -> list[StoredMemory]:
    """The memory reports, each with the structure of the same input, dataset by dataset."""
    structures = [
        (file, memory.load_structure(file))
        for folder in _folders_of("model_structures*")
        for file in _records_in(folder)
    ]
    pairs = []
    for folder in _folders_of("memory_reports*"):
        for file in _records_in(folder):
            report = memory.load_report(file)
            device = report.device + _device_folder(folder)
            if any(pair.report.input == report.input and pair.device == device for pair in pairs):
                continue  # made with --device, on a machine where that is the default
            wanted = replace(report.input, weights=None)  # a structure is of any weights
            alike = [pair for pair in structures if replace(pair[1].input, weights=None) == wanted]
            if not alike:
                raise Failure(
                    f"{file} has no structure of the same input; "
                    "summary.sh with the same flags makes one"
                )
            structure_file, structure = alike[0]
            pairs.append(
                StoredMemory(
                    network=network_title(
                        report.input.network,
                        report.input.output_stride,
                        is_own=report.input.file_id is not None,
                    ),
                    device=device,
                    dataset=dataset_title(report.input.dataset),
                    report=report,
                    structure=structure,
                    report_file=file,
                    structure_file=structure_file,
                )
            )
    return sorted(pairs, key=lambda pair: dataset_order(pair.dataset))


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
        device=conditions["device"] + _device_folder(folder),
        labels=list(labels_of(conditions)),
        dataset=dataset_title(str(conditions["dataset"])),
        records=loaded,
        files=files,
    )


def _records_in(folder: Path, pattern: str = "*_*") -> list[Path]:
    """The records in a folder whose names are like this, without the ending; also one that is
    missing beside its text, which reading it will tell."""
    files = [*folder.glob(f"{pattern}.json"), *folder.glob(f"{pattern}.txt")]
    return sorted({file.with_suffix(".json") for file in files})


def _device_folder(folder: Path) -> str:
    """The name of a device's own folder under devices/, as tables have it."""
    parts = folder.relative_to(ROOT).parts
    return f" ({parts[1]})" if parts[0] == "devices" else ""


def _folders_of(*names: str) -> list[Path]:
    """The folders of such names that hold files, here and of each device; MobileNet-V2's first."""
    roots = (ROOT, *sorted(ROOT.glob("devices/*")))
    folders = [folder for name in names for root in roots for folder in sorted(root.glob(name))]
    folders = [folder for folder in folders if _records_in(folder)]
    return sorted(folders, key=lambda folder: "/mobilenetv2_stats" not in str(folder))
