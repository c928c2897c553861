"""The scripts from outside: flags, stdout, stderr, exit status, files, signals."""

import os
import pty
import re
import shlex
import signal
import sys
import warnings
from pathlib import Path
from statistics import fmean

import psutil
import pyperf
import pytest
import torch
from project import CEILINGS, ROOT, assert_one_line, python, script
from wrappers import start, wait_for

import compare
import mem
import timer
from backbone.command.errors import Failure, message_of
from backbone.command.files import write_whole
from backbone.measure import machine
from backbone.measure import script as timer_script
from cpu import timer as cpu_timer

QUICK = ("cpu/timer.py", "--i", "64x96", "--iterations", "2", "--warmup", "0")
SCRIPTS = {"timer.py": timer, "cpu/timer.py": cpu_timer, "mem.py": mem, "compare.py": compare}
PROCESSORS = os.cpu_count()


def call(monkeypatch, command: str) -> None:
    """Call a script's main() as this command line would, up to where a timer measures."""
    monkeypatch.setattr(timer_script, "measure", None)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    SCRIPTS[sys.argv[0]].main()


@pytest.mark.parametrize(
    ("command", "wrong", "said"),
    [
        (
            "cpu/timer.py",
            "--i 0x5, --i 5, --i 1x5x5x5",
            "is neither a dataset (cityscapes, pascal) nor",
        ),
        (
            "cpu/timer.py",
            "--model resnet51",
            "torchvision has no 'resnet51'; similar names: resnet50",
        ),
        (
            "mem.py",
            "--model resnet18 --output-stride 8",
            "--output-stride is not available for resnet18",
        ),
        ("cpu/timer.py", "--output-stride 4, --target x, --w x, --dtype x, --runtime x", "invalid"),
        ("mem.py", "--struct maybe, --device tpu", "invalid choice: "),
        ("timer.py", "--iter 3, --runtime openvino", "unrecognized arguments: "),
        ("cpu/timer.py", "--iterations 0, --threads 0", "'0' is not a whole number from 1 up"),
        ("cpu/timer.py", "--batch-size 0, --batch-size 1000000000", "from 1 up to 999999999"),
        ("cpu/timer.py", "--warmup +5, --warmup 05, --warmup 1_000, --warmup -1", "from 0 up to"),
        ("cpu/timer.py", f"--threads {PROCESSORS + 1}", "logical processors of this machine"),
        ("timer.py", "--w yes --target block, --turns --json x", "not "),
        ("timer.py --compile", "--target block, --w no, --w False", "--compile fuses operations"),
        (
            "timer.py --train",
            "--fold, --w yes --compile --freeze",
            "fixes the batch statistics that --",
        ),
        ("timer.py", "--freeze", "--freeze is an option of torch.compile; add"),
        ("cpu/timer.py --runtime openvino", "--target block, --w no", "use --target model"),
        (
            "cpu/timer.py --runtime openvino",
            "--compile, --fold",
            " cannot be combined with --runtime o",
        ),
        (
            "cpu/timer.py --runtime onnxruntime",
            "--channels-last, --train",
            " cannot be combined with",
        ),
        (
            "cpu/timer.py --runtime onnxruntime",
            "--dtype bfloat16",
            "which has float32 or int8 on a CPU",
        ),
        (
            "cpu/timer.py --runtime openvino",
            "--dtype float16",
            "which has float32, bfloat16 or int8 on",
        ),
        ("compare.py", "--rounds 1 x, --same -1 x", "' is not a "),
        ("compare.py", "--fail-slower 3 x", "--fail-slower needs a second command"),
        ("compare.py", "--rounds 3", "required: COMMAND"),
        ("cpu/timer.py", "--json ''", "cannot write a file without a name"),
        ("cpu/timer.py", "--json /dev/null", "cannot write /dev/null: it exists and is not a file"),
        ("mem.py", "--json /none/x, --json /dev/null/x", "/x: there is no such folder, or it is"),
        ("compare.py", "--json /none/x y", "cannot write /none/x: there is no such folder"),
        ("compare.py", """ "cpu/timer.py 'x" """, "cpu/timer.py 'x: No closing quotation"),
        ("compare.py", "'cpu/timer.py --iterations=9'", "--iterations is set by compare.py"),
        ("compare.py", "A=1", "'A=1' is not a timer's command"),
        # The tests themselves are one; see conftest.py.
        (
            "compare.py",
            "x",
            "another measurement is running on this machine; wait for it to finish",
        ),
    ],
)
def test_what_is_refused_before_anything_is_measured(monkeypatch, capsys, command, wrong, said):
    for words in wrong.split(", "):
        with pytest.raises((SystemExit, Failure)) as raised:
            call(monkeypatch, f"{command} {words}")
        assert said in (capsys.readouterr().err or str(raised.value)).splitlines()[-1]


def test_usage_from_outside_imports_nothing_heavy():
    result = python("-X", "importtime", "cpu/timer.py", "--help")
    assert result.returncode == 0 and result.stdout.startswith("usage: cpu/timer.py [-h]")
    assert "torch" not in result.stderr and "numpy" not in result.stderr
    result = script("mem.py", "--batch-size", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: mem.py ")


def test_record_is_a_pyperf_suite_of_what_is_printed_and_tells_no_secrets(tmp_path):
    file = tmp_path / "record.json"
    secrets = """
import os, platform, socket
socket.gethostname = platform.node = lambda: "host-of-my-own"
os.environ.update(USER="user-of-my-own", LOGNAME="user-of-my-own", HOME="/home/user-of-my-own")
"""
    named = ("--w", "no", "--json", file, "--threads", str(PROCESSORS))
    result = script(*QUICK, *named, before=secrets + CEILINGS)
    assert (result.returncode, result.stderr) == (0, "")
    benchmarks = pyperf.BenchmarkSuite.load(str(file)).get_benchmarks()
    lines = [line for line in result.stdout.splitlines() if line]
    assert len(benchmarks) == len(lines) == 1 + 21 + 153
    for benchmark, line in zip(benchmarks, lines, strict=True):
        assert f" {benchmark.get_name()} " in line
        mean, std = map(float, re.search(r"is ([\d.]+) ms with std = ([\d.]+) ms", line).groups())
        milliseconds = [value * 1e3 for value in benchmark.get_values()]
        assert len(milliseconds) == 2 and min(milliseconds) > 0
        assert mean == pytest.approx(fmean(milliseconds), abs=6e-4)
        assert std == pytest.approx(abs(milliseconds[0] - milliseconds[1]) / 2, abs=6e-4)
    metadata = benchmarks[-1].get_metadata()
    expected = {"dataset": "64x96", "target": "layer", "threads": PROCESSORS, "warmup": 0}
    assert metadata.items() >= (expected | {"dtype": "float32"}).items() and metadata["device"]
    assert not re.search(r"of-my-own|/|\\\\", file.read_text().lower())
    result = python("-m", "pyperf", "stats", str(file))
    assert "Inverted Residual Block at position 17" in result.stdout, result.stderr


def test_plain_run_imports_nothing_that_it_does_not_need():
    """Nor does it need stderr, which the caller may have closed."""
    late = "matplotlib onnx onnxruntime onnxscript openvino pandas pyperf pytorch_memlab"
    before = f"sys.modules |= dict.fromkeys({late.split()}); os.close(2); sys.stderr = None"
    result = script(*QUICK, before=f"import os, sys\n{before}")
    assert (result.returncode, result.stdout.count("\n")) == (0, 1)


OLD_TORCH = 'import torch; torch.__version__ = torch.torch_version.TorchVersion("2.7.1")'
BEYOND_64_BITS = "--s 999999999 --i 99999x99999"


@pytest.mark.parametrize(
    ("command", "before", "said"),
    [
        ("timer.py", "", "timer.py: no CUDA device here (.*; cpu/timer.py measures the CPU"),
        ("mem.py --device cuda", "", "mem.py: no CUDA device here (.*; use --device"),
        ("cpu/timer.py --s 100000000", "", "cpu/timer.py: out of memory; a smaller batch (--s)"),
        (f"cpu/timer.py {BEYOND_64_BITS}", "", "out of memory"),
        (f"mem.py --struct {BEYOND_64_BITS}", "", "mem.py: out of memory"),
        ("cpu/timer.py", OLD_TORCH, "torch 2.8 or later is needed, this is 2.7.1; 'pip install"),
    ],
)
def test_foreseen_error_is_one_line(command, before, said):
    assert_one_line(script(*command.split(), before=before), *said.split(".*"))


def test_messages_of_errors_of_torch():
    for error, said in {
        "CUDA out of memory. Tried to allocate 20 GiB": "^out of memory; a smaller batch",
        "CUDA error: no kernel\nCompile with": "^CUDA error: no kernel; this PyTorch may not",
        "GET was unable to find an engine to execute": "to execute; too little GPU memory",
        "'slow_conv2d_cpu' not implemented for 'Half'": "for 'Half'; .*choose another --dtype$",
        "overflow in the index of a kernel": "^None$",
    }.items():
        assert re.search(said, str(message_of(RuntimeError(error))))


def test_says_why_there_is_no_cuda_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is built without CUDA" in machine.why_no_cuda()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "finds no GPU or no driver" in machine.why_no_cuda()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: warnings.warn("too\nold", stacklevel=1))
    assert machine.why_no_cuda() == "no CUDA device here (too old)"


def test_torchvision_beside_a_torch_of_another_build():
    """As where the compiled operators can't load: torchvision alone can't be imported then."""
    code = """
import torch
def load_library(path): raise OSError("libcudart.so: cannot open shared object file")
torch.ops.load_library = load_library
from backbone.network import build, library
build.build_network()
print(hasattr(library, "_library"))
"""
    result = python("-W", "ignore:Failed to load image Python extension", "-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\n", "")


OLD, NEW = "as it was\n", "what is new\n"


def test_text_is_synced_before_it_replaces_the_old_one_and_a_link_stays(tmp_path, monkeypatch):
    file, link, synced = tmp_path / "folder/README.md", tmp_path / "link.md", []

    def fsync(handle: int) -> None:
        texts = [each.read_text() for each in sorted(file.parent.iterdir())]
        synced.append((os.fstat(handle).st_ino, texts))

    monkeypatch.setattr(os, "fsync", fsync)
    file.parent.mkdir()
    file.write_text(OLD)
    link.symlink_to("folder/README.md")
    write_whole(link, NEW)
    assert synced == [(file.stat().st_ino, [NEW, OLD]), (file.parent.stat().st_ino, [NEW])]
    assert os.readlink(link) == "folder/README.md"


# A script that writes a file, its first argument, prints, and does what its second one says.
WRITER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from backbone.command import ending
from backbone.command.files import write_whole
def main():
    write_whole(sys.argv[1], {NEW!r})
    print("report")
    exec(sys.argv[2])
ending.run(main)
"""
# To run before: a step of a write sends a signal first.
SIGNAL = """
import pathlib, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGQUIT would leave a file
step = {0}
{0} = lambda *words, **options: os.kill(os.getpid(), signal.{1}) or step(*words, **options)
"""
IGNORED = "signal.signal(signal.SIGINT, signal.SIG_IGN)"  # as in the background (&)
NO_FILE = "raise FileNotFoundError(2, 'No such file', 'x')"
LINE = r"\S+writer.py: cannot continue: No such file \(x\)\n"
FULL_DISK = "os.fsync = lambda _: os.write(os.open('/dev/full', os.O_WRONLY), b'x')"
FULL_STDOUT = "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
NO_READER = "reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 1)"
CLOSED = "os.close(1); sys.stdout = None"  # as Python finds it after >&-


@pytest.mark.parametrize(
    ("before", "then", "status", "stdout", "stderr"),
    [
        (SIGNAL.format("pathlib.Path.open", "SIGINT"), "", 130, "", ""),
        (SIGNAL.format("os.fsync", "SIGTERM"), "", -signal.SIGTERM, "", ""),
        (SIGNAL.format("pathlib.Path.replace", "SIGHUP"), "", -signal.SIGHUP, "", ""),
        (SIGNAL.format("pathlib.Path.unlink", "SIGQUIT"), "", -signal.SIGQUIT, "", ""),
        (SIGNAL.format("os.fsync", "SIGINT") + IGNORED, "", 0, "report\n", ""),
        ("os.environ['PROFILE_DEBUG'] = '0'", NO_FILE, 1, "report\n", LINE),
        ("os.environ['PROFILE_DEBUG'] = '1'", NO_FILE, 1, "report\n", "Trace.*in main.*" + LINE),
        ("", "raise ValueError('odd')", 1, "report\n", ".*Traceback.*\nValueError: odd\n"),
        (FULL_DISK, "", 1, "", r"\S+writer.py: cannot write \S+README.md: No space left .*\n"),
        (FULL_STDOUT, "", 1, "", r"\S+writer.py: cannot continue: No space left on device\n"),
        (NO_READER, "", 141, "", ""),
        (CLOSED, "", 0, "", ""),
    ],
)
def test_end_of_a_script_leaves_a_whole_file(tmp_path, before, then, status, stdout, stderr):
    if "/dev/full" in before and not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full, which a test could make a file")
    file, writer = tmp_path / "README.md", tmp_path / "writer.py"
    file.write_text(OLD)
    writer.write_text(WRITER)
    result = script(writer, file, then, before=f"import os, signal, sys\n{before}")
    assert (result.returncode, result.stdout) == (status, stdout)
    assert re.fullmatch(stderr, result.stderr, re.DOTALL), result.stderr
    assert file.read_text() == (OLD if before == FULL_DISK else NEW)
    assert sorted(tmp_path.iterdir()) == [file, writer]


def test_record_is_kept_where_nobody_reads_stdout(tmp_path):
    file = tmp_path / "record.json"
    result = script(*QUICK, "--json", file, before=f"import os\n{NO_READER}")
    assert (result.returncode, result.stderr, file.exists()) == (141, "", True)


IN_AN_IMPORT = """
import builtins
import_module = builtins.__import__
def import_and_swallow(name, *rest):
    try:
        return import_module(name, *rest) if name != "torch" else interrupt(signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("initialized twice")
builtins.__import__ = import_and_swallow
"""
IN_AN_EXPORT = """
import torch.onnx
torch.onnx.export = lambda *words, **_: (open(words[2], "w"), interrupt(signal.SIGTERM))
"""
IN_A_PASS = """
from backbone.measure import passes
passes.perf_counter = lambda: interrupt(signal.SIGINT)
"""


@pytest.mark.parametrize(
    ("before", "runtime", "status", "bar"),
    [
        (IN_AN_IMPORT, "torch", 130, b""),
        (IN_AN_EXPORT, "onnxruntime", 143, b""),
        (IN_A_PASS, "torch", 130, b"/325"),  # 25 + 300 passes
    ],
)
def test_interrupt_leaves_nothing(tmp_path, before, runtime, status, bar):
    terminal, stderr = pty.openpty()
    first = f"""
import os, signal, tempfile, time
def interrupt(number):
    os.kill(os.getpid(), number)
os.dup2(os.open({os.ttyname(stderr)!r}, os.O_RDWR | os.O_NOCTTY), 2)
os.system("stty rows 24 cols 80 <&2")
tempfile.tempdir = {str(tmp_path)!r}
"""
    flags = ("--i", "64x96", "--runtime", runtime, "--json", tmp_path / "record.json")
    result = script("cpu/timer.py", *flags, before=first + before)
    os.write(stderr, b"end")
    shown = b""
    while not shown.endswith(b"end"):
        shown += os.read(terminal, 10_000)
    assert (result.returncode, result.stdout) == (status, "")
    assert bar in shown and b"Traceback" not in shown
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # PyTorch has a folder


def test_signal_in_a_turn_ends_all_processes(tmp_path):
    """A signal to tools/trials.py alone ends compare.py, its child, whose children are timers."""
    words = ("--title", "x", "--file", str(tmp_path / "trials.json"), "cpu/timer.py")
    process = start("tools/trials.py", *words, shell=[sys.executable], cwd=ROOT)
    children = psutil.Process(process.pid).children
    wait_for(lambda: len(children(recursive=True)) == 2, process)
    below = children(recursive=True)
    process.terminate()
    assert (process.communicate(timeout=30), process.returncode) == (("", ""), 143)
    assert not any(each.is_running() for each in below)
    assert not list(tmp_path.iterdir())
