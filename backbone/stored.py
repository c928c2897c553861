"""The stored files, read back: times and modes by network, device and dataset; memory reports.

What is not what it should be is a script.Failure.
"""

import hashlib
import re
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

from backbone import records
from backbone.inputs import DATASETS
from backbone.records import Record
from backbone.roofline import Ceilings
from backbone.rows import Row, format_rows
from backbone.script import ROOT, Failure

FIRST, FIRST_FILES = "MobileNet-V2", "mobilenetv2"  # what most tables and pictures are of
TIMES = ("*_stats", "cpu/*_stats")
MODES = ("*_stats/modes", "cpu/*_stats/modes")
TARGETS = {"model": "", "block": "blocks", "layer": "layers"}
REPORT = (
    r"\nStorage on (?P<storage>\S+)\n(?s:.*)"
    r"\ninput +\((?P<batch>\d+), (?s:.*)"
    r"\nTotal Tensors: (?P<tensors>\d+) \tUsed Memory: (?P<used>[\d.]+)(?P<unit>[KMG])\n"
    r"(?s:.*)\nParameters: (?P<parameters>\d+)"
    r"\nPeak .* \(predicted\): (?P<predicted>[\d.]+) MiB\n(?s:.*)"
    r"\n  at: .+"
    r"(\nPeak .* \(measured on (?P<gpu>.+)\): (?P<measured>[\d.]+) MiB, .*)?\n$"
)
STRUCTURE = (
    r"\n +Conv2d-1 +\[-?(?P<batch>\d+), (?s:.*)"  # -1 is any
    r"\nTotal MACs: (?P<macs>[\d,]+) \(1 MAC = 2 FLOPs\)\n$"
)
MB = {"K": 1 / 1024, "M": 1, "G": 1024}


class Stored(NamedTuple):
    """The runs of one network on one device at one dataset's size, by their names in tables: the
    records, by target or by mode."""

    network: str
    device: str
    dataset: str
    records: dict[str, Record]

    @property
    def title(self) -> str:
        """Dataset and device."""
        return f"{self.dataset}, {self.device}"

    @property
    def macs(self) -> int:
        """Of a pass; 0 where its record does not say."""
        cost = self.records["model"].rows[-1].cost
        return cost.macs if cost else 0

    def rows(self, target: str) -> list[Row]:
        """The rows of a target: of the whole pass, of the stages, or of the operations."""
        return [row for row in self.records[target].rows if row.level == target]

    @property
    def ceilings(self) -> Ceilings | None:
        """The machine's ceilings, medians over the runs of the layers that have them, if any."""
        medians = [self.records["layer"].median(name) for name in Ceilings._fields]
        return None if None in medians else Ceilings(*medians)

    @property
    def lack(self) -> str:
        """Why the operations have no floor; nothing where they have."""
        why = "no ceilings, for lack of memory perhaps; stats.sh measures them"
        return "" if self.ceilings else f"{self.title}: {why}"


class Memory(NamedTuple):
    """One network's memory report and the structure of the same pass, by names in tables; memory is
    in MB of 2**20 bytes, and a peak that nothing measured is None."""

    network: str
    device: str
    dataset: str
    batch: int
    allocated: float
    tensors: int
    parameters: int
    macs: int
    predicted_peak: float
    measured_peak: float | None


def names_of(network: str, device: str, dataset: str, folder: Path) -> tuple[str, str, str]:
    """The names in tables of a network, by that of its files (resnet50, mobilenetv2_os16); of a
    device, with that of its folder where it is of several devices; and of a dataset."""
    network, _, output_stride = network.partition("_os")
    title = FIRST if network == FIRST_FILES else network
    title += f", output stride {output_stride}" if output_stride else ""
    parts = folder.relative_to(ROOT).parts
    device += f" ({parts[1]})" if parts[0] == "devices" else ""
    return title, device, DATASETS[dataset].title


def stored_folders(*names: str) -> list[Path]:
    """The folders of some names, such as *_stats, in which wrappers have left files: here, and of
    each further device; MobileNet-V2's first."""
    roots = (ROOT, *sorted(ROOT.glob("devices/*")))
    found = [folder for name in names for root in roots for folder in sorted(root.glob(name))]
    found.sort(key=lambda folder: f"{FIRST_FILES}_stats" not in folder.parts)
    return [folder for folder in found if any(folder.glob("*_*.txt"))]


def load_record(file: Path) -> Record:
    """A record, checked against the text beside it."""
    record = records.loads(file.read_text("utf-8"), file)
    text = file.with_suffix(".txt")
    if text.read_text("utf-8") != format_rows(record.rows):
        raise Failure(f"{text} is not what {file.name} says")
    return record


def load_times() -> list[Stored]:
    """The timers' records by target, those of a network on a device at a dataset's size checked to
    be of the same run, by dataset and MACs; some are of MobileNet-V2."""
    times = []
    for dataset, folder in product(DATASETS, stored_folders(*TIMES)):
        name, found, common = folder.name.removesuffix("_stats"), {}, {}
        for target, subfolder in TARGETS.items():
            file = folder / subfolder / f"{name}_{dataset}.json"
            record = found[target] = load_record(file)
            here = record.conditions | {"runs": len(record.runs)}
            common = (common or here) | {"target": target, "dataset": dataset}
            if unlike := sorted(dict(here.items() ^ common.items())):
                raise Failure(f"{file} is not of the run that the others are of: {unlike[0]}")
        times.append(Stored(*names_of(name, common["device"], dataset, folder), found))
    if not of_first(times):
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return sorted(times, key=lambda each: (each.dataset, each.macs))


def of_first(times: list[Stored]) -> list[Stored]:
    """MobileNet-V2's times."""
    return [stored for stored in times if stored.network == FIRST]


def load_modes() -> list[Stored]:
    """The records of the modes, by the flags of the mode, the fastest first; before it "stock",
    which there must be, and "stock again", which have none."""
    modes = []
    for dataset, folder in product(DATASETS, stored_folders(*MODES)):
        name, found = folder.parent.name.removesuffix("_stats"), {}
        start = f"{name}_{dataset}_"
        for file in sorted({folder / f"{start}stock.json", *folder.glob(f"{start}*.json")}):
            record = load_record(file)
            by_file = file.stem.removeprefix(start).replace("_", " ")
            found[record.conditions.get("mode", by_file)] = record
        device = found["stock"].conditions["device"]
        order = sorted(found, key=lambda mode: found[mode].rows[-1].mean)
        order.sort(key=lambda mode: ["stock", "stock again", mode].index(mode))
        ordered = {mode: found[mode] for mode in order}
        modes.append(Stored(*names_of(name, device, dataset, folder), ordered))
    return modes


def by_device(modes: list[Stored]) -> list[list[Stored]]:
    """Modes of all inputs together, network by network and device by device."""
    devices: dict[tuple[str, str], list[Stored]] = {}
    for each in modes:
        devices.setdefault((each.network, each.device), []).append(each)
    return list(devices.values())


def speed_ups(record: Record, stock: Record) -> list[float]:
    """The stock pass's time over a mode's, round by round; none where their runs were not by turns,
    and so can't be compared."""
    here, there = ([run["date"] for run in each.runs] for each in (record, stock))
    rounds = pairwise(zip(here, there, strict=False))
    if len(here) != len(there) or any(max(one) >= min(after) for one, after in rounds):
        return []
    return (stock.rows[-1].run_means / record.rows[-1].run_means).tolist()


def digest_stored() -> str:
    """SHA-256 of all that is stored, names and bytes."""
    digest = hashlib.sha256()
    folders = stored_folders(*TIMES, *MODES, "memory_reports", "model_structures")
    for file in sorted({file for folder in folders for file in folder.rglob("*_*.*")}):
        if ".new" not in file.parts:  # a run's that was killed, or is at work
            digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def load_memory() -> list[Memory]:
    """The memory reports, with the MACs of the structures, dataset by dataset."""
    found = []
    for dataset, folder in product(DATASETS, stored_folders("memory_reports")):
        names = {file.stem.rpartition("_")[0] for file in folder.glob("*_*.txt")}
        for name in sorted(names, key=lambda name: (name != FIRST_FILES, name)):
            found.append(load_report(folder / f"{name}_{dataset}.txt", name, dataset))
    return found


def load_report(file: Path, name: str, dataset: str) -> Memory:
    """A memory report with its structure."""
    structure = file.parents[1] / "model_structures" / file.name
    if not structure.exists():  # it does not depend on the device
        structure = ROOT / "model_structures" / file.name
    built, report = find(STRUCTURE, structure), find(REPORT, file)
    if built["batch"] != report["batch"]:
        raise Failure(f"{structure} is not of batch size {report['batch']}, as {file.name} is")
    return Memory(
        *names_of(name, report["gpu"] or report["storage"], dataset, file),
        int(report["batch"]),
        float(report["used"]) * MB[report["unit"]],
        int(report["tensors"]),
        int(report["parameters"]),
        int(built["macs"].replace(",", "")),
        float(report["predicted"]),
        float(report["measured"]) if report["measured"] else None,
    )


def find(pattern: str, file: Path) -> re.Match:
    """What a pattern matches in a file."""
    match = re.search(pattern, file.read_text("utf-8"))
    if match is None:
        raise Failure(f"{file} is cut short, or of another form; its wrapper makes it anew")
    return match
