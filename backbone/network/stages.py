"""The stages of a network: the part that each operation belongs to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Stage:
    """A part of a network: its type, its module's path ("" is the network itself), and the rest of
    its line in a report."""

    type: str
    path: str
    settings: dict[str, int | float] = field(default_factory=dict)


def by_module(network: nn.Module) -> Callable[[str, str], Stage]:
    """For any network, a function from an operation's type and its module's path to its stage: the
    first module on the path that is not a plain container. Operations in the network's own forward
    form stages by type."""

    def stage_of(operation_type: str, operation_path: str) -> Stage:
        for path in accumulate(operation_path.split("."), "{}.{}".format):
            module = network.get_submodule(path)
            if path and type(module) not in CONTAINERS:
                return Stage(type=type(module).__name__, path=path)
        return Stage(type=operation_type, path="")

    return stage_of


def of_mobilenet_v2(network: nn.Module) -> Callable[[str, str], Stage]:
    """The same for MobileNet-V2, whose 21 stages have names, and which pools and flattens in its
    own forward."""
    dropout, linear = network.classifier
    classifier = {"dropout": dropout.p, "dim": linear.in_features}
    last = len(network.features) - 1

    def stage_of(operation_type: str, operation_path: str) -> Stage:
        part, *inner = operation_path.split(".")
        if part == "classifier":
            return Stage(type="Classifier", path=part, settings=classifier)
        if part != "features":
            return Stage(type="AvgPool", path="")
        position, path = int(inner[0]), f"features.{inner[0]}"
        if 0 < position < last:
            return Stage(type="Inverted Residual Block", path=path)
        convolution = network.features[position][0]
        settings = {"kernel_size": convolution.kernel_size[0], "stride": convolution.stride[0]}
        name = "ConvLast" if position == last else "Conv2D"
        return Stage(type=name, path=path, settings=settings)

    return stage_of
