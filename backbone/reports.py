"""The stored memory reports and structures, read back."""

import re
from pathlib import Path
from typing import NamedTuple

from backbone.inputs import DATASETS
from backbone.script import ROOT, Failure
from backbone.stored import FIRST, name_of, read, stored_folders


class Memory(NamedTuple):
    """One network's memory report and the structure of the same pass; memory is in MB of 2**20
    bytes, and a peak that nothing measured is empty."""

    network: str
    dataset: str
    reported_on: str
    allocated: str
    tensors: int
    parameters: int
    macs: int
    predicted_peak: str
    measured_peak: str


def load_memory() -> list[Memory]:
    """The memory reports, and the MACs of the structures. Raises script.Failure where there are
    none, or one is not what it should be."""
    folders = stored_folders("memory_reports")
    if not folders:
        raise Failure(f"no memory reports in {ROOT}; see mem_report.sh")
    found = []
    for dataset in DATASETS:
        for folder in folders:
            for network in networks_in(folder):
                found.append(load_report(folder / f"{network}_{dataset}.txt", network, dataset))
    return found


def networks_in(folder: Path) -> list[str]:
    """The networks whose reports a folder has, by the names of their files, MobileNet-V2 first."""
    names = {file.stem.rpartition("_")[0] for file in folder.glob("*_*.txt")}
    return sorted(names, key=lambda name: (name != FIRST, name))


def load_report(report: Path, network: str, dataset: str) -> Memory:
    """A memory report with its structure. Raises script.Failure where one is not what it should
    be."""
    structure = report.parents[1] / "model_structures" / report.name
    if not structure.exists():  # it does not depend on the device
        structure = ROOT / "model_structures" / report.name
    macs = find(r"\nTotal MACs: ([\d,]+) \(1 MAC = 2 FLOPs\)\n$", structure)
    batch = find(r"\ninput +\((\d+), ", report)
    if find(r"\n +Conv2d-1 +\[(-?\d+), ", structure).replace("-1", "1") != batch:
        raise Failure(f"{structure} is not of batch size {batch}, as {report.name} is")
    device = find(r"\nStorage on (\S+)\n", report)
    last = r"\n  at: .+\n()$"
    if device != "cpu":
        last = r"\nPeak .* \(measured on .+\): ([\d.]+) MiB, .*\n$"
        device = find(r"\nPeak .* \(measured on (.+)\): ", report)
    return Memory(
        network=network,
        dataset=dataset,
        reported_on=name_of(device, report) + f", batch {batch}" * (batch != "1"),
        allocated=in_mb(find(r"\nTotal Tensors: \d+ \tUsed Memory: (\S+)\n", report)),
        tensors=int(find(r"\nTotal Tensors: (\d+) \t", report)),
        parameters=int(find(r"\nParameters: (\d+)\n", report)),
        macs=int(macs.replace(",", "")),
        predicted_peak=find(r"\nPeak .* \(predicted\): ([\d.]+) MiB\n", report),
        measured_peak=find(last, report),
    )


def in_mb(size: str) -> str:
    """A size as memlab prints it, such as 37.58M, in MB of 2**20 bytes."""
    unit = {"K": 1 / 1024, "M": 1, "G": 1024}[size[-1]]
    return f"{float(size[:-1]) * unit:.2f}"


def find(pattern: str, file: Path) -> str:
    """What a pattern's group matches in a file. Raises script.Failure where it is not there."""
    match = re.search(pattern, read(file))
    if match is None:
        raise Failure(f"{file} is cut short, or of another form; its wrapper makes it anew")
    return match[1]
