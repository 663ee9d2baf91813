"""V2 bodies of too many tensors are refused before FastAPI makes an object of each, a tenth of a second of work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from kserve.errors import InvalidInput
from starlette.responses import JSONResponse

from souk.errors import SoukError
from souk.serving.direct import Receive, again, whole
from souk.serving.refusals import refusal
from souk.serving.tensors import INPUTS, OUTPUTS

MOST = {"inputs": len(INPUTS), "outputs": len(OUTPUTS)}
LARGE = 4 << 10  # bytes: what is smaller holds few


class FewTensors:
    """ASGI middleware before KServe's app.

    Args:
        app: what answers the calls.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Callable[[Any], Any]) -> None:
        """Passes the call on, or refuses it."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/infer"):
            await self._app(scope, receive, send)
            return
        try:
            body = await whole(receive)
            check(body)
        except (InvalidInput, SoukError) as error:
            await JSONResponse({"error": refusal(error)}, 400)(scope, receive, send)
            return
        await self._app(scope, again(body, receive), send)


def check(body: bytes) -> None:
    """Counts the tensors of a JSON body; what is none is another's to refuse.

    Raises:
        SoukError: there are more than the protocol here has.
    """
    if len(body) < LARGE:
        return
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:  # the binary form, whose head KServe reads without FastAPI
        return
    for name, most in MOST.items():
        tensors = payload.get(name) if isinstance(payload, dict) else None
        if isinstance(tensors, list) and len(tensors) > most:
            raise SoukError(f"at most {most} {name}", f"{len(tensors)}", "Send one tensor a field.")
