"""A network's pass as a CUDA graph: its kernels are captured once and then launched together.

Source: "CUDA Graphs" in PyTorch's documentation (CUDA semantics).
"""

import torch
from torch import Tensor, nn

from backbone.command.errors import Failure, is_out_of_memory, reason_of

WARMUP_PASSES = 3  # on the capturing stream, where libraries initialize


class GraphNetwork(nn.Module):
    """The captured pass of a network, (B, C, H, W) -> what the network returns."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        """Capture the pass for the shape of an image (B, C, H, W). Raises Failure if that fails,
        for example because the network synchronizes with the GPU."""
        super().__init__()
        self.image = image
        self.captured = [network]  # the graph reads its weights; in a list it is no submodule
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(WARMUP_PASSES):
                network(image)
        try:
            with torch.inference_mode(), torch.cuda.graph(self.graph, stream=stream):
                self.output = network(image)
        except Exception as error:  # a forward may do anything that a graph cannot hold
            cause = error.__context__ or error  # ending a failed capture fails too
            if is_out_of_memory(cause):
                raise cause from error
            reason = reason_of(cause)
            raise Failure(f"--cuda-graph: the pass cannot be captured ({reason})") from error
        torch.cuda.current_stream().wait_stream(stream)

    def forward(self, image: Tensor) -> object:
        """The network's output, in memory that the next pass overwrites."""
        if image is not self.image:
            self.image.copy_(image)
        self.graph.replay()
        return self.output
