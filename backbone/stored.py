"""The stored files, read back. What is not what it should be is a script.Failure."""

import hashlib
import re
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

from backbone import records
from backbone.records import Record
from backbone.rows import Ceilings, Row, format_rows
from backbone.script import ROOT, Failure

TITLES = {"cityscapes": "Cityscapes", "pascal": "PASCAL VOC 2012"}
FIRST, FIRST_FILES = "MobileNet-V2", "mobilenetv2"  # what most tables and pictures are of
TIMES = ("*_stats", "cpu/*_stats")
MODES = ("*_stats/modes", "cpu/*_stats/modes")
TARGETS = {"model": "", "block": "blocks", "layer": "layers"}
REPORT = (
    r"\nStorage on (?P<storage>\S+)\n(?s:.*)\ninput +\((?P<batch>\d+), (?s:.*)"
    r"\nTotal Tensors: (?P<tensors>\d+) \tUsed Memory: (?P<used>[\d.]+)(?P<unit>[KMG])\n(?s:.*)"
    r"\nParameters: (?P<parameters>\d+)\nPeak .* \(predicted\): (?P<predicted>[\d.]+) MiB\n(?s:.*)"
    r"\n  at: .+(\nPeak .* \(measured on (?P<gpu>.+)\): (?P<measured>[\d.]+) MiB, .*)?\n$"
)
# Of a structure's batch -1 is any.
STRUCTURE = r"\n +Conv2d-1 +\[-?(?P<batch>\d+), (?s:.*)\nTotal MACs: (?P<macs>[\d,]+) \(1 .*\)\n$"


class Stored(NamedTuple):
    """The runs of one network on one device at one dataset's size, by names in tables: the records,
    by target or by mode."""

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


class Memory(NamedTuple):
    """What one network's memory report and the structure of the same pass say, by names in tables
    and by the groups of REPORT and STRUCTURE; None is a peak that nothing measured."""

    network: str
    device: str
    dataset: str
    said: dict[str, str | None]


def names_of(network: str, device: str, dataset: str, folder: Path) -> tuple[str, str, str]:
    """The names in tables of a network, by that of its files (resnet50, mobilenetv2_os16), of a
    device, with that of its folder under devices/, and of a dataset."""
    network, _, output_stride = network.partition("_os")
    title = FIRST if network == FIRST_FILES else network
    title += f", output stride {output_stride}" if output_stride else ""
    parts = folder.relative_to(ROOT).parts
    device += f" ({parts[1]})" if parts[0] == "devices" else ""
    return title, device, TITLES[dataset]


def stored_folders(*names: str) -> list[Path]:
    """The folders of such names that hold files, here and of each device; MobileNet-V2's first."""
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
    """The timers' records by target, checked to be of the same run; by dataset and MACs."""
    times = []
    for dataset, folder in product(TITLES, stored_folders(*TIMES)):
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


def of_stock(times: list[Stored]) -> list[Stored]:
    """MobileNet-V2's times in no mode."""
    return [each for each in of_first(times) if "mode" not in each.records["model"].conditions]


def load_modes() -> list[list[Stored]]:
    """The modes of all inputs, network by network and device by device: records by the flags of the
    mode, the fastest first; before it "stock", which there must be, and "stock again"."""
    modes: dict[tuple[str, str], list[Stored]] = {}
    for dataset, folder in product(TITLES, stored_folders(*MODES)):
        name, found = folder.parent.name.removesuffix("_stats"), {}
        start = f"{name}_{dataset}_"
        for file in sorted({folder / f"{start}stock.json", *folder.glob(f"{start}*.json")}):
            record = load_record(file)
            by_file = file.stem.removeprefix(start).replace("_", " ")
            found[record.conditions.get("mode", by_file)] = record
        device = found["stock"].conditions["device"]
        order = sorted(found, key=lambda mode: found[mode].rows[-1].mean)
        order = sorted({"stock", "stock again"} & found.keys()) + order  # of two, the first counts
        ordered = {mode: found[mode] for mode in order}
        here = Stored(*names_of(name, device, dataset, folder), ordered)
        modes.setdefault((here.network, here.device), []).append(here)
    return list(modes.values())


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
    for file in (file for folder in folders for file in sorted(folder.rglob("*_*.*"))):
        if ".new" not in file.parts:  # a run's that was killed, or is at work
            digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def load_memory() -> list[Memory]:
    """The memory reports, with the MACs of the structures, dataset by dataset."""
    found = []
    for dataset, folder in product(TITLES, stored_folders("memory_reports")):
        for name in sorted({file.stem.rpartition("_")[0] for file in folder.glob("*_*.txt")}):
            file = folder / f"{name}_{dataset}.txt"
            structure = folder.parent / "model_structures" / file.name
            if not structure.exists():  # it does not depend on the device
                structure = ROOT / "model_structures" / file.name
            built, report = find(STRUCTURE, structure), find(REPORT, file)
            if (batch := report["batch"]) != built["batch"]:
                raise Failure(f"{structure} is not of batch size {batch}, as {file.name} is")
            names = names_of(name, report["gpu"] or report["storage"], dataset, file)
            found.append(Memory(*names, report | built))
    return found


def find(pattern: str, file: Path) -> dict[str, str | None]:
    """What the groups of a pattern match in a file."""
    if match := re.search(pattern, file.read_text("utf-8")):
        return match.groupdict()
    raise Failure(f"{file} is cut short, or of another form; its wrapper makes it anew")
