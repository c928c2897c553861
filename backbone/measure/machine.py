"""The machine: whether it has a CUDA device, and what a record says of device and software."""

import contextlib
import warnings
from importlib.metadata import version
from pathlib import Path

import torch

from backbone.measure.addresses import has_fixed_addresses
from backbone.measure.available import available_processors, version_of
from backbone.measure.nvidia_smi import query_driver
from backbone.record import schema

# Conditions of a GPU that its driver knows, by nvidia-smi's fields.
OF_DRIVER = {
    "driver_version": "driver_version",
    "power_limit": "power.limit",
    "ecc_mode": "ecc.mode.current",
    "persistence_mode": "persistence_mode",
}


def why_no_cuda() -> str | None:
    """Why nothing can be measured on CUDA here, in one line; None where it can."""
    if torch.version.cuda is None:  # on ROCm torch.cuda is an AMD GPU
        return f"no CUDA device here (PyTorch {torch.__version__} is built without CUDA)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    reason = "PyTorch finds no GPU or no driver"
    if caught:  # torch warns of a driver that is too old, or fails
        reason = " ".join(str(caught[-1].message).split())
    return f"no CUDA device here ({reason})"


def why_gpu_is_closed() -> str | None:
    """Why this process cannot compute on the CUDA device that is there, in one line; None where it
    can."""
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if "busy or unavailable" in reason:
            return (
                "the GPU admits no further process: another has it in exclusive-process mode; "
                "processes of a round need it together (nvidia-smi --compute-mode=DEFAULT)"
            )
        return f"the GPU cannot be used ({reason})"
    return None


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
    with warnings.catch_warnings():  # some versions of torch warn of the older names of settings
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
    """What nvidia-smi knows the current GPU by."""
    return f"GPU-{torch.cuda.get_device_properties().uuid}"


def _describe_driver() -> dict[str, str]:
    """What the driver says of the current GPU; "unknown" where it does not."""
    (values,) = query_driver([*OF_DRIVER.values()], gpu_id()) or [["unknown"] * len(OF_DRIVER)]
    return dict(zip(OF_DRIVER, values, strict=True))


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
