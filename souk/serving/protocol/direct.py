"""The V1 predict call without FastAPI's routing and KServe's decoding, which cost half of an empty answer.

Only what needs neither is answered here: a JSON body with `instances` alone. The rest goes the way of every other call:
CloudEvents, and what is no such body, which gets its error there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from kserve import Model
from kserve.errors import InvalidInput
from starlette.responses import Response

PLAIN = ("", "application/json", "application/x-www-form-urlencoded")  # the last is curl's for `-d`
GONE = "Expected the rest of the body. Received: no more, the client went away. Send it again."
Receive = Callable[[], Awaitable[Any]]


class DirectPredict:
    """ASGI middleware before KServe's app.

    Args:
        app: what answers every other call.
        model: gives the model, once it is registered; its steps are called as KServe's `Model.__call__` does.
        refused: the answers to errors that are the client's, by type.
    """

    def __init__(
        self,
        app: Any,
        model: Callable[[str], Model | None],
        refused: Mapping[type[Exception], Callable[[Any, Any], Awaitable[Response]]],
    ) -> None:
        self._app, self._model, self._refused = app, model, refused

    async def __call__(self, scope: Any, receive: Receive, send: Callable[[Any], Any]) -> None:
        """Answers, or passes the call on."""
        model = self._asked(scope)
        if model is None:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = await whole(receive)
            payload = _payload(body) if _plain(headers) else None
            if payload is None:
                await self._app(scope, again(body, receive), send)
                return
            more: dict[str, str] = {}
            slates = await model.predict(await model.preprocess(payload, headers), headers, more)
            answer: Response = Response(
                orjson.dumps(await model.postprocess(slates, headers, more)),
                headers=more,
                media_type="application/json",
            )
        except tuple(self._refused) as error:
            answer = await next(told for kind, told in self._refused.items() if isinstance(error, kind))(None, error)
        await answer(scope, receive, send)

    def _asked(self, scope: Any) -> Model | None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "POST" or not path.endswith(":predict"):
            return None
        return self._model(path.removeprefix("/v1/models/").removesuffix(":predict"))


def _plain(headers: Mapping[str, str]) -> bool:
    """Whether a body is JSON by its media type; KServe takes these for it, whatever their parameters."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media in PLAIN and not any(name.startswith("ce-") for name in headers)


def _payload(body: bytes) -> Any:
    """The object with `instances` alone that a body is; None for any other."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return payload if isinstance(payload, dict) and payload.keys() == {"instances"} else None


async def whole(receive: Receive) -> bytes:
    """The body of a call.

    Raises:
        InvalidInput: the client went away before it had sent it.
    """
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput(GONE)
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def again(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read once more, and then what comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Any:
        return waiting.pop() if waiting else await receive()

    return given
