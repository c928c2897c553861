"""Modes in words, for text and pictures that show no flags."""

from backbone.command.options import PYTORCH, Mode
from backbone.record.stored import Stored, StoredMode

TIMES = "\N{MULTIPLICATION SIGN}"
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
FLAGS = {
    "keep_memory": "memory kept",
    "channels_last": "channels_last",
    "fold": "folded",
    "compile": "compiled",
    "freeze": "frozen",
    "cuda_graph": "CUDA graph",
    "train": "training mode",
}
ALLOCATORS = {
    "THP_MEM_ALLOC_ENABLE=1": "huge pages (PyTorch)",
    "GLIBC_TUNABLES=glibc.malloc.hugetlb=1": "huge pages (glibc)",
    "LD_PRELOAD=libjemalloc.so.2": "jemalloc",
    "LD_PRELOAD=libtcmalloc_minimal.so.4": "tcmalloc",
}


def word_mode(mode: StoredMode) -> str:
    """A stored mode in words, such as "OpenVINO, int8"."""
    if mode.is_again:
        return mode.name
    settings = [f"{name}={value}" for name, value in mode.variables.items()]
    words = [ALLOCATORS.get(setting, setting) for setting in settings]
    return ", ".join([*words, *_words_of(mode.mode)]) or "stock"


def word_stored(stored: Stored) -> str:
    """The mode and settings of stored results in words, such as "memory kept, batch size 4"."""
    return ", ".join([*(_words_of(stored.mode) or ["stock"]), *stored.settings])


def _words_of(mode: Mode) -> list[str]:
    runtime = [] if mode.runtime == PYTORCH else [RUNTIMES[mode.runtime]]
    dtype = [] if mode.dtype == "float32" else [mode.dtype]
    return [*runtime, *(FLAGS[name] for name in mode.switched_on), *dtype]
