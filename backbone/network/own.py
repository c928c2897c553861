"""A user's own network, loaded from a Python file: FILE.py:NAME."""

import contextlib
import importlib.util
import random
import sys
import traceback
from collections.abc import Iterator
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from backbone.command.errors import Failure, is_out_of_memory

_found: dict[str, object] = {}  # the object of each FILE.py:NAME, after its file has run


def load_own(model: str) -> nn.Module:
    """A new network on the CPU at each call. NAME in FILE.py is a module, or a callable that takes
    no arguments and returns one. The file may import modules from its folder. The random generators
    of Python, NumPy and PyTorch are seeded before the file is imported and before NAME is called.
    Raises Failure, naming the file's line, if this fails or NAME provides no module."""
    file, _, name = model.rpartition(":")
    with failing_at_its_line(model), torch.device("cpu"), _imports_beside(Path(file)):
        if model not in _found:
            _seed_generators()
            _found[model] = _run_file(Path(file), name)
        _seed_generators()
        found = _found[model]
        network = deepcopy(found) if isinstance(found, nn.Module) else found()
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise Failure(f"{file}: {name} must be a torch.nn.Module or return one, not a {kind}")
    if isinstance(network, torch.jit.ScriptModule) or hasattr(network, "_orig_mod"):
        raise Failure(f"{file}: {name} is already compiled; provide the original module")
    if path := _path_of_cycle(network):
        raise Failure(f"{file}: {name} is not a tree of modules: {path} contains itself")
    state = [*network.parameters(), *network.buffers()]
    if any(map(is_lazy, state)):
        raise Failure(
            f"{file}: {name} has lazy modules, whose weights have no shape before a first pass; "
            f"run a pass in {Path(file).name}"
        )
    if any(tensor.is_meta for tensor in state):
        raise Failure(f"{file}: the weights of {name} are on the meta device, and have no values")
    return network


@contextlib.contextmanager
def failing_at_its_line(model: str) -> Iterator[None]:
    """Convert errors in the block, and exits and interrupts that FILE.py itself raises, to a
    Failure that names the line of FILE.py in their traceback, if there is one. Out-of-memory errors
    and errors of torchvision's networks pass unchanged."""
    file = model.rpartition(":")[0]
    try:
        yield
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if not file or isinstance(error, Failure) or is_out_of_memory(error):
            raise
        reason = traceback.format_exception_only(error)[-1].strip()
        raise Failure(f"{_place_of(error, file)}: {reason}") from error


def _seed_generators() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def _path_of_cycle(module: nn.Module, path: str = "", around: tuple[nn.Module, ...] = ()) -> str:
    """The path of the first module that contains itself; "" if there is none."""
    for name, child in module._modules.items():
        if child is None:
            continue
        below = f"{path}.{name}".lstrip(".")
        if any(child is outer for outer in (*around, module)):
            return below
        if found := _path_of_cycle(child, below, (*around, module)):
            return found
    return ""


@contextlib.contextmanager
def _imports_beside(file: Path) -> Iterator[None]:
    """Imports in the block look in the file's folder first, even for a package with the name of
    this project's; later imports look there last. The script's flags are hidden from the file."""
    folder = str(file.parent)
    path, arguments = sys.path.copy(), sys.argv
    sys.path.insert(0, folder)
    sys.argv = [str(file)]
    package = __name__.partition(".")[0]
    ours = {name: sys.modules[name] for name in sys.modules if name.partition(".")[0] == package}
    for name in ours:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(ours)
        sys.path[:] = [*(place for place in path if place != folder), folder]
        sys.argv = arguments


def _run_file(file: Path, name: str) -> object:
    """The object with a name in a file, after running the file."""
    spec = importlib.util.spec_from_file_location(f"own_network_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look up a class's module there
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        near = ", ".join(get_close_matches(name, vars(module), cutoff=0.5))
        raise Failure(f"{file} has no {name}" + (f"; similar names: {near}" if near else ""))
    found = getattr(module, name)
    if not callable(found):
        raise Failure(f"{file}: {name} is neither a torch.nn.Module nor callable")
    return found


def _place_of(error: BaseException, file: str) -> str:
    """The line of the file that raised an error or made the call that failed."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else file
