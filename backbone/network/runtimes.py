"""Runtimes other than PyTorch: export a network to them and run it there.

A runtime is imported only if it is used. Sources: torch.onnx.export with dynamo=True; "I/O Binding"
in ONNX Runtime's documentation; "High-level Performance Hints" and "Shared Memory on Inputs and
Outputs" in OpenVINO's.
"""

import contextlib
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backbone.command.errors import Failure, is_out_of_memory
from backbone.command.interrupts import interrupts_raised
from backbone.command.options import Mode
from backbone.network.outputs import tensors_in
from backbone.network.quantization import quantize

NEEDED = {"onnxruntime": ("onnxruntime", "onnxscript"), "openvino": ("openvino",)}  # to import
# OpenVINO's names for the precision of computation, unless the network is int8.
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
LONG_NAMES = {
    "float": "float32",
    "double": "float64",
}  # of ONNX; all other types have torch's names
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class RuntimeNetwork(nn.Module):
    """A network in a runtime: float32 (B, C, H, W) -> output tensors."""

    def __init__(self, run: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        self.run = run

    def forward(self, image: Tensor) -> list[Tensor]:
        """The outputs, in memory that the next pass overwrites."""
        return self.run(image)


class _Outputs(nn.Module):
    """A network that returns its outputs as a tuple, which all exporters accept."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_in(self.network(image)))


def describe_runtime(runtime: str) -> dict[str, str]:
    """A record's fields about a runtime: its version. Raises Failure if the runtime or its exporter
    cannot be imported."""
    if runtime == "torch":
        return {}
    try:
        for module in NEEDED[runtime]:
            import_module(module)
    except ImportError as error:
        advice = "'pip install -r requirements-modes.txt' installs it"
        raise Failure(f"--runtime {runtime}: {error}; {advice}") from error
    return {"runtime_version": _version_of(runtime)}


def export_network(
    network: nn.Module, image: Tensor, mode: Mode, quantized: Path | None = None
) -> RuntimeNetwork:
    """Export a stock network to the runtime of a mode, for images of one shape (B, C, H, W) and
    with PyTorch's number of threads, and run its first pass. quantized: the file of the int8
    network, if that is the mode's dtype. Raises Failure if the runtime does not support it."""
    threads = torch.get_num_threads()
    with _told_as_failure(f"--runtime {mode.runtime}", mode.runtime), torch.inference_mode():
        if mode.runtime == "onnxruntime":
            run = _in_onnxruntime(network, image, threads, quantized)
        else:
            run = _in_openvino(network, image, threads, PRECISIONS[mode.dtype], quantized)
        run(image)
    return RuntimeNetwork(run)


def quantize_network(
    network: nn.Module, image: Tensor, images: Iterator[Tensor], count: int, file: Path
) -> None:
    """Quantize a stock network to int8 and write it to `file` as an ONNX model, calibrated on
    `count` batches of images (B, C, H, W). image: the export's example input. Temporary files are
    written to the folder of `file`. Raises Failure if an image cannot be read or ONNX Runtime
    fails."""
    with _told_as_failure("quantizing", "onnxruntime"), torch.inference_mode(), _quiet():
        exported = file.with_suffix(".float32.onnx")
        _export_onnx(network, image, exported)
        quantize(exported, images, count, file)


def _export_onnx(network: nn.Module, image: Tensor, file: Path) -> None:
    with _quiet():
        torch.onnx.export(_copied(network), (image,), file, dynamo=True, verbose=False)


def _copied(network: nn.Module) -> nn.Module:
    """A copy to export, since an export may leave tensors in the network."""
    return _Outputs(deepcopy(network)).eval()


def _in_onnxruntime(
    network: nn.Module, image: Tensor, threads: int, quantized: Path | None
) -> Callable[[Tensor], list[Tensor]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    # A signal raises an exception here, so that the folder is removed.
    with interrupts_raised(), tempfile.TemporaryDirectory() as folder:
        file = quantized
        if file is None:
            file = Path(folder, "network.onnx")
            _export_onnx(network, image, file)
        session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
    (given,), made = session.get_inputs(), session.get_outputs()
    outputs = [torch.empty(value.shape, dtype=_dtype_of(value.type)) for value in made]
    types = [output.numpy().dtype.type for output in outputs]
    binding = session.io_binding()

    def run(image: Tensor) -> list[Tensor]:
        binding.bind_input(given.name, "cpu", 0, np.float32, image.shape, image.data_ptr())
        for value, output, type_ in zip(made, outputs, types, strict=True):
            binding.bind_output(value.name, "cpu", 0, type_, output.shape, output.data_ptr())
        session.run_with_iobinding(binding)
        return outputs

    return run


def _in_openvino(
    network: nn.Module, image: Tensor, threads: int, precision: str, quantized: Path | None
) -> Callable[[Tensor], list[Tensor]]:
    import openvino

    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError(
            "this CPU has no bfloat16 instructions (avx512_bf16, amx_bf16): use float32"
        )
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_HYPER_THREADING": "YES",  # PyTorch's threads also use all logical processors
        "INFERENCE_PRECISION_HINT": precision,
    }
    if quantized is None:
        with _quiet():
            # Tracing's own check runs the network three times; the output difference replaces it.
            traced = torch.jit.trace(_copied(network), image, strict=False, check_trace=False)
            model = openvino.convert_model(traced, input=list(image.shape))
    else:
        model = core.read_model(quantized)
    compiled = core.compile_model(model, "CPU", settings)
    taken = compiled.get_property("INFERENCE_NUM_THREADS")
    if taken != threads:
        raise RuntimeError(f"it uses {taken} of {threads} threads; use --threads {taken}")
    request = compiled.create_infer_request()

    def run(image: Tensor) -> list[Tensor]:
        request.set_input_tensor(openvino.Tensor(image.numpy(), shared_memory=True))
        request.infer()
        return [torch.from_numpy(output.data) for output in request.output_tensors]

    return run


def _dtype_of(onnx_type: str) -> torch.dtype:
    """torch's data type for a type of ONNX: "tensor(float)" is torch.float32."""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return getattr(torch, LONG_NAMES.get(name, name))


def _version_of(runtime: str) -> str:
    """A runtime's version, from whichever of its packages is installed."""
    return import_module(runtime).__version__.partition("-")[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress messages of exporters."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _told_as_failure(flag: str, runtime: str) -> Iterator[None]:
    """Convert any error that an exporter or a runtime raises to a Failure with its reason."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Failure) or is_out_of_memory(error):
            raise
        reason = _reason_of(error)
        if isinstance(error, OSError):
            reason = f"cannot write the network to a temporary folder ({reason}; see TMPDIR)"
        version = _version_of(runtime)
        version = version if runtime in flag else f"{runtime} {version}"
        raise Failure(f"{flag} ({version}): {reason}") from error


def _reason_of(error: BaseException) -> str:
    """The most informative line of an error's message."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip("- ") for line in COLOURS.sub("", str(error)).splitlines()]
    # OpenVINO's message begins with a position in its source and a heading.
    telling = [line for line in lines if "No conversion rule" in line]
    others = [line for line in lines if line and not line.endswith(":")]
    return [*telling, *others, repr(error)][0]
