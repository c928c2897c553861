"""The fields of a timer's record: what each means, and what it is of.

A record is a pyperf suite: a benchmark for each row of the report, with a pyperf run for each
process. Conditions are equal in all runs of a record. The fields of a run differ from process to
process, and stand with the row of the whole pass. The fields of a row stand with each row.
"""

import os
import re

CONDITIONS = {
    "network": "its name in reports",
    "output_stride": "where it is not 32",
    "file_id": "of the file that a user's own network is in: of its path, by SHA-256",
    "weights": "the name of their file, and the start of its SHA-256",
    "images": "the name of their folder, and the start of the SHA-256 of names and sizes in it",
    "dataset": "cityscapes, pascal, or a size, HxW or CxHxW",
    "batch_size": "images in a pass",
    "target": "model, block or layer",
    "channels_last": "True in this memory format",
    "fold": "True where batch norms are folded into convolutions",
    "compile": "True where torch.compile has compiled the network",
    "freeze": "True where it takes weights as constants",
    "cuda_graph": "True where a pass is one captured CUDA graph",
    "train": "True in training mode",
    "runtime": "what runs the network, where that is not PyTorch",
    "dtype": "of network and image; where another runtime runs it, what that computes in",
    "warmup": "passes before the timed ones, of each process",
    "iterations": "timed passes of each process",
    "passes": "timed passes of all processes together (the study has 300)",
    "rounds": "after how many the measurement of it stopped",
    "stop_rule": "looks: stopped at a look, when certain enough; fixed: after this many rounds",
    "torch_version": "",
    "torchvision_version": "",
    "python_version": "",
    "python_implementation": "",
    "runtime_version": "of the runtime, where that is not PyTorch",
    "fixed_addresses": "True where the process has its memory at addresses that are not random",
    "device": "the model of the GPU or of the CPU",
    "cpu_model_name": "",
    # On a CPU:
    "threads": "intra-op threads",
    "threads_chosen": "the same, where --threads was given",
    "cpus": "logical CPUs that the process may use",
    "keep_memory": "whether the process keeps freed memory",
    "transparent_huge_pages": "always, madvise or never",
    # On a GPU:
    "compute_capability": "",
    "driver_version": "",
    "power_limit": "of the board",
    "ecc_mode": "whether its memory corrects errors",
    "persistence_mode": "whether the driver stays loaded",
    "cuda_version": "",
    "cudnn_version": "",
    "cudnn_allow_tf32": "",
    "cudnn_benchmark": "",
    "float32_matmul_precision": "",
    "triton_version": "",
}
# Variables of the environment are of the conditions too, under their own names: those that decide
# a CPU's threads, kernels and memory, and those that decide a GPU's.
COMPILER_ENVIRONMENT = "(TORCHINDUCTOR|TRITON)_(?!CACHE_DIR).*"
CPU_ENVIRONMENT = "(OMP|GOMP|KMP|MKL|ONEDNN|DNNL|ATEN|MALLOC)_.*|THP_MEM_ALLOC_ENABLE"
CPU_ENVIRONMENT += f"|GLIBC_TUNABLES|LD_PRELOAD|{COMPILER_ENVIRONMENT}"
# Not what a container asks of the driver.
CUDA_ENVIRONMENT = "(CUDA|CUBLAS|CUDNN|NVIDIA(?!_REQUIRE_)|PYTORCH)_.*"
CUDA_ENVIRONMENT += f"|{COMPILER_ENVIRONMENT}"

RUN = {
    "date": "when it began",
    "round": "its number, from 1, where runs took turns",
    "group": "of the round's runs, from 0, where memory did not hold all at once",
    "order_seed": "of the random order of turns; with the round added, of Python's hashes",
    "involuntary_context_switches": "in all timed passes",
    "stolen_time": "seconds of the machine's processors during the timed passes, by /proc/stat",
    "cut_over_uncut": "the pass cut into parts over the network's own, medians, in one process",
    "enqueue_time": "seconds that the host takes to enqueue a pass on a GPU, the median",
    "mark_time": "seconds between two marks on a GPU with nothing between them",
    "sm_clocks": "MHz of a GPU's multiprocessors at the end of each turn",
    "memory_clocks": "MHz of its memory, likewise",
    "throttle_reasons": "likewise, the bits of NVML's clock event reasons",
    "system_time": "seconds of a pass in the system, the median",
    "peak_resident_memory": "the most bytes that the process has had",
    "peak_allocated_memory": "the most bytes that CUDA's allocator has held",
    "denormal_weights": "of the first run: how many of the weights' values are denormal, if any",
    "denormal_activations": "likewise of the values that the operators of a pass give",
    "ready_after": "seconds from the built network to the end of the first pass (export, "
    "quantization, compilation with the compiler's cache as it is, empty in a wrapper's first run)",
    "output_difference": "of the first run: largest from stock's, over its largest value; or NaN",
    "agreement_share": "of the first run: of the user's images, or of their pixels, for how many "
    "the largest output is stock's",
    "agreement_images": "the number of images compared",
    "agreement_of": "images or, where each pixel has an answer, pixels",
    "agreement_low": "the lower end of the share's 95 % interval over images",
    "agreement_high": "its upper end",
    "flops_per_second": "the machine's ceiling of arithmetic",
    "bytes_per_second": "the machine's ceiling of memory",
}

ROW = {
    "name": "in the report",
    "unit": "of the values: second",
    "level": "model, block or layer",
    "type": "of network, stage, module or function",
    "path": "of the module",
    "stage": "its number in the pass, from 0",
    "input_shape": "as JSON",
    "settings": "what else its line says, as JSON",
    "kind": "of an operation, in the field's words",
    "macs": "multiply-accumulates",
    "bytes_moved": "that must be moved at the least",
    "page_faults": "of a pass, the median of the run's",
    "queued_time": "seconds in passes that a GPU began once they were enqueued whole, the mean",
    "implementation": "of the kernels that oneDNN has run for an operation, by its name",
    "kernel_time": "seconds of a pass in these, the median of passes apart from the timed ones",
    "reorder_time": "seconds of a pass in oneDNN's reorders, likewise",
}


ENVIRONMENT = f"{CPU_ENVIRONMENT}|{CUDA_ENVIRONMENT}"
NO_ARITHMETIC = "CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|HOME|PATH.*|VERSION|MPS_.*)"
NO_ARITHMETIC += "|CUDA_(MODULE_LOADING|CACHE_.*)|PYTORCH_(CUDA_)?ALLOC_CONF"
NO_ARITHMETIC += "|NVIDIA_(VISIBLE_DEVICES|DRIVER_.*|PRODUCT_.*)"
NO_ARITHMETIC += "|(CUDNN|CUBLAS|PYTORCH|NVIDIA)_(.*_)?VERSION"
NO_ARITHMETIC += "|.*_NUM_THREADS|.*_VERBOSE"


def environment(pattern: str) -> dict[str, str]:
    """The variables of the environment whose names match; of paths the last parts alone, and of
    GPUs no UUIDs."""
    variables = {}
    for name, value in os.environ.items():
        if re.fullmatch(pattern, name):
            value = re.sub(r"[^\s:;,=]*[/\\]", "", value)
            value = re.sub(r"\b(GPU|MIG)-[\w-]+", r"\1", value)
            variables[name] = " ".join(value.split()) or "empty"
    return variables


def is_of_environment(field: str) -> bool:
    """Whether a field is a variable of the environment."""
    return bool(re.fullmatch(ENVIRONMENT, field))


def may_change_output(name: str) -> bool:
    """Whether a variable of the environment may change what a network computes: one of those that
    are conditions, unless it only says which device, how many threads, what to print or what is
    installed."""
    return is_of_environment(name) and not re.fullmatch(NO_ARITHMETIC, name)


def is_of_conditions(field: str) -> bool:
    """Whether a field is a condition. Fields that a newer version may have added are ignored."""
    return field in CONDITIONS or is_of_environment(field)
