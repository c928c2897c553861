"""Building a network and its image, the same in every process."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from backbone.command.options import DEFAULT_MODEL, Workload
from backbone.network import stages
from backbone.network.library import models
from backbone.network.own import load_own
from backbone.network.stages import Stage
from backbone.network.weights import load_weights

# Parts of torchvision's networks that only training uses are not built, nor their weights loaded.
FOR_TRAINING = ("aux", "AuxLogits")


@dataclass(frozen=True)
class Backbone:
    """A network and its name in reports. stage_of: maps an operation's type and its module's path
    to a stage. is_own: whether the network comes from a user's file."""

    name: str
    network: nn.Module
    stage_of: Callable[[str, str], Stage]
    is_own: bool = False


def build(workload: Workload, device: torch.device | str) -> tuple[Backbone, Tensor]:
    """The stock network and an image (B, C, H, W) on a device. Raises Failure if the file of a
    network or its weights cannot be used."""
    if workload.is_own:
        backbone = _build_own(workload.model, workload.weights)
    else:
        backbone = build_network(workload.model, workload.output_stride, workload.weights)
    backbone.network.to(device)
    return backbone, torch.rand(workload.input_shape, device=device)


def build_network(
    name: str = DEFAULT_MODEL, output_stride: int = 32, weights: str | None = None
) -> Backbone:
    """One of torchvision's networks in eval mode, without auxiliary classifiers: classification,
    (B, 3, H, W) -> (B, 1000), or segmentation, (B, 3, H, W) -> {"out": (B, 21, H, W)}. Weights come
    from a file or are random; random weights, and the state of torch's generator afterwards, are
    the same in every process. Sources for the output stride (see Workload): Chen et al.,
    "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, as torchvision implements
    it for ResNets; Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
    2018."""
    torch.manual_seed(0)
    device = torch.get_default_device()
    # RegNets compute their widths with tensors, which have no values on the meta device.
    with torch.device("cpu" if name.startswith("regnet") else device):
        network = models.get_model(
            name, weights=None, **_builder_arguments(name, output_stride)
        ).eval()
    if name == DEFAULT_MODEL:
        _dilate(network, output_stride)
    if device.type == "meta":
        network.to(device)
    elif weights is not None:
        load_weights(network, weights, without=FOR_TRAINING)
    else:
        _settle_batch_norms(name, network)
    if name == DEFAULT_MODEL:
        return Backbone("MobileNetV2", network, stages.of_mobilenet_v2(network))
    return Backbone(name, network, stages.by_module(network))


def _build_own(model: str, weights: str | None) -> Backbone:
    """Build a user's network in eval mode and float32. Its weights are the ones it is created with,
    unless a weights file is given. torch's generator ends in the same state in every process."""
    network = load_own(model).eval().float()
    if weights is not None:
        load_weights(network, weights)
    torch.manual_seed(0)
    name = model.rpartition(":")[2]
    return Backbone(name, network, stages.by_module(network), is_own=True)


def _builder_arguments(name: str, output_stride: int) -> dict[str, object]:
    """The arguments for torchvision's builder of a network."""
    if name in models.list_models(module=models.segmentation):
        return {"weights_backbone": None}  # it would be downloaded
    if name in ("googlenet", "inception_v3"):  # the default initialization is slow and warns
        return {"aux_logits": False, "init_weights": False}
    if output_stride != 32 and name != DEFAULT_MODEL:
        return {"replace_stride_with_dilation": [False, output_stride == 8, True]}
    return {}


def _dilate(network: nn.Module, output_stride: int) -> None:
    """Replace the strides of MobileNet-V2's 3x3 convolutions by dilations beyond an output stride.
    The block that loses its stride keeps the previous dilation; later blocks double it."""
    stride = 1
    dilation = 1
    for convolution in network.modules():
        if isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (3, 3):
            convolution.dilation = (dilation, dilation)
            convolution.padding = (dilation, dilation)
            if convolution.stride == (2, 2) and stride == output_stride:
                convolution.stride = (1, 1)
                dilation *= 2
            else:
                stride *= convolution.stride[0]


def _settle_batch_norms(name: str, network: nn.Module) -> None:
    """Set the statistics of batch norms from two random images. With their initial statistics,
    batch norms change nothing and activations shrink to 1e-9, so output differences would mean
    nothing. oneDNN is switched off, since environment variables change its arithmetic."""
    size = 224 if name == "maxvit_t" else 96  # the only size that maxvit_t accepts
    enabled, *_ = torch.backends.mkldnn.set_flags(False)  # flags() would also set other flags
    try:
        update_bn([torch.rand(2, 3, size, size)], network)
    finally:
        torch.backends.mkldnn.set_flags(enabled)
