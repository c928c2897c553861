"""The colours of all pictures: each stands for a mode, a part of a pass, or a kind of operation."""

STOCK = "#6e6e6e"
PRECISIONS = {"float32": "#9e9ac8", "bfloat16": "#6a51a3", "float16": "#6a51a3", "int8": "#2d004b"}
MEMORY_KEPT = PRECISIONS["float32"]
PAGE_FAULTS = "#d7301f"
REORDERS = "#fdae61"
REST = "#d0d0d0"
CONVOLUTIONS = {
    "pointwise convolution": "#08519c",
    "depthwise convolution": "#6baed6",
    "convolution": "#3182bd",
}
NORMS = {"batch norm": "#238b45"}
OTHER_KERNELS = "#a1d99b"


def colour_of_kind(kind: str) -> str:
    """The colour of a kind of operation."""
    return (CONVOLUTIONS | NORMS).get(kind, OTHER_KERNELS)
