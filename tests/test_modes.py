"""Modes: by flags, compiler, runtime and allocator, and what they do to the network."""

import os
import platform
import shutil
import subprocess
import sys
from unittest.mock import Mock

import pytest
import torch
import torch._inductor.config
from project import ENVIRONMENT, patch, python, script
from torch.fx.experimental.optimization import fuse
from torch.special import bessel_j0

from backbone.command.errors import Failure
from backbone.command.flags import timer_options
from backbone.command.options import Mode, TimerOptions
from backbone.network import modes, runtimes
from backbone.network.build import build, build_network
from backbone.record import records
from backbone.trace.instrument import cut_pass
from cpu import timer

RUN = ("cpu/timer.py", "--i", "64x96", "--iterations", "1", "--warmup", "0")
ONNXRUNTIME, OPENVINO = "--runtime onnxruntime", "--runtime openvino"
FREEZING = "torch._inductor.freezing"
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN")
needs_no_spaces = pytest.mark.skipif(" " in torch.__file__, reason="torch.compile fails there")


def options_of(flags: str) -> TimerOptions:
    return timer_options(timer.make_parser(), ["--i", "64x96", *flags.split()])


@pytest.mark.parametrize(
    ("flags", "target", "operations", "marks"),
    [
        ("--channels-last --fold --dtype bfloat16", "layer", 101, 102),
        ("--fold", "block", 101, 22),
        ("--channels-last --train", "layer", 153, 154),
    ],
)
def test_cut_pass_returns_what_the_modes_own_pass_returns(flags, target, operations, marks):
    options = options_of(flags)
    backbone, image = build(options.workload, "cpu")
    image = modes.apply_mode(backbone, image, options.mode)
    for tensor in (image, backbone.network.features[0][0].weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last) is ("last" in flags)
        assert tensor.dtype is (torch.bfloat16 if "bfloat16" in flags else torch.float32)
    assert backbone.network.training is ("train" in flags)
    marked, outputs = [], []
    cut = cut_pass(backbone, list(image.shape), target)
    for run_pass in (backbone.network, cut.with_marks(lambda: marked.append(1))):
        torch.manual_seed(1)  # of the dropout, in training
        with torch.inference_mode():
            outputs.append(run_pass(image))
    assert torch.equal(*outputs)
    assert (len(cut.operations), len(marked)) == (operations, marks)


def test_values_of_the_stock_network_mean_something():
    network = build_network().network
    assert not any(module.training for module in network.modules())
    assert {module.momentum for module in network.modules() if hasattr(module, "momentum")} == {0.1}
    with torch.inference_mode():
        output = network(torch.rand(1, 3, 96, 96))
    assert output.abs().max() > 0.1  # untouched: 1e-9, in float16 zero


def test_folded_network_is_what_torchs_own_optimization_makes():
    network, image = build_network().network, torch.rand(1, 3, 96, 96)
    expected = fuse(network)
    modes.fold_batch_norm(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    with torch.inference_mode():
        assert torch.equal(network(image), expected(image))
    with pytest.raises(Failure, match="this network has no batch norm after a convolution"):
        modes.fold_batch_norm(network)


@pytest.fixture
def tiny(tmp_path):
    """A flag's value: a network that compiles and exports quickly."""
    (tmp_path / "own.py").write_text("""
import torch
class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3)
    def forward(self, image):
        return self.convolution(image).softmax(1)
""")
    return f"{tmp_path}/own.py:Tiny"


@pytest.mark.parametrize(
    ("flags", "variable", "least", "most"),
    [
        ("--keep-memory --channels-last --fold --dtype bfloat16", "UNRELATED", 1e-3, 0.5),
        ("--keep-memory", "UNRELATED", 0, 0),
        # It would change a reference that is computed in the same process, too.
        pytest.param("", "ONEDNN_MAX_CPU_ISA", 1e-9, 1e-4, marks=needs_onednn),
        # Their own arithmetic: not the stock network's to the last bit.
        pytest.param("--compile", "UNRELATED", 1e-9, 1e-4, marks=needs_no_spaces),
        (f"--keep-memory {ONNXRUNTIME}", "UNRELATED", 1e-9, 1e-4),
        (f"--keep-memory {OPENVINO}", "UNRELATED", 1e-9, 1e-4),
        (f"--dtype bfloat16 {OPENVINO}", "UNRELATED", 1e-3, 0.5),
    ],
)
def test_record_of_a_mode(tmp_path, tiny, flags, variable, least, most):
    file, is_tiny = tmp_path / "record.json", "compile" in flags or "runtime" in flags
    words = ("--model", tiny if is_tiny else "mobilenet_v2", *flags.split(), "--threads", "1")
    before = f"os.environ[{variable!r}] = 'SSE41'; sys.modules[{FREEZING!r}] = None"
    result = script(*RUN, *words, "--json", file, before=f"import os, sys\n{before}")
    if "this CPU has no bfloat16 instructions" in result.stderr:
        pytest.skip("a CPU without bfloat16")
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    (run,) = record.runs
    assert record.mode.flags == flags
    assert record.conditions["dtype"] == ("bfloat16" if "bfloat16" in flags else "float32")
    assert ("runtime_version" in record.conditions) is ("runtime" in flags)
    assert record.ready_after > 0
    assert record.whole.cost.macs == (1_258_848 if is_tiny else 37_952_768)
    assert least <= run["output_difference"] <= most


class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)

    def forward(self, image):
        return self.norm(self.conv(self.norm(self.conv(image))))


def test_a_convolution_that_is_called_twice_is_not_folded():
    with pytest.raises(Failure, match="cannot fold norm: its convolution is called more than once"):
        modes.fold_batch_norm(Twice().eval())


def test_what_torch_compile_passes_over_is_told():
    with pytest.raises(Failure, match="there is nothing to compile: define a forward"):
        modes.compile_network(torch.nn.Sequential(torch.nn.ReLU()), torch.rand(1, 3, 32, 48))


@pytest.mark.parametrize(
    ("flags", "patch", "said"),
    [
        ("--compile", (os.environ, "CXX", "/none"), r"install a C\+\+ compiler"),
        ("--compile --freeze", ("torch.__file__", "/a b/x"), "freezing.*path contains spaces"),
        (ONNXRUNTIME, ("onnxruntime.InferenceSession", None), r"\(\d.*\): 'NoneType' object"),
        (OPENVINO, ("openvino.convert_model", None), r"\(\d.*\): 'NoneType' object"),
        (ONNXRUNTIME, ("torch.nn.Conv2d.forward", bessel_j0), "bessel_j0"),
        (OPENVINO, ("torch.nn.Conv2d.forward", bessel_j0), "bessel_j0"),
        (ONNXRUNTIME, ("tempfile.tempdir", "/none"), "cannot write the network to a temporary"),
        (OPENVINO, ("torch.get_num_threads", lambda: 10**4), "of 10000 threads; use --threads "),
        (
            f"{OPENVINO} --dtype bfloat16",
            ("openvino.Core.get_property", lambda *_: ""),
            "no bfloat16 instr",
        ),
        (ONNXRUNTIME, (sys.modules, "onnxruntime", None), "pip install -r requirements-modes.txt"),
        (ONNXRUNTIME, (sys.modules, "onnxscript", None), "pip install -r requirements-modes.txt"),
        (OPENVINO, (sys.modules, "openvino", None), "pip install -r requirements-modes.txt"),
        ("", (os.environ, "LD_PRELOAD", "libc.so.6:libnone.so.4"), "=libnone.so.4: .*installed"),
        ("", (os.environ, "GLIBC_TUNABLES", "glibc.malloc.mmap_max=7:x=1"), "=x=1: .*no such"),
        (
            "",
            (os.environ, "GLIBC_TUNABLES", "glibc.malloc.mmap_max=x"),
            "does not accept the value",
        ),
    ],
)
def test_what_cannot_be_done_is_told(monkeypatch, tmp_path, tiny, flags, patch, said):
    if not flags and platform.libc_ver() < ("glibc", "2.33"):
        pytest.skip("a loader that does not tell its tunables")
    import torch._dynamo  # which asks for torch's file

    options = options_of(f"--model {tiny} {flags}")
    backbone, image = build(options.workload, "cpu")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, FREEZING, None)
    getattr(monkeypatch, "setattr" if len(patch) == 2 else "setitem")(*patch)
    told = pytest.raises(Failure, match=f"^{flags.partition(' --')[0] or patch[1]}.*{said}")
    with torch._inductor.config.patch({"freezing": False, "cpp.cxx": "/none"}), told:
        timer.prepare(options)
        image = modes.apply_mode(backbone, image, options.mode)
        modes.make_ready(backbone, image, options.mode)


def test_line_of_a_compilers_error_that_tells_most():
    error = RuntimeError("backend='inductor' raised:\nC++ fails:\nld: error: no lib")
    assert modes._reason_of_compiler(error) == "ld: error: no lib"


@pytest.fixture
def allocator(tmp_path):
    """A library whose malloc takes the place of glibc's."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("no loader of Linux, or no C compiler")
    library = tmp_path / "libown.so"
    source = "void *__libc_malloc(size_t); void *malloc(size_t n) { return __libc_malloc(n); }"
    command = ["cc", "-shared", "-fPIC", "-include", "stddef.h", "-o", library, "-x", "c", "-"]
    subprocess.run(command, input=source, text=True, check=True)
    return library


def test_allocator_in_the_place_of_glibcs_keeps_no_memory(allocator):
    tunables = "glibc.malloc.mmap_max=1:glibc.malloc.mmap_max=010"  # of which the last counts
    env = {**ENVIRONMENT, "LD_PRELOAD": str(allocator), "GLIBC_TUNABLES": tunables}
    steps = "allocator.check_environment(); print('checked'); allocator.keep_freed_memory()"
    result = python("-c", f"from backbone.measure import allocator; {steps}", env=env)
    assert result.stdout == "checked\n"
    assert "--keep-memory needs glibc's allocator, which another one replaces" in result.stderr


@pytest.mark.parametrize(
    ("name", "other", "number"),
    [("libjemalloc.so.2", "libtcmalloc", 1), ("libtcmalloc_minimal.so.4", "libjemalloc", 2)],
)
def test_modes_have_the_allocators_that_are_found(checkout, allocator, name, other, number):
    """By a Python that prints the plan in place of running it."""
    planner = allocator.with_name("planner")
    planner.write_text('#!/bin/sh\necho "${4-no CUDA device}"\n')
    planner.chmod(0o755)
    allocator.rename(allocator.with_name(name))
    patch(checkout / "modes.sh", other, "libnone")
    variables = {"PYTHON": planner, "LD_LIBRARY_PATH": allocator.parent, "INPUTS": "pascal"}
    plan = subprocess.check_output(["sh", checkout / "modes.sh"], env=ENVIRONMENT | variables)
    lines = [line for line in plan.decode().splitlines() if line.startswith("LD_PRELOAD")]
    assert len(lines) == number
    assert all(line.startswith(f"LD_PRELOAD={name} cpu/timer.py --i pascal ") for line in lines)


def test_onnxruntime_has_as_many_threads_as_pytorch(monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    given = Mock(side_effect=RuntimeError("enough"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", given)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    network, mode = torch.nn.Sequential(torch.nn.ReLU()), Mode(runtime="onnxruntime")
    with pytest.raises(Failure, match="enough"):
        runtimes.export_network(network, torch.rand(1, 3, 8, 8), mode)
    assert given.call_args.args[1].intra_op_num_threads == 3
