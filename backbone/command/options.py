"""What a run is asked for: a network and its input, the mode that it runs in, how many passes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from backbone.command.image_files import folder_id

# The image sizes of semantic segmentation, (C, H, W).
DATASETS = {"cityscapes": (3, 1024, 2048), "pascal": (3, 500, 334)}
DEFAULT_MODEL = "mobilenet_v2"
PYTORCH = "torch"  # the runtime that is not asked for by a flag
INT8 = "int8"  # a dtype of other runtimes alone


@dataclass(frozen=True)
class Workload:
    """A network and its input.

    model: torchvision's name of the network, or FILE.py:NAME. output_stride: how much smaller than
    the input its last feature map is, by dilations in place of strides; 32 is the network as it is.
    dataset: a name in DATASETS, or a size, HxW or CxHxW. batch_size: images in a pass. weights: a
    file of them; None: random ones, or those that a user's own network comes with. images: a folder
    of them, on which a mode's answers are compared with stock's, and int8 is calibrated; None:
    random ones.
    """

    model: str = DEFAULT_MODEL
    output_stride: int = 32
    dataset: str = "cityscapes"
    batch_size: int = 1
    weights: str | None = None
    images: str | None = None

    @property
    def input_shape(self) -> list[int]:
        """(B, C, H, W)."""
        *channels, height, width = DATASETS.get(self.dataset) or map(int, self.dataset.split("x"))
        return [self.batch_size, *(channels or [3]), height, width]

    @property
    def is_own(self) -> bool:
        """Whether the network is a user's own, FILE.py:NAME."""
        return ":" in self.model

    @property
    def has_given_values(self) -> bool:
        """Whether its weights are, or may be, a user's, and not random ones of this project's."""
        return self.is_own or self.weights is not None

    @property
    def file_id(self) -> str | None:
        """What tells the file of a user's own network from others, and says nothing of where it
        stands: of its path, by SHA-256. None of torchvision's."""
        if not self.is_own:
            return None
        file = self.model.rpartition(":")[0]
        return _start_of_sha256(file.encode())

    @property
    def weights_id(self) -> str | None:
        """What a record says of the file of weights: its name, and the start of its SHA-256."""
        if self.weights is None:
            return None
        file = Path(self.weights)
        return f"{file.name} {_start_of_sha256(file.read_bytes())}"

    @property
    def images_id(self) -> str | None:
        """What a record says of the folder of images; see `folder_id()`."""
        return None if self.images is None else folder_id(self.images)

    @property
    def network_name(self) -> str:
        """What the network's files are named by: no two networks have the same."""
        name = self.model.rpartition(":")[2]
        name = "mobilenetv2" if name == DEFAULT_MODEL else name
        return name if self.output_stride == 32 else f"{name}_os{self.output_stride}"

    @property
    def flags(self) -> str:
        """What is not the default of an input of this size, as one would type it."""
        words = [] if self.batch_size == 1 else [f"--s {self.batch_size}"]
        if self.weights is not None:
            words.append(f"--weights {spell_file(self.weights)}")
        if self.images is not None:
            words.append(f"--images {spell_file(self.images)}")
        return " ".join(words)


@dataclass(frozen=True)
class Mode:
    """How a network is run; stock, if all is as it is here."""

    keep_memory: bool = False
    channels_last: bool = False
    fold: bool = False
    compile: bool = False
    freeze: bool = False
    cuda_graph: bool = False
    train: bool = False
    dtype: str = "float32"
    runtime: str = PYTORCH

    @property
    def switched_on(self) -> list[str]:
        """The names of the flags without a value that are set, in the order of a mode's name."""
        flags = (
            ("keep_memory", self.keep_memory),
            ("channels_last", self.channels_last),
            ("fold", self.fold),
            ("compile", self.compile),
            ("freeze", self.freeze),
            ("cuda_graph", self.cuda_graph),
            ("train", self.train),
        )
        return [name for name, is_set in flags if is_set]

    @property
    def flags(self) -> str:
        """The mode's name: its flags, as one would type them; "" is stock."""
        words = [flag_of(name) for name in self.switched_on]
        if self.dtype != "float32":
            words.append(f"--dtype {self.dtype}")
        if self.runtime != PYTORCH:
            words.append(f"--runtime {self.runtime}")
        return " ".join(words)


STOCK = Mode()
MEMORY_KEPT = Mode(keep_memory=True)  # which modes are compared with, beside stock


@dataclass(frozen=True)
class TimerOptions:
    """What a timer is asked for.

    target: "model", "block" or "layer". iterations: timed passes; a parent process that hands out
    turns decides itself, by the duration of a pass if this is None. warmup: passes before them.
    threads: intra-op; None is PyTorch's choice. json: a file for the record. turns: whether
    a parent process hands out turns; otherwise the run has all its passes at once.
    """

    workload: Workload
    mode: Mode
    target: str
    iterations: int | None
    warmup: int
    threads: int | None = None
    json: str | None = None
    turns: bool = False

    @property
    def has_record(self) -> bool:
        """Whether the run leaves a record, in a file or to a parent process."""
        return self.json is not None or self.turns

    @property
    def is_compared(self) -> bool:
        """Whether its output is compared with stock's, and its conditions are of interest."""
        return self.has_record or self.workload.images is not None

    @property
    def folder_suffix(self) -> str:
        """What the name of a folder of results says of the conditions; "" is stock."""
        threads = "" if self.threads is None else f"--threads {self.threads}"
        return folder_suffix(self.mode.flags, threads, self.workload.flags)


@dataclass(frozen=True)
class MemoryOptions:
    """What mem.py is asked for: the structure, or the memory report of a pass on a device ("auto",
    "cuda" or "cpu"); json: a file for what it says."""

    workload: Workload
    structure: bool
    device: str
    json: str | None = None

    @property
    def folder_suffix(self) -> str:
        """What the name of a folder of results says of the conditions; "" is the default."""
        # A structure is of no device.
        named = self.device != "auto" and not self.structure
        device = f"--device {self.device}" if named else ""
        return folder_suffix(device, self.workload.flags)


def _start_of_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def flag_of(name: str) -> str:
    """The flag that sets an option of this name."""
    return f"--{name.replace('_', '-')}"


def spell_file(file: str) -> str:
    """A file's name as one word of a folder's name; no two names are spelled alike."""
    return quote(Path(file).name, safe="").replace("--", "%2D%2D")


def folder_suffix(*flags: str) -> str:
    """Flags as the end of a folder's name: --threads 2 --s 4 -> _threads_2_s_4."""
    words = " ".join(flags).replace("--", "").split()
    return "".join(f"_{word}" for word in words)
