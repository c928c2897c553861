"""The process's allocator, by --keep-memory and by variables of the environment."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ENVIRONMENT, assert_one_line, patch, python
from wrappers import run

from backbone.record import records

QUICK = ("cpu/timer.py", "--i", "64x96", "--iterations", "1", "--warmup", "0")
LIBRARY = """
#include <stddef.h>
extern void *__libc_malloc(size_t size);
void *malloc(size_t size) { return __libc_malloc(size); }
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the loader of Linux")


@pytest.fixture(scope="module")
def allocator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose malloc takes the place of glibc's."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("allocator")
    source, library = folder / "own.c", folder / "libown.so"
    source.write_text(LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def timer(*flags: str | Path, **environment: str) -> subprocess.CompletedProcess:
    return python(*QUICK, *flags, env={**ENVIRONMENT, **environment})


@on_linux
def test_a_library_that_is_loaded_is_in_the_record(tmp_path, allocator):
    file = tmp_path / "record.json"
    result = timer("--json", file, LD_PRELOAD=str(allocator))
    assert (result.returncode, result.stderr) == (0, "")
    assert records.load(file).conditions["LD_PRELOAD"] == "libown.so"


@on_linux
def test_a_library_that_is_not_there(tmp_path):
    file = tmp_path / "record.json"
    result = timer("--json", file, LD_PRELOAD="libnone.so.4")
    assert result.returncode == 1 and not file.exists()
    last = result.stderr.splitlines()[-1]  # those before it are the loader's
    assert last == (
        "cpu/timer.py: LD_PRELOAD=libnone.so.4: the loader has not loaded it; is it installed?"
    )


@on_linux
def test_memory_is_kept_by_glibcs_allocator_alone(allocator):
    result = timer("--keep-memory", LD_PRELOAD=str(allocator))
    assert_one_line(result, "--keep-memory is of glibc's allocator, and another is in its place")


@on_linux
@pytest.mark.parametrize("name", ["libtcmalloc_minimal.so.4", "libjemalloc.so.2"])
def test_modes_have_the_allocators_that_are_found(checkout, stand_in, allocator, tmp_path, name):
    folder = tmp_path / "libraries"
    folder.mkdir()
    shutil.copy(allocator, folder / name)
    other = {"libtcmalloc_minimal.so.4": "libjemalloc.so.2"}.get(name, "libtcmalloc_minimal.so.4")
    patch(checkout / "modes.sh", other, "libnone.so.2")
    env = {**stand_in, "LD_LIBRARY_PATH": str(folder), "INPUTS": "pascal"}
    result = run(checkout / "modes.sh", env=env)
    assert result.returncode == 0, result.stderr
    found = (checkout / "cpu/mobilenetv2_stats/modes").glob("mobilenetv2_pascal_LD_PRELOAD_*.json")
    words = [records.load(file).runs[0]["date"] for file in found]
    assert words and all(each.startswith(f"LD_PRELOAD={name} cpu/timer.py ") for each in words)


def lists_tunables() -> bool:
    """Whether this glibc says which tunables it has."""
    version = subprocess.run(["getconf", "GNU_LIBC_VERSION"], capture_output=True, text=True)
    found = re.match(r"glibc 2\.(\d+)", version.stdout)
    return found is not None and int(found[1]) >= 33


@pytest.mark.skipif(not lists_tunables(), reason="glibc before 2.33, or none")
@pytest.mark.parametrize(
    ("tunables", "said"),
    [
        ("glibc.malloc.none=1", "this glibc has no such tunable"),
        ("glibc.malloc.mmap_max=7:glibc.none=1", "GLIBC_TUNABLES=glibc.none=1: this glibc has no"),
        ("glibc.malloc.arena_max=none", "this glibc does not take the value"),
    ],
)
def test_tunables_that_glibc_ignores(tunables, said):
    result = timer(GLIBC_TUNABLES=tunables)
    assert result.returncode == 1 and result.stdout == ""
    assert said in result.stderr.splitlines()[-1]


@pytest.mark.skipif(not lists_tunables(), reason="glibc before 2.33, or none")
@pytest.mark.parametrize(
    "tunables", ["glibc.malloc.mmap_max=7", "glibc.malloc.mmap_max=1:glibc.malloc.mmap_max=010"]
)
def test_tunables_that_glibc_takes(tmp_path, tunables):
    file = tmp_path / "record.json"
    result = timer("--json", file, GLIBC_TUNABLES=tunables)
    assert (result.returncode, result.stderr) == (0, "")
    assert records.load(file).conditions["GLIBC_TUNABLES"] == tunables
