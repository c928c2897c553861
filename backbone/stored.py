"""The stored files: read, checked, and taken together by device."""

import functools
import hashlib
import re
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
TARGETS = {"model": "", "block": "blocks/", "layer": "layers/"}


class Times(NamedTuple):
    """One device's times: its name, their folder, and its records by target and dataset."""

    name: str
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
        file = (self.folder / f"layers/mobilenetv2_{dataset}.json").relative_to(ROOT)
        wrapper = "sh cpu/stats.sh" if "threads" in self.conditions() else "sh stats.sh"
        if file.parts[0] == "devices":
            wrapper = f"RESULTS=devices/{file.parts[1]} {wrapper}"
        if any(row.cost is None for row in self.layers(dataset)):
            return f"{file} has no costs, being made before they were recorded; run {wrapper}"
        if self.ceilings(dataset) is None:
            return f"{file} has no ceilings, for lack of memory perhaps; run {wrapper}"
        return None


class Memory(NamedTuple):
    """One memory report and the structure of the same pass; memory is in MB of 2**20 bytes, and a
    peak that nothing measured is empty."""

    dataset: str
    reported_on: str
    allocated: str
    tensors: int
    parameters: int
    macs: int
    predicted_peak: str
    measured_peak: str


def stored_folders(name: str) -> list[Path]:
    """The folders of a name in which wrappers have left files: here, and of each further device."""
    roots = (ROOT, *sorted(ROOT.glob("devices/*")))
    return [root / name for root in roots if any((root / name).glob("mobilenetv2_*"))]


def digest_of_stored_files() -> str:
    """SHA-256 of all that is stored, names and bytes."""
    names = ("mobilenetv2_stats", "cpu/mobilenetv2_stats", "memory_reports", "model_structures")
    digest = hashlib.sha256()
    for folder in (folder for name in names for folder in stored_folders(name)):
        for file in sorted(folder.rglob("mobilenetv2_*")):
            if ".new" in file.parts:  # a run's that was killed, or is at work
                continue
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
    """The timers' records, device by device. Raises script.Failure where there are none, or one is
    not what it should be."""
    folders = stored_folders("mobilenetv2_stats") + stored_folders("cpu/mobilenetv2_stats")
    if not folders:
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return [load_device(folder) for folder in folders]


def load_device(folder: Path) -> Times:
    """A device's six records, each checked against the text that it lies beside, and against the
    first to be of the same conditions and of as many runs. Raises script.Failure where not."""
    with importing():
        from backbone import records
        from backbone.rows import format_rows

    found, common = {}, {}
    for dataset in DATASETS:
        for target, subfolder in TARGETS.items():
            file = folder / f"{subfolder}mobilenetv2_{dataset}.json"
            record = found[target, dataset] = records.loads(read(file), file)
            here = dict(record.conditions)
            if (here.pop("target"), here.pop("dataset")) != (target, dataset):
                of = f"{record.conditions['target']}, {record.conditions['dataset']}"
                raise Failure(f"{file} is of {of}")
            text = file.with_suffix(".txt")
            if read(text) != format_rows(record.rows):
                raise Failure(f"{text} is not what {file.name} says")
            whole = record.rows[-1]
            here |= {"batch_size": whole.input_shape[0]}
            here |= dict(zip(("runs", "iterations"), whole.samples.shape, strict=True))
            common = common or here
            if other := sorted(dict(here.items() ^ common.items())):
                raise Failure(f"{file} is not of the run that the others are of: {other[0]}")
    return Times(name_of(common["device"], folder), folder, found)


def load_memory() -> list[Memory]:
    """The memory reports, and the MACs of the structures. Raises script.Failure where there are
    none, or one is not what it should be."""
    folders = stored_folders("memory_reports")
    if not folders:
        raise Failure(f"no memory reports in {ROOT}; see mem_report.sh")
    found = []
    for dataset in DATASETS:
        name = f"mobilenetv2_{dataset}.txt"
        for report in (folder / name for folder in folders):
            structure = report.parents[1] / "model_structures" / name
            if not structure.exists():  # it does not depend on the device
                structure = ROOT / "model_structures" / name
            macs = find(r"\nTotal MACs: ([\d,]+) \(1 MAC = 2 FLOPs\)\n$", structure)
            batch = find(r"\ninput +\((\d+), ", report)
            if find(r"\n +Conv2d-1 +\[(-?\d+), ", structure).replace("-1", "1") != batch:
                raise Failure(f"{structure} is not of batch size {batch}, as {report.name} is")
            device = find(r"\nStorage on (\S+)\n", report)
            last = r"\n  at: .+\n()$"
            if device != "cpu":
                last = r"\nPeak .* \(measured on .+\): ([\d.]+) MiB, .*\n$"
                device = find(r"\nPeak .* \(measured on (.+)\): ", report)
            memory = Memory(
                dataset=dataset,
                reported_on=name_of(device, report) + f", batch {batch}" * (batch != "1"),
                allocated=in_mb(find(r"\nTotal Tensors: \d+ \tUsed Memory: (\S+)\n", report)),
                tensors=int(find(r"\nTotal Tensors: (\d+) \t", report)),
                parameters=int(find(r"\nParameters: (\d+)\n", report)),
                macs=int(macs.replace(",", "")),
                predicted_peak=find(r"\nPeak .* \(predicted\): ([\d.]+) MiB\n", report),
                measured_peak=find(last, report),
            )
            found.append(memory)
    return found


def in_mb(size: str) -> str:
    """A size as memlab prints it, such as 37.58M, in MB of 2**20 bytes."""
    unit = {"K": 1 / 1024, "M": 1, "G": 1024}[size[-1]]
    return f"{float(size[:-1]) * unit:.2f}"


def name_of(device: str, path: Path) -> str:
    """A device's name, with that of its folder where it is of several devices."""
    parts = path.relative_to(ROOT).parts
    return f"{device} ({parts[1]})" if parts[0] == "devices" else device


def find(pattern: str, file: Path) -> str:
    """What a pattern's group matches in a file. Raises script.Failure where it is not there."""
    match = re.search(pattern, read(file))
    if match is None:
        raise Failure(f"{file} is cut short, or of another form; its wrapper makes it anew")
    return match[1]
