"""Imports torchvision next to any torch that this project supports."""

import torch

if torch.__version__ < (2, 8):
    raise ImportError(f"torch 2.8 or later is needed, this is {torch.__version__}")

try:
    import torchvision
except RuntimeError:
    # With a torch of another build (such as a CPU one) torchvision's compiled operators cannot be
    # loaded, and its import fails because two of them are missing, which no network here uses.
    # The declarations live as long as this object.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

models = torchvision.models
