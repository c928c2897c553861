"""What oneDNN has run for each operation, as records have it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from project import CEILINGS, ENVIRONMENT, ROOT, python, script
from torch import nn

from backbone.measure.kernels import collect_kernels
from backbone.network.build import Backbone
from backbone.network.stages import Stage
from backbone.record import records
from backbone.record.rows import Row
from backbone.trace.instrument import cut_pass

# The tests have one thread, on which PyTorch runs pointwise convolutions without oneDNN.
INPUT = ("--i", "64x64", "--s", "2")
PASSES = ("--iterations", "2", "--warmup", "0")
LAYERS = ("cpu/timer.py", *INPUT, *PASSES, "--target", "layer", "--json")

# A process of its own, whose stdout is what the test makes it.
PROCESS = (
    sys.executable,
    "-c",
    f"{CEILINGS}\nimport runpy, sys\ndel sys.argv[0]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')",
)

# A library that prints in each pass, into C's own buffer, one line and a part of one.
PRINTING = """
import ctypes, torch
library, hardtanh = ctypes.CDLL(None), torch.nn.functional.hardtanh
def printing(*arguments, **options):
    if arguments[0].shape == (2, 1280, 2, 2) and not arguments[0].is_meta:
        library.printf({line!r})
    return hardtanh(*arguments, **options)
torch.nn.functional.hardtanh = printing
"""


def depthwise(file: Path) -> list[Row]:
    """The operations of a record that oneDNN runs."""
    rows = [row for row in records.load(file).rows if row.level == "layer"]
    return [row for row in rows if row.cost.kind == "depthwise convolution"]


def test_kernels_of_every_operation_that_onednn_runs(tmp_path):
    file = tmp_path / "layers.json"
    result = script(*LAYERS, file, before=CEILINGS)
    assert (result.returncode, result.stderr) == (0, "")
    assert "onednn" not in result.stdout and "Profile" not in result.stdout
    rows = depthwise(file)
    assert len(rows) == 17
    for row in rows:
        (kernels,) = row.kernels
        assert kernels.implementation and "reorder" not in kernels.implementation
        assert kernels.kernel_ms > 0
    assert any(row.reorder_ms > 0 for row in rows)
    others = [row for row in records.load(file).rows if row.type in ("BatchNorm2d", "ReLU6")]
    assert others and not any(row.kernels for row in others)


@pytest.mark.parametrize(
    "before",
    [
        "import torch; torch.backends.mkldnn.set_flags(_enabled=False)",
        "import torch; torch.backends.mkldnn.is_available = lambda: False",
        "import os; del os.memfd_create",
    ],
)
def test_no_onednn(tmp_path, before):
    file = tmp_path / "layers.json"
    result = script(*LAYERS, file, before=CEILINGS + before)
    assert (result.returncode, result.stderr) == (0, "")
    assert not any(row.kernels for row in records.load(file).rows)


def test_no_record_no_kernels():
    before = "import torch; torch.backends.mkldnn.verbose = None"
    result = script(*LAYERS[:-1], before=before)
    assert (result.returncode, result.stderr) == (0, "")


def test_no_operation_of_onednn():
    network = nn.Sequential(nn.ReLU(), nn.Softmax(dim=1)).eval()
    backbone = Backbone("Small", network, lambda type, path: Stage(type, path))
    image = torch.rand(1, 3, 8, 8)
    cut = cut_pass(backbone, list(image.shape), "layer")
    assert collect_kernels(cut, image) == [None, None]


def test_a_user_who_has_asked_for_the_lines_has_them_all(tmp_path):
    file = tmp_path / "layers.json"
    environment = {**ENVIRONMENT, "ONEDNN_VERBOSE": "1"}
    result = subprocess.run(
        [*PROCESS, *LAYERS, file],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    executed = [line for line in lines if line.startswith("onednn_verbose") and ",exec," in line]
    ran = [line for line in executed if ",convolution," in line]
    # Two timed passes, one that is not cut, three that count page faults, and three that collect
    # the kernels, at least.
    assert len(ran) >= 17 * (2 + 1 + 3 + 3)
    assert lines[-1].startswith("Average Execution Time for MobileNetV2")
    assert all(row.kernels for row in depthwise(file))


@pytest.mark.parametrize("line", ["a library's line\n", "no line"])
def test_what_others_print_is_not_lost(tmp_path, line):
    file = tmp_path / "layers.json"
    before = CEILINGS + PRINTING.format(line=line.encode())
    result = script(*LAYERS, file, before=before)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count(line) == 2 + 1 + 3 + 3
    assert "onednn" not in result.stdout and "Profile" not in result.stdout
    assert all(row.kernels for row in depthwise(file))


def test_a_line_in_cs_own_buffer_is_of_the_operation_that_printed_it(tmp_path):
    file = tmp_path / "layers.json"
    line = b"onednn_verbose,v1,primitive,exec,cpu,eltwise,mine,a,b,c,0.5\n"
    result = script(*LAYERS, file, before=CEILINGS + PRINTING.format(line=line))
    assert (result.returncode, result.stderr) == (0, "")
    rows = [row for row in records.load(file).rows if row.level == "layer"]
    found = {row.path: row.kernels for row in rows if row.kernels}
    mine = [path for path, (kernels,) in found.items() if kernels.implementation == "mine"]
    assert mine == ["features.18.2"]


def test_what_a_library_has_not_written_yet_is_written_where_it_belongs():
    lines = (
        "import ctypes\n"
        "from backbone.measure.captured import stdout_captured\n"
        "library = ctypes.CDLL(None)\n"
        "library.printf(b'before, ')\n"
        "with stdout_captured() as captured:\n"
        "    library.printf(b'inside')\n"
        "library.printf(b'after')\n"
        "library.fflush(None)\n"
        "assert captured == b'inside', captured\n"
    )
    result = python("-c", lines)
    assert (result.returncode, result.stdout, result.stderr) == (0, "before, after", "")


def test_lines_of_another_form(tmp_path):
    file = tmp_path / "layers.json"
    line = b"onednn_verbose,v2,ran,cpu,convolution,brgconv:avx512_core,0.5\n"
    result = script(*LAYERS, file, before=CEILINGS + PRINTING.format(line=line))
    assert result.returncode == 0
    said = "cpu/timer.py: no kernels: oneDNN has printed a line of unknown form: v2,ran,cpu,"
    assert result.stderr.startswith(said) and result.stderr.count("\n") == 1
    assert len(depthwise(file)) == 17 and not any(row.kernels for row in depthwise(file))


@pytest.mark.parametrize("stdout", ["pipe", "closed", "/dev/full"])
def test_stdout_stays_what_it_is(tmp_path, stdout):
    file, text = tmp_path / "layers.json", tmp_path / "layers.txt"
    command = [*PROCESS, *LAYERS, str(file)]
    to = {"pipe": "| cat", "closed": ">&-", "/dev/full": ">/dev/full"}[stdout]
    shell = ["sh", "-c", f'"$@" {to}', "sh", *command]
    with text.open("w") as output:
        result = subprocess.run(
            shell, cwd=ROOT, env=ENVIRONMENT, stdout=output, stderr=subprocess.PIPE, timeout=120
        )
    assert all(row.kernels for row in depthwise(file))
    if stdout == "pipe":
        assert (result.returncode, result.stderr) == (0, b"")
        assert text.read_text().splitlines()[-1].startswith("Average Execution Time")
    else:
        assert text.read_text() == ""
        assert result.returncode == (0 if stdout == "closed" else 1)


def test_kernels_survive_a_record_and_a_run_without_them(tmp_path):
    file = tmp_path / "layers.json"
    assert script(*LAYERS, file, before=CEILINGS).returncode == 0
    text = file.read_text()
    record = records.loads(text, file)
    assert json.loads(records.dumps(record)) == json.loads(text)
    without = replace(record, rows=[replace(row, kernels=()) for row in record.rows])
    file.write_text(records.dumps(records.join([record, without])))
    for row in depthwise(file):
        first, second = row.kernels
        assert first is not None and second is None and row.kernel_ms == first.kernel_ms
