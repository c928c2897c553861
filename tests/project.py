"""How the tests reach the project: through its scripts, run as a user runs them."""

import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# In the background or under nohup these are ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Processes that each have a thread a core, tests side by side among them, wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# The tests' own interpreter, no GPU, a machine whose lock nobody else has, and stdout buffered.
UNSET = {"RESULTS", "ROUNDS", "PRECISION", "INPUTS", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in UNSET}
ENVIRONMENT |= {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", "PROFILE_LOCKS": mkdtemp()}

# Most of a short run is the import of libraries. A fork of a process that has imported them, and
# has done nothing else, saves that. (torchvision is imported as the project does it.)
LIBRARIES = """backbone.network.library torch torch._dynamo torch.onnx torch.utils.collect_env
torch.utils.flop_counter onnxruntime onnxscript pandas PIL.Image pyperf scipy.special tqdm
matplotlib.backends.backend_svg matplotlib.figure"""
preloaded = multiprocessing.get_context("forkserver")
preloaded.set_forkserver_preload(LIBRARIES.split())

# To run before a timer: its record of layers has ceilings that took no time to measure.
CEILINGS = """
from backbone.measure import yardsticks
from backbone.record.rows import Ceilings
yardsticks.measure_ceilings = lambda *_: Ceilings(flops_per_second=1e11, bytes_per_second=1e10)
"""


def python(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    """Run `python ARGUMENT...` in the project's folder; stdout and stderr as text."""
    options = {"cwd": ROOT, "env": ENVIRONMENT, "stdout": subprocess.PIPE} | options
    options |= {"stderr": subprocess.PIPE, "text": True, "timeout": 120}
    result = subprocess.run([sys.executable, *arguments], **options)
    result.stderr = without_note(result.stderr)
    return result


def without_note(stderr: str) -> str:
    """Without notes that depend on the hour: of other work, or of a cut pass of another time."""
    notes = (": other processes use ", " represent the network's own pass")
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not any(note in line for note in notes))


def script(
    *command: str | Path, before: str = "", keeps_notes: bool = False
) -> subprocess.CompletedProcess:
    """Run a script with its flags, in a process of its own in which torch is imported already.
    before: code to run first. keeps_notes: whether stderr keeps what without_note() drops."""
    with TemporaryDirectory() as folder:
        process = preloaded.Process(target=_run, args=(list(map(str, command)), before, folder))
        process.start()
        process.join(timeout=120)
        assert process.exitcode is not None, f"{command} did not end"
        stdout, stderr = (Path(folder, name).read_text() for name in ("stdout", "stderr"))
    stderr = stderr if keeps_notes else without_note(stderr)
    return subprocess.CompletedProcess(command, process.exitcode, stdout, stderr)


def _run(command: list[str], before: str, folder: str) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=False)
    # As `python SCRIPT` has them: the script's folder is on the path, the tests' is not.
    others = [folder for folder in sys.path[1:] if folder != str(Path(__file__).parent)]
    sys.argv, sys.path = command, [str(Path(command[0]).resolve().parent), *others]
    # The script imports its own. These stay alive in `ours`: operators that they define would go.
    ours = {name: each for name, each in sys.modules.items() if name.startswith("backbone")}
    for name in ours:
        del sys.modules[name]
    exec(before, {})
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        sys.stdout.flush()


def patch(file: Path, old: str, new: str) -> None:
    """Put other words into a copy of a source."""
    text = file.read_text()
    assert old in text, f"{file} does not say {old!r}"
    file.write_text(text.replace(old, new))


def assert_one_line(result: subprocess.CompletedProcess, *words: str, status: int = 1) -> None:
    """It ended with this status, an empty stdout, and one line on stderr that has the words."""
    assert (result.returncode, result.stdout or "") == (status, ""), result
    assert result.stderr.count("\n") == 1 and all(word in result.stderr for word in words), result
