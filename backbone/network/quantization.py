"""A network in int8, as an ONNX model that both runtimes read.

Source: "Quantize ONNX Models" in ONNX Runtime's documentation: static quantization in QDQ format,
unsigned 8-bit activations, signed 8-bit weights, per channel.
"""

import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

RANDOM_IMAGES = 1  # calibration images without --images; more do not reduce the difference


def has_dot_products() -> bool:
    """Whether the CPU has instructions that accumulate products of 8-bit values in 32 bits (VNNI on
    x86). Without them x86 adds pairs of products in 16 bits, which overflow unless weights have 7
    bits."""
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def quantize(network: Path, images: Iterator[Tensor], count: int, quantized: Path) -> None:
    """Quantize the ONNX model in `network`, which has one input, and write it to `quantized`.
    Activations are calibrated by their minimum and maximum over `count` batches of images
    (B, C, H, W). Temporary files are written to the folder of `quantized`. Raises ONNX Runtime's
    errors."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = quantized.with_suffix(".prepared.onnx")
    quant_pre_process(str(network), str(prepared))  # folds batch norms, among other things
    quantize_static(
        prepared,
        quantized,
        _Reader(prepared, images, count),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=not has_dot_products(),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"CalibStridedMinMax": 1},  # keeps the outputs of only one batch
    )
    prepared.unlink()


class _Reader:
    """A CalibrationDataReader that returns one batch after each set_range(), then None."""

    def __init__(self, model: Path, images: Iterator[Tensor], count: int) -> None:
        import onnxruntime

        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        (self.name,) = (given.name for given in session.get_inputs())
        self.images = images
        self.count = count
        self.left = 0

    def __len__(self) -> int:
        return self.count

    def set_range(self, start_index: int, end_index: int) -> None:
        self.left = end_index - start_index

    def get_next(self) -> dict[str, np.ndarray] | None:
        if self.left == 0:
            return None
        self.left -= 1
        return {self.name: next(self.images).numpy()}
