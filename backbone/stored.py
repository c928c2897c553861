"""The stored times: read, checked, and taken together by network and device.

What is missing, or not what it should be, is a script.Failure.
"""

import hashlib
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

from backbone import files, records
from backbone.inputs import DATASETS
from backbone.records import Record
from backbone.roofline import Ceilings
from backbone.rows import Row, format_rows
from backbone.script import ROOT, Failure

FIRST = "mobilenetv2"  # of the networks, by the name of its files
TIMES = ("*_stats", "cpu/*_stats")
MODES = tuple(f"{name}/modes" for name in TIMES)
TARGETS = {"model": "", "block": "blocks/", "layer": "layers/"}


class Stored(NamedTuple):
    """What a folder holds of one network on one device: the device's name, the network's, and the
    records of each dataset, by target or by mode."""

    name: str
    network: str
    folder: Path
    records: dict[str, dict[str, Record]]

    @property
    def conditions(self) -> dict[str, str | int]:
        """What its records say of its runs, beside target and dataset."""
        return self.records["pascal"]["model"].conditions

    def rows(self, dataset: str, target: str) -> list[Row]:
        """The rows of a target: of the whole pass, of the stages, or of the operations."""
        return [row for row in self.records[dataset][target].rows if row.level == target]

    def ceilings(self, dataset: str) -> Ceilings | None:
        """The machine's ceilings, medians over the runs of the layers that have them, if any."""
        medians = [self.records[dataset]["layer"].median(name) for name in Ceilings._fields]
        return None if None in medians else Ceilings(*medians)

    def lack(self, dataset: str) -> str | None:
        """What the record of the layers lacks for a floor, and what to run; None if nothing."""
        file = (self.folder / f"layers/{self.network}_{dataset}.json").relative_to(ROOT)
        wrapper = "sh cpu/stats.sh" if "threads" in self.conditions else "sh stats.sh"
        if file.parts[0] == "devices":
            wrapper = f"RESULTS=devices/{file.parts[1]} {wrapper}"
        if any(row.cost is None for row in self.rows(dataset, "layer")):
            return f"{file} has no costs, being made before they were recorded; run {wrapper}"
        if self.ceilings(dataset) is None:
            return f"{file} has no ceilings, for lack of memory perhaps; run {wrapper}"
        return None


def title_of(network: str) -> str:
    """A network's name in tables, by that of its files: resnet50, mobilenetv2_os16."""
    name, _, output_stride = network.partition("_os")
    title = "MobileNet-V2" if name == FIRST else name
    return f"{title}, output stride {output_stride}" if output_stride else title


def name_of(device: str, path: Path) -> str:
    """A device's name, with that of its folder where it is of several devices."""
    parts = path.relative_to(ROOT).parts
    return f"{device} ({parts[1]})" if parts[0] == "devices" else device


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


def load_record(file: Path, target: str, dataset: str) -> Record:
    """A record, checked to be of a target and a dataset, and against the text beside it."""
    record = records.loads(files.read(file), file)
    if (of := (record.conditions["target"], record.conditions["dataset"])) != (target, dataset):
        raise Failure(f"{file} is of {', '.join(of)}")
    text = file.with_suffix(".txt")
    if files.read(text) != format_rows(record.rows):
        raise Failure(f"{text} is not what {file.name} says")
    return record


def load_times() -> list[Stored]:
    """The timers' records by target, network by network and device by device, the six of each
    checked to be of the same conditions and of as many runs; some are of MobileNet-V2."""
    times = []
    for folder in stored_folders(*TIMES):
        network = folder.name.removesuffix("_stats")
        kept, common = {dataset: {} for dataset in DATASETS}, {}
        for dataset, (target, subfolder) in product(DATASETS, TARGETS.items()):
            file = folder / f"{subfolder}{network}_{dataset}.json"
            record = kept[dataset][target] = load_record(file, target, dataset)
            here = record.conditions | {"target": "", "dataset": "", "runs": len(record.runs)}
            common = common or here
            if unlike := sorted(dict(here.items() ^ common.items())):
                raise Failure(f"{file} is not of the run that the others are of: {unlike[0]}")
        times.append(Stored(name_of(common["device"], folder), network, folder, kept))
    if not of_first(times):
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return times


def of_first(times: list[Stored]) -> list[Stored]:
    """MobileNet-V2's times, which most tables and pictures are of."""
    return [device for device in times if device.network == FIRST]


def load_modes() -> list[Stored]:
    """The records of the modes, network by network and device by device, by the flags of the mode;
    "stock", which there is of each dataset, and "stock again" have none."""
    modes = []
    for folder in stored_folders(*MODES):
        network = folder.parent.name.removesuffix("_stats")
        kept = {dataset: {} for dataset in DATASETS}
        for dataset, found in kept.items():
            start = f"{network}_{dataset}_"
            for file in sorted({f.with_suffix(".json") for f in folder.glob(f"{start}*.*")}):
                record = load_record(file, "model", dataset)
                by_file = file.stem.removeprefix(start).replace("_", " ")
                found[record.conditions.get("mode", by_file)] = record
            if "stock" not in found:
                raise Failure(f"{folder} has no {start}stock.json, which the modes are compared to")
        device = found["stock"].conditions["device"]
        modes.append(Stored(name_of(device, folder), network, folder, kept))
    return modes


def speed_ups(record: Record, stock: Record) -> list[float]:
    """The stock pass's time over a mode's, round by round; none where their runs were not by turns,
    and so can't be compared."""
    here, there = ([run["date"] for run in each.runs] for each in (record, stock))
    rounds = pairwise(zip(here, there, strict=False))
    if len(here) != len(there) or any(max(one) >= min(after) for one, after in rounds):
        return []
    return (stock.rows[-1].run_means / record.rows[-1].run_means).tolist()
