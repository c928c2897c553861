"""Measurements after the timed passes: the machine's ceilings, the difference from the stock
output, and denormal values. They come last because they need extra memory.
"""

from collections.abc import Callable
from dataclasses import asdict

from torch import Tensor

from backbone.command import ending
from backbone.command.errors import is_out_of_memory
from backbone.command.options import PYTORCH, TimerOptions
from backbone.measure.agreement import agreement_with_stock
from backbone.measure.ceilings import measure_ceilings
from backbone.measure.clocks import Clock
from backbone.measure.denormal import count_denormals
from backbone.measure.reference import Reference, read
from backbone.network.build import Backbone
from backbone.network.outputs import have_equal_shapes, output_difference, outputs_of


def measure_yardsticks(
    options: TimerOptions,
    backbone: Backbone,
    image: Tensor,
    clock: Clock,
    stock_output: bytes | None,
    weights: str | None,
) -> dict[str, float]:
    """Further fields for the first run of a command: for target "layer", the machine's ceilings;
    the difference from the stock output, if that is given; for a user's weights, the number of
    denormal values, if any. A field is left out if memory does not suffice to measure it.

    stock_output: a reference as bytes, or None. weights: the digest of a user's weights before the
    mode was applied."""

    def ceilings() -> dict[str, float]:
        return asdict(measure_ceilings(image.device, image.dtype, clock))

    def difference() -> dict[str, float]:
        stock = read(stock_output)
        value = difference_from_stock(backbone, image, stock, weights)
        if value is None:
            return {}
        agreement = {}
        if options.workload.images is not None:
            args = options.workload, options.mode, image.device, stock.answers
            found = agreement_with_stock(backbone.network, *args)
            agreement = {f"agreement_{name}": value for name, value in asdict(found).items()}
        return {"output_difference": value} | agreement

    def denormals() -> dict[str, float]:
        found = asdict(count_denormals(backbone.network, image))
        return {f"denormal_{name}": count for name, count in found.items() if count}

    fields = {}
    if options.target == "layer":
        fields |= _if_memory_suffices(ceilings)
    if stock_output is not None:
        fields |= _if_memory_suffices(difference)
    mode = options.mode
    # Only the values of eager passes can be counted.
    is_eager = mode.runtime == PYTORCH and not mode.compile and not mode.cuda_graph
    if is_eager and options.workload.has_given_values:
        fields |= _if_memory_suffices(denormals)
    return fields


def difference_from_stock(
    backbone: Backbone, image: Tensor, stock: Reference, weights: str | None
) -> float | None:
    """The difference of the output for an image (B, C, H, W) from the stock output; see
    `output_difference()`. None, with a line on stderr, if the two cannot be compared, because a
    user's network has other weights in each process or another output in each pass."""
    name = backbone.name
    if backbone.is_own and weights != stock.weights:
        ending.say(f"no output difference: {name} has different weights in each process; seed them")
        return None
    if stock.varies:
        ending.say(f"no output difference: {name} has a different output in each pass")
        return None
    outputs = outputs_of(backbone.network, image)
    if not have_equal_shapes(outputs, stock.outputs):
        ending.say(f"no output difference: {name} has outputs of other shapes than stock")
        return None
    return output_difference(outputs, stock.outputs)


def _if_memory_suffices(measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    try:
        return measure()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return {}
