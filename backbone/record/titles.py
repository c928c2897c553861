"""Titles of networks, datasets and non-default conditions in tables and pictures."""

from collections.abc import Iterator

DATASET_TITLES = {"cityscapes": "Cityscapes", "pascal": "PASCAL VOC 2012"}
NETWORK_TITLES = {"MobileNetV2": "MobileNet-V2"}
MAIN_NETWORK = "MobileNet-V2"  # most tables and pictures show it


def dataset_title(dataset: str) -> str:
    """The title of a dataset; an image size is its own title."""
    return DATASET_TITLES.get(dataset, dataset)


def dataset_order(title: str) -> tuple[bool, str]:
    """Sort key for titles of datasets: named datasets first."""
    return title not in DATASET_TITLES.values(), title


def network_title(network: str, output_stride: int, is_own: bool) -> str:
    """The title of a network with a name in reports. A user's network may have the name of one of
    torchvision's."""
    if is_own:
        return f"{network} (own)"
    title = NETWORK_TITLES.get(network, network)
    return title if output_stride == 32 else f"{title}, output stride {output_stride}"


def settings_of(conditions: dict[str, str | int]) -> Iterator[str]:
    """Labels of conditions, other than device and mode, that differ from the default."""
    if conditions["batch_size"] != 1:
        yield f"batch size {conditions['batch_size']}"
    if "weights" in conditions:
        yield f"weights {conditions['weights']}"
    if "images" in conditions:
        yield f"images {conditions['images']}"
    if "threads_chosen" in conditions:
        yield count(conditions["threads_chosen"], "thread")


def count(number: int, noun: str) -> str:
    """A number with a noun: "1 pass", "2 passes", "2 threads"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
