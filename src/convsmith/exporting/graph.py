"""The network as it is shipped: uint8 images in, logits out, everything between in the graph."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from convsmith.errors import ModelError

__all__ = ["Deployed", "Input", "deployed", "reason", "to_program"]


@dataclass(frozen=True)
class Input:
    """What the network takes: ``channels``, ``image_size`` (height, width), and how it is scaled.

    ``(values / scale - mean) / std`` by channel.
    """

    channels: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 255.0

    def example(self) -> Tensor:
        """Return two images; the graph is made for any number."""
        draw = torch.Generator().manual_seed(0)
        shape = (2, self.channels, *self.image_size)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)


class Deployed(nn.Module):
    """Images ``(N, C, H, W)`` uint8 to logits ``(N, classes)`` float32: scaled, normalised, judged.

    Final. The arithmetic is that of training's normalisation, in the same order.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, network: nn.Module, given: Input) -> None:
        super().__init__()
        self.network = network
        mean = torch.tensor(given.mean) * given.scale
        factor = 1 / (torch.tensor(given.std) * given.scale)
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("factor", factor.view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network((pixels.float() - self.mean) * self.factor)
        return logits.float()


@contextmanager
def deployed(network: nn.Module, given: Input) -> Iterator[Deployed]:
    """Lend the network in evaluation mode, on the CPU, with its preprocessing before it.

    Its modes are put back; one that lies on another device is copied.
    """
    modes = [(module, module.training) for module in network.modules()]
    here = all(each.device.type == "cpu" for each in network.state_dict().values())
    chosen = network if here else copy.deepcopy(network).cpu()
    try:
        for module in chosen.modules():
            module.training = False  # train() and eval() of exported modules refuse to be called
        yield Deployed(chosen, given)
    finally:
        for module, mode in modes:
            module.training = mode


def to_program(network: nn.Module, given: Input) -> ExportedProgram:
    """Return the network's graph by ``torch.export``, for any number of images.

    The number is called ``batch_size``. Nothing of the network is changed.

    Raises:
        ModelError: the network does something that has no graph.
    """
    with deployed(network, given) as module, torch.no_grad(), warnings.catch_warnings():
        # torch.export's own uses of what it deprecates; what it cannot do, it raises.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        try:
            return export(module, (given.example(),), dynamic_shapes=({0: Dim("batch_size")},))
        except Exception as error:  # whatever the network's own code makes of it
            raise ModelError(
                f"torch.export makes no graph of this network: {reason(error)}"
            ) from error


def reason(error: BaseException) -> str:
    """Return the first line of what an error, in the end, comes from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
