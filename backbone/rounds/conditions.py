"""The conditions of a measurement, which must not change before it is continued."""

import hashlib
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from backbone.command.files import ROOT
from backbone.command.options import Workload
from backbone.measure.available import available_processors, version_of
from backbone.measure.nvidia_smi import query_driver
from backbone.record import schema
from backbone.rounds.plan import Planned
from backbone.statistics.looks import StopRule

PACKAGES_OF_TIMERS = ("command", "network", "trace", "measure", "record", "rounds")
SOURCES = ("timer.py", "cpu/timer.py", *(f"backbone/{name}/*.py" for name in PACKAGES_OF_TIMERS))
PACKAGES = ("torch", "torchvision", "triton", "numpy")
PACKAGES += ("onnx", "onnxruntime", "onnxscript", "openvino")
CPUINFO = Path("/proc/cpuinfo")


def conditions_of(plan: Sequence[Planned], rule: StopRule) -> dict[str, str]:
    """The conditions of a plan that are known before its commands run: commands, stop rule, code,
    versions, processors, GPU, and the environment variables that a record keeps. (Conditions that
    only a timer knows, such as its threads, are compared between the runs of a command.)"""
    conditions = {
        "commands": " | ".join(f"{planned.least}+ {planned.command.name}" for planned in plan),
        "stop rule": rule.description,
        "code": hash_code(plan),
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cpus": str(available_processors()),
        "images": str(plan[0].workload.images_id),
    }
    conditions |= {package: version_of(package) for package in PACKAGES}
    if any(planned.device == "cuda" for planned in plan):
        conditions["gpu"] = _gpu()
    return conditions | schema.environment(schema.ENVIRONMENT)


def hash_code(plan: Sequence[Planned]) -> str:
    """A hash of the timers' sources and of the files of a user's network and weights, but not of
    modules that these import."""
    workloads = {planned.workload for planned in plan}
    own = {Path(file) for workload in workloads for file in _files_of(workload)}
    sources = {file for pattern in SOURCES for file in ROOT.glob(pattern)}
    digest = hashlib.sha256()
    for file in [*sorted(sources), *sorted(own)]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _files_of(workload: Workload) -> Iterable[str]:
    if workload.is_own:
        yield workload.model.rpartition(":")[0]
    if workload.weights is not None:
        yield workload.weights


def _cpu_model() -> str:
    if not CPUINFO.exists():
        return platform.processor()
    models = [line for line in CPUINFO.read_text().splitlines() if line.startswith("model name")]
    return models[0].partition(":")[2].strip() if models else platform.machine()


def _gpu() -> str:
    """The names, drivers and power limits of the GPUs."""
    gpus = query_driver(["name", "driver_version", "power.limit"]) or []
    return "; ".join(map(", ".join, gpus)) or "none"
