"""Runtimes other than PyTorch: cpu/timer.py --runtime."""

import os
import signal
import subprocess
import sys

import pytest
from project import ENVIRONMENT, ROOT, assert_one_line, script

from backbone.record import records

RUNTIMES = ("onnxruntime", "openvino")
QUICK = ("cpu/timer.py", "--i", "224x224", "--iterations", "2", "--warmup", "1")
SMALL = (*QUICK, "--model", "squeezenet1_1")  # what is exported in little time
every_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("onnxruntime --target layer", "fuses operations, and leaves none to time"),
        ("openvino --target block", "use --target model"),
        ("openvino --w no", "use --target model"),
        ("openvino --compile", "--compile does not go with --runtime openvino"),
        ("onnxruntime --compile --freeze", "the runtime has its own"),
        ("openvino --fold", "the runtime folds batch norms itself"),
        ("onnxruntime --channels-last", "the runtime chooses memory formats itself"),
        ("openvino --train", "--train does not go with"),
        ("onnxruntime --dtype bfloat16", "which has float32 on a CPU"),
        ("openvino --dtype float16", "which has float32 or bfloat16 on a CPU"),
        ("tensorrt", "invalid choice: 'tensorrt'"),
    ],
)
def test_what_does_not_go_with_a_runtime_is_a_usage_error(words, said):
    result = script(*QUICK, "--runtime", *words.split())
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr.splitlines()[-1]


def test_the_gpus_timer_has_no_runtimes():
    result = script("timer.py", "--runtime", "openvino")
    assert result.returncode == 2 and "unrecognized arguments" in result.stderr


@every_runtime
def test_record_of_a_runtime(tmp_path, runtime):
    file, stock = tmp_path / "record.json", tmp_path / "stock.json"
    flags = ("--runtime", runtime, "--keep-memory", "--threads", "1")
    result = script(*QUICK, *flags, "--json", file)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Average Execution Time for MobileNetV2 with input shape:")
    assert script(*QUICK, "--json", stock).returncode == 0
    record = records.load(file)
    assert record.mode.flags == f"--keep-memory --runtime {runtime}"
    assert record.conditions["dtype"] == "float32" and record.conditions["runtime_version"]
    assert record.whole.cost == records.load(stock).whole.cost
    (run,) = record.runs
    # The runtime's own arithmetic: not the stock network's to the last bit.
    assert 0 < run["output_difference"] < 1e-5
    assert run["export_time"] > 0 and run["compile_time"] > 0


def has_bfloat16() -> bool:
    """Whether this CPU has instructions for it."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.skipif(not has_bfloat16(), reason="a CPU without bfloat16")
def test_bfloat16_in_openvino(tmp_path):
    file = tmp_path / "record.json"
    result = script(*SMALL, "--runtime", "openvino", "--dtype", "bfloat16", "--json", file)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    assert record.mode.flags == "--dtype bfloat16 --runtime openvino"
    assert 1e-3 < record.median("output_difference") < 0.2


def test_more_threads_than_openvino_takes():
    threads = 16 * os.cpu_count()
    before = f"import os; os.cpu_count = lambda: {threads}"
    flags = ("--runtime", "openvino", "--threads", str(threads))
    result = script(*SMALL, *flags, before=before)
    assert_one_line(result, "--runtime openvino (", f"of {threads} threads; use --threads ")


def test_cpu_without_bfloat16():
    before = "import openvino; openvino.Core.get_property = lambda *_: ['FP32', 'INT8']"
    result = script(*QUICK, "--runtime", "openvino", "--dtype", "bfloat16", before=before)
    assert_one_line(result, "--runtime openvino", "this CPU has no instructions for it")


def test_a_runtime_that_is_not_asked_for_is_not_imported():
    before = f"import sys; sys.modules |= dict.fromkeys({(*RUNTIMES, 'onnxscript', 'onnx')})"
    result = script(*QUICK, before=before)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("runtime", "missing"),
    [("onnxruntime", "onnxruntime"), ("onnxruntime", "onnxscript"), ("openvino", "openvino")],
)
def test_missing_runtime(runtime, missing):
    before = f"import sys; sys.modules[{missing!r}] = None"
    result = script(*QUICK, "--runtime", runtime, before=before)
    said = "pip install -r requirements-modes.txt installs what is needed"
    assert_one_line(result, f"--runtime {runtime}: import of {missing}", said)


@pytest.mark.parametrize(
    ("runtime", "missing"),
    [("onnxruntime", "InferenceSession"), ("openvino", "convert_model")],
)
def test_runtime_of_another_version(runtime, missing):
    before = f"import {runtime}; del {runtime}.{missing}"
    result = script(*SMALL, "--runtime", runtime, before=before)
    assert_one_line(result, f"--runtime {runtime} (", f"has no attribute '{missing}'")


# An operator of the network's own, which no exporter knows.
UNKNOWN_OPERATOR = """
import torch
@torch.library.custom_op("tests::unknown", mutates_args=())
def unknown(x: torch.Tensor) -> torch.Tensor:
    return x.clone()
@unknown.register_fake
def _(x):
    return torch.empty_like(x)
relu = torch.nn.functional.relu
torch.nn.functional.relu = lambda x, *_, **__: unknown(relu(x))
"""


@every_runtime
def test_operator_that_a_runtime_lacks(runtime):
    result = script(*SMALL, "--runtime", runtime, before=UNKNOWN_OPERATOR)
    assert_one_line(result, f"--runtime {runtime} (", "tests", "unknown")


def test_full_temporary_folder():
    before = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))"
    result = script(*SMALL, "--runtime", "onnxruntime", before=before)
    assert_one_line(result, "--runtime onnxruntime (", "cannot write the network to a temporary")


def test_no_temporary_folder():
    before = "import tempfile; tempfile.tempdir = '/proc/none'"
    result = script(*SMALL, "--runtime", "onnxruntime", before=before)
    assert_one_line(result, "to a temporary folder (", "No such file or directory")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_in_an_export_leaves_nothing(tmp_path, number):
    code = """
import os, runpy, sys, time, torch
from pathlib import Path
del sys.argv[0]
def export(network, image, file, **_):
    Path(file).write_text("a part")
    os.write(1, b"begun\\n")
    time.sleep(60)
torch.onnx.export = export
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    command = [sys.executable, "-c", code, *QUICK, "--runtime", "onnxruntime"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    assert list(tmp_path.iterdir())
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (128 + number, "")
    # (PyTorch has an empty folder of its own there.)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
