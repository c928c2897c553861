"""mem.py's memory report and structure as printed text."""

from math import prod

from calmsize import size as readable_size

from backbone.record.memory_record import MemoryReport, Structure

MIB = 2**20
LINE = "-" * 79  # pytorch-memlab's


def format_report(report: MemoryReport) -> str:
    """The tensors as pytorch_memlab 0.3.0's MemReporter prints them with verbose=True, byte for
    byte (K, M and G are 2**10, 2**20 and 2**30 bytes), then the parameters and the peak."""
    lines = [f"{'Element type':<40}{'Size':>20}{'Used MEM':>10}", LINE]
    lines.append(f"Storage on {report.storage}")
    for tensor in report.tensors:
        shape = str(tuple(tensor.shape))
        size = f"{readable_size(tensor.allocated_bytes):.2f}"
        lines.append(f"{tensor.name:<40}{shape:>20}{size:>10}")
    total = f"{readable_size(report.allocated_bytes):.2f}"
    lines += [LINE, f"Total Tensors: {report.elements} \tUsed Memory: {total}"]
    if report.allocator_bytes is not None:
        allocated = f"{readable_size(report.allocator_bytes):.2f}"
        lines.append(f"The allocated memory on {report.storage}: {allocated}")
        if report.allocator_bytes != report.allocated_bytes:
            lines.append(
                "Memory differs due to the matrix alignment or invisible gradient buffer tensors"
            )
    lines += [LINE, f"Parameters: {report.parameters}", *_peak_lines(report)]
    if report.denormal_weights or report.denormal_activations:
        lines.append(
            f"Denormal values: {report.denormal_weights} of the weights, "
            f"{report.denormal_activations} of the activations; "
            "see torch.set_flush_denormal"
        )
    return "\n".join(lines) + "\n"


def _peak_lines(report: MemoryReport) -> list[str]:
    peak = report.predicted_peak
    lines = [f"Peak memory during inference (predicted): {peak.total / MIB:.1f} MiB"]
    for part, size in peak.parts.items():
        lines.append(f"  {part + ':':<12} {size / MIB:>8.1f} MiB")
    lines.append(f"  at: {peak.operation}")
    if report.measured_peak is not None:
        measured = report.measured_peak / MIB
        ratio = report.measured_peak / peak.total
        lines.append(
            f"Peak memory during inference (measured on {report.device}): "
            f"{measured:.1f} MiB, {ratio:.3f} times the prediction"
        )
    return lines


def format_structure(structure: Structure) -> str:
    """The layers as torchsummary 1.5.1 prints them, byte for byte: batch size -1, sizes in MB of
    2**20 bytes at 4 bytes per element, every output counted twice. Then the MACs."""
    rows = []
    for number, layer in enumerate(structure.layers, start=1):
        batch, *rest = layer.output_shape
        shape = str([-1 if batch == 1 else batch, *rest])
        name = f"{layer.type}-{number}"
        rows.append(f"{name:>20}  {shape:>25} {layer.parameters:>15,}")
    table = "\n".join(rows)
    thin = "-" * 64
    thick = "=" * 64
    outputs = sum(prod(layer.output_shape) for layer in structure.layers)
    image_mb = 4 * prod(structure.input.input_shape) / MIB
    passes_mb = 4 * 2 * outputs / MIB
    weights_mb = 4 * structure.parameters / MIB
    return f"""\
{thin}
{"Layer (type)":>20}  {"Output Shape":>25} {"Param #":>15}
{thick}
{table}
{thick}
Total params: {structure.parameters:,}
Trainable params: {structure.parameters:,}
Non-trainable params: 0
{thin}
Input size (MB): {image_mb:.2f}
Forward/backward pass size (MB): {passes_mb:.2f}
Params size (MB): {weights_mb:.2f}
Estimated Total Size (MB): {weights_mb + passes_mb + image_mb:.2f}
{thin}

Total MACs: {structure.macs:,} (1 MAC = 2 FLOPs)
"""
