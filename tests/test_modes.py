"""Modes: flags of the timers, what they do to the network, and modes.sh."""

import pytest
import torch
from project import ENVIRONMENT, assert_one_line, python, script
from torch.fx.experimental.optimization import fuse

from backbone.command.errors import Failure
from backbone.command.flags import timer_options
from backbone.command.options import Mode
from backbone.measure.structure import list_layers
from backbone.network import modes
from backbone.network.build import Backbone, build, build_network
from backbone.record import records
from backbone.trace.instrument import cut_pass
from cpu import timer

QUICK = ("cpu/timer.py", "--i", "pascal", "--iterations", "1", "--warmup", "0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--compile --target block", "--compile fuses operations"),
        ("--compile --target layer", "use --target model"),
        ("--w no --compile", "use --target model"),
        ("--fold --train", "use one of the two"),
        ("--freeze", "--freeze has torch.compile take weights as constants; use it with --compile"),
        ("--compile --freeze --train", "--freeze fixes the statistics that --train computes anew"),
        ("--dtype int8", "invalid choice: 'int8'"),
    ],
)
@pytest.mark.parametrize("name", ["timer.py", "cpu/timer.py"])
def test_modes_that_do_not_go_together_are_usage_errors(name, words, said):
    result = script(name, *words.split())
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr.splitlines()[-1]


MODES = [
    "--channels-last",
    "--fold",
    "--train",
    "--dtype bfloat16",
    "--channels-last --fold",
    "--channels-last --fold --dtype bfloat16",
    "--channels-last --train",
]


@pytest.mark.parametrize("target", ["block", "layer"])
@pytest.mark.parametrize("mode", MODES)
def test_instrumented_pass_returns_what_the_modes_own_pass_returns(mode, target):
    options = timer_options(timer.make_parser(), ["--i", "64x96", *mode.split()])
    backbone, image = build(options.workload, "cpu")
    image = modes.apply_mode(backbone, image, options.mode)
    marks = []
    cut = cut_pass(backbone, list(image.shape), target)
    forward = cut.with_marks(lambda: marks.append(1))
    outputs = []
    for run_pass in (backbone.network, forward):
        torch.manual_seed(1)  # of the dropout, in training
        with torch.inference_mode():
            outputs.append(run_pass(image))
    assert torch.equal(*outputs)
    assert len(cut.operations) == (101 if "--fold" in mode else 153)
    assert len(marks) == (22 if target == "block" else len(cut.operations) + 1)


def test_every_run_has_the_same_network_whose_values_mean_something():
    first, second = build_network().network, build_network().network
    for (name, a), (other, b) in zip(
        first.state_dict().items(), second.state_dict().items(), strict=True
    ):
        assert name == other and torch.equal(a, b)
    assert not any(module.training for module in first.modules())
    assert {module.momentum for module in first.modules() if hasattr(module, "momentum")} == {0.1}
    with torch.inference_mode():
        output = first(torch.rand(1, 3, 96, 96))
    assert output.abs().max() > 0.1  # untouched: 1e-9, in float16 zero


def test_folded_network_is_what_torchs_own_optimization_makes():
    network, image = build_network().network, torch.rand(1, 3, 96, 96)
    expected = fuse(network)
    modes.fold_batch_norm(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    with torch.inference_mode():
        assert torch.equal(network(image), expected(image))


@pytest.mark.parametrize(
    ("words", "least", "most"),
    [
        ("--channels-last --fold --keep-memory", 1e-8, 1e-5),
        ("--dtype bfloat16", 1e-3, 0.2),
        ("--train", 1e-2, 10),
        ("--keep-memory", 0, 0),
    ],
)
def test_record_says_the_mode_and_what_it_does_to_the_output(tmp_path, words, least, most):
    file = tmp_path / "record.json"
    result = script(*QUICK, *words.split(), "--json", file)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    assert sorted(record.mode.flags.split()) == sorted(words.split())
    assert record.conditions["dtype"] == ("bfloat16" if "bfloat16" in words else "float32")
    (run,) = record.runs
    assert least <= run["output_difference"] <= most


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN")
def test_a_variable_that_changes_arithmetic_shows_its_output_difference(tmp_path):
    """It would change a reference that is computed in the same process, too."""
    file = tmp_path / "record.json"
    flags = ("--i", "64x96", "--iterations", "2", "--warmup", "0", "--json", file)
    for variable, differs in (("ONEDNN_MAX_CPU_ISA", True), ("MALLOC_ARENA_MAX", False)):
        environment = {**ENVIRONMENT, variable: "SSE41" if differs else "1"}
        result = python("cpu/timer.py", *flags, env=environment)
        assert (result.returncode, result.stderr) == (0, "")
        assert (records.load(file).runs[0]["output_difference"] > 0) is differs


SMALL = ("--model", "resnet18", "--i", "64x64")  # what is compiled in little time


FREEZING = """
import sys, torch._inductor.freezing as freezing
freeze = freezing.freeze
def told(*arguments, **options):
    print("weights are frozen", file=sys.stderr)
    return freeze(*arguments, **options)
freezing.freeze = told
"""


@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot do with its path")
@pytest.mark.parametrize("flags", ["--compile", "--compile --freeze"])
def test_compiled(tmp_path, flags):
    file = tmp_path / "record.json"
    result = script(*QUICK, *SMALL, *flags.split(), "--json", file, before=FREEZING)
    assert result.returncode == 0, result.stderr
    assert ("weights are frozen" in result.stderr) is ("--freeze" in flags)
    assert records.load(file).mode.flags == flags
    (each,) = records.load(file).runs
    # Not the stock network's to the last bit: it is the compiled one whose output is compared.
    assert each["compile_time"] > 0.1 and 0 < each["output_difference"] < 1e-5
    with torch.device("meta"):
        network = build_network("resnet18").network
    _, macs = list_layers(network, [1, 3, 64, 64])
    assert records.load(file).rows[-1].cost.macs == macs


def test_no_compiler(tmp_path):
    before = f"""
import os
os.environ["TORCHINDUCTOR_CACHE_DIR"] = {str(tmp_path)!r}
import torch._inductor.config
torch._inductor.config.cpp.cxx = "/nonexistent"
"""
    result = script(*QUICK, *SMALL, "--compile", before=before)
    assert_one_line(result, "--compile: torch.compile fails here", "install a C++ compiler")


def test_pytorch_in_a_path_with_spaces():
    # The linker's command, which torch makes, is cut at the spaces.
    before = """
import torch
torch.__file__ = "/a b/torch/__init__.py"
def compile(network):
    raise RuntimeError("backend='inductor' raised:\\nCppCompileError: C++ compile error\\n"
        "/usr/bin/ld: cannot find b/torch/lib\\ncollect2: error: ld returned 1 exit status")
torch.nn.Module.compile = compile
"""
    result = script(*QUICK, "--compile", before=before)
    assert_one_line(result, "error: ld returned 1 exit status; PyTorch is in a path with spaces")


def test_dtype_that_torch_lacks_an_operation_for():
    before = """
import torch
def rand(*size, **options):
    raise RuntimeError('"slow_conv2d_cpu" not implemented for \\'Half\\'')
torch.rand = rand
"""
    result = script(*QUICK, "--dtype", "float16", before=before)
    assert_one_line(result, "not implemented for 'Half'", "choose another --dtype")


def test_nothing_to_fold():
    plain = Backbone("Plain", torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1)), None)
    with pytest.raises(Failure, match="no batch norm"):
        modes.apply_mode(plain, torch.rand(1, 3, 8, 8), Mode(fold=True))
