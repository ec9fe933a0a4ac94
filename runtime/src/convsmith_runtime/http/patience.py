"""A connection that says nothing, or a word a minute, is closed."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_SECONDS", "Patience"]

HEAD_SECONDS = 15.0  # from a connection, or the first byte, to the last line of the headers


class Patience(H11Protocol):
    """uvicorn's stricter protocol, which itself waits for headers for ever. Final.

    The faster one, on httptools, takes headers of any length, two Hosts, and requests without a
    version.
    """

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._limit = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Wait no longer once a request is there; for the next one, from its first byte."""
        super().data_received(data)
        if self._idle():
            if self._limit is None:
                self._limit = self.loop.call_later(HEAD_SECONDS, self._give_up)
        elif self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        super().connection_lost(exc)
        if self._limit is not None:
            self._limit.cancel()

    def _idle(self) -> bool:
        """Return whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _give_up(self) -> None:
        self._limit = None
        if self._idle() and not self.transport.is_closing():
            self.transport.close()
