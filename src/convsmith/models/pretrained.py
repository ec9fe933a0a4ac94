"""Networks of torchvision and timm by their names, with a new last layer and published weights.

Both libraries are imported only when one of their networks is asked for.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.errors import ModelError, did_you_mean

__all__ = [
    "LIBRARIES",
    "Preprocessing",
    "architectures",
    "hub_weights",
    "preprocessing",
    "timm",
    "torchvision",
]

LIBRARIES = {"timm": "timm", "torchvision": "torchvision.models"}  # name -> module
AUXILIARY = ("googlenet", "inception_v3")  # torchvision's networks with a second output


@dataclass(frozen=True)
class Preprocessing:
    """What published weights expect: (height, width), and mean and deviation of 0..1 by channel."""

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def torchvision(
    num_classes: int, in_channels: int, image_size: tuple[int, int], *, architecture: str
) -> nn.Module:
    """One of torchvision's classification networks, such as ``resnet50``.

    Its weights are drawn anew; those of the hub or a file are a recipe's ``transfer.weights``.
    Smallest image: whatever the network bears, often 32x32.

    Raises:
        ModelError: there is no such network, or the images are not of three channels.
    """
    require(architecture, "torchvision")
    if in_channels != 3:
        raise ModelError(
            f"torchvision/{architecture} takes 3 channels, the images have {in_channels}; "
            "for image files say data.channels=3"
        )
    models = library("torchvision")
    options: dict[str, Any] = {}
    if architecture in AUXILIARY:
        options = {"aux_logits": False, "init_weights": True}
    if architecture.startswith("vit_"):
        options = {"image_size": image_size[0]}
    try:
        network: nn.Module = models.get_model(architecture, num_classes=num_classes, **options)
    except (AssertionError, ValueError) as error:  # of vision transformers
        shape = "x".join(map(str, image_size))
        raise ModelError(
            f"torchvision/{architecture} cannot be built for images of {shape}: {brief(error)}"
        ) from error
    return network


def timm(
    num_classes: int, in_channels: int, image_size: tuple[int, int], *, architecture: str
) -> nn.Module:
    """One of timm's networks, such as ``resnet18`` (``pip install "convsmith[timm]"``).

    Its weights are drawn anew; those of the hub or a file are a recipe's ``transfer.weights``.

    Raises:
        ModelError: there is no such network, or timm is not installed.
    """
    require(architecture, "timm")
    network: nn.Module = library("timm").create_model(
        architecture, pretrained=False, num_classes=num_classes, in_chans=in_channels
    )
    return network


def library(name: str) -> Any:
    """Import torchvision's models or timm.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module(LIBRARIES[name])
    except ModuleNotFoundError as error:
        raise ModelError(
            f'networks of {name} need it: pip install "convsmith[timm]" brings both torchvision '
            "and timm"
        ) from error


def architectures(name: str) -> tuple[str, ...]:
    """Return the names of a library's classification networks.

    Raises:
        ModelError: the library is not installed.
    """
    models = library(name)
    if name == "timm":
        return tuple(models.list_models())
    return tuple(models.list_models(module=models))


def require(architecture: str, name: str) -> None:
    """Raise ModelError, naming the nearest, if a library has no such network."""
    known = architectures(name)
    if architecture not in known:
        hint = did_you_mean(architecture, known)
        raise ModelError(f"{name} has no network called {architecture!r}{hint}")


def preprocessing(name: str, architecture: str) -> Preprocessing | None:
    """Return what the published weights of a network expect; None if there are none."""
    if name == "timm":
        found = library("timm").get_pretrained_cfg(architecture)
        if found is None or not found.mean or not found.std:
            return None
        _, height, width = found.input_size
        return Preprocessing((height, width), tuple(found.mean), tuple(found.std))
    weights = library("torchvision").get_model_weights(architecture)
    if not list(weights):
        return None
    transforms = weights.DEFAULT.transforms()
    side = transforms.crop_size[0]
    return Preprocessing((side, side), tuple(transforms.mean), tuple(transforms.std))


def hub_weights(name: str, architecture: str) -> dict[str, Tensor]:
    """Download a network's published weights, or find them in the library's own cache.

    Raises:
        ModelError: there are none, or they cannot be had; the manual way is said.
    """
    if name == "timm":
        return timm_weights(architecture)
    weights = library("torchvision").get_model_weights(architecture)
    if not list(weights):
        raise ModelError(f"torchvision publishes no weights of {architecture}")
    url = weights.DEFAULT.url
    try:
        require_kept(url)
        with redirect_stdout(sys.stderr):  # where it says what it downloads
            found: dict[str, Tensor] = weights.DEFAULT.get_state_dict(
                progress=True, check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError) as error:  # URLError is an OSError
        raise ModelError(
            f"the weights of torchvision/{architecture} cannot be downloaded ({brief(error)}); "
            f"where there is a network get {url}, and say transfer.weights=FILE"
        ) from error
    return found


def timm_weights(architecture: str) -> dict[str, Tensor]:
    """Return timm's published weights of a network."""
    timm = library("timm")
    found = timm.get_pretrained_cfg(architecture)
    if found is None or not (found.hf_hub_id or found.url):
        raise ModelError(f"timm publishes no weights of {architecture}")
    try:
        if not found.hf_hub_id:
            require_kept(found.url)
        with hub_as_told():
            network: nn.Module = timm.create_model(architecture, pretrained=True)
    except Exception as error:  # whatever its hub client raises when offline
        place = found.hf_hub_id or found.url
        raise ModelError(
            f"the weights of timm/{architecture} cannot be downloaded ({brief(error)}); where "
            f"there is a network get model.safetensors of {place}, and say transfer.weights=FILE"
        ) from error
    return dict(network.state_dict())


@contextmanager
def hub_as_told() -> Iterator[None]:
    """Keep timm's hub client to its own cache where nothing may be downloaded.

    It looks at its environment only once, when timm is imported; so it is told here.
    """
    client: Any = importlib.import_module("huggingface_hub.constants")
    before = client.HF_HUB_OFFLINE
    client.HF_HUB_OFFLINE = before or offline()
    try:
        yield
    finally:
        client.HF_HUB_OFFLINE = before


def require_kept(url: str) -> None:
    """Raise OSError if a file would have to be downloaded and nothing may be."""
    kept = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if offline() and not kept.exists():
        raise OSError("CONVSMITH_OFFLINE is set")


def offline() -> bool:
    """Return whether nothing may be downloaded."""
    return bool(os.environ.get("CONVSMITH_OFFLINE"))


def brief(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
