"""The memory report, the peak and the structure table."""

import contextlib
import io
import re
import warnings
from functools import partial

import pytest
import torch
from project import assert_one_line, script
from torch._subclasses import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from backbone.command.options import DATASETS
from backbone.measure import memory
from backbone.measure.structure import list_layers
from backbone.network.build import build_network
from backbone.record.memory_record import Input, load_report, load_structure
from backbone.report.memory_text import format_report, format_structure

TOTALS = {
    "cityscapes": "Total Tensors: 9830492 \tUsed Memory: 37.58M",
    "pascal": "Total Tensors: 4040036 \tUsed Memory: 15.49M",
}
PEAKS = {"cityscapes": ("453.5", "416.0"), "pascal": ("48.5", "33.1")}
FAKE = partial(FakeTensorMode, allow_non_fake_inputs=True)
MACS = {"cityscapes": "12,518,918,144", "pascal": "1,031,535,392"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_memory_report_names_every_tensor_and_ends_with_the_peak(dataset):
    # Also as an error: none of the warnings that the reporter sets off gets out.
    before = "import warnings; warnings.simplefilter('error', UserWarning)"
    result = script("mem.py", "--i", dataset, "--device", "cpu", before=before)
    assert (result.returncode, result.stderr) == (0, "")
    head, totals = result.stdout.split(TOTALS[dataset])
    names = [line.split()[0] for line in head.splitlines()[3:-1]]
    state = build_network().network.state_dict()
    assert sorted(names) == sorted([*state, "input"])
    total, activations = PEAKS[dataset]
    assert re.fullmatch(
        r"\n-+\n"
        r"Parameters: 3504872\n"
        rf"Peak memory during inference \(predicted\): {total} MiB\n"
        r"  parameters:      13.4 MiB\n"
        r"  buffers:          0.1 MiB\n"
        r"  input: +[\d.]+ MiB\n"
        rf"  activations: +{activations} MiB\n"
        r"  at: features.2.conv.0.1 \(BatchNorm2d\), aten.\w+\n",
        totals,
    )


def test_memory_report_is_the_networks_alone():
    network, image = build_network().network, torch.rand(1, *DATASETS["pascal"])
    reporter = memory.load_reporter()
    before = memory.list_tensors(reporter, network, image)
    others = [torch.rand(1000) for _ in range(5)]
    output = network(image)
    assert memory.list_tensors(reporter, network, image) == before
    assert len(others) == 5 and output.shape == (1, 1000)


def test_memory_report_is_pytorch_memlabs():
    network, image = build_network().network, torch.rand(1, 3, 64, 96)
    reporter = memory.load_reporter()
    theirs = reporter()
    for name, tensor in [*network.named_parameters(), *network.named_buffers(), ("input", image)]:
        theirs.tensor_name[id(tensor)] = name
        theirs.device_mapping[tensor.device].append(tensor)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.get_stats()
        theirs.print_stats(verbose=True)
    result = script("mem.py", "--i", "64x96", "--device", "cpu")
    assert result.stdout.partition("Parameters: ")[0] == printed.getvalue()


@pytest.mark.parametrize("flags", [["--device", "cpu"], ["--struct"]])
def test_record_says_what_is_printed(tmp_path, flags):
    file = tmp_path / "record.json"
    command = ("mem.py", "--i", "64x96", "--s", "2", "--output-stride", "16", *flags)
    result = script(*command, "--json", file)
    assert (result.returncode, result.stderr) == (0, "")
    if "--struct" in flags:
        found = load_structure(file)
        assert format_structure(found) == result.stdout
    else:
        found = load_report(file)
        assert format_report(found) == result.stdout
    assert found.input == Input(
        network="MobileNetV2",
        output_stride=16,
        dataset="64x96",
        batch_size=2,
        input_shape=[2, 3, 64, 96],
    )
    missing = tmp_path / "missing/record.json"
    assert_one_line(script(*command, "--json", missing), f"mem.py: cannot write {missing}")


def test_batch_size_is_the_inputs():
    result = script("mem.py", "--i", "pascal", "--s", "3", "--device", "cpu")
    assert re.search(r"^input +\(3, 3, 500, 334\) +5.73M$", result.stdout, re.MULTILINE)
    layers = script("mem.py", "--i", "pascal", "--s", "3", "--struct").stdout
    assert "[3, 32, 250, 167]" in layers
    assert f"Total MACs: {3 * 1031535392:,} (1 MAC = 2 FLOPs)\n" in layers


@pytest.mark.parametrize(
    ("model", "dataset", "batch_size", "tensors"),
    [
        ("mobilenet_v2", "pascal", 1, contextlib.nullcontext),
        ("mobilenet_v2", "pascal", 4, FAKE),
        ("mobilenet_v2", "cityscapes", 1, FAKE),
        ("mobilenet_v2", "cityscapes", 4, FAKE),
        ("lraspp_mobilenet_v3_large", "pascal", 1, contextlib.nullcontext),
    ],
)
def test_predicted_peak_is_what_torchs_own_tracker_finds(model, dataset, batch_size, tensors):
    network, tracker = build_network(model).network, MemTracker()
    with tensors():  # fake tensors have sizes, and no values: the first pass is a real one
        image = torch.rand(batch_size, *DATASETS[dataset])
        tracker.track_external(network, image)
        with torch.inference_mode(), tracker:
            network(image)
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    assert memory.predict_peak(network, image).total == pytest.approx(snapshot["Total"], rel=0.01)


@pytest.mark.parametrize(
    ("dataset", "batch_size"), [("cityscapes", 1), ("pascal", 1), ("pascal", 4)]
)
def test_structure_is_torchsummarys(dataset, batch_size):
    from torchsummary import summary

    with torch.device("meta"):
        network = build_network().network
    network.register_forward_pre_hook(lambda _, images: images[0].to("meta"))
    theirs = io.StringIO()
    with contextlib.redirect_stdout(theirs), torch.inference_mode():
        stands_for = -1 if batch_size == 1 else batch_size
        summary(network, DATASETS[dataset], stands_for, device="cpu")
    result = script("mem.py", "--struct", "--i", dataset, "--s", str(batch_size))
    assert (result.returncode, result.stderr) == (0, "")
    table, macs = result.stdout.split("\n\n")
    assert table + "\n" == theirs.getvalue()
    assert "Total params: 3,504,872" in table
    if batch_size == 1:
        assert macs == f"Total MACs: {MACS[dataset]} (1 MAC = 2 FLOPs)\n"


def test_macs_of_the_paper():
    with torch.device("meta"):
        _, macs = list_layers(build_network().network, [1, 3, 224, 224])
    assert round(macs / 1e9, 1) == 0.3


@pytest.mark.parametrize("value", ["True", "true", None])
def test_struct_true(value):
    result = script("mem.py", "--i", "pascal", "--struct", *([value] if value else []))
    assert "Layer (type)" in result.stdout


def test_struct_false():
    result = script("mem.py", "--i", "pascal", "--struct", "False", "--device", "cpu")
    assert TOTALS["pascal"] in result.stdout and "Layer (type)" not in result.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--struct", "maybe"], "invalid choice: 'Maybe'"),
        (["--s", "0"], "'0' is not a whole number from 1 up"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_wrong_flags_are_usage_errors(flags, words):
    result = script("mem.py", *flags)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr.splitlines()[-1]


def test_no_cuda_device():
    assert_one_line(script("mem.py", "--device", "cuda"), "mem.py: no CUDA device", "--device cpu")


@pytest.mark.parametrize(
    "flags",
    [
        ["--device", "cpu", "--s", "100000000"],
        ["--struct", "--s", "9" * 9, "--i", "99999x99999"],  # bytes beyond 64 bits
    ],
)
def test_out_of_memory(flags):
    assert_one_line(script("mem.py", "--i", "pascal", *flags), "mem.py: out of memory")


REPORT = ("mem.py", "--i", "pascal", "--device", "cpu")


def test_reporter_that_miscounts_is_refused():
    # pytorch-memlab 0.3.2 multiplies a storage's bytes by the element size.
    code = """
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()):
    from pytorch_memlab import mem_reporter
right = mem_reporter.MemReporter.get_stats
def get_stats(self):
    right(self)
    for device, stats in self.device_tensor_stat.items():
        self.device_tensor_stat[device] = [(*stat[:3], 4 * stat[3]) for stat in stats]
mem_reporter.MemReporter.get_stats = get_stats
"""
    result = script(*REPORT, before=code)
    assert_one_line(result, "mem.py: ", "miscounts", "pip install pytorch-memlab==0.3.0")


def test_missing_reporter():
    result = script(*REPORT, before="import sys; sys.modules['pytorch_memlab'] = None")
    assert_one_line(result, "mem.py: ", "pytorch_memlab", "pip install -r requirements.txt")


def test_missing_private_module_of_torch():
    result = script(
        *REPORT,
        before="import torch, sys; sys.modules[torch.utils._python_dispatch.__name__] = None",
    )
    assert_one_line(result, "torch.utils._python_dispatch", "pip install -r requirements.txt")
