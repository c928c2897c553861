"""check.py REQUIREMENTS: exit with 0 if everything in the requirements file can be imported. Prints
"cuda" if PyTorch finds a CUDA device, otherwise why it does not."""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# The packages that scripts import, by requirements file.
MODULES = ["backbone.network.library", "calmsize", "numpy", "psutil", "pyperf", "pytorch_memlab"]
MODULES += ["tqdm"]
RUNTIMES = ["onnxruntime", "onnxscript", "openvino"]
TESTS = ["matplotlib", "pytest", "ruff", "scipy", "torchsummary", "xdist"]
NEEDED = {
    "requirements.txt": MODULES,
    "requirements-modes.txt": MODULES + RUNTIMES,
    "tests/requirements.txt": MODULES + RUNTIMES + TESTS,
}
DEVICE = "/dev/nvidiactl"  # of the driver
CUDA_12 = "pip install torch torchvision --index-url https://download.pytorch.org/whl/cu126"


def has_nvidia_driver() -> bool:
    """Whether this machine has an NVIDIA driver."""
    files = ("/proc/driver/nvidia/version", DEVICE)
    return any(map(os.path.exists, files)) or shutil.which("nvidia-smi") is not None


def why_driver_is_unused(torch: ModuleType, reason: str) -> str | None:
    """Why PyTorch does not use this machine's NVIDIA driver, and what to do; None without a driver.
    reason: why PyTorch finds no CUDA device."""
    if torch.version.cuda is None:
        if not has_nvidia_driver():
            return None
        return (
            f"PyTorch {torch.__version__} has no CUDA, but this machine has an NVIDIA driver; "
            "remove .venv to set it up again, or install PyTorch with CUDA in your Python "
            "(CUDA_VISIBLE_DEVICES= measures the CPU)"
        )
    if not os.path.exists(DEVICE):
        return None
    return (
        f"PyTorch {torch.__version__} cannot use this machine's NVIDIA driver: {reason}; update "
        "the driver, or install PyTorch for CUDA 12, which supports drivers from 525 on "
        f"({CUDA_12}; CUDA_VISIBLE_DEVICES= measures the CPU)"
    )


def main() -> None:
    sys.tracebacklimit = 0
    report = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # pytorch_memlab prints that it finds no GPU
    for module in NEEDED[sys.argv[1]]:
        import_module(module)
    import torch

    from backbone.measure.machine import why_no_cuda

    reason = why_no_cuda()
    if reason and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1"):
        reason = why_driver_is_unused(torch, reason) or reason
    print(reason or "cuda", file=report)


if __name__ == "__main__":
    main()
