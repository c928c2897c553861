"""torchvision's networks, --model and --output-stride: operations, stages, names, where they go."""

import weakref

import pytest
import torch
from project import assert_one_line, script
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from backbone.command.errors import Failure
from backbone.command.flags import timer_options
from backbone.command.options import Workload
from backbone.measure import structure, timing
from backbone.measure.script import describe_options
from backbone.network.build import Backbone, build, build_network
from backbone.network.outputs import tensors_in
from backbone.record import memory_record, records
from backbone.record.names import name_row
from backbone.record.rows import Record, Row
from backbone.rounds import plan
from backbone.trace import instrument
from cpu import timer

FAMILIES = {  # and one of the stages of each
    "mobilenet_v2": "Inverted Residual Block features.17",
    "resnet18": "BasicBlock layer4.1",
    "inception_v3": "InceptionE Mixed_7b",
    "efficientnet_b0": "MBConv features.1.0",
    "shufflenet_v2_x0_5": "InvertedResidual stage2.0",
    "swin_t": "SwinTransformerBlock features.1.0",
    "lraspp_mobilenet_v3_large": "IntermediateLayerGetter backbone",
}


def build_on_meta(model: str, output_stride: int = 32) -> Backbone:
    with torch.device("meta"):
        return build(Workload(model=model, output_stride=output_stride), "meta")[0]


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


@pytest.mark.parametrize("name", FAMILIES)
def test_pass_is_the_stock_networks(name):
    """The same values, bit for bit; the same operators; the same bytes alive after each."""
    backbone, image = build_network(name), torch.rand(2, 3, 96, 96)
    backbone.network.train(name == "efficientnet_b0")  # which drops some paths then
    cut = instrument.cut_pass(backbone, list(image.shape), "layer")
    outputs, histories = [], []
    for run in (backbone.network, cut.with_marks(lambda: None)):
        torch.manual_seed(0)
        with torch.inference_mode(), LiveBytes() as live:
            outputs.append(tensors_in(run(image)))
        histories.append(live.history)
    assert all(torch.equal(*pair) for pair in zip(*outputs, strict=True))
    assert histories[0] == histories[1]
    assert FAMILIES[name] in {f"{stage.type} {stage.path}" for stage in cut.stages}
    assert cut.operations[0].input_shape == list(image.shape)
    layers, macs = structure.list_layers(build_on_meta(name).network, list(image.shape))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        build_on_meta(name).network(image.to("meta"))
    assert macs == counter.get_total_flops() // 2
    assert sum(operation.macs for operation in cut.operations) == macs
    total = sum(parameter.numel() for parameter in backbone.network.parameters())
    assert sum(layer.parameters for layer in layers) == total


def test_structure_of_modules_that_return_tuples_and_hold_parameters():
    layers, _ = structure.list_layers(build_on_meta("vit_b_16").network, [1, 3, 224, 224])
    attention = ("MultiheadAttention", [1, 197, 768], 4 * 768 * (768 + 1))
    assert memory_record.Layer(*attention) in layers
    assert layers[-1] == memory_record.Layer("VisionTransformer", [1, 1000], 768)


def test_pass_that_keeps_tensors_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(instrument, "bisect_left", lambda ends, freed: 0)
    with pytest.raises(Failure, match="its operations keep tensors for longer or shorter"):
        instrument.cut_pass(build_on_meta("mobilenet_v2"), [1, 3, 64, 64], "layer")


def test_stages_and_names_which_are_read_back(tmp_path):
    options = timer_options(timer.make_parser(), ["--target", "layer", "--iterations", "1"])
    image = torch.rand(1, 3, 64, 64)
    rows, _ = timing.time_network(build_network("resnet18"), image, timer.CpuClock(), options, 0.0)
    stages = [name_row(row) for row in rows if row.level == "block"]
    assert stages[3:6] == ["MaxPool2d maxpool", "BasicBlock layer1.0", "BasicBlock layer1.1"]
    assert stages[-2:] == ["flatten", "Linear fc"] and len(stages) == 4 + 8 + 3
    names = [(row.level, name_row(row)) for row in rows]
    assert len(set(names)) == len(names)
    assert ("layer", "ReLU layer1.0.relu #2") in names and ("layer", "add_ layer1.0") in names
    text = records.dumps(Record(rows, {"network": "resnet18"}, runs=[{"date": "2026-11-29"}]))
    read = records.loads(text, tmp_path).rows
    assert [(row.level, name_row(row)) for row in read] == names
    for type_ in ("Classifier", "AvgPool"):  # called as stages of MobileNet-V2 are
        assert name_row(Row("block", type_, "3", 0, [1], samples=None)) == f"{type_} 3"


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnet50"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_output_stride(model, output_stride):
    cut = instrument.cut_pass(build_on_meta(model, output_stride), [1, 3, 128, 192], "layer")
    *_, last = (operation for operation in cut.operations if operation.kind == "batch norm")
    assert last.input_shape[2:] == [128 // output_stride, 192 // output_stride]


def test_dilations():
    """A block that loses its stride keeps the dilation before it; later ones have twice as much."""
    modules = build_on_meta("mobilenet_v2", output_stride=8).network.modules()
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    dilations = [each.dilation[0] for each in convolutions if each.kernel_size == (3, 3)]
    assert dilations == [*8 * [1], *7 * [2], *3 * [4]]


def test_record_knows_the_size_and_the_output_stride():
    options = timer_options(timer.make_parser(), ["--i=6x32x48", "--s=2", "--output-stride=16"])
    assert options.workload.input_shape == [2, 6, 32, 48]
    expected = {"output_stride": 16, "dataset": "6x32x48", "batch_size": 2}
    assert expected.items() <= describe_options(options).items()


def test_size_that_a_network_cannot_take():
    for words, reason in (
        ("cpu/timer.py --train", "Expected more than 1 value per channel"),
        ("mem.py --device cpu --model alexnet", "Output size is too small"),
        ("mem.py --struct --model alexnet", "Output size is too small"),
    ):
        result = script(*words.split(), "--i", "32x32")
        assert_one_line(result, " does not accept an input of shape [1, 3, 32, 32]: ", reason)


def test_networks_of_wrappers(capsys):
    files = {
        "cpu/timer.py --target layer": "cpu/NAME_stats/layers/NAME_cityscapes",
        "timer.py --fold -> modes/--fold": "NAME_stats/modes/NAME_cityscapes_fold",
        "mem.py --i pascal": "memory_reports/NAME_pascal",
        "mem.py --struct True": "model_structures/NAME_cityscapes",
    }
    flags = ["--model=wide_resnet50_2", "--output-stride", "16"]
    expected = [file.replace("NAME", "wide_resnet50_2_os16") for file in files.values()]
    assert [planned.file for planned in plan.read_plan(list(files), flags, "a.sh")] == expected
    for line, flag, said in (
        ("mem.py", "--model=../../resnet50", "torchvision has no '../../resnet50'"),
        # A mode, also if none of its lines has it on this machine.
        ("cpu/timer.py -> modes/stock", "--fold", "--fold is a mode, which modes.sh sets itself"),
    ):
        with pytest.raises(SystemExit, match="2"):
            plan.read_plan([line], [flag], "modes.sh")
        assert said in capsys.readouterr().err
