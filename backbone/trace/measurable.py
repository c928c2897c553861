"""Whether a network can be measured: that it takes its input, and that all passes are alike."""

import re

from torch import Tensor

from backbone.command.errors import Failure, is_out_of_memory, reason_of
from backbone.network.build import Backbone
from backbone.trace.meta import copy_on_meta, on_meta
from backbone.trace.observe import observe


def check_input(backbone: Backbone, input_shape: list[int]) -> None:
    """Raise Failure if a network, as it is, cannot take an input of a shape (B, C, H, W), runs no
    operators, or changes its input in place. A user's own is also refused if its passes run
    different operators, or if a pass leaves tensors to the next; what the first pass makes for all
    others, it may keep."""
    network = backbone.network
    try:
        if backbone.is_own:
            network = copy_on_meta(network)
            observe(network, input_shape)
        observed = observe(network, input_shape)
        again = observe(network, input_shape) if backbone.is_own else observed
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # whatever its forward runs into
        if is_out_of_memory(error):
            raise
        reason = _why_no_pass(error, on_meta(network, input_shape)[1])
        raise Failure(f"{backbone.name} {reason}") from error
    if not observed.operators:
        raise Failure(f"{backbone.name} runs no operators: there is nothing to measure")
    if observed.writer is not None:
        raise Failure(
            f"{backbone.name} changes its input in place ({observed.writer}), so that each pass "
            "would see another image; have its forward start with x = x.clone()"
        )
    if observed.operators != again.operators:
        raise Failure(f"{backbone.name} runs different operators in each pass")
    if any(storage.freed is None and storage.size for storage in again.storages.made):
        raise Failure(f"{backbone.name} keeps state: tensors of a pass are still there after it")


def _why_no_pass(error: BaseException, image: Tensor) -> str:
    """Why a network cannot run a pass on the meta device, for an image there (B, C, H, W)."""
    reason = reason_of(error)
    if re.search(r"(?i)\bmeta\b", reason):  # as of Tensor.item() there
        return f"uses the values of tensors in its forward, which cannot be followed ({reason})"
    dtype = str(image.dtype).removeprefix("torch.")
    where = "" if dtype == "float32" else f" in {dtype}"
    return f"cannot take an input of shape {list(image.shape)}{where}: {reason}"
