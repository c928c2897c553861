"""What a run is held against: the machine's ceilings, and the stock network's output; and whether
values are denormal.

They are measured when the passes are stored, since they need memory of their own.
"""

from collections.abc import Callable
from dataclasses import asdict

from torch import Tensor

from backbone.command.errors import is_out_of_memory
from backbone.command.options import PYTORCH, TimerOptions
from backbone.measure.ceilings import measure_ceilings
from backbone.measure.denormal import count_denormals
from backbone.measure.passes import Clock
from backbone.network.build import Backbone
from backbone.network.modes import output_difference


def measure_yardsticks(
    options: TimerOptions, backbone: Backbone, image: Tensor, clock: Clock, is_first: bool
) -> dict[str, float]:
    """Further fields of the first run of a command: for layers the machine's ceilings; for a mode
    that changes arithmetic the difference of its output from stock's; for weights of the user's how
    many values are denormal, if any. A field that memory does not suffice for is left out."""

    def ceilings() -> dict[str, float]:
        return asdict(measure_ceilings(image.device, image.dtype, clock))

    def difference() -> dict[str, float]:
        value = output_difference(options.workload, backbone.network, image, options.mode)
        return {} if value is None else {"output_difference": value}

    def denormals() -> dict[str, float]:
        found = asdict(count_denormals(backbone.network, image))
        return {f"denormal_{name}": count for name, count in found.items() if count}

    fields = {}
    if not is_first:
        return fields
    if options.target == "layer":
        fields |= _if_memory_suffices(ceilings)
    if not options.mode.is_exact:
        fields |= _if_memory_suffices(difference)
    eager = options.mode.runtime == PYTORCH and not options.mode.compile  # others do not tell
    if eager and options.workload.has_given_values:
        fields |= _if_memory_suffices(denormals)
    return fields


def _if_memory_suffices(measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    try:
        return measure()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return {}
