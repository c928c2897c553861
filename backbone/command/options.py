"""The options of a run: network and input, mode, number of passes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from backbone.command.image_files import folder_id

# The image sizes of semantic segmentation, (C, H, W).
DATASETS = {"cityscapes": (3, 1024, 2048), "pascal": (3, 500, 334)}
DEFAULT_MODEL = "mobilenet_v2"
PYTORCH = "torch"  # the default runtime
INT8 = "int8"  # a dtype that only other runtimes have


@dataclass(frozen=True)
class Workload:
    """A network and its input.

    model: torchvision's name of the network, or FILE.py:NAME. output_stride: input size divided by
    the size of the last feature map; 32 is the unmodified network, smaller values replace strides
    by dilations. dataset: a name in DATASETS, or a size, HxW or CxHxW. batch_size: images per pass.
    weights: a file with a state dictionary; None for random weights, or those that a user's network
    comes with. images: a folder of images for comparing a mode's answers with stock's and for
    calibrating int8; None for random images.
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
        """Whether the network is the user's own, FILE.py:NAME."""
        return ":" in self.model

    @property
    def has_given_values(self) -> bool:
        """Whether the weights are, or may be, the user's, rather than this project's random
        ones."""
        return self.is_own or self.weights is not None

    @property
    def file_id(self) -> str | None:
        """Identifies the file of a user's network without revealing its path: the start of the
        path's SHA-256. None for torchvision's networks."""
        if not self.is_own:
            return None
        file = self.model.rpartition(":")[0]
        return _start_of_sha256(file.encode())

    @property
    def weights_id(self) -> str | None:
        """The identity of a weights file in a record: its name and the start of its SHA-256."""
        if self.weights is None:
            return None
        file = Path(self.weights)
        return f"{file.name} {_start_of_sha256(file.read_bytes())}"

    @property
    def images_id(self) -> str | None:
        """The identity of a folder of images in a record; see `folder_id()`."""
        return None if self.images is None else folder_id(self.images)

    @property
    def network_name(self) -> str:
        """The network's name in file names, unique to each network."""
        name = self.model.rpartition(":")[2]
        name = "mobilenetv2" if name == DEFAULT_MODEL else name
        return name if self.output_stride == 32 else f"{name}_os{self.output_stride}"

    @property
    def flags(self) -> str:
        """The flags that differ from the defaults, as typed on a command line."""
        words = [] if self.batch_size == 1 else [f"--s {self.batch_size}"]
        if self.weights is not None:
            words.append(f"--weights {spell_file(self.weights)}")
        if self.images is not None:
            words.append(f"--images {spell_file(self.images)}")
        return " ".join(words)


@dataclass(frozen=True)
class Mode:
    """How a network is run; the defaults are stock."""

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
        """The names of the boolean flags that are set, in the order of a mode's name."""
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
        """The mode's name: its flags, as typed on a command line; "" is stock."""
        words = [flag_of(name) for name in self.switched_on]
        if self.dtype != "float32":
            words.append(f"--dtype {self.dtype}")
        if self.runtime != PYTORCH:
            words.append(f"--runtime {self.runtime}")
        return " ".join(words)


STOCK = Mode()
MEMORY_KEPT = Mode(keep_memory=True)  # modes are also compared with this one


@dataclass(frozen=True)
class TimerOptions:
    """A timer's options.

    target: "model", "block" or "layer". iterations: number of timed passes; None lets a parent
    process that assigns turns choose by the duration of a pass. warmup: number of warm-up passes.
    threads: intra-op threads; None is PyTorch's default. json: a file for the record. turns:
    whether a parent process assigns turns; otherwise all passes run in one go.
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
        """Whether the run produces a record, in a file or for a parent process."""
        return self.json is not None or self.turns

    @property
    def is_compared(self) -> bool:
        """Whether the output is compared with stock's and the record has the run's conditions."""
        return self.has_record or self.workload.images is not None

    @property
    def folder_suffix(self) -> str:
        """The conditions as the end of a results folder's name; "" is stock."""
        threads = "" if self.threads is None else f"--threads {self.threads}"
        return folder_suffix(self.mode.flags, threads, self.workload.flags)


@dataclass(frozen=True)
class MemoryOptions:
    """mem.py's options: the structure, or the memory report of a pass on a device ("auto", "cuda"
    or "cpu"). json: a file for the record."""

    workload: Workload
    structure: bool
    device: str
    json: str | None = None

    @property
    def folder_suffix(self) -> str:
        """The conditions as the end of a results folder's name; "" is the default."""
        # A structure does not depend on the device.
        named = self.device != "auto" and not self.structure
        device = f"--device {self.device}" if named else ""
        return folder_suffix(device, self.workload.flags)


def _start_of_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def flag_of(name: str) -> str:
    """The flag that sets the option with this name."""
    return f"--{name.replace('_', '-')}"


def spell_file(file: str) -> str:
    """A file's name as one word of a folder's name, distinct for distinct names."""
    return quote(Path(file).name, safe="").replace("--", "%2D%2D")


def folder_suffix(*flags: str) -> str:
    """Flags as the end of a folder's name: "--threads 2 --s 4" becomes "_threads_2_s_4"."""
    words = " ".join(flags).replace("--", "").split()
    return "".join(f"_{word}" for word in words)
