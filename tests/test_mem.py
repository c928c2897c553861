"""mem.py: the memory report, the peak and the structure table."""

import contextlib
import io
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torchsummary import summary

import mem
from backbone.command.errors import Failure
from backbone.command.options import DATASETS
from backbone.measure import memory
from backbone.network.build import build_network
from backbone.record.memory_record import Input, TensorSize, load_report, load_structure
from backbone.report.memory_text import format_report, format_structure


def run_mem(monkeypatch, file: Path, words: str) -> None:
    """Run mem.py with these flags, and its record in this file."""
    monkeypatch.setattr(sys, "argv", ["mem.py", *words.split(), "--json", str(file)])
    mem.main()


@pytest.mark.filterwarnings("error::UserWarning")
def test_report_is_pytorch_memlabs_and_the_peak(monkeypatch, capsys, tmp_path):
    """None of its warnings gets out, and none of the tensors that others have is in it."""
    network, image = build_network().network, torch.rand(3, *DATASETS["pascal"])
    words = "--i pascal --s 3 --output-stride 16 --struct False --device cpu"
    run_mem(monkeypatch, file := tmp_path / "record.json", words)
    text, errors = capsys.readouterr()
    theirs, table = memory.load_reporter()(), io.StringIO()
    for name, tensor in [*network.named_parameters(), *network.named_buffers(), ("input", image)]:
        theirs.tensor_name[id(tensor)] = name
        theirs.device_mapping[tensor.device].append(tensor)
    with contextlib.redirect_stdout(table), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.get_stats()
        theirs.print_stats(verbose=True)
    mine, parameters, peak = text.partition("Parameters: 3504872\n")
    assert (mine, errors) == (table.getvalue(), "") and parameters
    assert " ".join(peak.split()).startswith(
        "Peak memory during inference (predicted): 118.6 MiB parameters: 13.4 MiB buffers: 0.1 MiB "
        "input: 5.7 MiB activations: 99.4 MiB at: features.2.conv.0.1 (BatchNorm2d), aten."
    )
    report = load_report(file)
    assert format_report(report) == text
    assert report.input == Input("MobileNetV2", 16, "pascal", 3, [3, 3, 500, 334])


@pytest.mark.parametrize("model", ["mobilenet_v2", "lraspp_mobilenet_v3_large", "densenet121"])
def test_predicted_peak_is_what_torchs_own_tracker_finds(model):
    network, tracker = build_network(model).network, MemTracker()
    with FakeTensorMode(allow_non_fake_inputs=True):  # which have sizes, and no values
        image = torch.rand(4, *DATASETS["cityscapes"])
        tracker.track_external(network, image)
        with torch.inference_mode(), tracker:
            network(image)
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    assert memory.predict_peak(network, image).total == pytest.approx(snapshot["Total"], rel=0.01)


@pytest.mark.parametrize(
    ("dataset", "batch_size", "macs"), [("cityscapes", 1, 12518918144), ("pascal", 4, 4126141568)]
)
def test_structure_is_torchsummarys(monkeypatch, capsys, tmp_path, dataset, batch_size, macs):
    with torch.device("meta"):
        network = build_network().network
    network.register_forward_pre_hook(lambda _, images: images[0].to("meta"))
    theirs = io.StringIO()
    with contextlib.redirect_stdout(theirs), torch.inference_mode():
        summary(network, DATASETS[dataset], -1 if batch_size == 1 else batch_size, device="cpu")
    words = f"--struct true --i {dataset} --s {batch_size}"
    run_mem(monkeypatch, file := tmp_path / "record.json", words)
    text = f"{theirs.getvalue()}\nTotal MACs: {macs:,} (1 MAC = 2 FLOPs)\n"
    assert capsys.readouterr() == (text, "")
    structure = load_structure(file)
    assert format_structure(structure) == text
    shape = [batch_size, *DATASETS[dataset]]
    assert structure.input == Input("MobileNetV2", 32, dataset, batch_size, shape)


def test_reporter_that_miscounts_is_refused(monkeypatch):
    """pytorch-memlab 0.3.2 multiplies a storage's bytes by the element size."""
    miscounted = TensorSize("input", [1024], elements=1024, allocated_bytes=4 * 4096)
    monkeypatch.setattr(memory, "list_tensors", lambda *_: [miscounted])
    with pytest.raises(Failure, match=r"miscounts; pip install pytorch-memlab==0\.3\.0"):
        memory.load_reporter()
