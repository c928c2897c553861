"""torchvision, imported beside any torch that this project supports."""

import torch

if torch.__version__ < (2, 8):
    raise ImportError(f"torch 2.8 or later is needed, this is {torch.__version__}")

try:
    import torchvision
except RuntimeError:
    # Beside a torch of another build (a CPU one, say) torchvision's compiled operators can't load,
    # and its import fails for want of two of them, which no network here uses.
    _library = torch.library.Library("torchvision", "FRAGMENT")  # what it declares dies with it
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

models = torchvision.models
