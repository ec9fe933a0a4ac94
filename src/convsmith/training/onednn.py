"""Going on after oneDNN, which computes convolutions on a CPU, could not get memory."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["stuck", "unstuck"]

P = ParamSpec("P")
T = TypeVar("T")

STUCK: set[int] = set()  # threads in which it failed


def unstuck(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function in this thread, or in a new one if oneDNN has failed in this one.

    Its code generator keeps the first failure to get memory for the rest of a thread's life, and
    from then on every new shape fails with "could not create a primitive", however much memory is
    free. A new thread begins without it. The function must enter its own autocast and gradient
    modes: they are a thread's own.
    """
    if stuck():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function, *arguments, **named).result()
    try:
        return function(*arguments, **named)
    except RuntimeError as error:
        if "could not create a primitive" in str(error):
            STUCK.add(threading.get_ident())
        raise


def stuck() -> bool:
    """Return whether oneDNN has failed in this thread."""
    return threading.get_ident() in STUCK
