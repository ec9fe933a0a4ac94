"""The page at ``/``: one file, and the rules under which a browser shows it."""

import hashlib
import re
from base64 import b64encode
from importlib.resources import files

from fastapi.responses import HTMLResponse

__all__ = ["page"]


def page() -> HTMLResponse:
    """Return the page; a browser runs the script that is in it, and no other, and asks nobody."""
    text = files("convsmith_runtime.http").joinpath("page.html").read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": digest(text, "script"),
        "style-src": digest(text, "style"),
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(text, headers=headers)


def digest(text: str, tag: str) -> str:
    """Return the digest of what is inside a tag, as a policy names it."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert found is not None
    return f"'sha256-{b64encode(hashlib.sha256(found[1].encode()).digest()).decode('ascii')}'"
