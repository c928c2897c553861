"""Checks that a network can be measured: it accepts its input, and all its passes are alike."""

import re

from torch import Tensor

from backbone.command.errors import Failure, is_out_of_memory, reason_of
from backbone.network.build import Backbone
from backbone.trace.meta import copy_on_meta, on_meta
from backbone.trace.observe import observe


def check_input(backbone: Backbone, input_shape: list[int]) -> None:
    """Raise Failure if a network does not accept an input of a shape (B, C, H, W), runs no
    operators, or changes its input in place. A user's network is also refused if its passes run
    different operators or keep new tensors; tensors that only the first pass creates are
    allowed."""
    network = backbone.network
    try:
        if backbone.is_own:
            network = copy_on_meta(network)
            observe(network, input_shape)
        observed = observe(network, input_shape)
        again = observe(network, input_shape) if backbone.is_own else observed
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # a forward may raise anything
        if is_out_of_memory(error):
            raise
        reason = _why_no_pass(error, on_meta(network, input_shape)[1])
        raise Failure(f"{backbone.name} {reason}") from error
    if not observed.operators:
        raise Failure(f"{backbone.name} runs no operators: there is nothing to measure")
    if observed.writer is not None:
        raise Failure(
            f"{backbone.name} changes its input in place ({observed.writer}), so every pass would "
            "see another image; begin its forward with x = x.clone()"
        )
    if observed.operators != again.operators:
        raise Failure(f"{backbone.name} runs different operators in each pass")
    if any(storage.freed is None and storage.size for storage in again.storages.made):
        raise Failure(f"{backbone.name} keeps state: tensors of a pass stay alive after it")


def _why_no_pass(error: BaseException, image: Tensor) -> str:
    """Why a network cannot run a pass for an image (B, C, H, W) on the meta device."""
    reason = reason_of(error)
    if re.search(r"(?i)\bmeta\b", reason):  # such as from Tensor.item()
        return f"uses the values of tensors in its forward, which cannot be traced ({reason})"
    dtype = str(image.dtype).removeprefix("torch.")
    where = "" if dtype == "float32" else f" in {dtype}"
    return f"does not accept an input of shape {list(image.shape)}{where}: {reason}"
