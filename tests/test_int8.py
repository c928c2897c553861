"""--dtype int8, --images, and what a start costs."""

import os
import signal
import subprocess
import sys
import time
from math import isfinite
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from project import ENVIRONMENT, ROOT, assert_one_line, script
from torch import nn

from backbone.command import flags
from backbone.command.image_files import folder_id, image_files
from backbone.command.options import Mode, Workload
from backbone.measure.agreement import agreement_with_stock, answers_of, held_out_images
from backbone.network.build import build
from backbone.network.images import random_images, read_images
from backbone.network.modes import make_ready
from backbone.network.outputs import outputs_of
from backbone.network.runtimes import quantize_network
from backbone.record import records
from backbone.record.agreement import agreement_of
from cpu.timer import make_parser

QUICK = ("cpu/timer.py", "--i", "32x48", "--iterations", "2", "--warmup", "1")
RUNTIMES = ("onnxruntime", "openvino")
NETS = """
import torch
from torch import nn


class Digits(nn.Sequential):
    def __init__(self):
        super().__init__(
            *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2)),
            *(nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)),
        )


class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, image):
        return {"out": self.head(image)}


class Scales(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)

    def forward(self, image):
        features = self.first(image)
        return self.second(features * 1e6) + features[:, :, 1:-1, 1:-1]


class Decomposing(nn.Module):
    def forward(self, image):
        return torch.linalg.qr(image)[0]
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("nets") / "nets.py"
    file.write_text(NETS)
    return file


def save_images(folder: Path, pixels: np.ndarray) -> Path:
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def digits(nets: Path) -> Workload:
    """A network trained on a part of scikit-learn's digits, and 200 of the others as images."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.kron(data.images, np.ones((1, 4, 4))).astype(np.uint8) * 15
    folder = save_images(nets.parent / "digits", pixels[-200:])
    scattered = save_images(nets.parent / "training", pixels[:-200])
    own = Workload(f"{nets}:Digits", dataset="32x32", images=str(scattered))
    backbone, _ = build(own, "cpu")
    network = backbone.network.train()
    files = sorted(scattered.iterdir())
    images = torch.cat(list(read_images(files, own.input_shape)))
    labels = torch.from_numpy(data.target[:-200])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(8):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    weights = nets.parent / "weights.pt"
    torch.save(network.state_dict(), weights)
    return Workload(own.model, dataset="32x32", weights=str(weights), images=str(folder))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_agreement_of_a_trained_network(tmp_path, digits, runtime):
    backbone, image = build(digits, "cpu")
    stock = list(answers_of(backbone.network, held_out_images(digits)))
    files = image_files(digits.images).calibrating
    shape = digits.input_shape

    def share(dtype: str, images=None) -> float:
        file = None
        if images is not None:
            file = tmp_path / "quantized.onnx"
            quantize_network(backbone.network, image, images, len(files), file)
        mode = Mode(runtime=runtime, dtype=dtype)
        ready = make_ready(backbone, image, mode, file)
        found = agreement_with_stock(ready.network, digits, mode, image.device, stock)
        assert (found.images, found.of) == (200 - len(files), "images")
        return found.share

    assert share("float32") == 1
    calibrated = share("int8", read_images(files, shape))
    on_noise = share("int8", random_images(shape, len(files)))
    assert calibrated > 0.97 and on_noise < calibrated - 0.02


def test_agreement_is_said_and_kept_with_its_interval(tmp_path, digits):
    file = tmp_path / "record.json"
    command = ("cpu/timer.py", "--i", "32x32", "--iterations", "2", "--warmup", "0")
    command += ("--model", digits.model, "--weights", digits.weights, "--images", digits.images)
    result = script(*command, "--dtype", "bfloat16", "--json", file)
    assert result.returncode == 0 and result.stderr.startswith("cpu/timer.py: same answer as stock")
    record = records.load(file)
    assert record.conditions["images"] == folder_id(digits.images)
    assert record.agreement.share > 0.9 and record.agreement.images == 171
    assert f"on {record.agreement.text}" in result.stderr
    result = script(*command, "--dtype", "bfloat16")  # without a record too
    assert f"on {record.agreement.text}" in result.stderr


def test_agreement_per_pixel(tmp_path, nets):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 40, 50, 3), dtype=np.uint8)
    folder = save_images(tmp_path / "images", pixels)
    workload = Workload(f"{nets}:Pixels", dataset="32x48", batch_size=2, images=str(folder))
    assert len(image_files(str(folder)).held_out) == 2
    backbone, image = build(workload, "cpu")
    stock = list(answers_of(backbone.network, held_out_images(workload)))
    assert [each.shape for each in stock] == [(2, 32, 48)]
    stock[0][0, :16] = -1  # other answers on half of an image
    found = agreement_with_stock(backbone.network, workload, Mode(), image.device, stock)
    assert (found.share, found.images, found.of) == (0.75, 2, "pixels")


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ([1] * 194 + [0] * 6, "194 of 200 images (93.6 to 98.6 %)"),
        ([1] * 10, "10 of 10 images (72.2 to 100.0 %)"),
        ([0], "0 of 1 images (0.0 to 79.3 %)"),
    ],
)
def test_interval_of_an_agreement(shares, text):
    """The limits are those of scipy.stats.binomtest(...).proportion_ci(method="wilson")."""
    assert agreement_of(shares, "images").text == text


@pytest.mark.parametrize(
    ("count", "calibrating", "held_out"), [(1, 0, 1), (2, 1, 1), (8, 2, 6), (500, 32, 468)]
)
def test_which_images_calibrate(tmp_path, count, calibrating, held_out):
    for number in range(count):
        (tmp_path / f"{number:03}.JPG").touch()
    (tmp_path / "labels.txt").touch()
    files = image_files(str(tmp_path))
    assert (len(files.calibrating), len(files.held_out)) == (calibrating, held_out)
    assert {*files.calibrating} | {*files.held_out} == set(tmp_path.glob("*.JPG"))


@pytest.mark.parametrize(
    ("name", "runtime"), [("mobilenet_v2", "openvino"), ("Scales", "onnxruntime")]
)
def test_int8(tmp_path, nets, runtime, name):
    """Also of activations whose scales differ by 1e6."""
    model = name if name.islower() else f"{nets}:{name}"
    file = tmp_path / "record.json"
    flags = ("--model", model, "--runtime", runtime, "--dtype", "int8", "--s", "2", "--json", file)
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    assert record.mode == Mode(runtime=runtime, dtype="int8")
    difference = record.runs[0]["output_difference"]
    assert isfinite(difference) and 0 < difference < 0.5
    assert record.ready_after > 0.5


def test_weights_have_7_bits_without_vnni(tmp_path, monkeypatch, nets):
    import onnx

    from backbone.network import quantization

    monkeypatch.setattr(quantization, "has_dot_products", lambda: False)
    workload = Workload(f"{nets}:Scales", dataset="32x48")
    backbone, image = build(workload, "cpu")
    file = tmp_path / "quantized.onnx"
    quantize_network(backbone.network, image, random_images(workload.input_shape, 1), 1, file)
    weights = [
        onnx.numpy_helper.to_array(each)
        for each in onnx.load(file).graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) == 4
    ]
    assert len(weights) == 2 and {int(abs(each).max()) for each in weights} <= {63, 64}
    # Activations whose scales differ by 1e6 do not overflow in the other runtime either.
    ready = make_ready(backbone, image, Mode(runtime="openvino", dtype="int8"), file)
    (output,) = outputs_of(ready.network, image)
    assert output.isfinite().all() and output.any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--dtype", "int8"],
            "int8 needs --runtime onnxruntime or openvino, which only cpu/timer.py has",
        ),
        (
            ["--dtype", "int8", "--runtime", "openvino", "--target", "layer"],
            "--runtime openvino fuses operations, so none can be timed; use --target model",
        ),
        (["--images", "no such"], "argument --images: there is no folder no such"),
    ],
)
def test_usage(capsys, words, said):
    with pytest.raises(SystemExit):
        flags.timer_options(make_parser(), words)
    assert said in capsys.readouterr().err


def test_folders_without_images_that_can_be_read(tmp_path, nets):
    model = ("--model", f"{nets}:Pixels", "--images", tmp_path)
    assert_one_line(script(*QUICK, *model), f"{tmp_path} holds no images (.jpg, ")
    Image.new("RGB", (90, 60)).save(tmp_path / "whole.png")
    int8 = ("--runtime", "openvino", "--dtype", "int8")
    assert_one_line(
        script(*QUICK, *model, *int8),
        "--dtype int8 in openvino: ",
        " has one image, but int8 needs two",
    )
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    said = f"{tmp_path / 'half.png'} cannot be read as an image ("
    result = script(*QUICK, *model, *int8)
    assert_one_line(result, said)


def test_an_operator_that_cannot_be_quantized_ends_in_one_line(nets):
    int8 = ("--runtime", "onnxruntime", "--dtype", "int8")
    result = script(*QUICK, "--model", f"{nets}:Decomposing", *int8)
    assert_one_line(result, "--dtype int8 in onnxruntime: quantizing (onnxruntime ")


def test_an_interrupt_while_calibrating_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "cpu/timer.py", "--i", "pascal", "--runtime", "openvino"]
    environment = ENVIRONMENT | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [*command, "--dtype", "int8"], cwd=ROOT, env=environment, start_new_session=True
    )
    while not any(tmp_path.rglob("*.onnx*")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT or process.returncode == 130
    time.sleep(0.5)
    assert [path for path in tmp_path.iterdir() if path.name != "torchinductor_root"] == []


def test_a_full_folder_for_temporary_files_ends_in_one_line(tmp_path):
    small = tmp_path / "full"
    small.mkdir()
    before = f"""
import os, resource, tempfile
tempfile.tempdir = {str(small)!r}
os.environ["TMPDIR"] = {str(small)!r}
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # as a disk that is full after a MiB
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""
    result = script(*QUICK, "--runtime", "onnxruntime", "--dtype", "int8", before=before)
    assert_one_line(result, "--dtype int8")
    assert list(small.iterdir()) == []


def test_ready_after_tells_what_a_start_costs(tmp_path, nets):
    slow = """
import time
from backbone.network import modes
modes.compile_network = lambda *_, **__: time.sleep(4)
"""
    file = tmp_path / "record.json"
    flags = ("--model", f"{nets}:Pixels", "--compile", "--json", file)
    result = script(*QUICK, *flags, before=slow)
    assert (result.returncode, result.stderr) == (0, "")
    assert records.load(file).ready_after > 4  # without that it is well below a second
