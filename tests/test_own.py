"""Networks of one's own, --model FILE.py:NAME."""

import re
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from project import CEILINGS, assert_one_line, script
from torch import nn

from backbone.command.errors import Failure
from backbone.command.options import Workload
from backbone.network.build import build
from backbone.network.outputs import output_difference, outputs_of
from backbone.record import records
from backbone.record.rows import Record, Row
from backbone.record.text import doubt_of_cut
from backbone.rounds import plan
from backbone.rounds.plan import Planned
from backbone.trace.measurable import check_input

QUICK = ("cpu/timer.py", "--i", "32x48", "--iterations", "2", "--warmup", "0")
SOURCE = """
import os
import time
from dataclasses import dataclass
from typing import NamedTuple
import numpy as np
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
        return super().forward(image * self.grid[:, : image.shape[2]])


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


class Branching(Small):
    def forward(self, image):
        if image.sum(0).shape[0] > 0 and image.shape[1:].numel() > 3:
            image = image[:, :, : image.shape[2]]
        return super().forward(image) if image.size(0) else image


class Calculating(Small):
    def forward(self, image):
        return super().forward(image) * np.sqrt(image.shape[1])


class Recursive(Small):
    def forward(self, image, depth=None):
        depth = image.shape[1] if depth is None else depth
        return super().forward(image) if depth == 0 else self.forward(image, depth - 1)


class Cholesky(Small):
    def forward(self, image):
        square = torch.eye(4, dtype=image.dtype, device=image.device)
        return super().forward(image) * torch.linalg.cholesky(square).sum()


class SleepyConv2d(nn.Conv2d):
    def forward(self, image):
        time.sleep(0.1)
        return super().forward(image)


class Sleepy(Small):
    def __init__(self):
        super().__init__()
        self.head = SleepyConv2d(width, 2, 1)


class Scaling(Small):
    def forward(self, image):
        return super().forward(image.mul_(2))


class Slicing(Small):
    def forward(self, image):
        image[:, 0].zero_()
        return super().forward(image)


class Reading(Small):
    def forward(self, image):
        return super().forward(image * image.max().item())


class Asserting(Small):
    def forward(self, image):
        assert image.shape[1] == 4


class Quitting(Small):
    def forward(self, image):
        raise SystemExit(3)


class Raising(Small):
    def forward(self, image):
        if image.is_meta:
            return super().forward(image)
        raise ValueError("real data")


class Exiting(Small):
    def forward(self, image):
        return super().forward(image) if image.is_meta else exit(5)


class Interrupting(Small):
    def forward(self, image):
        if not image.is_meta:
            raise KeyboardInterrupt
        return super().forward(image)


class Dropping(Small):
    def forward(self, image):
        return nn.functional.dropout(super().forward(image))


class Reshaping(Small):
    def forward(self, image):
        output = super().forward(image)
        return output if image.dtype == torch.float32 else output[..., :3]


from_numpy = Small()
from_numpy.head.weight.data = torch.from_numpy(np.random.rand(2, width, 1, 1)).float()


def from_urandom():
    network = Small()
    network.head.weight.data.fill_(1 + int.from_bytes(os.urandom(4), 'big') / 7)
    return network


def lazy():
    return nn.LazyConv2d(3, 1)


def looped():
    network = Small()
    network.stem[0].inner = network
    return network


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
RAISING_LINE = 1 + SOURCE[: SOURCE.index('raise ValueError("real')].count("\n")
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


def test_a_cut_pass_that_leaves_out_what_the_network_does_is_told(own):
    sleepy = ("cpu/timer.py", "--i", "32x48", "--iterations", "17", "--warmup", "1")
    sleepy += ("--model", f"{own}:Sleepy", "--target")
    result = script(*sleepy, "layer", keeps_notes=True)
    assert result.returncode == 0 and result.stderr.count("\n") == 1
    said = r"apparently .* own pass, which takes ([\d.]+) ms: .* ([\d.]+) ms"
    told = re.search(said, result.stderr)
    assert float(told[1]) > 100 > float(told[2])
    assert script(*sleepy, "model", keeps_notes=True).stderr == ""


@pytest.mark.parametrize(
    ("limits", "is_told"),
    [
        ((1.051,), True),
        ((0.951,), True),
        ((1.049,), False),
        ((1.2, 1.04, 1.4), False),
        ((1.2, 1.06, 1.4), True),
        ((0.8, 0.7, 0.96), False),
        ((0.8, 0.7, 0.94), True),
    ],
)
def test_a_cut_pass_is_doubted_by_its_interval(limits, is_told):
    row = Row("model", "Net", "", None, [1], samples=np.full((1, 17), 12.0))
    doubt = doubt_of_cut("layer", Record([row], {}, []), *limits)
    assert (doubt is not None) is is_told
    assert not is_told or ("apparently" in doubt) is (len(limits) == 1)


def test_a_cut_pass_is_not_doubted_by_a_few_passes_of_one_process():
    row = Row("model", "Net", "", None, [1], samples=np.full((1, 16), 12.0))
    assert doubt_of_cut("layer", Record([row], {}, []), 1.5) is None


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
        ("Branching", ("--fold",), "--fold: torch.fx cannot trace this network ("),
        ("Calculating", ("--fold",), "--fold: torch.fx cannot trace this network ("),
        ("Recursive", ("--fold",), "--fold: torch.fx cannot trace this network ("),
        (
            *("Float", ("--dtype", "bfloat16")),
            "Float cannot take an input of shape [1, 3, 32, 48] in bfloat16: ",
        ),
        ("Cholesky", ("--dtype", "bfloat16"), "not implemented for 'BFloat16'"),
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


@pytest.mark.parametrize("name", ["instance", "from_numpy", "make", "Named", "Classy"])
def test_output_difference_is_the_largest_over_all_outputs(tmp_path, own, name):
    file = tmp_path / "record.json"
    flags = ("--model", f"{own}:{name}", "--dtype", "bfloat16", "--json", file)
    result = script(*QUICK, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    # Of other weights, or of another image, it would be some 1; of the same in float32 nothing.
    assert 1e-4 < records.load(file).runs[0]["output_difference"] < 0.05


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ([1, 1, 1.5], [4, 5], 0.5),  # of the output that differs most
        ([1, 1, 1], [4, 4], 0),
        ([1, 1, NAN], [4, 5], NAN),
        ([1, 1, 1.5], [NAN, 4], NAN),
        ([1, 1, INFINITE], [4, 4], INFINITE),
    ],
)
def test_output_difference(first, second, difference):
    stock = [torch.ones(3), torch.full((2,), 4.0), torch.zeros(2)]
    outputs = [torch.tensor(first), torch.tensor(second), torch.ones(2)]
    measured = output_difference(outputs, stock)
    assert measured == difference or (isnan(measured) and isnan(difference))


def test_output_difference_from_stock_values_that_are_0_or_infinite():
    assert output_difference([torch.ones(2)], [torch.zeros(2)]) is None
    assert isnan(output_difference([torch.tensor([1, NAN])], [torch.zeros(2)]))
    both = torch.tensor([1, INFINITE])
    assert output_difference([both], [both]) == 0


def test_complex_outputs_are_compared_by_both_parts():
    network = nn.Identity()
    network.forward = lambda image: torch.complex(image, 2 * image)
    assert outputs_of(network, torch.ones(2))[0].tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("from_urandom", "no output difference: from_urandom has other weights in each process"),
        ("Dropping", "no output difference: Dropping has another output in each pass"),
        ("Reshaping", "no output difference: Reshaping gives outputs of other shapes than stock"),
    ],
)
def test_outputs_that_cannot_be_compared_are_not(tmp_path, own, name, said):
    file = tmp_path / "record.json"
    flags = ("--model", f"{own}:{name}", "--dtype", "bfloat16", "--json", file)
    result = script(*QUICK, *flags)
    assert result.returncode == 0 and result.stderr.count("\n") == 1
    assert said in result.stderr
    assert "output_difference" not in records.load(file).runs[0]


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
        ("Counting", "Counting runs different operators in each pass"),
        ("Scaling", "Scaling changes its input in place (mul_), so that each pass would see"),
        ("Slicing", "Slicing changes its input in place (zero_), so that each pass would see"),
        ("lazy", "lazy has lazy modules, whose weights have no shape before a first pass"),
        ("looped", "looped is no tree of modules: stem.0.inner contains itself"),
        ("Reading", "Reading uses the values of tensors in its forward, which cannot be followed"),
        ("Asserting", "Asserting cannot take an input of shape [1, 3, 32, 48]: AssertionError"),
        ("Quitting", "Quitting cannot take an input of shape [1, 3, 32, 48]: SystemExit: 3"),
        ("Keeping", "Keeping keeps state: tensors of a pass are still there after it"),
        ("Nothing", "Nothing runs no operators: there is nothing to measure"),
    ],
)
def test_a_name_that_gives_no_network_to_measure(own, name, said):
    workload = Workload(model=f"{own}:{name}", dataset="32x48")
    with pytest.raises(Failure) as failure:
        check_input(build(workload, "cpu")[0], workload.input_shape)
    assert said in str(failure.value)


@pytest.mark.parametrize(
    ("name", "command", "said"),
    [
        ("Raising", QUICK, f"nets.py:{RAISING_LINE}: ValueError: real data"),
        ("Exiting", QUICK, "SystemExit: 5"),
        ("Interrupting", QUICK, "KeyboardInterrupt"),
        ("Raising", ("mem.py", "--i", "32x48", "--device", "cpu"), "ValueError: real data"),
    ],
)
def test_a_forward_that_fails_on_real_data_alone(own, name, command, said):
    assert_one_line(script(*command, "--model", f"{own}:{name}"), said)


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
