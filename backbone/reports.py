"""The stored memory reports and structures, read back.

What is missing, or not what it should be, is a script.Failure.
"""

import re
from pathlib import Path
from typing import NamedTuple

from backbone import files
from backbone.inputs import DATASETS
from backbone.script import ROOT, Failure
from backbone.stored import FIRST, name_of, stored_folders

REPORT = (
    r"\nStorage on (?P<storage>(?P<cpu>cpu)|\S+)\n(?s:.*)"
    r"\ninput +\((?P<batch>\d+), (?s:.*)"
    r"\nTotal Tensors: (?P<tensors>\d+) \tUsed Memory: (?P<used>[\d.]+)(?P<unit>[KMG])\n"
    r"(?s:.*)\nParameters: (?P<parameters>\d+)"
    r"\nPeak .* \(predicted\): (?P<predicted>[\d.]+) MiB\n(?s:.*)"
    r"\n  at: .+"
    r"(?(cpu)|\nPeak .* \(measured on (?P<gpu>.+)\): (?P<measured>[\d.]+) MiB, .*)\n$"
)
STRUCTURE = (
    r"\n +Conv2d-1 +\[-?(?P<batch>\d+), (?s:.*)"  # -1 is any
    r"\nTotal MACs: (?P<macs>[\d,]+) \(1 MAC = 2 FLOPs\)\n$"
)
MB = {"K": 1 / 1024, "M": 1, "G": 1024}


class Memory(NamedTuple):
    """One network's memory report and the structure of the same pass; memory is in MB of 2**20
    bytes, and a peak that nothing measured is None."""

    network: str
    dataset: str
    device: str
    batch: int
    allocated: float
    tensors: int
    parameters: int
    macs: int
    predicted_peak: float
    measured_peak: float | None


def load_memory() -> list[Memory]:
    """The memory reports, with the MACs of the structures."""
    folders = stored_folders("memory_reports")
    if not folders:
        raise Failure(f"no memory reports in {ROOT}; see mem_report.sh")
    found = []
    for dataset in DATASETS:
        for folder in folders:
            names = {file.stem.rpartition("_")[0] for file in folder.glob("*_*.txt")}
            for network in sorted(names, key=lambda name: (name != FIRST, name)):
                found.append(load_report(folder / f"{network}_{dataset}.txt", network, dataset))
    return found


def load_report(file: Path, network: str, dataset: str) -> Memory:
    """A memory report with its structure."""
    structure = file.parents[1] / "model_structures" / file.name
    if not structure.exists():  # it does not depend on the device
        structure = ROOT / "model_structures" / file.name
    built, report = find(STRUCTURE, structure), find(REPORT, file)
    if built["batch"] != report["batch"]:
        raise Failure(f"{structure} is not of batch size {report['batch']}, as {file.name} is")
    return Memory(
        network,
        dataset,
        name_of(report["gpu"] or report["storage"], file),
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
    match = re.search(pattern, files.read(file))
    if match is None:
        raise Failure(f"{file} is cut short, or of another form; its wrapper makes it anew")
    return match
