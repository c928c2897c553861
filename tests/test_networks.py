"""Other networks: their operations, stages and names, what they hold, and what they refuse."""

import contextlib
import io
import weakref
from itertools import groupby

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torchsummary import summary

from backbone.command.errors import Failure
from backbone.command.options import Mode, TimerOptions, Workload
from backbone.measure import memory, timing
from backbone.measure.structure import list_layers
from backbone.network import catalog
from backbone.network.build import Backbone, build_network
from backbone.network.outputs import tensors_in
from backbone.network.stages import Stage, by_module
from backbone.record import records
from backbone.record.memory_record import Input, Layer, Structure
from backbone.record.names import name_row
from backbone.record.rows import Record, Row
from backbone.record.text import format_rows
from backbone.report.memory_text import format_structure
from backbone.trace import instrument
from backbone.trace.instrument import CutPass, cut_pass
from backbone.trace.measurable import check_input
from backbone.trace.recorder import Operation

FAMILIES = (
    "resnet18",
    "densenet121",
    "inception_v3",
    "efficientnet_b0",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "regnet_y_400mf",
    "convnext_tiny",
    "swin_t",
    "lraspp_mobilenet_v3_large",
    "deeplabv3_mobilenet_v3_large",
)


def build_on_meta(name: str, output_stride: int = 32) -> Backbone:
    with torch.device("meta"):
        return build_network(name, output_stride)


def cut_layers(backbone: Backbone, shape: list[int]) -> CutPass:
    return cut_pass(backbone, shape, "layer")


class LiveBytes(TorchDispatchMode):
    """The operators of a pass, each with the bytes of all storages that are alive after it."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.history = weakref.WeakSet(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.live |= {tensor.untyped_storage() for tensor in tensors_in(result)}
        self.history.append((func, sum(storage.nbytes() for storage in self.live)))
        return result


def compare_passes(backbone: Backbone, image: torch.Tensor) -> list[Operation]:
    """The same values, bit for bit; the same operators; the same bytes alive after each."""
    cut = cut_layers(backbone, list(image.shape))
    forward = cut.with_marks(lambda: None)
    with torch.inference_mode():
        outputs = [tensors_in(run(image)) for run in (backbone.network, forward)]
        assert all(torch.equal(*pair) for pair in zip(*outputs, strict=True))
        histories = []
        for run in (backbone.network, forward):
            with LiveBytes() as live:
                run(image)
            histories.append(live.history)
    assert histories[0] == histories[1]
    return cut.operations


@pytest.mark.parametrize("name", FAMILIES)
def test_pass_is_the_stock_networks(name):
    backbone, image = build_network(name), torch.rand(2, 3, 96, 96)
    operations = compare_passes(backbone, image)
    assert all(operation.input_shape for operation in operations)
    layers, macs = list_layers(build_on_meta(name).network, list(image.shape))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        build_on_meta(name).network(image.to("meta"))
    assert sum(operation.macs for operation in operations) == macs
    assert macs == counter.get_total_flops() // 2
    total = sum(parameter.numel() for parameter in backbone.network.parameters())
    assert sum(layer.parameters for layer in layers) == total


def test_modules_and_weights_that_are_shared_stay_the_networks():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = self.second = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
            self.tied = nn.Conv2d(3, 3, 3)
            self.tied.weight = self.first[0].weight

        def forward(self, x):
            return self.tied(self.second(self.first(x)))

    network = Shared().eval()
    compare_passes(Backbone("shared", network, by_module(network)), torch.rand(1, 3, 8, 8))
    assert not any(parameter.is_meta for parameter in network.parameters())


def test_addition_in_place_stays_in_place():
    operations = cut_layers(build_network("resnet18"), [1, 3, 64, 64]).operations
    additions = [operation for operation in operations if operation.kind == "addition"]
    assert [operation.type for operation in additions] == 8 * ["add_"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pass_in_another_format_without_batch_norms(dtype):
    backbone = build_network("resnet18")
    for module in list(backbone.network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    form = {"dtype": dtype, "memory_format": torch.channels_last}
    backbone.network.to(**form)
    operations = compare_passes(backbone, torch.rand(1, 3, 64, 64).to(**form))
    assert not any(operation.type in ("Identity", "BatchNorm2d") for operation in operations)


def test_pass_in_training_mode():
    backbone, image = build_network("efficientnet_b0"), torch.rand(2, 3, 64, 64)
    backbone.network.train()
    forward = cut_layers(backbone, list(image.shape)).with_marks(lambda: None)
    outputs = []
    for run in (backbone.network, forward):
        torch.manual_seed(0)
        outputs.append(run(image))
    assert torch.equal(*outputs)


class Memory(nn.Module):
    """Runs another way each time."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.passes = nn.Linear(3, 3), 0

    def forward(self, x):
        self.passes += 1
        return self.linear(x) if self.passes % 2 else self.linear(x) + 1


class Foreign(nn.Module):
    """Has a tensor that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.more = nn.Linear(3, 3), torch.ones(3, device="meta")

    def forward(self, x):
        return self.linear(x) + self.more


@pytest.mark.parametrize("network", [Memory(), Foreign()])
def test_network_that_cannot_be_cut_is_refused(network):
    backbone = Backbone("odd", network.eval(), lambda *_: Stage(type="all", path=""))
    words = r"^odd cannot be cut into operations faithfully \(.+\); use --target model$"
    with pytest.raises(Failure, match=words):
        cut_layers(backbone, [1, 3])


def test_pass_that_keeps_tensors_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(instrument, "bisect_left", lambda ends, freed: 0)
    with pytest.raises(Failure, match="its operations keep tensors longer, or not as long"):
        cut_layers(build_network(), [1, 3, 64, 64])


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("vit_b_16", [1, 3, 96, 96], "Wrong image height! Expected 224 but got 96!"),
        ("inception_v3", [1, 3, 32, 32], "Calculated padded input size"),
        ("alexnet", [1, 3, 16, 16], "Output size is too small"),
    ],
)
def test_size_that_a_network_cannot_take(name, shape, reason):
    with pytest.raises(Failure) as failure:
        check_input(build_on_meta(name), shape)
    words = f"{name} cannot take an input of shape {shape}: "
    assert str(failure.value).startswith(words) and reason in str(failure.value)


class TickingClock:
    """Every interval is a millisecond."""

    marks = 0

    def mark(self) -> None:
        self.marks += 1

    def read(self) -> list[float]:
        marks, self.marks = self.marks, 0
        return [1.0] * (marks - 1)


def report(name: str, size: int) -> list[Row]:
    image = torch.rand(1, 3, size, size)
    options = TimerOptions(Workload(), Mode(), target="layer", iterations=1, warmup=0)
    rows, _ = timing.time_network(build_network(name), image, TickingClock(), options)
    return rows


def test_stages_and_names():
    rows = report("resnet18", 64)
    stages = [name_row(row) for row in rows if row.level == "block"]
    blocks = [f"BasicBlock layer{i}.{j}" for i in range(1, 5) for j in range(2)]
    head = ["Conv2d conv1", "BatchNorm2d bn1", "ReLU relu", "MaxPool2d maxpool"]
    tail = ["AdaptiveAvgPool2d avgpool", "flatten", "Linear fc"]
    assert stages == [*head, *blocks, *tail]
    layers = [name_row(row) for row in rows if row.level == "layer"]
    assert "ReLU layer1.0.relu" in layers and "ReLU layer1.0.relu #2" in layers
    assert len(set(layers)) == len(layers)


@pytest.mark.parametrize(
    ("name", "stage", "operation"),
    [
        ("densenet121", "_DenseBlock features.denseblock1", "cat features.denseblock1.denselayer1"),
        ("inception_v3", "InceptionE Mixed_7b", "cat Mixed_7b #3"),
        ("efficientnet_b0", "MBConv features.1.0", "add_ features.2.1"),
    ],
)
def test_names_are_unique_and_read_back(name, stage, operation, tmp_path):
    rows = report(name, 96)
    names = [(row.level, name_row(row)) for row in rows]
    assert ("block", stage) in names and ("layer", operation) in names
    assert len(set(names)) == len(names)
    text = records.dumps(Record(rows, {"network": name}, runs=[{"date": "2026-11-29"}]))
    read = records.loads(text, tmp_path).rows
    assert [(row.level, name_row(row)) for row in read] == names


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_output_stride(name, output_stride):
    operations = cut_layers(build_on_meta(name, output_stride), [1, 3, 128, 192]).operations
    last = next(each for each in reversed(operations) if each.kind == "batch norm")
    assert last.input_shape[2:] == [128 // output_stride, 192 // output_stride]


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_network_is_the_stock_one_in_between(output_stride):
    stock = build_network().network
    dilated = build_network(output_stride=output_stride).network
    dilated.load_state_dict(stock.state_dict())
    image, step = torch.rand(1, 3, 64, 96), 32 // output_stride
    # The last block's depthwise convolution by hand, its kernel with zeros in between.
    convolution, x = dilated.features[17].conv[1][0], torch.rand(1, 960, 8, 12)
    spread = torch.zeros(960, 1, 2 * step + 1, 2 * step + 1)
    spread[..., ::step, ::step] = convolution.weight.detach()
    with torch.inference_mode():
        assert_near(dilated.features(image)[..., ::step, ::step], stock.features(image))
        assert_near(convolution(x), F.conv2d(x, spread, padding=step, groups=960))


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Within rounding of the largest value: random weights leave little of an image."""
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "mobilenet_v3_small"])
def test_structure_is_torchsummarys(name):
    theirs, shape = io.StringIO(), (3, 96, 128)
    network = build_on_meta(name).network
    layers, macs = list_layers(network, [1, *shape])
    network.register_forward_pre_hook(lambda _, images: images[0].to("meta"))
    with contextlib.redirect_stdout(theirs), torch.inference_mode():
        summary(network, shape, -1, device="cpu")
    given = Input(
        network=name, output_stride=32, dataset="96x128", batch_size=1, input_shape=[1, *shape]
    )
    text = format_structure(Structure(input=given, layers=layers, macs=macs))
    assert text == f"{theirs.getvalue()}\nTotal MACs: {macs:,} (1 MAC = 2 FLOPs)\n"


def test_structure_of_modules_that_return_tuples_and_hold_parameters():
    layers, _ = list_layers(build_on_meta("vit_b_16").network, [1, 3, 224, 224])
    attention = next(layer for layer in layers if layer.type == "MultiheadAttention")
    assert attention.output_shape == [1, 197, 768]
    assert attention.parameters == 4 * 768 * (768 + 1)  # queries, keys, values, output
    token = Layer(type="VisionTransformer", output_shape=[1, 1000], parameters=768)
    assert layers[-1] == token
    assert sum(layer.parameters for layer in layers) == 86_567_656


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "efficientnet_b0"])
def test_predicted_peak_is_what_torchs_own_tracker_finds(name):
    network, image, tracker = build_network(name).network, torch.rand(1, 3, 64, 96), MemTracker()
    tracker.track_external(network, image)
    with torch.inference_mode(), tracker:
        network(image)
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    assert memory.predict_peak(network, image).total == pytest.approx(snapshot["Total"], rel=0.01)


def test_no_two_networks_have_the_same_files():
    """Every name of torchvision's, with every output stride that it can have."""
    workloads = [
        Workload(model=model, output_stride=output_stride)
        for model in catalog.names()
        for output_stride in (32, 16, 8)
    ]
    assert len(workloads) > 200
    names = [workload.network_name for workload in workloads]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("lraspp_mobilenet_v3_large", "LRASPPHead"),
        ("deeplabv3_mobilenet_v3_large", "DeepLabHead"),
        ("deeplabv3_resnet50", "DeepLabHead"),
        ("fcn_resnet50", "FCNHead"),
    ],
)
def test_stages_of_a_segmentation_network_are_its_backbone_and_its_head(name, head):
    cut = cut_pass(build_on_meta(name), [1, 3, 64, 96], "block")
    stages = [stage for stage, _ in groupby(cut.stages)]
    assert [(stage.type, stage.path) for stage in stages] == [
        *(("IntermediateLayerGetter", "backbone"), (head, "classifier"), ("interpolate", "")),
    ]


def test_classes_named_like_stages_of_mobilenet_v2_keep_their_paths():
    class Classifier(nn.Linear):
        pass

    class AvgPool(nn.AvgPool2d):
        pass

    network = nn.Sequential(AvgPool(2), AvgPool(2), nn.Flatten(), Classifier(3, 3))
    backbone = Backbone("mine", network.eval(), by_module(network))
    options = TimerOptions(Workload(), Mode(), target="block", iterations=1, warmup=0)
    rows, _ = timing.time_network(backbone, torch.rand(1, 3, 4, 4), TickingClock(), options)
    assert [name_row(row) for row in rows[:-1]] == [
        *("AvgPool 0", "AvgPool 1", "Flatten 2", "Classifier 3"),
    ]
    assert "Classifier 3 with input shape: [1, 3] is 1.000 ms" in format_rows(rows)
