"""--model, --output-stride and --i HxW, in scripts and in the plans of wrappers."""

import pytest
from project import assert_one_line, script

from backbone.record import records
from backbone.rounds import plan

QUICK = ("--iterations", "2", "--warmup", "0")


@pytest.mark.parametrize(
    ("words", "network", "blocks"),
    [
        ("--model resnet18 --i 64x96", "resnet18", "BasicBlock layer4.1"),
        ("--output-stride 8 --i 64x96", "MobileNetV2", "Inverted Residual Block at position 17"),
        ("--i 1x1", "MobileNetV2", "Classifier"),
    ],
)
def test_record_knows_the_network_and_the_size(tmp_path, words, network, blocks):
    file = tmp_path / "record.json"
    flags = (*words.split(), *QUICK, "--target", "block", "--json", file)
    result = script("cpu/timer.py", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    assert record.conditions["network"] == network
    assert record.conditions.get("output_stride") == (8 if "stride" in words else None)
    size = words.split("--i ")[1]
    assert record.conditions["dataset"] == size
    assert record.rows[-1].input_shape == [1, 3, *map(int, size.split("x"))]
    assert f" for {blocks} with " in result.stdout
    assert f" for {network} with input shape: " in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        ("cpu/timer.py", *QUICK, "--target", "layer"),
        ("mem.py", "--device", "cpu"),
        ("mem.py", "--struct"),
    ],
)
def test_size_that_a_network_cannot_take(command):
    result = script(*command, "--model", "inception_v3", "--i", "20x20")
    assert_one_line(result, "inception_v3 cannot take an input of shape [1, 3, 20, 20]: ")


@pytest.mark.parametrize("target", ["model", "layer"])
def test_size_that_training_mode_cannot_take(target):
    command = ("cpu/timer.py", "--iterations", "1", "--warmup", "0", "--target", target)
    result = script(*command, "--train", "--i", "32x32")
    said = "cannot take an input of shape [1, 3, 32, 32]: Expected more than 1 value per channel"
    assert_one_line(result, said)


def test_structure_and_report_of_another_network():
    result = script("mem.py", "--struct", "--model", "swin_t", "--i", "64x96")
    assert "Total params: 28,288,354" in result.stdout
    result = script("mem.py", "--model", "resnet50", "--i", "64x96", "--device", "cpu")
    assert "Parameters: 25557032" in result.stdout and "layer4.2.conv3.weight" in result.stdout
    wide = [
        script("mem.py", "--struct", "--i", "64x96", *flag).stdout
        for flag in ((), ("--output-stride", "8"))
    ]
    assert "[-1, 320, 2, 3]" in wide[0] and "[-1, 320, 8, 12]" in wide[1]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--model", "resnet50"], "resnet50"),
        (["--model=wide_resnet50_2", "--output-stride", "16"], "wide_resnet50_2_os16"),
        (["--output-stride=8"], "mobilenetv2_os8"),
        (["--model", "mobilenet_v2"], "mobilenetv2"),
    ],
)
def test_wrappers_name_what_they_store_by_the_network(flags, name):
    lines = [
        "cpu/timer.py --i pascal --target model",
        "cpu/timer.py --i pascal --target layer --keep-memory",
        "timer.py --i pascal --fold -> modes/--fold",
        "mem.py --i pascal",
        "mem.py --struct True --i pascal",
    ]
    assert [planned.file for planned in plan.read_plan(lines, flags, "a.sh")] == [
        f"cpu/{name}_stats/{name}_pascal",
        f"cpu/{name}_stats_keep-memory/layers/{name}_pascal",
        f"{name}_stats/modes/{name}_pascal_fold",
        f"memory_reports/{name}_pascal",
        f"model_structures/{name}_pascal",
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model", "../../resnet50"], "'../../resnet50' is none of torchvision's"),
        (["--output-stride", "8 8"], "invalid int value: '8 8'"),
    ],
)
def test_wrappers_refuse_networks_that_name_no_folder(capsys, flags, words):
    with pytest.raises(SystemExit) as ended:
        plan.read_plan(["cpu/timer.py --i pascal"], flags, "cpu/stats.sh")
    assert ended.value.code == 2 and words in capsys.readouterr().err


def test_modes_are_the_wrappers_to_choose(capsys):
    """Also one that none of its lines has on this machine."""
    with pytest.raises(SystemExit, match="2"):
        plan.read_plan(["cpu/timer.py --i pascal -> modes/stock"], ["--fold"], "modes.sh")
    assert "--fold is a mode, which modes.sh sets itself" in capsys.readouterr().err
