"""Reading weights from files, and putting all but the last layer into another network."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from convsmith.errors import ModelError

__all__ = ["head_of", "load_backbone", "read_weights_file"]

WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema")  # where training scripts put it


def read_weights_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file, or of what ``torch.save`` wrote.

    Nothing in the file is run: PyTorch's files are read with ``weights_only``.

    Raises:
        ModelError: the file is missing, damaged, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # of the pickle's version, when it is refused anyway
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"there is no file {path} with weights") from None
    except Exception as error:  # damaged files raise anything
        if isinstance(error, pickle.UnpicklingError) and "unsupported global" in str(error).lower():
            raise ModelError(
                f"{path} holds more than tensors and is not read, since that could run code; save "
                "its state_dict alone, best with safetensors"
            ) from error
        of_place = isinstance(error, OSError) and error.filename  # without one it is the content
        told = (of_place or isinstance(error, SafetensorError)) and str(error).splitlines()
        reason = told[0][:150] if told else "it is damaged or something else"
        raise ModelError(f"{path} cannot be read as weights: {reason}") from error
    return state_dict_in(loaded, path)


def state_dict_in(loaded: object, path: Path) -> dict[str, Tensor]:
    """Return the mapping of tensors in what a file held."""
    for name in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    if not isinstance(loaded, Mapping):
        raise ModelError(f"{path} holds no mapping of tensors")
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no tensor")
    if all(name.startswith("module.") for name in tensors):  # of DataParallel
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def head_of(model: nn.Module) -> str:
    """Return the name of a classifier's last layer.

    Raises:
        ModelError: it has neither a linear layer nor a convolution, or several heads.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    said = getattr(model, "get_classifier", lambda: None)()  # of timm's networks
    if isinstance(said, tuple | list):
        raise ModelError("the network has several heads; take one without distillation")
    last = next((name for name, module in modules.items() if module is said), "")
    if last:
        return last
    for name, module in modules.items():
        if isinstance(module, nn.Linear | nn.Conv2d):
            last = name
    if not last:
        raise ModelError("the network has no layer that could be its head")
    return last


def load_backbone(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> list[str]:
    """Copy every tensor but those of the head, which keeps what it has; return those left over.

    Args:
        model: the network.
        tensors: of the same network, perhaps with another head.
        source: where they come from, for messages.

    Raises:
        ModelError: they are of another network, and what is missing; or they are NaN or infinite.
    """
    head = head_of(model)
    own = model.state_dict()
    wanted = {
        name: tensor
        for name, tensor in own.items()
        if not name.startswith(f"{head}.") and not name.endswith("num_batches_tracked")
    }
    wrong = [
        name
        for name, tensor in wanted.items()
        if name not in tensors or not fits(tensors[name], tensor)
    ]
    if wrong:
        first = wrong[0]
        found = described(tensors[first]) if first in tensors else "not there"
        raise ModelError(
            f"{source} is of another network: {len(wanted) - len(wrong)} of {len(wanted)} tensors "
            f"fit; `{first}` should be {described(wanted[first])} and is {found}"
        )
    bad = next((name for name in wanted if not tensors[name].isfinite().all()), None)
    if bad is not None:
        raise ModelError(
            f"{source} holds NaN or infinity, first in `{bad}`: its training broke off"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            counted = name.endswith("num_batches_tracked") and name in tensors
            if name in wanted or (counted and fits(tensors[name], tensor)):
                own[name].copy_(tensors[name])
    return [name for name in tensors if name not in own and not name.startswith(f"{head}.")]


def fits(given: Tensor, wanted: Tensor) -> bool:
    """Return whether a tensor can be copied: its shape, its kind of number, and that it has any."""
    same_kind = given.is_floating_point() == wanted.is_floating_point()
    return given.shape == wanted.shape and same_kind and not given.is_meta


def described(tensor: Tensor) -> str:
    """Return a tensor's shape and type in words."""
    place = ", without values" if tensor.is_meta else ""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}{place}"
