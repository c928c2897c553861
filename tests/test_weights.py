"""Weights from a file, --weights, and values that are denormal."""

import sys
from pathlib import Path

import pytest
import torch
from project import ROOT, assert_one_line, script
from torch import nn

from backbone.command.errors import Failure
from backbone.command.flags import timer_options
from backbone.command.options import Workload, folder_suffix
from backbone.measure.denormal import Denormals, count_denormals
from backbone.measure.reference import StockPass
from backbone.network.build import FOR_TRAINING, build
from backbone.network.library import models
from backbone.record import records
from backbone.record.memory_record import load_report
from backbone.rounds import plan
from backbone.rounds.commands import Command
from backbone.rounds.progress import Progress
from backbone.rounds.questions import Series
from backbone.rounds.schedule import run_rounds
from backbone.statistics.looks import StopRule
from cpu import timer

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
    assert Workload(weights="/a/my weights.pt").flags == "--weights my%20weights.pt"


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


def test_other_weights_of_the_same_name_are_not_replaced(net, tmp_path):
    plans = []
    for name in ("a/best.pt", "b/best.pt", "a/best.pth"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        torch.save({key: len(plans) + value for key, value in state_of_net().items()}, file)
        flags = ("--model", f"{net}:net", "--weights", str(file))
        plans.append(plan.read_plan(["mem.py --i 32x48"], flags, "mem_report.sh"))
    same, other, another = plans
    plan.check_network(same, tmp_path)
    (planned,) = same
    assert planned.file == "memory_reports_weights_best.pt/net_32x48"
    report = tmp_path / f"{planned.file}.json"
    report.parent.mkdir()
    flags = ("--device", "cpu", "--json", report)
    assert script(*planned.command.words[1:], *flags).returncode == 0
    plan.check_network(same, tmp_path)
    plan.check_network(another, tmp_path)  # in a folder of its own
    with pytest.raises(Failure, match=r"net_32x48\.json belongs to different weights, best\.pt "):
        plan.check_network(other, tmp_path)


def test_no_two_files_of_weights_have_the_same_folder():
    names = ["best.pt", "best.pth", "a b.pt", "a_b.pt", "a%20b.pt", "--s.pt", "s.pt", "%2D%2Ds.pt"]
    folders = {folder_suffix(Workload(weights=f"/a/{name}").flags) for name in names}
    assert len(folders) == len(names)
    assert not any("/" in folder or " " in folder for folder in folders)


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


def test_denormal_values_are_told(tmp_path, net):
    state = state_of_net()
    state["0.weight"][0] = TINY
    torch.save(state, tmp_path / "weights.pt")
    flags = ("--model", f"{net}:net", "--weights", tmp_path / "weights.pt", "--i", "32x32")
    report = script("mem.py", *flags, "--device", "cpu", "--json", tmp_path / "report.json")
    assert (report.returncode, report.stderr) == (0, "")
    assert report.stdout.endswith(
        "Denormal values: 3 of the weights, 2048 of the activations; see torch.set_flush_denormal\n"
    )
    assert load_report(tmp_path / "report.json").denormal_weights == 3
    file = tmp_path / "record.json"
    result = script(*QUICK, *flags, "--json", file)
    assert (result.returncode, result.stderr) == (0, "")
    (run,) = records.load(file).runs
    assert (run["denormal_weights"], run["denormal_activations"]) == (3, 2048)


def test_only_the_first_run_of_a_command_compares_outputs_and_counts_denormals(tmp_path, net):
    state = state_of_net()
    state["0.weight"][0] = TINY
    torch.save(state, tmp_path / "weights.pt")
    flags = ["--i", "32x32", "--model", f"{net}:net", "--weights", str(tmp_path / "weights.pt")]
    words = [sys.executable, str(ROOT / "cpu/timer.py"), *flags]
    stock, mode = Command("stock", words), Command("mode", [*words, "--channels-last"])
    options = timer_options(timer.make_parser(), flags)
    series = Series(
        "net",
        [stock, mode],
        questions=[],
        passes=3,
        modes=[mode],
        stock=StockPass(options.workload, "cpu", threads=1),
    )
    with Progress(["net"], StopRule(2)) as progress:
        outcome = run_rounds([series], StopRule(2), 7, progress, need_all=True)
    counted = {"denormal_weights", "denormal_activations"}
    measured = {
        command: [run.keys() & {"output_difference", *counted} for run in record.runs]
        for command, record in ((each, outcome.record_of(each)) for each in (stock, mode))
    }
    assert measured == {stock: [counted, set()], mode: [{"output_difference", *counted}, set()]}
