"""A socket, a server on it, and how it ends."""

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from convsmith_runtime.http.patience import Patience

__all__ = ["address", "listen", "run"]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to a host and port; port 0 is any that is free.

    Raises:
        OSError: there is no such host here, or the port is in use.
    """
    family, kind, protocol, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
    except OSError:
        made.close()
        raise
    return made


def address(host: str, bound: socket.socket) -> str:
    """Return the address under which a browser finds the server."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{bound.getsockname()[1]}"


def run(app: FastAPI, bound: socket.socket, grace: float, on_start: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, then answer what was accepted, for ``grace`` seconds."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=Patience,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # what a stranger says of himself
        server_header=False,
        timeout_keep_alive=65,  # longer than the usual proxies', or they would meet closed doors
        timeout_graceful_shutdown=int(grace) + 1,
    )
    with calm():
        Server(config, on_start).run(sockets=[bound])


class Server(uvicorn.Server):
    """uvicorn's, which says when it listens. Final."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._on_start()


@contextmanager
def calm() -> Iterator[None]:
    """Keep the signals that end the server, which it raises again, from ending more."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, lambda number, frame: None)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
