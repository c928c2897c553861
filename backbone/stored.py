"""The stored files: read, checked, and taken together by device."""

import functools
import hashlib
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from backbone.inputs import DATASETS
from backbone.roofline import Ceilings
from backbone.script import ROOT, Failure, importing

if TYPE_CHECKING:
    from backbone.records import Record
    from backbone.rows import Row

MEASURED = set(Ceilings._fields)
FIRST = "mobilenetv2"  # of the networks, by the name of its files
TIMES = ("*_stats", "cpu/*_stats")
MODES = tuple(f"{name}/modes" for name in TIMES)
TARGETS = {"model": "", "block": "blocks/", "layer": "layers/"}


class Times(NamedTuple):
    """One network's times on one device: the device's name, the network's and their folder, and the
    records by target and dataset."""

    name: str
    network: str
    folder: Path
    records: dict[tuple[str, str], "Record"]

    def conditions(self) -> dict[str, str | int]:
        """What its records say of its runs, beside target and dataset."""
        return self.records["model", "pascal"].conditions

    def whole(self, target: str, dataset: str) -> "Row":
        """The row of the whole pass in the record of a target."""
        return self.records[target, dataset].rows[-1]

    def stages(self, dataset: str) -> "list[Row]":
        """The rows of the 21 stages."""
        return [row for row in self.records["block", dataset].rows if row.level == "block"]

    def layers(self, dataset: str) -> "list[Row]":
        """The rows of the operations."""
        return [row for row in self.records["layer", dataset].rows if row.level == "layer"]

    def ceilings(self, dataset: str) -> Ceilings | None:
        """The machine's ceilings, medians over the runs of the layers that have them, if any."""
        runs = self.records["layer", dataset].runs
        found = [
            [run[field] for field in Ceilings._fields] for run in runs if run.keys() >= MEASURED
        ]
        return Ceilings(*map(median, zip(*found, strict=True))) if found else None

    def lack(self, dataset: str) -> str | None:
        """What the record of the layers lacks for a floor, and what to run; None if nothing."""
        file = (self.folder / f"layers/{self.network}_{dataset}.json").relative_to(ROOT)
        wrapper = "sh cpu/stats.sh" if "threads" in self.conditions() else "sh stats.sh"
        if file.parts[0] == "devices":
            wrapper = f"RESULTS=devices/{file.parts[1]} {wrapper}"
        if any(row.cost is None for row in self.layers(dataset)):
            return f"{file} has no costs, being made before they were recorded; run {wrapper}"
        if self.ceilings(dataset) is None:
            return f"{file} has no ceilings, for lack of memory perhaps; run {wrapper}"
        return None


class Modes(NamedTuple):
    """One network's modes on one device: the device's name, the network's, and for each dataset the
    records by mode."""

    name: str
    network: str
    records: dict[str, dict[str, "Record"]]


def title_of(network: str) -> str:
    """A network's name in tables, by that of its files: resnet50, mobilenetv2_os16."""
    name, _, output_stride = network.partition("_os")
    title = {FIRST: "MobileNet-V2"}.get(name, name)
    return f"{title}, output stride {output_stride}" if output_stride else title


def stored_folders(*names: str) -> list[Path]:
    """The folders of some names, such as *_stats, in which wrappers have left files: here, and of
    each further device; MobileNet-V2's first."""
    roots = (ROOT, *sorted(ROOT.glob("devices/*")))
    found = [folder for name in names for root in roots for folder in sorted(root.glob(name))]
    found.sort(key=lambda folder: FIRST + "_stats" not in folder.parts)
    return [folder for folder in found if any(folder.glob("*_*.txt"))]


def digest_of_stored_files() -> str:
    """SHA-256 of all that is stored, names and bytes."""
    digest = hashlib.sha256()
    folders = stored_folders(*TIMES, *MODES, "memory_reports", "model_structures")
    for file in sorted({file for folder in folders for file in folder.rglob("*_*.*")}):
        if ".new" not in file.parts:  # a run's that was killed, or is at work
            digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


@functools.cache
def read(file: Path) -> str:
    """A file's text, read once. Raises script.Failure where there is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {file}: {error}") from error
    if not text:
        raise Failure(f"{file} is empty")
    return text


def load_times() -> list[Times]:
    """The timers' records, network by network and device by device. Raises script.Failure where
    there are none of MobileNet-V2, or one is not what it should be."""
    times = [load_device(folder) for folder in stored_folders(*TIMES)]
    if not of_first(times):
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return times


def of_first(times: list[Times]) -> list[Times]:
    """MobileNet-V2's times, which most tables and pictures are of."""
    return [device for device in times if device.network == FIRST]


def load_device(folder: Path) -> Times:
    """A network's six records on a device, checked to be of the same conditions and of as many
    runs. Raises script.Failure where they are not."""
    network = folder.name.removesuffix("_stats")
    found, common = {}, {}
    for dataset in DATASETS:
        for target, subfolder in TARGETS.items():
            file = folder / f"{subfolder}{network}_{dataset}.json"
            record = found[target, dataset] = load_record(file, target, dataset)
            here = dict(record.conditions) | {"target": "", "dataset": ""}
            here |= {"batch_size": record.rows[-1].input_shape[0]}
            here |= dict(zip(("runs", "iterations"), record.rows[-1].samples.shape, strict=True))
            common = common or here
            if other := sorted(dict(here.items() ^ common.items())):
                raise Failure(f"{file} is not of the run that the others are of: {other[0]}")
    return Times(name_of(common["device"], folder), network, folder, found)


def load_record(file: Path, target: str, dataset: str) -> "Record":
    """A record, checked to be of a target and a dataset, and against the text that it lies beside.
    Raises script.Failure where it is not."""
    with importing():
        from backbone import records
        from backbone.rows import format_rows

    record = records.loads(read(file), file)
    if (of := (record.conditions["target"], record.conditions["dataset"])) != (target, dataset):
        raise Failure(f"{file} is of {', '.join(of)}")
    text = file.with_suffix(".txt")
    if read(text) != format_rows(record.rows):
        raise Failure(f"{text} is not what {file.name} says")
    return record


def load_modes() -> list[Modes]:
    """The records of the modes, device by device, by the flags of the mode; "stock" and "stock
    again" have none. Raises script.Failure where one is not what it should be."""
    found = []
    for folder in stored_folders(*MODES):
        network = folder.parent.name.removesuffix("_stats")
        modes: dict[str, dict[str, Record]] = {}
        for dataset in DATASETS:
            start = f"{network}_{dataset}_"
            for file in sorted({f.with_suffix(".json") for f in folder.glob(f"{start}*.*")}):
                record = load_record(file, "model", dataset)
                by_file = file.stem.removeprefix(start).replace("_", " ")
                modes.setdefault(dataset, {})[record.conditions.get("mode", by_file)] = record
            if "stock" not in modes.get(dataset, {}):
                raise Failure(f"{folder} has no {start}stock.json, which the modes are compared to")
        device = name_of(modes[dataset]["stock"].conditions["device"], folder)
        found.append(Modes(device, network, modes))
    return found


def speed_ups(record: "Record", stock: "Record") -> list[float]:
    """The stock pass's time over a mode's, round by round; none where their runs were not by turns,
    and so can't be compared."""
    here, there = ([run["date"] for run in each.runs] for each in (record, stock))
    ends = (
        date < after
        for a, b in ((here, there), (there, here))
        for date, after in zip(a[:-1], b[1:], strict=False)
    )
    if len(here) != len(there) or not all(ends):
        return []
    ratios = stock.rows[-1].samples.mean(axis=1) / record.rows[-1].samples.mean(axis=1)
    return ratios.tolist()


def name_of(device: str, path: Path) -> str:
    """A device's name, with that of its folder where it is of several devices."""
    parts = path.relative_to(ROOT).parts
    return f"{device} ({parts[1]})" if parts[0] == "devices" else device
