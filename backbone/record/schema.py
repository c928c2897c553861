"""The fields of a timer's record and their meaning.

A record is a pyperf suite: one benchmark per row of the report, with one pyperf run per process.
Conditions are equal in all runs of a record. The fields of a run differ between processes and are
stored with the row of the whole pass; the fields of a row are stored with every row.
"""

import os
import re

CONDITIONS = {
    "network": "its name in reports",
    "output_stride": "if it is not 32",
    "file_id": "identifies the file of a user's network: start of the SHA-256 of its path",
    "weights": "name of the weights file, and start of its SHA-256",
    "images": "name of the folder, and start of a SHA-256 over names and sizes of its images",
    "dataset": "cityscapes, pascal, or a size (HxW or CxHxW)",
    "batch_size": "images in a pass",
    "target": "model, block or layer",
    "channels_last": "True if this memory format is used",
    "fold": "True if batch norms are folded into convolutions",
    "compile": "True if torch.compile compiled the network",
    "freeze": "True if torch.compile treats weights as constants",
    "cuda_graph": "True if a pass is one captured CUDA graph",
    "train": "True in training mode",
    "runtime": "what runs the network, if not PyTorch",
    "dtype": "data type of network and image; with another runtime, its precision",
    "warmup": "warm-up passes of each process",
    "iterations": "timed passes of each process",
    "passes": "timed passes of all processes in total (the study has 300)",
    "rounds": "number of rounds after which the measurement stopped",
    "stop_rule": "looks: stopped at a look; fixed: ran a fixed number of rounds",
    "torch_version": "",
    "torchvision_version": "",
    "python_version": "",
    "python_implementation": "",
    "runtime_version": "version of the runtime, if not PyTorch",
    "fixed_addresses": "True if address space randomization is off",
    "device": "the model of the GPU or of the CPU",
    "cpu_model_name": "",
    # On a CPU:
    "threads": "intra-op threads",
    "threads_chosen": "the same, if --threads was given",
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
# Environment variables are also conditions, under their own names: those that affect threads,
# kernels and memory on a CPU, and those that affect a GPU.
COMPILER_ENVIRONMENT = "(TORCHINDUCTOR|TRITON)_(?!CACHE_DIR).*"
CPU_ENVIRONMENT = "(OMP|GOMP|KMP|MKL|ONEDNN|DNNL|ATEN|MALLOC)_.*|THP_MEM_ALLOC_ENABLE"
CPU_ENVIRONMENT += f"|GLIBC_TUNABLES|LD_PRELOAD|{COMPILER_ENVIRONMENT}"
# Excludes what a container requests from the driver.
CUDA_ENVIRONMENT = "(CUDA|CUBLAS|CUDNN|NVIDIA(?!_REQUIRE_)|PYTORCH)_.*"
CUDA_ENVIRONMENT += f"|{COMPILER_ENVIRONMENT}"

RUN = {
    "date": "when it began",
    "round": "number of the round, from 1, if runs took turns",
    "group": "group of runs in the round, from 0, if memory did not hold all at once",
    "order_seed": "seed of the order of turns; plus the round's number, of Python's hashes",
    "involuntary_context_switches": "in all timed passes",
    "stolen_time": "seconds of the machine's processors during the timed passes, by /proc/stat",
    "cut_over_uncut": "time of the pass cut into parts divided by the uncut pass's (medians)",
    "enqueue_time": "seconds that the host takes to enqueue a pass on a GPU (median)",
    "mark_time": "seconds between two consecutive marks on a GPU",
    "sm_clocks": "MHz of a GPU's multiprocessors at the end of each turn",
    "memory_clocks": "MHz of its memory, likewise",
    "throttle_reasons": "likewise, the bits of NVML's clock event reasons",
    "system_time": "system time per pass in seconds (median)",
    "peak_resident_memory": "peak resident memory of the process in bytes",
    "peak_allocated_memory": "peak memory of CUDA's allocator in bytes",
    "denormal_weights": "first run only: number of denormal values in the weights, if any",
    "denormal_activations": "likewise in the outputs of a pass's operators",
    "ready_after": "seconds from the built network to the end of the first pass (export, "
    "quantization, compilation; the compiler's cache is empty in a wrapper's first run)",
    "output_difference": "first run only: largest difference from stock over its largest value",
    "agreement_share": "first run only: share of the user's images, or of their pixels, with "
    "stock's answer",
    "agreement_images": "the number of images compared",
    "agreement_of": "images, or pixels if every pixel has an answer",
    "agreement_low": "lower limit of the share's 95 % interval over images",
    "agreement_high": "its upper end",
    "flops_per_second": "the machine's peak FLOP/s",
    "bytes_per_second": "the machine's peak memory bandwidth in bytes per second",
}

ROW = {
    "name": "in the report",
    "unit": "unit of the values: second",
    "level": "model, block or layer",
    "type": "type of the network, stage, module or function",
    "path": "of the module",
    "stage": "its number in the pass, from 0",
    "input_shape": "as JSON",
    "settings": "further details in its line, as JSON",
    "kind": "kind of the operation",
    "macs": "multiply-accumulates",
    "bytes_moved": "the least number of bytes to be moved",
    "page_faults": "per pass, the median of the run",
    "queued_time": "GPU time in seconds: in passes that started after they were enqueued (mean)",
    "implementation": "oneDNN's name for the kernels that it ran for an operation",
    "kernel_time": "seconds per pass in these kernels (median of passes other than the timed ones)",
    "reorder_time": "seconds per pass in oneDNN's reorders (likewise)",
}


ENVIRONMENT = f"{CPU_ENVIRONMENT}|{CUDA_ENVIRONMENT}"
NO_ARITHMETIC = "CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|HOME|PATH.*|VERSION|MPS_.*)"
NO_ARITHMETIC += "|CUDA_(MODULE_LOADING|CACHE_.*)|PYTORCH_(CUDA_)?ALLOC_CONF"
NO_ARITHMETIC += "|NVIDIA_(VISIBLE_DEVICES|DRIVER_.*|PRODUCT_.*)"
NO_ARITHMETIC += "|(CUDNN|CUBLAS|PYTORCH|NVIDIA)_(.*_)?VERSION"
NO_ARITHMETIC += "|.*_NUM_THREADS|.*_VERBOSE"


def environment(pattern: str) -> dict[str, str]:
    """The environment variables whose names match, with paths reduced to their last parts and
    without UUIDs of GPUs."""
    variables = {}
    for name, value in os.environ.items():
        if re.fullmatch(pattern, name):
            value = re.sub(r"[^\s:;,=]*[/\\]", "", value)
            value = re.sub(r"\b(GPU|MIG)-[\w-]+", r"\1", value)
            variables[name] = " ".join(value.split()) or "empty"
    return variables


def is_of_environment(field: str) -> bool:
    """Whether a field is an environment variable."""
    return bool(re.fullmatch(ENVIRONMENT, field))


def may_change_output(name: str) -> bool:
    """Whether an environment variable may change a network's output: all that are conditions,
    except those that only choose the device, the number of threads, what is printed, or an
    installation."""
    return is_of_environment(name) and not re.fullmatch(NO_ARITHMETIC, name)


def is_of_conditions(field: str) -> bool:
    """Whether a field is a condition. Fields that a newer version may have added are ignored."""
    return field in CONDITIONS or is_of_environment(field)
