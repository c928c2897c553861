"""How the tests reach the project: through its scripts, run as a user runs them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Where the tests run in the background SIGINT is ignored, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests' own interpreter, no GPU, and stdout buffered, so that a test means the same everywhere.
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
for name in ("RESULTS", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
    ENVIRONMENT.pop(name, None)


def python(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    """Run `python ARGUMENT...` in the project's folder; stdout and stderr as text."""
    options = {"cwd": ROOT, "env": ENVIRONMENT, "stdout": subprocess.PIPE} | options
    command = [sys.executable, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=120, **options)


def patched(code: str, script: str, *flags: str) -> subprocess.CompletedProcess:
    """A script with its flags, in a process where some code has run first."""
    start = f"import runpy, sys; sys.argv = {[script, *flags]}\n"
    return python("-c", f"{start}{code}\nrunpy.run_path({script!r}, run_name='__main__')")


def assert_one_line(result: subprocess.CompletedProcess, *words: str, status: int = 1) -> None:
    """It ended with this status, an empty stdout, and one line on stderr that has the words."""
    assert (result.returncode, result.stdout or "") == (status, ""), result
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
