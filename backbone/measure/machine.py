"""The machine: whether it has a usable CUDA device, and a record's fields about it."""

import contextlib
import warnings
from importlib.metadata import version
from pathlib import Path

import torch

from backbone.measure.addresses import has_fixed_addresses
from backbone.measure.available import available_processors, version_of
from backbone.measure.nvidia_smi import query_driver
from backbone.record import schema

# Conditions that a GPU's driver reports, and nvidia-smi's names for them.
OF_DRIVER = {
    "driver_version": "driver_version",
    "power_limit": "power.limit",
    "ecc_mode": "ecc.mode.current",
    "persistence_mode": "persistence_mode",
}


def why_no_cuda() -> str | None:
    """Why there is no CUDA device, in one line; None if there is one."""
    if torch.version.cuda is None:  # with ROCm, torch.cuda is an AMD GPU
        return f"no CUDA device here (PyTorch {torch.__version__} is built without CUDA)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    reason = "PyTorch finds no GPU or no driver"
    if caught:  # torch warns about a driver that is too old or fails
        reason = " ".join(str(caught[-1].message).split())
    return f"no CUDA device here ({reason})"


def why_gpu_is_closed() -> str | None:
    """Why this process cannot use the existing CUDA device, in one line; None if it can."""
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if "busy or unavailable" in reason:
            return (
                "the GPU is in exclusive-process mode and used by another process; a round runs "
                "several at once (nvidia-smi --compute-mode=DEFAULT allows it)"
            )
        return f"the GPU cannot be used ({reason})"
    return None


def describe_software() -> dict[str, str | int]:
    """The versions of the software that runs the network, and whether address space randomization
    is off."""
    conditions: dict[str, str | int] = {
        "torch_version": torch.__version__,
        "torchvision_version": version("torchvision"),
    }
    if has_fixed_addresses():
        conditions["fixed_addresses"] = "True"
    return conditions


def describe_cuda() -> dict[str, str | int]:
    """The conditions that affect times on a GPU: the device, its software, and their settings."""
    with warnings.catch_warnings():  # some versions of torch warn about the old names of settings
        warnings.simplefilter("ignore")
        settings = {
            "cudnn_allow_tf32": str(torch.backends.cudnn.allow_tf32),
            "cudnn_benchmark": str(torch.backends.cudnn.benchmark),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        }
    return {
        "device": torch.cuda.get_device_name(),
        "compute_capability": "{}.{}".format(*torch.cuda.get_device_capability()),
        "cuda_version": str(torch.version.cuda),
        "cudnn_version": str(torch.backends.cudnn.version()),
        **settings,
        "triton_version": version_of("triton"),
        **_describe_driver(),
        **schema.environment(schema.CUDA_ENVIRONMENT),
    }


def gpu_id() -> str:
    """The current GPU's UUID, as nvidia-smi takes it."""
    return f"GPU-{torch.cuda.get_device_properties().uuid}"


def _describe_driver() -> dict[str, str]:
    """The driver's fields of the current GPU; "unknown" for missing values."""
    (values,) = query_driver([*OF_DRIVER.values()], gpu_id()) or [["unknown"] * len(OF_DRIVER)]
    return dict(zip(OF_DRIVER, values, strict=True))


def describe_cpu() -> dict[str, str | int]:
    """The conditions that affect times on a CPU: threads, allocator, and environment variables."""
    conditions: dict[str, str | int] = {
        "threads": torch.get_num_threads(),
        "cpus": available_processors(),
    }
    with contextlib.suppress(OSError):  # Linux only: "always [madvise] never"
        pages = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
        conditions["transparent_huge_pages"] = pages.partition("[")[2].partition("]")[0]
    return conditions | schema.environment(schema.CPU_ENVIRONMENT)
