"""`POST /v1/items:upsert`: items for the running server."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import ORJSONResponse
from kserve.errors import InvalidInput

from souk.errors import SoukError, nearest, not_taken
from souk.serving.beside import Ended
from souk.serving.fields import TOO_DEEP
from souk.serving.items.outcomes import Outcome
from souk.serving.line import Overloaded
from souk.serving.metrics import ServingMetrics
from souk.serving.model import timeout_of
from souk.serving.releases import Releases
from souk.serving.room import Room
from souk.serving.seldom import Seldom
from souk.values import quoted

seldom = Seldom(logging.getLogger(__name__))
PATH = "/v1/items:upsert"
MAX_ROWS = 1000
MOST_CALLS = 64  # that wait
EXAMPLE = 'For example {"items": [{"item_id": "new-1", "title": "Red boots"}]}.'


class ItemsRoute:
    """The route. Rows are taken in a thread of their own, one call after the other, beside that of slates.

    Args:
        releases: that which answers takes them.
        metrics: counts them.
    """

    def __init__(self, releases: Releases, metrics: ServingMetrics) -> None:
        self._releases, self._metrics = releases, metrics
        self.room = Room("items", MOST_CALLS)

    def register(self, app: FastAPI) -> None:
        """Adds the route."""
        router = APIRouter()
        router.add_api_route(PATH, self.upsert, methods=["POST"], response_class=ORJSONResponse)
        app.include_router(router)

    async def upsert(self, request: Request) -> ORJSONResponse:
        """200 with what was accepted and what was refused, 400 for a body that is no batch, 429 where too many wait, or
        for longer than this one can, 503 from a full disk."""
        began = time.monotonic()
        try:
            timeout = timeout_of(request.headers)
            until = began + timeout / 1000 if timeout else math.inf
            body = await request.body()
            outcome = await self.room.run(self._upserted, body, until, left=until - time.monotonic())
        except SoukError as error:
            raise InvalidInput(str(error)) from error
        except RecursionError as error:
            raise InvalidInput(TOO_DEEP) from error
        except Ended:
            raise
        except OSError as error:
            seldom.error("items not taken: %s: %s", type(error).__name__, error)
            return ORJSONResponse({"error": str(not_taken(error))}, 503)
        self._metrics.items(outcome.accepted, len(outcome.refused))
        release = self._releases.now.bundle.name
        return ORJSONResponse({**asdict(outcome), "release": release})

    def _upserted(self, body: bytes, until: float) -> Outcome:
        if (late := time.monotonic() - until) > 0:  # nobody waits for it, and its caller may have sent it again
            raise Overloaded(late)
        return self._releases.upsert(rows_of(body))


def rows_of(body: bytes) -> list[Any]:
    """The rows of a body.

    Raises:
        SoukError: it is no JSON object with 1 to MAX_ROWS `items` and nothing else.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SoukError("a JSON body", f"{len(body)} bytes that are none ({error})", EXAMPLE) from error
    if not isinstance(payload, dict) or not payload:
        raise SoukError("the body to be an object with items, a list", quoted(payload), EXAMPLE)
    for name in payload:
        if name != "items":
            meant = nearest(name, {"items"} - {*payload})
            raise SoukError("the body to have items alone", quoted(name), meant or EXAMPLE)
    if not isinstance(payload["items"], list):
        raise SoukError("items to be a list", quoted(payload["items"]), EXAMPLE)
    if not 1 <= len(payload["items"]) <= MAX_ROWS:
        received = f"{len(payload['items'])}"
        remedy = "Send several calls, as `souk items` does." if payload["items"] else "Send one at least."
        raise SoukError(f"1 to {MAX_ROWS} items in one call", received, remedy)
    return list(payload["items"])
