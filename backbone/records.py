"""Records: a run as a pyperf suite, one benchmark a row, every sample, in seconds."""

import io
import json
import platform
from pathlib import Path

import numpy as np
import pyperf

from backbone.rows import Row, name_row
from backbone.script import Failure

# pyperf collects more, host name and paths among it; a record says nothing of its user.
COLLECTED = ("cpu_model_name", "date", "python_implementation", "python_version")

# What a reader may count on, beside what the rows hold.
NEEDED = ("date", "dataset", "device", "dtype", "target", "warmup")
NEEDED += ("torch_version", "torchvision_version")
NEEDED_CPU = ("threads",)
NEEDED_CUDA = ("compute_capability", "cudnn_version", "cudnn_allow_tf32")


def dumps(rows: list[Row], metadata: dict[str, str | int]) -> str:
    """The rows, and what the text cannot say of their run, as the JSON text of a pyperf suite.

    metadata: of the run; where it names no device, the CPU is the device.
    """
    collected = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    cpu = {"device": collected.get("cpu_model_name", platform.machine())}
    metadata = cpu | {key: collected[key] for key in COLLECTED if key in collected} | metadata
    suite = pyperf.BenchmarkSuite([pyperf.Benchmark([_run(row, metadata)]) for row in rows])
    text = io.StringIO()
    suite.dump(text)
    return text.getvalue()


def _run(row: Row, metadata: dict[str, str | int]) -> pyperf.Run:
    own = {
        "name": name_row(row),
        "level": row.level,
        "kind": row.kind,
        "path": row.path,
        "stage": row.stage,
        "input_shape": str(row.input_shape),
        "settings": json.dumps(row.settings) if row.settings else None,
        "unit": "second",
    }
    own = {key: value for key, value in own.items() if value not in ("", None)}  # as pyperf wants
    seconds = [round(sample / 1e3, 9) for sample in row.samples.tolist()]
    return pyperf.Run(seconds, metadata=metadata | own, collect_metadata=False)


def loads(text: str, file: Path) -> tuple[list[Row], dict]:
    """The rows of a record's text, and the metadata of its run.

    file: where the text is from, for the message. Raises script.Failure where it is no such record.
    """
    try:
        benchmarks = pyperf.BenchmarkSuite.loads(text).get_benchmarks()
        rows, about = [_row(benchmark) for benchmark in benchmarks], benchmarks[-1].get_metadata()
        needed = NEEDED + (NEEDED_CUDA if "cuda_version" in about else NEEDED_CPU)
        if missing := [key for key in needed if key not in about]:
            raise KeyError(*missing)
        return rows, about
    except Exception as error:  # pyperf raises whatever a text of another form makes it run into
        raise Failure(f"{file} is no record of a timer: {error!r}") from error


def _row(benchmark: pyperf.Benchmark) -> Row:
    about = benchmark.get_metadata()
    return Row(
        level=about["level"],
        kind=about["kind"],
        path=about.get("path", ""),
        stage=about.get("stage"),
        input_shape=json.loads(about["input_shape"]),
        samples=np.round(np.array(benchmark.get_values()) * 1e3, 6),
        settings=json.loads(about.get("settings", "{}")),
    )
