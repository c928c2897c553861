"""Networks of one's own, --model FILE.py:NAME."""

import re
from pathlib import Path

import pytest
import torch
from project import CEILINGS, assert_one_line, script
from torch import nn

from backbone.command.errors import Failure
from backbone.command.options import Mode, Workload
from backbone.network import modes
from backbone.network.build import Backbone
from backbone.network.stages import by_module
from backbone.record import records
from backbone.rounds import plan
from backbone.rounds.plan import Planned

QUICK = ("cpu/timer.py", "--i", "32x48", "--iterations", "2", "--warmup", "0")
SOURCE = """
from dataclasses import dataclass
from typing import NamedTuple
import torch
from torch import nn
from beside import width


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, image):
        return self.head(self.stem(image))


class Named(Small):
    def forward(self, image):
        features = self.stem(image)
        return {"out": self.head(features), "features": [features]}


@dataclass
class Output:
    out: torch.Tensor
    features: tuple


class Classy(Small):
    def forward(self, image):
        features = self.stem(image)
        return Output(self.head(features), (features,))


class Counting(Small):
    calls = 0

    def forward(self, image):
        self.calls += 1
        for _ in range(self.calls):
            image = image + 1
        return super().forward(image)


class Keeping(Small):
    def forward(self, image):
        self.features = self.stem(image)
        return self.head(self.features)


class Caching(Small):
    grid = None

    def forward(self, image):
        if self.grid is None:
            self.grid = torch.ones_like(image[0])
        return super().forward(image * self.grid)


class Numbering(Small):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("as_it_is", torch.zeros(()))
        self.passes = 0
        self.sizes = []

    def forward(self, image):
        self.passes += 1
        self.sizes.append(image.shape)
        self.size = image.shape
        self.mean = self.mean + 1
        self.count += 1
        return super().forward(image) + self.as_it_is


class Pair(NamedTuple):
    out: torch.Tensor
    features: tuple


class Tupled(Small):
    def forward(self, image):
        features = self.stem(image)
        return Pair(self.head(features), (features,))


class Nothing(nn.Module):
    def forward(self, image):
        return image


class Plain(nn.Module):
    def forward(self, image):
        return torch.relu(image).mean()


instance = Small()
on_meta = Small().to("meta")
training = Small().train()
number = 7
text = "Small"


def make():
    return Small()


def half():
    return Small().half()


def hooked():
    network = Small()
    network.stem[1].register_forward_hook(lambda *_: None)
    return network


def compiled():
    return torch.compile(Small())


class Float(Small):
    def forward(self, image):
        return super().forward(image.float())


def sized(width):
    return Small()


def fails():
    raise RuntimeError("no weights here\\nand more")


def gives_a_number():
    return 7


def ends():
    raise SystemExit("usage: train.py DATA")
"""
FAILING_LINE = 1 + SOURCE[: SOURCE.index("raise RuntimeError")].count("\n")
ANOTHER = """
from torch import nn


class Small(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 1, 1)


class resnet18(Small):
    pass
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of networks in a folder with spaces, with another beside it that it imports."""
    folder = tmp_path_factory.mktemp("my own")
    (folder / "beside.py").write_text("width = 4\n")
    (folder / "nets.py").write_text(SOURCE)
    return folder / "nets.py"


@pytest.mark.parametrize("target", ["model", "layer"])
@pytest.mark.parametrize(
    "name", ["Small", "instance", "make", "Named", "Classy", "Tupled", "Plain"]
)
def test_a_network_of_ones_own(tmp_path, own, name, target):
    file = tmp_path / "record.json"
    flags = ("--model", f"{own}:{name}", "--target", target, "--json", file)
    result = script(*QUICK, *flags, before=CEILINGS)
    assert (result.returncode, result.stderr) == (0, "")
    assert f" for {name} with input shape: [1, 3, 32, 48] is " in result.stdout.splitlines()[-1]
    record = records.load(file)
    assert record.conditions["network"] == name and len(record.conditions["file_id"]) == 12
    assert str(own.parent) not in file.read_text()
    assert record.whole.cost.macs == (0 if name == "Plain" else 30 * 46 * (3 * 4 * 9 + 4 * 2))


def test_stages_are_its_modules_and_it_runs_in_eval_mode(own):
    result = script(*QUICK, "--model", f"{own}:training", "--target", "layer")
    assert (result.returncode, result.stderr) == (0, "")
    names = [line.partition(" with ")[0].split(" for ") for line in result.stdout.splitlines()]
    assert [name for _, *name in names] == [
        *(["Conv2d stem.0"], ["Conv2d stem.0"], ["BatchNorm2d stem.1"], ["BatchNorm2d stem.1"]),
        *(["ReLU stem.2"], ["ReLU stem.2"], ["Conv2d head"], ["Conv2d head"], [], ["training"]),
    ]
    structure = script("mem.py", "--struct", "--i", "32x48", "--model", f"{own}:training")
    assert structure.returncode == 0 and "Total params: 130" in structure.stdout


def test_what_a_mode_cannot_do_with_it_is_told(own):
    for name, flags, said in (
        ("hooked", ("--fold",), "--fold would take the hooks of stem.1 away with it"),
        ("Float", ("--dtype", "bfloat16"), "Float cannot take an input of shape [1, 3, 32, 48]: "),
    ):
        assert_one_line(script(*QUICK, "--model", f"{own}:{name}", *flags), said)


def test_it_is_measured_in_float32(tmp_path, own):
    flags = ("--model", f"{own}:half", "--dtype", "bfloat16", "--json", tmp_path / "record.json")
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_file_sees_none_of_the_scripts_flags(tmp_path):
    file = tmp_path / "net.py"
    file.write_text("import sys\nfrom torch import nn\n\nnet = nn.ReLU()\nprint(sys.argv)\n")
    result = script(*QUICK, "--model", f"{file}:net")
    assert (result.returncode, result.stderr) == (0, f"['{file}']\n")


def test_what_the_first_pass_makes_for_all_others_is_no_state(tmp_path, own):
    model = ("--model", f"{own}:Caching")
    for flags in ((), ("--dtype", "bfloat16"), ("--fold",), ("--runtime", "onnxruntime")):
        result = script(*QUICK, *model, *flags, "--json", tmp_path / "record.json")
        assert (result.returncode, result.stderr) == (0, "")
    report = script("mem.py", "--i", "32x48", *model, "--device", "cpu")
    assert (report.returncode, report.stderr) == (0, "")
    # But it is no operation of the passes after it.
    result = script(*QUICK, *model, "--target", "layer")
    assert_one_line(result, "Caching cannot be cut into operations faithfully (")


def test_what_each_pass_changes_is_noted(own):
    result = script(*QUICK, "--model", f"{own}:Numbering")
    noted = "cpu/timer.py: Numbering keeps state: passes, sizes, mean, count\n"
    assert (result.returncode, result.stderr) == (0, noted)
    trained = script(*QUICK, "--model", f"{own}:instance", "--train")
    assert (trained.returncode, trained.stderr) == (0, "")


@pytest.mark.parametrize("name", ["instance", "make", "Named", "Classy"])
def test_output_difference_is_the_largest_over_all_outputs(tmp_path, own, name):
    file = tmp_path / "record.json"
    flags = ("--model", f"{own}:{name}", "--dtype", "bfloat16", "--json", file)
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    # Of other weights, or of another image, it would be some 1; of the same in float32 nothing.
    assert 1e-4 < records.load(file).runs[0]["output_difference"] < 0.05


def test_output_difference_is_told_by_the_output_that_differs_most():
    network = nn.Identity()
    expected = {"a": torch.ones(3), "b": [torch.full((2,), 4.0), torch.zeros(2)]}
    changed = {"a": torch.tensor([1, 1, 1.5]), "b": [torch.tensor([4, 5.0]), torch.zeros(2)]}
    network.forward = lambda image: changed
    stock = Backbone("Stock", nn.Identity(), by_module(network))
    stock.network.forward = lambda image: expected
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(modes, "build", lambda *_: (stock, torch.ones(1)))
        assert modes.output_difference(Workload(), network, torch.ones(1), Mode()) == 0.5


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["Named", "Classy"])
def test_several_outputs_in_another_runtime(tmp_path, own, name, runtime):
    file = tmp_path / "record.json"
    flags = ("--model", f"{own}:{name}", "--runtime", runtime, "--json", file)
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert records.load(file).runs[0]["output_difference"] < 1e-5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Smal", "nets.py has no Smal; near it: Small"),
        ("number", "nets.py: number is no torch.nn.Module, and cannot be called"),
        ("text", "nets.py: text is no torch.nn.Module, and cannot be called"),
        ("sized", "TypeError: sized() missing 1 required positional argument: 'width'"),
        ("fails", f"nets.py:{FAILING_LINE}: RuntimeError: no weights here"),
        ("ends", "SystemExit: usage: train.py DATA"),
        ("gives_a_number", "gives_a_number is no torch.nn.Module and returns none, but a int"),
        ("on_meta", "the weights of on_meta are on the meta device, and have no values"),
        ("compiled", "compiled is compiled already; give the module that it is made of"),
        ("Counting", "Counting keeps state: each pass runs other operators"),
        ("Keeping", "Keeping keeps state: tensors of a pass are still there after it"),
        ("Nothing", "Nothing runs no operators: there is nothing to measure"),
    ],
)
def test_a_name_that_gives_no_network_to_measure(own, name, said):
    result = script(*QUICK, "--model", f"{own}:{name}")
    assert_one_line(result, said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import torch\nnet = = 3\n", ":2: SyntaxError: invalid syntax"),
        ("import no_such_module\n", ":1: ModuleNotFoundError: No module named 'no_such_module'"),
        # Where in the other file, PROFILE_DEBUG=1 shows.
        ("import beside\n", "net.py:1: ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_fails_is_told_with_its_line(tmp_path, source, said):
    (tmp_path / "beside.py").write_text("\n1 / 0\n")
    file = tmp_path / "net.py"
    file.write_text(source)
    result = script(*QUICK, "--model", f"{file}:net")
    assert_one_line(result, said)
    debug = "import os; os.environ['PROFILE_DEBUG'] = '1'"
    result = script(*QUICK, "--model", f"{file}:net", before=debug)
    assert result.returncode == 1 and f'File "{file}", line ' in result.stderr


def test_what_the_file_prints_is_no_part_of_the_report(tmp_path):
    file = tmp_path / "net.py"
    file.write_text("from torch import nn\n\nprint('on the way')\nnet = nn.ReLU()\n")
    result = script(*QUICK, "--model", f"{file}:net")
    assert (result.returncode, result.stderr) == (0, "on the way\n")
    assert result.stdout.startswith("Average ") and result.stdout.count("\n") == 1


@pytest.mark.parametrize("script_name", ["cpu/timer.py", "mem.py"])
def test_what_its_forward_prints_is_no_part_of_the_report(tmp_path, script_name):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\nclass Chatty(nn.ReLU):\n    def forward(self, image):\n"
        "        print('a pass')\n        return super().forward(image)\n"
    )
    flags = ("--i", "32x32", "--model", f"{tmp_path}/net.py:Chatty")
    result = script(script_name, *flags)
    assert result.returncode == 0 and "a pass\n" in result.stderr
    assert "Chatty" in result.stdout and "a pass" not in result.stdout


def test_a_package_beside_it_may_be_called_as_the_projects_is(tmp_path):
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone/__init__.py").write_text("from backbone.small import Small\n")
    (tmp_path / "backbone/small.py").write_text(ANOTHER)
    (tmp_path / "net.py").write_text("from backbone import Small\n")
    result = script(*QUICK, "--model", f"{tmp_path}/net.py:Small", "--target", "layer")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--model {own}", "which of its networks?"),
        ("--model {own}:", "'' is no NAME of letters, digits and _"),
        ("--model {own}:Small.stem", "'Small.stem' is no NAME of letters, digits and _"),
        ("--model {own}:../Small", "'../Small' is no NAME of letters, digits and _"),
        ("--model {own}:n\u00e4t", "is no NAME of letters, digits and _"),
        ("--model nets.pt:Small", "'nets.pt:Small' is no FILE.py:NAME"),
        ("--model no/such.py:Small", "there is no file no/such.py"),
        ("--model {own}:Small --output-stride 16", "--output-stride is for torchvision's networks"),
        ("--weights no/such.pt", "there is no file no/such.pt"),
        ("--i 1x3x32x48", "no HxW or CxHxW such as 512x1024"),
    ],
)
def test_flags_that_name_no_network_or_input_are_usage_errors(own, flags, said):
    words = [word.format(own=own) for word in flags.split()]
    result = script("cpu/timer.py", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr.splitlines()[-1]


def test_an_image_may_have_other_channels_than_three(tmp_path):
    (tmp_path / "net.py").write_text("from torch import nn\n\nsix = nn.Conv2d(6, 2, 3)\n")
    flags = ("--model", f"{tmp_path}/net.py:six", "--iterations", "2", "--warmup", "0")
    result = script("cpu/timer.py", "--i", "6x32x48", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert "for six with input shape: [1, 6, 32, 48] is " in result.stdout
    result = script("cpu/timer.py", "--i", "32x48", *flags)
    assert_one_line(result, "six cannot take an input of shape [1, 3, 32, 48]")


def test_wrappers_find_it_from_the_current_folder(own, monkeypatch):
    monkeypatch.chdir(own.parent)
    (planned,) = plan.read_plan(["mem.py --i 32x48"], ["--model", "nets.py:Small"], "mem_report.sh")
    assert planned.file == "memory_reports/Small_32x48"
    assert planned.workload.model == f"{own}:Small"


@pytest.mark.parametrize("line", ["mem.py --struct True --i 32x48", " ".join(QUICK)])
def test_wrappers_replace_no_other_network_of_its_name(own, tmp_path, line):
    another = tmp_path / "another.py"
    another.write_text(ANOTHER)

    def plan_of(*flags: str) -> list[Planned]:
        return plan.read_plan([line], flags, "a.sh")

    stored = {}
    for model in (f"{own}:Small", f"{another}:resnet18"):
        (planned,) = plan_of("--model", model)
        plan.check_network([planned], tmp_path)  # nothing is there yet
        file = tmp_path / f"{planned.file}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        assert script(*planned.command.words[1:], "--json", file).returncode == 0
        plan.check_network([planned], tmp_path)  # it is its own
        stored[model.rpartition(":")[2]] = file
    for model, name in ((f"{another}:Small", "Small"), ("resnet18", "resnet18")):
        said = f"{stored[name]} belongs to a different network named {name}; RESULTS=FOLDER"
        with pytest.raises(Failure, match=re.escape(said)):
            plan.check_network(plan_of("--model", model), tmp_path)
        plan.check_network(plan_of("--model", model, "--s", "2"), tmp_path)  # goes elsewhere
