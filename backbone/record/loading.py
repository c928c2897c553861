"""Reads stored records of timers. Invalid or inconsistent files raise Failure."""

from pathlib import Path

from backbone.command.errors import Failure
from backbone.command.files import ROOT
from backbone.command.options import STOCK
from backbone.record import records
from backbone.record.rows import Record
from backbone.record.stored import (
    StoredMode,
    StoredModes,
    StoredScaling,
    StoredTimes,
    of_main_network,
)
from backbone.record.titles import dataset_order, dataset_title, network_title, settings_of

TARGET_FOLDERS = {"model": "", "block": "blocks", "layer": "layers"}
TIMES = ("*_stats*", "cpu/*_stats*")
MODES = tuple(f"{folder}/modes" for folder in TIMES)
SCALING = tuple(f"{folder}/scaling" for folder in TIMES)


def load_times() -> list[StoredTimes]:
    """The stored times, sorted by dataset and MACs. Raises Failure if the records of their targets
    come from different measurements."""
    times = []
    for folder in folders_of(*TIMES):
        folders = [folder / subfolder for subfolder in TARGET_FOLDERS.values()]
        for name in sorted({file.name for folder in folders for file in records_in(folder)}):
            times.append(load_times_of(folder, name))
    if not of_main_network(times):
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return sorted(times, key=lambda stored: (dataset_order(stored.dataset), stored.macs))


def load_times_of(folder: Path, name: str) -> StoredTimes:
    """The records with a name in a folder of times and its subfolders, by target."""
    files = {target: folder / inside / name for target, inside in TARGET_FOLDERS.items()}
    loaded = {target: records.load(file) for target, file in files.items()}
    for target, record in loaded.items():
        _check_same_run(files[target], record, loaded["model"], target)
    by_file = {files[target]: record for target, record in loaded.items()}
    return StoredTimes(**_what_it_is_of(folder, by_file), **loaded)


def _check_same_run(file: Path, record: Record, first: Record, target: str) -> None:
    """Raise Failure if a record has other rounds than the first one, or another target."""
    expected = _comparable(first) | {"target": target}
    here = _comparable(record)
    if unlike := sorted(dict(here.items() ^ expected.items())):
        raise Failure(
            f"{file} comes from a different measurement than the files beside it: {unlike[0]}"
        )


def _comparable(record: Record) -> dict[str, object]:
    """The conditions and rounds that the records of one measurement share. (The number of passes
    may differ: on a GPU with their duration, and for a command in several groups of a round.)"""
    fields = {"runs": record.rounds} | record.conditions
    return {name: fields[name] for name in fields.keys() - {"iterations", "passes"}}


def load_modes() -> list[list[StoredModes]]:
    """The modes of each network and configuration, for all inputs."""
    groups: dict[tuple[str, str], list[StoredModes]] = {}
    for folder in folders_of(*MODES):
        left = set(records_in(folder))
        for stock in records_in(folder, "*_stock"):
            stored = load_modes_of(folder, stock.stem.removesuffix("stock"))
            left -= stored.files.keys()
            groups.setdefault((stored.network, stored.configuration), []).append(stored)
        if left:
            raise Failure(f"{min(left)}: the record of the stock pass is missing beside it")
    for inputs in groups.values():
        inputs.sort(key=lambda stored: dataset_order(stored.dataset))
    return list(groups.values())


def load_modes_of(folder: Path, start: str) -> StoredModes:
    """The modes of one network and input: the records in a folder whose names begin with `start`.
    Raises Failure if two records have the same mode."""
    stock_file = folder / f"{start}stock.json"
    others = [file for file in records_in(folder, f"{start}*") if file != stock_file]
    stock = records.load(stock_file)
    loaded = {stock_file: StoredMode({}, stock)}
    for file in others:
        record = records.load(file)
        variables = dict(sorted(record.variables.items() - stock.variables.items()))
        is_again = record.mode == stock.mode and not variables
        mode = StoredMode(variables, record, is_again)
        for other_file, other in loaded.items():
            if mode.name == other.name:
                raise Failure(f"{file} has the same mode as {other_file.name}: {mode.name}")
        loaded[file] = mode
    by_file = {file: mode.record for file, mode in loaded.items()}
    return StoredModes(
        **_what_it_is_of(folder.parent, by_file), modes=sorted(loaded.values(), key=_order_of)
    )


def load_scaling() -> list[StoredScaling]:
    """The stored results of scaling.sh, by folder."""
    return [load_scaling_of(folder) for folder in folders_of(*SCALING)]


def load_scaling_of(folder: Path) -> StoredScaling:
    """The passes in a folder of scaling results. Raises Failure if the stock pass on one image is
    missing."""
    loaded = {file: records.load(file) for file in records_in(folder)}
    firsts = [
        file for file, record in loaded.items() if record.mode == STOCK and _is_default(record)
    ]
    if not firsts:
        raise Failure(f"{folder} has no record of a stock pass on one image; scaling.sh creates it")
    first = min(firsts, key=lambda file: loaded[file].conditions["dataset"] != "pascal")
    by_file = {first: loaded[first], **loaded}
    return StoredScaling(**_what_it_is_of(folder.parent, by_file))


def _is_default(record: Record) -> bool:
    return record.conditions["batch_size"] == 1 and "threads_chosen" not in record.conditions


def _order_of(mode: StoredMode) -> tuple[bool, bool, float]:
    """Sort key: stock, stock again, then all other modes, fastest first."""
    return not mode.is_stock, mode.is_again, mode.record.whole.mean


def _what_it_is_of(folder: Path, by_file: dict[Path, Record]) -> dict[str, object]:
    """The fields of Stored, from the first of several records in a folder of times."""
    file, record = next(iter(by_file.items()))
    conditions = record.conditions
    if missing := {"network", "dataset", "device", "batch_size"} - conditions.keys():
        raise Failure(f"{file} lacks the condition {min(missing)}")
    return {
        "network": network_title(
            conditions["network"],
            conditions.get("output_stride", 32),
            is_own="file_id" in conditions,
        ),
        "device": conditions["device"] + device_folder(folder),
        "dataset": dataset_title(str(conditions["dataset"])),
        "mode": record.mode,
        "settings": list(settings_of(conditions)),
        "files": by_file,
    }


def records_in(folder: Path, pattern: str = "*_*") -> list[Path]:
    """The records in a folder whose names match a pattern, without the ending, including any that
    are missing beside their text, so that reading them fails."""
    files = [*folder.glob(f"{pattern}.json"), *folder.glob(f"{pattern}.txt")]
    return sorted({file.with_suffix(".json") for file in files})


def device_folder(folder: Path) -> str:
    """The name of a device's folder under devices/, as shown in tables."""
    if not folder.is_relative_to(ROOT):
        return ""
    parts = folder.relative_to(ROOT).parts
    return f" ({parts[1]})" if parts[0] == "devices" else ""


def folders_of(*names: str) -> list[Path]:
    """The non-empty folders that match these names, here and for each device; MobileNet-V2's
    first."""
    roots = (ROOT, *sorted(ROOT.glob("devices/*")))
    folders = [folder for name in names for root in roots for folder in sorted(root.glob(name))]
    folders = [folder for folder in folders if records_in(folder)]
    return sorted(folders, key=lambda folder: "/mobilenetv2_stats" not in str(folder))
