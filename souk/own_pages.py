"""Web pages that a browser shows: where callers have no token, one of another site may not write through the browser of
somebody who reaches the server (docs/security.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from souk.errors import SoukError

READING = ("GET", "HEAD", "OPTIONS")  # which change nothing, and whose answers a browser keeps from other sites
REFUSED = str(
    SoukError("a program's call", "one of another site's web page", "Call from a back end, or use --token-file.")
)


class OwnPages:
    """ASGI middleware: a call that another site's page has a browser make gets 403 before its body is read.

    Browsers say of each call where it is from, and pages cannot say otherwise; programs say nothing of it.

    Args:
        app: what answers the others.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Passes the call on, or refuses it."""
        if scope["type"] == "http" and scope["method"] not in READING and _foreign(dict(scope["headers"])):
            await JSONResponse({"error": REFUSED}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _foreign(headers: dict[bytes, bytes]) -> bool:
    """Whether a call is another site's. Over HTTP to a name or an address of a network there is an Origin alone."""
    if b"sec-fetch-site" in headers:
        return headers[b"sec-fetch-site"] == b"cross-site"
    origin = headers.get(b"origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get(b"host", b"").lower()
    except ValueError:
        return True
