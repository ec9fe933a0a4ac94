"""Importing the libraries that only exporting needs, with a clear line where one is missing."""

import importlib
import importlib.util
from typing import Any

from convsmith.errors import UserError

__all__ = ["require", "require_installed"]

EXTRAS = {"openvino": "openvino"}  # all others come with `deploy`


def require(name: str) -> Any:
    """Import a library.

    Raises:
        UserError: it is not installed; says how to install it.
    """
    require_installed(name)
    return importlib.import_module(name)


def require_installed(*names: str) -> None:
    """Raise UserError, which says how to install it, for the first library that is missing."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            extra = EXTRAS.get(name, "deploy")
            raise UserError(f'this needs {name}: pip install "convsmith[{extra}]"')
