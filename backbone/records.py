"""Records: a run as a pyperf suite, one benchmark a row, every sample, in seconds."""

import io
import platform

import pyperf

from backbone.rows import Row

# pyperf collects more, host name and paths among it; a record says nothing of its user.
COLLECTED = ("cpu_model_name", "date", "python_implementation", "python_version")


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
        "name": row.name,
        "level": row.level,
        "detail": row.detail,
        "input_shape": str(row.input_shape),
        "unit": "second",
    }
    seconds = [round(sample / 1e3, 9) for sample in row.samples.tolist()]
    return pyperf.Run(seconds, metadata=metadata | own, collect_metadata=False)
