"""The scripts from outside: flags, stdout, stderr, exit status, files."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from statistics import fmean

import pyperf
import pytest
import torch
from project import CEILINGS, ENVIRONMENT, ROOT, assert_one_line, python, script

from backbone.command import flags
from backbone.network import catalog
from cpu import timer

QUICK = ("--i", "pascal", "--iterations", "2", "--warmup", "0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--i", "imagenet"], "'imagenet' is none of cityscapes, pascal, and no HxW"),
        (["--i", "0x5"], "'0x5' is none of"),
        (["--i", "5"], "'5' is none of"),
        (["--i", "5x"], "'5x' is none of"),
        (["--i", "1x5x5x5"], "'1x5x5x5' is none of"),
        (["--model", "resnet51"], "'resnet51' is none of torchvision's; near it: resnet50"),
        (["--model", "resnet18", "--output-stride", "8"], "resnet18 has no output stride"),
        (["--output-stride", "4"], "invalid choice: 4"),
        (["--target", "neuron"], "invalid choice: 'neuron'"),
        (["--speed"], "unrecognized arguments: --speed"),
        (["--iter", "3"], "unrecognized arguments"),
        (["--iterations", "0"], "'0' is not a whole number from 1 up"),
        (["--iterations", "-3"], "'-3' is not a whole number"),
        (["--iterations", "many"], "'many' is not a whole number"),
        (["--iterations", "+5"], "'+5' is not a whole number"),
        (["--iterations", "1_000"], "'1_000' is not a whole number"),
        (["--warmup", "-1"], "'-1' is not a whole number from 0 up"),
        (["--batch-size", "0"], "'0' is not a whole number from 1 up"),
        (["--batch-size", str(2**63)], "from 1 up to 999999999"),
        (["--threads", "0"], "from 1 up"),
        (["--threads", str(2**31)], "from 1 up to 999999999"),
        (["--threads", "100000"], "logical processors of this machine"),
        (["--w", "maybe"], "invalid choice: 'maybe'"),
        (["--w", "yes", "--target", "block"], "not allowed with"),
        (["--turns", "--json", "x"], "--json does not go with it"),
    ],
)
def test_wrong_flags_are_usage_errors(capsys, words, said):
    parser = timer.make_parser()
    with pytest.raises(SystemExit, match="2"):
        catalog.check_named(flags.timer_options(parser, words).workload, parser.error)
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["cpu/timer.py", "timer.py", "mem.py"])
def test_usage_error_from_outside(name):
    result = script(name, "--batch-size", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"usage: {name} ")


@pytest.mark.parametrize(("old", "target"), [("yes", "model"), ("no", "layer"), ("False", "layer")])
def test_older_spelling(monkeypatch, old, target):
    monkeypatch.setattr(sys, "argv", ["timer.py", "--w", old])
    assert flags.timer_options(flags.timer_parser("")).target == target


SECRETS = """
import os, platform, socket
socket.gethostname = platform.node = lambda: "host-of-my-own"
os.environ.update(USER="user-of-my-own", LOGNAME="user-of-my-own", HOME="/home/user-of-my-own")
"""
THREADS = 1 + torch.get_num_threads() % 2  # not what it is without the flag


@pytest.fixture(scope="module")
def layers(tmp_path_factory) -> tuple[str, Path]:
    """What a run of the layers prints, and its record."""
    file = tmp_path_factory.mktemp("scripts") / "record.json"
    named = ("--target", "layer", "--json", file, "--threads", str(THREADS))
    result = script("cpu/timer.py", *QUICK, *named, before=SECRETS + CEILINGS)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, file


def test_record_is_a_pyperf_suite_that_tells_no_secrets(layers):
    text, file = layers
    benchmarks = pyperf.BenchmarkSuite.load(str(file)).get_benchmarks()
    lines = [line for line in text.splitlines() if line]
    assert len(benchmarks) == len(lines) == 1 + 21 + 153
    for benchmark, line in zip(benchmarks, lines, strict=True):
        assert f" {benchmark.get_name()} " in line
        mean, std = map(float, re.search(r"is ([\d.]+) ms with std = ([\d.]+) ms", line).groups())
        milliseconds = [value * 1e3 for value in benchmark.get_values()]
        assert len(milliseconds) == 2 and min(milliseconds) > 0
        assert mean == pytest.approx(fmean(milliseconds), abs=6e-4)
        assert std == pytest.approx(abs(milliseconds[0] - milliseconds[1]) / 2, abs=6e-4)
    metadata = benchmarks[-1].get_metadata()
    assert metadata["dataset"] == "pascal" and metadata["target"] == "layer"
    assert metadata["threads"] == THREADS and metadata["warmup"] == 0
    assert metadata["device"] and metadata["dtype"] == "float32"
    text = file.read_text().lower()
    for secret in ("of-my-own", "/", "\\\\"):
        assert secret not in text


def rows(text: str) -> list[tuple[str, list[float]]]:
    suite = pyperf.BenchmarkSuite.load(text)
    return [(b.get_metadata()["level"], b.get_values()) for b in suite.get_benchmarks()]


def test_rows_sum_to_the_pass(layers):
    *parts, (level, whole) = [(level, fmean(values)) for level, values in rows(str(layers[1]))]
    assert level == "model"
    stages, sums = [], []
    for level, mean in parts:
        if level == "block":
            stages.append(mean)
            sums.append(0.0)
        else:
            sums[-1] += mean
    assert (len(stages), len(parts)) == (21, 21 + 153)
    assert sums == pytest.approx(stages, rel=1e-3)
    assert sum(stages) == pytest.approx(whole, rel=1e-3)


def test_pyperf_commands_work_on_records(layers):
    file = str(layers[1])
    for command in (["check", file], ["compare_to", file, file], ["stats", file]):
        result = python("-m", "pyperf", *command)
        assert result.returncode == 0, result.stderr
    assert "Inverted Residual Block at position 17" in result.stdout


def test_no_cuda_device():
    assert_one_line(script("timer.py", *QUICK), "timer.py: no CUDA device", "cpu/timer.py")


def test_out_of_memory():
    result = script("cpu/timer.py", *QUICK, "--s", "100000000")
    assert_one_line(result, "cpu/timer.py: out of memory", "--s")


def raising(message: str) -> str:
    """Code after which making the image raises what torch would raise."""
    return f"""
import torch
def rand(*size, **options):
    raise RuntimeError({message!r})
torch.rand = rand
"""


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "CUDA error: no kernel image is available\nCompile with",
            "available; this torch may not fit",
        ),
        ("CUDA out of memory. Tried to allocate 20 GiB", "timer.py: out of memory; a smaller"),
        (
            "GET was unable to find an engine to execute this computation",
            "timer.py: GET was unable to find an engine to execute this computation; too little",
        ),
    ],
)
def test_error_of_torch_is_one_line(message, words):
    assert_one_line(script("cpu/timer.py", before=raising(message)), words)


def test_unforeseen_error_is_not_called_out_of_memory():
    result = script("cpu/timer.py", before=raising("overflow in the index of a kernel"))
    assert result.returncode == 1
    assert "out of memory" not in result.stderr
    assert result.stderr.endswith("RuntimeError: overflow in the index of a kernel\n")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("torch.version.cuda = None", "is built without CUDA"),
        ("torch.version.cuda = '13.0'", "finds no GPU or no driver"),
        (
            """
import warnings
torch.version.cuda = "13.0"
def is_available():
    warnings.warn("CUDA initialization: The NVIDIA driver is too old\\n(found 11040)")
    return False
torch.cuda.is_available = is_available
""",
            "CUDA initialization: The NVIDIA driver is too old (found 11040)",
        ),
    ],
)
def test_says_why_there_is_no_cuda_device(code, reason):
    result = script("timer.py", before=f"import torch.utils.flop_counter\n{code}")
    assert_one_line(result, "timer.py: no CUDA device here (", reason, "; cpu/timer.py measures")


def test_size_beyond_64_bits_is_out_of_memory():
    beyond = ("--s", "9" * 9, "--i", "99999x99999")
    assert_one_line(script("cpu/timer.py", *QUICK, *beyond), "out of memory")


needs_dev_full = pytest.mark.skipif(
    not Path("/dev/full").is_char_device(), reason="no /dev/full, which a test could make a file"
)


@pytest.mark.parametrize(
    "target",
    [
        "missing/record.json",
        "file/record.json",
        "folder",
        pytest.param("/dev/full", marks=needs_dev_full),
    ],
)
def test_record_that_cannot_be_written(tmp_path, target):
    (tmp_path / "file").write_text("as it was")
    (tmp_path / "folder").mkdir()
    result = script("cpu/timer.py", *QUICK, "--json", tmp_path / target)
    assert_one_line(result, f"cpu/timer.py: cannot write {tmp_path / target}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "as it was"


def test_record_without_a_name():
    result = script("cpu/timer.py", *QUICK, "--json", "")
    assert_one_line(result, "cannot write a file without a name")


def test_record_through_a_link(tmp_path):
    (tmp_path / "link.json").symlink_to("record.json")
    assert script("cpu/timer.py", *QUICK, "--json", tmp_path / "link.json").returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert len(rows(str(tmp_path / "record.json"))) == 1


@needs_dev_full
def test_full_stdout():
    with open("/dev/full", "w") as full:
        assert_one_line(python("cpu/timer.py", *QUICK, stdout=full), "No space left on device")


def test_stdout_closed_early_keeps_the_record(tmp_path):
    file = tmp_path / "record.json"
    closed = "import os; reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 1)"
    result = script("cpu/timer.py", *QUICK, "--json", file, before=closed)
    assert (result.returncode, result.stderr) == (141, "")
    assert len(rows(str(file))) == 1


def test_interrupt_in_the_middle_of_a_pass(tmp_path):
    file = tmp_path / "record.json"
    file.write_text("as it was")
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "cpu/timer.py", "--i", "pascal", "--json", file],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    os.close(stderr)
    shown = b""
    while b"/325" not in shown:  # the progress bar: 25 + 300 passes
        shown += os.read(terminal, 1000)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, b"")
    try:
        while chunk := os.read(terminal, 1000):
            shown += chunk
    except OSError:  # how Linux says that the other side of a terminal has gone
        pass
    assert b"Traceback" not in shown
    assert file.read_text() == "as it was"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_interrupt_that_an_import_swallows(tmp_path):
    (tmp_path / "torch.py").write_text("""
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
except KeyboardInterrupt:
    raise ImportError("initialized twice")
""")
    result = python("cpu/timer.py", *QUICK, env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)})
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_closed_stdout():
    # As Python finds it after >&-: nothing can be printed, and nothing else goes wrong.
    closed = "import os, sys; os.close(1); sys.stdout = None"
    result = script("mem.py", "--struct", before=closed)
    assert (result.returncode, result.stderr) == (0, "")


def test_closed_stderr():
    result = script("cpu/timer.py", *QUICK, before="import os, sys; os.close(2); sys.stderr = None")
    assert (result.returncode, result.stdout.count("\n")) == (0, 1)


def test_missing_library_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    result = python("cpu/timer.py", *QUICK, env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)})
    assert_one_line(result, "No module named 'torch'", "pip install -r requirements.txt")


@pytest.mark.parametrize("debug", ["1", "0"])
@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("ImportError('no such name')", "no such name; pip install -r requirements.txt installs"),
        ("FileNotFoundError(2, 'No such file', 'x')", "cannot go on: No such file (x)"),
    ],
)
def test_where_an_error_comes_from_is_shown_to_who_asks(error, line, debug):
    before = f"""
import os, torch
os.environ["PROFILE_DEBUG"] = "{debug}"
def rand(*size, **options):
    raise {error}
torch.rand = rand
"""
    result = script("cpu/timer.py", *QUICK, before=before)
    assert (result.returncode, result.stdout) == (1, "")
    *traceback, last = result.stderr.splitlines()
    assert last.startswith(f"cpu/timer.py: {line}")
    assert ("Traceback (most recent call last):" in traceback) is (debug == "1")
    assert any("build.py" in line for line in traceback) is (debug == "1")


def test_old_torch_is_one_line():
    code = 'import torch; torch.__version__ = torch.torch_version.TorchVersion("2.7.1")'
    assert_one_line(
        script("cpu/timer.py", before=code), "torch 2.8 or later is needed, this is 2.7.1"
    )


def test_torchvision_beside_a_torch_of_another_build():
    # As where the compiled operators can't load: torchvision alone can't be imported then.
    unloadable = """
import torch
def load_library(path): raise OSError("libcudart.so: cannot open shared object file")
torch.ops.load_library = load_library
"""
    alone = python("-c", unloadable + "import torchvision")
    assert "operator torchvision::nms does not exist" in alone.stderr
    # torchvision 0.23 warns of its image reader, which is true and no concern of the network.
    quiet = ("-W", "ignore:Failed to load image Python extension:UserWarning")
    code = unloadable + "from backbone.network import build; build.build_network()"
    ours = python(*quiet, "-c", code)
    assert (ours.returncode, ours.stderr) == (0, "")


def test_help_and_start_up_import_nothing_heavy():
    result = python("-X", "importtime", "cpu/timer.py", "--help")
    assert result.returncode == 0
    assert "torch" not in result.stderr and "numpy" not in result.stderr
    result = python("-X", "importtime", "cpu/timer.py", *QUICK)
    for module in ("pyperf", "matplotlib", "pytorch_memlab", "pandas"):
        assert f" {module}\n" not in result.stderr
