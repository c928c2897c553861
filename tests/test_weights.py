"""Weights from a file, --weights, and values that are denormal."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from backbone.command.errors import Failure
from backbone.command.options import Workload, folder_suffix
from backbone.measure.denormal import Denormals, count_denormals
from backbone.network.build import FOR_TRAINING, build
from backbone.network.library import models
from backbone.network.weights import load_weights


def new_network() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    network[1].weight = network[0].weight
    return network


# As safetensors stores a tensor of two names: by one of them alone.
WEIGHT, BIAS = torch.rand(3, 3, 1, 1), torch.rand(3)
STATE = {"0.weight": WEIGHT, "0.bias": BIAS, "1.bias": BIAS}


@pytest.fixture
def file(tmp_path) -> Path:
    torch.save(STATE, tmp_path / "my weights.pt")
    return tmp_path / "my weights.pt"


def test_weights_are_those_of_the_file(file):
    torch.manual_seed(1)
    state = models.get_model("googlenet", weights=None, init_weights=False).state_dict()
    torch.save(state, file)
    loaded = build(Workload(model="googlenet", weights=str(file)), "cpu")[0].network.state_dict()
    assert loaded.keys() == {name for name in state if not name.startswith(FOR_TRAINING)}
    assert all(torch.equal(loaded[name], state[name]) for name in loaded)


def test_one_name_of_a_tensor_is_enough_and_the_prefix_of_data_parallel_is_taken_away(file):
    torch.save({f"module.{name}": value for name, value in STATE.items()}, file)
    network = new_network()
    load_weights(network, str(file))
    assert torch.equal(network[1].weight, WEIGHT) and torch.equal(network[1].bias, BIAS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": STATE}, "is not a state dictionary: its 'model' is a dict; "),
        ({1: BIAS}, "is not a state dictionary: its 1 is a Tensor; "),
        ([1, 2], "holds a list, not a state dictionary"),
        ({"0.weight": WEIGHT, "0.bias": BIAS}, "belongs to another network: it has no 1.bias"),
        (STATE | {"a": BIAS}, "belongs to another network: the network has no a"),
        (
            STATE | {"0.bias": torch.rand(4)},
            "belongs to another network: size mismatch for 0.bias: ",
        ),
        (Path, r"is truncated, or holds more than tensors; torch.save\("),
    ],
)
def test_weights_that_do_not_fit(file, content, said):
    torch.save(content, file)
    with pytest.raises(Failure, match=f"my weights.pt {said}"):
        load_weights(new_network(), str(file))


@pytest.mark.parametrize("end", [0, 10, -20])
def test_a_file_that_is_cut_short(file, end):
    file.write_bytes(file.read_bytes()[:end])
    with pytest.raises(Failure, match=r"my weights\.pt is truncated, or holds more than tensors; "):
        load_weights(new_network(), str(file))


def test_safetensors_want_their_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(Failure, match=r"my\.safetensors: .*; pip install safetensors"):
        load_weights(new_network(), "my.safetensors")


def test_no_two_files_of_weights_have_the_same_folder():
    names = ["best.pt", "best.pth", "a b.pt", "a_b.pt", "a%20b.pt", "--s.pt", "s.pt", "%2D%2Ds.pt"]
    folders = {folder_suffix(Workload(weights=f"/a/{name}").flags) for name in names}
    assert len(folders) == len(names) and "_weights_a%20b.pt" in folders
    assert not any("/" in folder or " " in folder for folder in folders)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_denormal_values_are_counted_by_their_bits(dtype):
    smallest = torch.finfo(dtype).smallest_normal
    values = [0.0, -0.0, smallest, -smallest, 1.0, torch.inf, torch.nan]
    values += [smallest / 2, -smallest / 2, smallest * 0.75]
    network = nn.Sequential(nn.ReLU(), nn.Unflatten(0, (2, 5)))  # a view counts once
    image = torch.tensor(values, dtype=dtype)
    network.register_buffer("values", image)
    network.register_buffer("counter", torch.tensor(3))
    assert count_denormals(network, image) == Denormals(weights=3, activations=2)
