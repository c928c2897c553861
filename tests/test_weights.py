"""Weights from a file, --weights, and values that are denormal."""

from pathlib import Path

import pytest
import torch
from project import assert_one_line, python, script
from torch import nn
from wrappers import files_in, run

from backbone.command.options import Workload
from backbone.measure.denormal import Denormals, count_denormals
from backbone.network.build import FOR_TRAINING, build
from backbone.network.library import models
from backbone.record import records
from backbone.record.memory import load_report

QUICK = ("cpu/timer.py", "--i", "32x32", "--iterations", "2", "--warmup", "0")
TINY = 1e-40  # denormal in float32 and bfloat16
NET = """
from torch import nn

net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4))
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("net") / "net.py"
    file.write_text(NET)
    return file


def state_of_net() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)).state_dict()


@pytest.mark.parametrize("model", ["mobilenet_v2", "googlenet", "lraspp_mobilenet_v3_large"])
def test_weights_are_those_of_the_file(tmp_path, model):
    torch.manual_seed(1)
    options = {"weights_backbone": None} if "lraspp" in model else {}
    options |= {"init_weights": False} if model == "googlenet" else {}  # with heads for training
    state = models.get_model(model, weights=None, **options).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    backbone, _ = build(Workload(model=model, weights=str(tmp_path / "weights.pth")), "cpu")
    expected = {name: each for name, each in state.items() if not name.startswith(FOR_TRAINING)}
    loaded = backbone.network.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in loaded)


def test_record_names_the_file_and_its_folder_does(tmp_path, net):
    torch.save(state_of_net(), tmp_path / "my weights.pt")
    file = tmp_path / "record.json"
    flags = ("--model", f"{net}:net", "--weights", tmp_path / "my weights.pt")
    result = script(*QUICK, *flags, "--json", file)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    name, digest = record.conditions["weights"].rsplit(" ", 1)
    assert name == "my weights.pt" and len(digest) == 12
    assert str(tmp_path) not in file.read_text()
    assert not any(field.startswith("denormal") for field in record.runs[0])
    assert Workload(weights="/a/my weights.pt").flags == "--weights my weights"


def change(name: str, value: object):
    return lambda state: state | {name: value}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: {"model": state}, "holds no state dictionary: in it 'model' is a"),
        (lambda state: {1: state["0.weight"]}, "holds no state dictionary: in it 1 is a Tensor"),
        (lambda state: [1, 2], "holds no state dictionary, but a list"),
        (lambda state: {"0.weight": state["0.weight"]}, "is of another network: it has no 1."),
        (change("head.bias", torch.ones(1)), "another network: the network has no head.bias"),
        (change("0.weight", torch.ones(5, 3, 1, 1)), "size mismatch for 0.weight: "),
        (lambda state: Path, "is cut short, or holds more than tensors; torch.save("),
    ],
)
def test_weights_that_do_not_fit(tmp_path, net, change, said):
    torch.save(change(state_of_net()), tmp_path / "weights.pt")
    result = script(*QUICK, "--model", f"{net}:net", "--weights", tmp_path / "weights.pt")
    assert_one_line(result, "weights.pt ", said)


def test_the_prefix_of_data_parallel_is_taken_away(tmp_path, net):
    state = {f"module.{name}": value for name, value in state_of_net().items()}
    torch.save(state, tmp_path / "weights.pt")
    flags = ("--model", f"{net}:net", "--weights", tmp_path / "weights.pt")
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_tensor_of_two_names_is_stored_by_one_of_them(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nnet = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))\n"
        "net[1].weight = net[0].weight\n"
    )
    state = {"0.weight": torch.ones(3, 3, 1, 1), "0.bias": torch.ones(3), "1.bias": torch.ones(3)}
    flags = ("--model", f"{tmp_path}/net.py:net", "--weights", tmp_path / "weights.pt")
    torch.save(state, tmp_path / "weights.pt")
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    del state["1.bias"]
    torch.save(state, tmp_path / "weights.pt")
    assert_one_line(script(*QUICK, *flags), "weights.pt is of another network: it has no 1.bias")


def test_other_weights_of_the_same_name_are_not_replaced(checkout, ready, net, tmp_path):
    for folder, factor in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        state = {name: factor * value for name, value in state_of_net().items()}
        torch.save(state, tmp_path / folder / "best.pt")
    env = {**ready, "INPUTS": "32x48"}

    def store(folder: str):
        words = ("--model", f"{net}:net", "--weights", str(tmp_path / folder / "best.pt"))
        return run(checkout / "mem_report.sh", *words, "--device", "cpu", env=env)

    for _ in range(2):
        result = store("a")
        assert result.returncode == 0, result.stderr
    before = files_in(checkout)
    refused = store("b")
    assert refused.returncode == 1 and "net_32x48.json is of other weights, best.pt " in (
        refused.stderr
    )
    assert files_in(checkout) == before


@pytest.mark.parametrize("end", [0, 10, -20])
def test_a_file_that_is_cut_short(tmp_path, net, end):
    file = tmp_path / "weights.pt"
    torch.save(state_of_net(), file)
    file.write_bytes(file.read_bytes()[:end])
    result = script(*QUICK, "--model", f"{net}:net", "--weights", file)
    assert_one_line(result, "weights.pt is cut short, or holds more than tensors; ")


def test_safetensors_want_their_library(tmp_path, net):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"nothing")
    hidden = "import sys; sys.modules['safetensors'] = None"
    result = script(*QUICK, "--model", f"{net}:net", "--weights", file, before=hidden)
    assert_one_line(result, "weights.safetensors: ", "pip install safetensors")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_denormal_values_are_counted_by_their_bits(dtype):
    smallest = torch.finfo(dtype).smallest_normal
    values = [0.0, -0.0, smallest, -smallest, 1.0, torch.inf, torch.nan]
    values += [smallest / 2, -smallest / 2, torch.finfo(dtype).smallest_normal * 0.75]
    network = nn.ReLU()
    network.register_buffer("values", torch.tensor(values, dtype=dtype))
    network.register_buffer("counter", torch.tensor(3))
    image = torch.tensor(values, dtype=dtype)
    assert count_denormals(network, image) == Denormals(weights=3, activations=2)


def test_denormal_values_are_told_and_flushed(tmp_path, net):
    state = state_of_net()
    state["0.weight"][0] = TINY
    torch.save(state, tmp_path / "weights.pt")
    flags = ("--model", f"{net}:net", "--weights", tmp_path / "weights.pt", "--i", "32x32")
    report = script("mem.py", *flags, "--device", "cpu", "--json", tmp_path / "report.json")
    assert (report.returncode, report.stderr) == (0, "")
    assert report.stdout.endswith(
        "Denormal values: 3 of the weights, 2048 of the activations; "
        "see --flush-denormal of cpu/timer.py\n"
    )
    assert load_report(tmp_path / "report.json").denormal_weights == 3
    runs = []
    for flush in ((), ("--flush-denormal",)):
        file = tmp_path / f"{len(flush)}.json"
        result = script(*QUICK, *flags, *flush, "--json", file)
        assert (result.returncode, result.stderr) == (0, "")
        (run,) = records.load(file).runs
        runs.append(run)
    assert (runs[0]["denormal_weights"], runs[0]["denormal_activations"]) == (3, 2048)
    assert runs[1]["denormal_weights"] == 3 and "denormal_activations" not in runs[1]
    assert "output_difference" in runs[1]


def test_output_difference_of_flushing_is_from_a_pass_that_does_not(tmp_path):
    (tmp_path / "net.py").write_text("""
import torch
from torch import nn


class Growing(nn.Module):
    def forward(self, image):
        return image * 1e-40 * 1e30 * 1e10


net = Growing()
""")
    file = tmp_path / "record.json"
    flags = ("--model", f"{tmp_path}/net.py:net", "--flush-denormal", "--json", file)
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert records.load(file).runs[0]["output_difference"] == 1


def test_flushing_says_nothing_of_itself():
    result = python(*QUICK, "--flush-denormal")  # in a process that has not used numpy yet
    assert (result.returncode, result.stderr) == (0, "")


def test_flushing_is_pytorchs():
    result = script(*QUICK, "--runtime", "openvino", "--flush-denormal")
    assert result.returncode == 2
    assert "--flush-denormal does not go with --runtime openvino" in result.stderr
    assert script("timer.py", "--flush-denormal").returncode == 2
