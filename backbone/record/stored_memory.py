"""Reads stored memory reports and structures. Invalid files raise Failure."""

from dataclasses import dataclass, replace
from pathlib import Path

from backbone.command.errors import Failure
from backbone.record import memory_record
from backbone.record.loading import device_folder, folders_of, records_in
from backbone.record.memory_record import MemoryReport, Structure
from backbone.record.titles import dataset_order, dataset_title, network_title


@dataclass(frozen=True)
class StoredMemory:
    """A memory report and the structure of the same input, with titles as in Stored."""

    network: str
    device: str
    dataset: str
    report: MemoryReport
    structure: Structure
    report_file: Path
    structure_file: Path


def load_memory() -> list[StoredMemory]:
    """The memory reports, each with the structure of the same input, dataset by dataset."""
    structures = [
        (file, memory_record.load_structure(file))
        for folder in folders_of("model_structures*")
        for file in records_in(folder)
    ]
    pairs = []
    for folder in folders_of("memory_reports*"):
        for file in records_in(folder):
            report = memory_record.load_report(file)
            device = report.device + device_folder(folder)
            if any(pair.report.input == report.input and pair.device == device for pair in pairs):
                continue  # made with --device on a machine where that device is the default
            wanted = replace(report.input, weights=None)  # a structure does not depend on weights
            alike = [pair for pair in structures if replace(pair[1].input, weights=None) == wanted]
            if not alike:
                raise Failure(
                    f"{file} has no structure of the same input; "
                    "summary.sh with the same flags creates one"
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
