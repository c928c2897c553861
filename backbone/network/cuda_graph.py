"""A network's pass as a CUDA graph: its kernels captured once, and launched together.

Source: "CUDA Graphs" in PyTorch's documentation (CUDA semantics).
"""

import torch
from torch import Tensor, nn

from backbone.command.errors import Failure, is_out_of_memory, reason_of

WARMUP_PASSES = 3  # on the stream that captures, in which libraries set themselves up


class GraphNetwork(nn.Module):
    """The captured pass of a network, (B, C, H, W) -> what the network returns."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        """Capture the pass on an image of the one shape that it is for. Raises Failure if it cannot
        be captured, as where the network waits for the GPU."""
        super().__init__()
        self.image = image
        self.captured = [network]  # whose weights the graph reads; in a list it is no submodule
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(WARMUP_PASSES):
                network(image)
        try:
            with torch.inference_mode(), torch.cuda.graph(self.graph, stream=stream):
                self.output = network(image)
        except Exception as error:  # whatever a forward does that no graph can hold
            cause = error.__context__ or error  # to end a capture that has failed fails too
            if is_out_of_memory(cause):
                raise cause from error
            reason = reason_of(cause)
            raise Failure(f"--cuda-graph: the pass cannot be captured ({reason})") from error
        torch.cuda.current_stream().wait_stream(stream)

    def forward(self, image: Tensor) -> object:
        """What the network returns, in memory that the next pass writes to."""
        if image is not self.image:
            self.image.copy_(image)
        self.graph.replay()
        return self.output
