"""convsmith: from a folder of images to a trained, understood and served convolutional network.

The verbs are here: ``convsmith.train("digits")``. Each is imported when it is first used, so that
``import convsmith`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convsmith.api.doctor import doctor as doctor
    from convsmith.api.evaluate import evaluate as evaluate
    from convsmith.api.load import load as load
    from convsmith.api.predict import predict as predict
    from convsmith.api.recipes import recipes as recipes
    from convsmith.api.train import train as train
    from convsmith.data.own import own_source as own_source

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "doctor",
    "evaluate",
    "load",
    "own_source",
    "predict",
    "recipes",
    "train",
]

_MODULES = {
    "doctor": "convsmith.api.doctor",
    "evaluate": "convsmith.api.evaluate",
    "load": "convsmith.api.load",
    "own_source": "convsmith.data.own",
    "predict": "convsmith.api.predict",
    "recipes": "convsmith.api.recipes",
    "train": "convsmith.api.train",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'convsmith' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
