"""What every request passes before it reaches a route: who asks, under what name, from where."""

import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convsmith_runtime.http.answers import refusal
from convsmith_runtime.http.limits import Refused

__all__ = ["OPEN", "Guard"]

OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})  # without a key: no model in them

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Checks the Host, the Origin and the key, and adds headers that bind browsers. Final.

    A page of another site can have its own name lead to this machine; the Host that the browser
    then sends is that name, which is none of ``hosts``. None of them is checked if that is None.
    """

    def __init__(self, app: ASGIApp, key: str | None, hosts: Sequence[str] | None) -> None:
        self._app = app
        self._key = None if key is None else key.encode("utf-8")
        self._hosts = None if hosts is None else frozenset(each.lower() for each in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except Refused as refused:
            await refusal(refused)(scope, receive, send_bound)
        else:
            await self._app(scope, receive, send_bound)

    def _check(self, scope: Scope) -> None:
        """Raise Refused unless the request may pass."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and name_of(host) not in self._hosts:
            raise Refused(421, "host", f"no server is called {host[:100]!r} here; see --allow-host")
        origin = headers.get("origin")
        if (
            origin is not None
            and scope["method"] != "GET"
            and name_and_port(origin) != host.lower()
        ):
            reason = "pages of other sites may not ask; a proxy must pass the Host on"
            raise Refused(403, "origin", reason)
        needed = self._key is not None and scope["path"] not in OPEN
        if needed and not hmac.compare_digest(key_in(headers), self._key or b""):
            raise Refused(
                401,
                "key",
                "a key is needed: send the header `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )


def key_in(headers: Headers) -> bytes:
    """Return the key that a request sends, if any."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = headers.get("x-api-key", "")
    return given.strip().encode("latin-1")


def name_of(host: str) -> str:
    """Return the name in a Host header, without a port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def name_and_port(origin: str) -> str:
    """Return the part of an Origin that a Host header has."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
