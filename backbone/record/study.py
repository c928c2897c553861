"""What the study that this project follows has measured of MobileNet-V2, in training mode.

Source: the README of https://github.com/praeclarumjj3/BackBone-Profile.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("study.csv")


@dataclass(frozen=True)
class StudyRow:
    """A row of its table; what it does not say of CPUs is "". Times are in milliseconds, memory is
    in MiB, parameters and elements of tensors are in millions."""

    dataset: str
    device: str
    inference_time_ms: str
    std_ms: str
    fps: str
    allocated_memory_mb: str
    params_m: str
    tensors_m: str


def load_study() -> list[StudyRow]:
    """The rows, in the study's order."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [StudyRow(**row) for row in csv.DictReader(file)]
