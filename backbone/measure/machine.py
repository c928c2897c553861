"""The machine: whether it has a CUDA device, and what a record says of device and software."""

import contextlib
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from torch.utils import collect_env

from backbone.measure.addresses import has_fixed_addresses
from backbone.measure.available import available_processors
from backbone.record import schema


def why_no_cuda() -> str | None:
    """Why nothing can be measured on CUDA here, in one line; None where it can."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    reason = "PyTorch finds no GPU or no driver"
    if torch.version.cuda is None:
        reason = f"PyTorch {torch.__version__} is built without CUDA"
    elif caught:  # torch warns of a driver that is too old, or fails
        reason = " ".join(str(caught[-1].message).split())
    return f"no CUDA device here ({reason})"


def describe_software() -> dict[str, str | int]:
    """The versions of what the network is made of and run by, and whether the process has its
    memory at addresses that are not random."""
    conditions: dict[str, str | int] = {
        "torch_version": torch.__version__,
        "torchvision_version": version("torchvision"),
    }
    if has_fixed_addresses():
        conditions["fixed_addresses"] = "True"
    return conditions


def describe_cuda() -> dict[str, str | int]:
    """What decides a GPU's time beside the code: the device, its software and their settings."""
    return {
        "device": torch.cuda.get_device_name(),
        "compute_capability": "{}.{}".format(*torch.cuda.get_device_capability()),
        "driver_version": collect_env.get_nvidia_driver_version(collect_env.run) or "unknown",
        "cuda_version": str(torch.version.cuda),
        "cudnn_version": str(torch.backends.cudnn.version()),
        "cudnn_allow_tf32": str(torch.backends.cudnn.allow_tf32),
        "cudnn_benchmark": str(torch.backends.cudnn.benchmark),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        **schema.environment(schema.CUDA_ENVIRONMENT),
    }


def describe_cpu() -> dict[str, str | int]:
    """What decides a CPU's time beside the code: threads, allocator, and their environment."""
    conditions: dict[str, str | int] = {
        "threads": torch.get_num_threads(),
        "cpus": available_processors(),
    }
    with contextlib.suppress(OSError):  # on Linux alone: "always [madvise] never"
        pages = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
        conditions["transparent_huge_pages"] = pages.partition("[")[2].partition("]")[0]
    return conditions | schema.environment(schema.CPU_ENVIRONMENT)
