"""check.py REQUIREMENTS: exits with 0 if all that these requirements bring can be imported. Prints
"cuda" if PyTorch finds a CUDA device; otherwise why not."""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# What scripts import, by the file that lists it.
MODULES = ["backbone.network.library", "calmsize", "numpy", "psutil", "pyperf", "pytorch_memlab"]
MODULES += ["tqdm"]
RUNTIMES = ["onnxruntime", "onnxscript", "openvino"]
TESTS = ["matplotlib", "pytest", "ruff", "scipy", "torchsummary", "xdist"]
NEEDED = {
    "requirements.txt": MODULES,
    "requirements-modes.txt": MODULES + RUNTIMES,
    "tests/requirements.txt": MODULES + RUNTIMES + TESTS,
}


def has_nvidia_driver() -> bool:
    """Whether this machine has an NVIDIA driver."""
    files = ("/proc/driver/nvidia/version", "/dev/nvidiactl")
    return any(map(os.path.exists, files)) or shutil.which("nvidia-smi") is not None


def main() -> None:
    sys.tracebacklimit = 0
    report = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # pytorch_memlab prints that it finds no GPU
    for module in NEEDED[sys.argv[1]]:
        import_module(module)
    import torch

    from backbone.measure.machine import why_no_cuda

    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    reason = why_no_cuda()
    if reason and torch.version.cuda is None and has_nvidia_driver() and not is_hidden:
        reason = (
            f"PyTorch {torch.__version__} has no CUDA, but this machine has an NVIDIA driver; "
            "remove .venv, to have it set up here, or install PyTorch with CUDA in your Python "
            "(CUDA_VISIBLE_DEVICES= measures the CPU)"
        )
    print(reason or "cuda", file=report)


if __name__ == "__main__":
    main()
