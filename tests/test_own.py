"""Networks of one's own, --model FILE.py:NAME, from outside and in process."""

import inspect
import random
import re
import shlex
import shutil
import sys
from collections import namedtuple
from dataclasses import make_dataclass
from itertools import count
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import torch
from project import CEILINGS, ENVIRONMENT, ROOT, script
from torch import nn

from backbone.command.errors import Failure
from backbone.command.flags import timer_options
from backbone.command.options import STOCK, Mode, Workload
from backbone.measure import memory, reference, yardsticks
from backbone.network import build, modes, outputs, own, stages, weights
from backbone.record import records, remarks, rows
from backbone.rounds import commands, plan, progress, questions, schedule
from backbone.statistics.looks import StopRule
from backbone.trace import instrument, measurable
from cpu import timer

SHAPE = [1, 3, 32, 48]
FOLD, BFLOAT16 = Mode(fold=True), Mode(dtype="bfloat16")
RUNTIMES = [Mode(runtime="onnxruntime"), Mode(runtime="openvino")]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, image):
        return self.head(self.stem(image))


FILES = {
    "backbone/__init__.py": "kernel = 1\n",  # a package that is called as the project's is
    "invalid.py": "import torch\nnet = = 3\n",
    "calling.py": "def call():\n    import dividing\n\n\ncall()\n",
    "dividing.py": "\n1 / 0\n",
    "nets.py": f"""
import random, sys, time
import numpy as np
import torch
from torch import nn
from backbone import kernel

{inspect.getsource(Small)}

class Named(Small):
    def forward(self, image):
        print("a pass")
        features = self.stem(image)
        return {{"out": self.head(features), "features": [features]}}


class Sleepy(nn.ReLU):
    def forward(self, image):
        time.sleep(0.1)
        return super().forward(image)


class Raising(nn.ReLU):
    def forward(self, image):
        return super().forward(image) if image.is_meta else fails(ValueError("real data"))


def fails(error):
    raise error


drawn, on_meta, looped, number = Small(), Small().to("meta"), Small(), 7
drawn.head.weight.data.fill_(random.random() + np.random.rand())
looped.stem[0].inner = looped
varying = nn.FractionalMaxPool2d(2, output_ratio=0.7)
half = lambda: Small().half()
compiled = lambda: torch.compile(Small())
lazy = lambda: nn.LazyConv2d(3, kernel)
ends = lambda: fails(SystemExit("usage: train.py DATA"))
interrupts = lambda: fails(KeyboardInterrupt())
gives_a_number = lambda: 7
print(sys.argv)
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its name, with the files and with denormal weights of Small."""
    folder = tmp_path_factory.mktemp("my own")
    (folder / "backbone").mkdir()
    for name, source in FILES.items():
        (folder / name).write_text(source)
    state = Small().state_dict()
    state["stem.0.weight"][0] = 1e-40
    state["stem.0.bias"][0] = 0
    torch.save(state, folder / "my weights.pt")
    return folder


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "cpu/timer.py --i 32x48 --iterations 2 --warmup 0 --target layer --dtype bfloat16",
            "\nAverage Execution Time for Named with input shape: [1, 3, 32, 48] is ",
        ),
        (
            "mem.py --i 32x48 --device cpu --weights WEIGHTS",
            "\nDenormal values: 27 of the weights, 4140 of the activations; see ",
        ),
    ],
)
def test_a_network_of_ones_own(folder, tmp_path, monkeypatch, line, said):
    trained = Path(shutil.copy(folder / "my weights.pt", tmp_path))
    line = line.replace("WEIGHTS", shlex.quote(str(trained)))
    monkeypatch.chdir(folder)
    another = shutil.copy("nets.py", tmp_path / "nets.py")

    def check(model: str, *flags: str) -> Path:
        """The file of its record, by a wrapper, which replaces no other network's."""
        (planned,) = plan.read_plan([line], ["--model", model, *flags], "a.sh")
        plan.check_network([planned], tmp_path)
        return tmp_path / f"{planned.file}.json"

    file, resnet = check("nets.py:Named"), check("resnet18")
    file.parent.mkdir(parents=True)
    flags = ("--model", f"{folder}/nets.py:Named", "--json", file)
    result = script(*shlex.split(line), *flags, before=CEILINGS)
    assert result.returncode == 0 and said in result.stdout
    # The file sees no flags, and what it prints is no part of the report.
    assert set(result.stderr.splitlines()) == {f"['{folder}/nets.py']", "a pass"}
    assert "a pass" not in result.stdout and str(folder) not in file.read_text()
    if "timer" in line:
        record = records.load(file)
        assert record.conditions["network"] == "Named"
        assert record.whole.cost.macs == 30 * 46 * (3 * 4 * 9 + 4 * 2)
        # Of other weights, or of another image, it would be some 1; of float32 nothing.
        assert 1e-4 < record.runs[0]["output_difference"] < 0.05
        assert "denormal_weights" not in record.runs[0]
    check("nets.py:Named")
    resnet.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, resnet)
    for intruder, name in ((f"{another}:Named", "Named"), ("resnet18", "resnet18")):
        with pytest.raises(Failure, match=f"belongs to a different network named {name}; RESULTS="):
            check(intruder)
        check(intruder, "--s", "2")  # goes elsewhere
    if "--weights" in line:
        trained.write_text("others")
        with pytest.raises(Failure, match=r"belongs to different weights, my weights\.pt \w+; "):
            check("nets.py:Named")


def test_only_the_first_run_of_a_command_compares_outputs_and_counts_denormals(folder):
    model, trained = f"{folder}/nets.py:Small", f"{folder}/my weights.pt"
    words = [sys.executable, str(ROOT / "cpu/timer.py"), "--i", "32x48"]
    words += ["--model", model, "--weights", trained]
    stock = commands.Command("stock", words)
    mode = commands.Command("mode", [*words, "--channels-last"])
    stock_pass = reference.StockPass(Workload(model, 32, "32x48", 1, trained), "cpu", threads=1)
    series = questions.Series("net", [stock, mode], [], 1, 3, [mode], stock_pass)
    with progress.Progress(["net"], StopRule(2)) as shown:
        outcome = schedule.run_rounds([series], StopRule(2), 7, shown, need_all=True)
    counted = {"denormal_weights", "denormal_activations"}
    for command, measured in ((stock, counted), (mode, {"output_difference", *counted})):
        record = outcome.record_of(command)
        assert re.fullmatch(r"my weights\.pt [0-9a-f]{12}", record.conditions["weights"])
        first, second = (run.keys() & {"output_difference", *counted} for run in record.runs)
        assert (first, second) == (measured, set())
        assert record.runs[0]["denormal_weights"] == 27


def test_a_cut_pass_that_leaves_out_what_the_network_does_is_told(folder):
    flags = ("--i", "32x48", "--iterations", "21", "--warmup", "1", "--target", "layer")
    model = ("--model", f"{folder}/nets.py:Sleepy")
    _, note = script("cpu/timer.py", *flags, *model, keeps_notes=True).stderr.splitlines()
    told = re.search(r"apparently .* own pass: .* ([\d.]+) ms, uncut ([\d.]+) ms", note)
    assert float(told[2]) > 90 > float(told[1])


def test_a_cut_pass_is_doubted_by_its_interval():
    def doubt(passes: int, *limits: float) -> str | None:
        row = rows.Row("model", "Net", "", None, [1], samples=np.full((1, passes), 12.0))
        return remarks.doubt_of_cut("layer", rows.Record([row], {}, []), *limits)

    for ratio in (1.051, 0.951):
        assert "apparently" in doubt(21, ratio)
    for limits in ((1.2, 1.06, 1.4), (0.8, 0.7, 0.94)):
        assert "apparently" not in doubt(20, *limits)
    for passes, *limits in ((21, 1.049), (20, 1.5), (20, 1.2, 1.04, 1.4), (20, 0.8, 0.7, 0.96)):
        assert doubt(passes, *limits) is None


@pytest.mark.parametrize("name", ["drawn", "half"])  # at the import, when it is called
def test_weights_are_the_same_in_each_process_in_float32_and_eval_mode(folder, name):
    shutil.copy(folder / "nets.py", folder / "again.py")  # as another process would import it
    digests = set()
    for seed, file in enumerate(("nets.py", "again.py"), start=1):
        for set_seed in (random.seed, np.random.seed, torch.manual_seed):
            set_seed(seed)
        network = build.build(Workload(model=f"{folder}/{file}:{name}"), "cpu")[0].network
        assert not network.training and network.head.weight.dtype == torch.float32
        digests.add(weights.digest_of(network))
    assert len(digests) == 1
    with torch.device("meta"):  # as mem.py --struct builds it
        assert build.build(Workload(model=f"{folder}/nets.py:{name}"), "meta")[1].is_meta


def odd(forward) -> build.Backbone:
    """Small with another forward(), and with a module and a tensor that have two names."""
    network = type("Odd", (Small,), {"forward": forward})().eval()
    network.twin, network.tied = network.stem, nn.Conv2d(3, 4, 3)
    network.tied.weight = network.stem[0].weight
    return build.Backbone("Odd", network, stages.by_module(network), is_own=True)


stock = Small.forward
Output, Pair = make_dataclass("Output", ["out", "more"]), namedtuple("Pair", ["out", "more"])


def caching(self, image):
    """Makes in its first pass what all others use; returns several tensors."""
    if not hasattr(self, "grid"):
        self.grid = torch.ones_like(image)
    features = self.stem(image * self.grid)
    return Output(self.head(features), ({"stem": features},))


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: Output(stock(self, x), ({"stem": self.stem(x)},)),
        lambda self, x: Pair(stock(self, x), Output(self.stem(x), None)),
        lambda self, x: [self.tied(x), self.twin(x) + self.stem(x)],
        lambda self, x: (torch.relu(x - torch.ones(48, device=x.device) / 2).mean(), x),
    ],
)
def test_a_cut_pass_returns_what_the_network_returns(forward):
    backbone, image = odd(forward), torch.rand(SHAPE)
    measurable.check_input(backbone, SHAPE)
    cut = instrument.cut_pass(backbone, SHAPE, "layer").with_marks(lambda: None)
    found, expected = (outputs.outputs_of(run, image) for run in (cut, backbone.network))
    assert len(expected) == 2 and outputs.are_equal(found, expected)


def fail(error: BaseException):
    raise error


passes, foreign = count(), torch.ones(1, device="meta")
INPUT = "Odd does not accept an input of shape [1, 3, 32, 48]"
NOT_CUT = "Odd cannot be cut into operations faithfully ("
NOT_TRACED = "--fold: torch.fx cannot trace this network ("


@pytest.mark.parametrize(
    ("forward", "mode", "said"),
    [
        (lambda self, x: x + 1 if next(passes) % 2 else x * 2, STOCK, "runs different operators"),
        (lambda self, x: stock(self, x.mul_(2)), STOCK, "changes its input in place (mul_), so"),
        (lambda self, x: x[:, 0].zero_() + 1, STOCK, "changes its input in place (zero_), so"),
        (lambda self, x: x * x.max().item(), STOCK, "uses the values of tensors in its forward"),
        (lambda self, x: fail(AssertionError()), STOCK, f"{INPUT}: AssertionError"),
        (lambda self, x: fail(SystemExit(3)), STOCK, f"{INPUT}: SystemExit: 3"),
        (lambda self, x: fail(KeyboardInterrupt()), STOCK, f"{INPUT}: KeyboardInterrupt"),
        (lambda self, x: setattr(self, "kept", stock(self, x)), STOCK, "Odd keeps state: "),
        (lambda self, x: x, STOCK, "runs no operators: there is nothing to measure"),
        (lambda self, x: stock(self, x.float()), BFLOAT16, f"{INPUT} in bfloat16: "),
        (lambda self, x: stock(self, x) if x.shape[0] else x, FOLD, NOT_TRACED),
        (lambda self, x: stock(self, x) * np.sqrt(x.shape[1]), FOLD, NOT_TRACED),
        (stock, FOLD, "--fold would remove the hooks of stem.1"),
        (lambda self, x: stock(self, x) + foreign, STOCK, NOT_CUT),
        (caching, STOCK, NOT_CUT),
    ],
)
def test_a_network_that_cannot_be_measured_so_is_told(forward, mode, said):
    backbone = odd(forward)
    backbone.network.stem[1].register_forward_hook(lambda *_: None)
    with pytest.raises(Failure, match=re.escape(said)):
        modes.apply_mode(backbone, torch.rand(SHAPE), mode)
        measurable.check_input(backbone, SHAPE)
        instrument.cut_pass(backbone, SHAPE, "layer")


@pytest.mark.parametrize("mode", [STOCK, BFLOAT16, FOLD, *RUNTIMES])
def test_several_outputs_and_what_the_first_pass_makes_for_all_others(mode):
    backbone = odd(caching)
    image = modes.apply_mode(backbone, torch.rand(SHAPE), mode)
    measurable.check_input(backbone, SHAPE)
    memory.predict_peak(backbone.network, image)
    ready = modes.make_ready(backbone, image, mode)
    found, expected = (outputs.outputs_of(each.network, 1 - image) for each in (ready, backbone))
    assert len(found) == 2 and outputs.output_difference(found, expected) < 1e-5


def test_output_difference():
    for found, expected, difference in (
        ([[1, 1.5], [4, 5], [1]], [[1, 1], [4, 4], [0]], 0.5),  # of the one that differs most
        ([[1, nan], [5]], [[1, 1], [4]], nan),
        ([[1.5], [nan]], [[1], [4]], nan),
        ([[1, inf], [4]], [[1, 1], [4]], inf),
        ([[1, inf]], [[1, inf]], 0),
        ([[1, 1]], [[0, 0]], None),
        ([[1, nan]], [[0, 0]], nan),
    ):
        both = [[torch.tensor(values).float() for values in each] for each in (found, expected)]
        assert outputs.output_difference(*both) == pytest.approx(difference, nan_ok=True)


def test_complex_outputs_are_compared_by_both_parts():
    network = odd(lambda self, x: torch.complex(x, 2 * x)).network
    assert outputs.outputs_of(network, torch.ones(2))[0].tolist() == [[1, 2], [1, 2]]


def test_outputs_that_cannot_be_compared_are_not(folder, capsys):
    backbone, image = odd(stock), torch.rand(SHAPE)
    (output,) = outputs.outputs_of(backbone.network, image)
    for expected, said in (
        (
            reference.Reference([output], "others", varies=False),
            "different weights in each process",
        ),
        (reference.Reference([output], "", varies=True), "different output in each pass"),
        (reference.Reference([output[0]], "", varies=False), "outputs of other shapes than stock"),
    ):
        assert yardsticks.difference_from_stock(backbone, image, expected, weights="") is None
        assert re.search(f"no output difference: Odd .*{said}", capsys.readouterr().err)
    varying = Workload(model=f"{folder}/nets.py:varying", dataset="32x48")
    stock_pass = reference.StockPass(varying, "cpu", threads=1)
    assert reference.read(reference.compute_reference(stock_pass, ENVIRONMENT)).varies


def test_a_file_or_a_name_that_gives_no_network(folder):
    for model, said in (
        ("nets.py:Smal", "nets.py has no Smal; similar names: Small"),
        ("nets.py:number", "nets.py: number is neither a torch.nn.Module nor callable"),
        ("nets.py:ends", "SystemExit: usage: train.py DATA"),
        ("nets.py:interrupts", "KeyboardInterrupt"),
        ("nets.py:gives_a_number", "must be a torch.nn.Module or return one, not a int"),
        ("nets.py:on_meta", "the weights of on_meta are on the meta device, and have no values"),
        ("nets.py:compiled", "is already compiled; provide the original module"),
        ("nets.py:lazy", "has lazy modules, whose weights have no shape before a first pass"),
        ("nets.py:looped", "looped is not a tree of modules: stem.0.inner contains itself"),
        ("invalid.py:net", "invalid.py:2: SyntaxError: invalid syntax"),
        ("calling.py:net", "calling.py:2: ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(Failure, match=re.escape(said)):
            own.load_own(f"{folder}/{model}")


@pytest.mark.parametrize("name", ["cpu/timer.py", "mem.py"])
def test_what_scripts_tell(folder, name):
    model = ("--model", f"{folder}/nets.py:Raising", "--i", "8x8")
    result = script(name, *model)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"\[.*\]\n.*nets\.py:\d+: ValueError: real data\n", result.stderr)
    result = script(name, *model, "--output-stride", "16")
    assert result.returncode == 2
    assert "--output-stride applies to torchvision's networks" in result.stderr


def test_flags_that_name_no_network_are_usage_errors(capsys):
    for flag, value, said in (
        ("--model", "nets.py", "name the network in the file: nets.py:NAME"),
        ("--model", "nets.py:../Small", "since it names the results: '../Small'"),
        ("--model", "nets.py:n\u00e4t", "NAME must consist of letters, digits and _"),
        ("--model", "nets.pt:Small", "'nets.pt:Small' is not of the form FILE.py:NAME"),
        ("--model", "no/such.py:Small", "there is no file no/such.py"),
        ("--weights", "no/such.pt", "there is no file no/such.pt"),
    ):
        with pytest.raises(SystemExit, match="2"):
            timer_options(timer.make_parser(), [flag, value])
        assert said in capsys.readouterr().err.splitlines()[-1]
