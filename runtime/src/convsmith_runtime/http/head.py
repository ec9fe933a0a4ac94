"""HEAD: what GET would answer, without the body."""

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Head"]


class Head:
    """Passes HEAD on as GET; the server, which knows better, sends no body. Final."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
