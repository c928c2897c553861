"""The networks that `--model` accepts by name."""

from collections.abc import Callable
from difflib import get_close_matches

from backbone.command.options import DEFAULT_MODEL, Workload

# Networks with a selectable output stride. torchvision's basic-block ResNets have no dilation.
DILATED = (DEFAULT_MODEL, "resnet50", "resnet101", "resnet152", "resnext", "wide_resnet")


def names() -> list[str]:
    """The names of torchvision's classification and segmentation networks."""
    from backbone.network.library import models

    return [*models.list_models(module=models), *models.list_models(module=models.segmentation)]


def check_named(workload: Workload, refuse: Callable[[str], None]) -> None:
    """Refuse, by a parser's error(), a network that torchvision does not have, or an output stride
    that the network does not support."""
    name = workload.model
    if name == DEFAULT_MODEL:
        return  # importing torch takes seconds
    if workload.is_own:
        if workload.output_stride != 32:
            refuse("--output-stride applies to torchvision's networks; set it in FILE.py for yours")
        return
    known = names()
    if name not in known:
        near = ", ".join(get_close_matches(name, known, cutoff=0.5)) or "see torchvision.models"
        refuse(f"argument --model: torchvision has no {name!r}; similar names: {near}")
    if workload.output_stride != 32 and not name.startswith(DILATED):
        refuse(f"--output-stride is not available for {name}, only for {', '.join(DILATED)}")
