"""`POST /v1/events`: what users do, for the running server and for the next training."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import ORJSONResponse
from kserve.errors import InvalidInput

from souk.errors import SoukError, not_taken
from souk.serving.events.live import Busy, LiveEvents
from souk.serving.fields import TOO_DEEP
from souk.serving.metrics import ServingMetrics
from souk.serving.protocol.refusals import again_after
from souk.serving.releases import Releases
from souk.serving.room import Room
from souk.serving.seldom import Seldom
from souk.values import quoted

seldom = Seldom(logging.getLogger(__name__))
PATH = "/v1/events"
MAX_ROWS = 1000
MOST_CALLS = 256  # that wait to be checked; those that wait for the disk are counted by events
EXAMPLE = (
    'For example {"event_id": "e1", "user_id": "42", "item_id": "50", "event_type": "click", '
    '"timestamp": 1700000000000}, with the other columns that your data requires, or {"events": [...]} with several.'
)


class EventsRoute:
    """The route.

    Args:
        live: takes the events.
        releases: that which answers has the columns and the schema.
        metrics: counts them.
        clock: UTC epoch milliseconds.
    """

    def __init__(
        self,
        live: LiveEvents,
        releases: Releases,
        metrics: ServingMetrics,
        clock: Callable[[], int],
    ) -> None:
        self._live, self._releases, self._metrics, self._clock = live, releases, metrics, clock
        self.room = Room("events", MOST_CALLS)

    def register(self, app: FastAPI) -> None:
        """Adds the route."""
        router = APIRouter()
        router.add_api_route(PATH, self.take, methods=["POST"], response_class=ORJSONResponse)
        app.include_router(router)

    async def take(self, request: Request) -> ORJSONResponse:
        """200 with what was accepted and what was refused, 400 for a body that is no batch and, with the same fields
        and the reason, for a single event that is refused, 503 from a disk that does not take it, 429 where too many
        wait."""
        try:
            now, body = self._clock(), await request.body()
            rows, alone, typed, refused = await self.room.run(self._checked, body, now)
            good = [{"arrived_at": now, **row} for row in typed if row]
            taken = await asyncio.wrap_future(self._live.submit(good))
        except SoukError as error:
            raise InvalidInput(str(error)) from error
        except RecursionError as error:
            raise InvalidInput(TOO_DEEP) from error
        except Busy:
            text = str(SoukError("fewer events at once", "more than can wait here", "Send them again in a second."))
            return ORJSONResponse({"error": text}, 429, again_after(1.0))
        except OSError as error:
            seldom.error("events not taken: %s: %s", type(error).__name__, error)
            return ORJSONResponse({"error": str(not_taken(error))}, 503)
        self._metrics.events(taken.accepted, taken.duplicates, len(refused))
        why = [{"row": at, "event_id": _id(rows[at]), "reason": refused[at]} for at in sorted(refused)]
        answer = {**asdict(taken), "refused": why, "release": self._releases.now.bundle.name}
        if alone and refused:  # who sends one event looks at the status
            return ORJSONResponse({"error": refused[0], **answer}, 400)
        return ORJSONResponse(answer)

    def _checked(self, body: bytes, now: int) -> tuple[list[Any], bool, list[dict[str, Any]], dict[int, str]]:
        """The rows of a body, whether it is a single one, the typed ones, and why others are refused: in a thread, for
        4 MiB take a while."""
        rows, alone = rows_of(body)
        return rows, alone, *self._releases.now.check.check(rows, now)


def rows_of(body: bytes) -> tuple[list[Any], bool]:
    """The rows of a body, and whether it is a single event and not `events` with 1 to MAX_ROWS of them.

    Raises:
        SoukError: it is neither.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SoukError("a JSON body", f"{len(body)} bytes that are none ({error})", EXAMPLE) from error
    if not isinstance(payload, dict) or not payload:
        raise SoukError("the body to be an event, or an object with events, a list", quoted(payload), EXAMPLE)
    if "events" not in payload:
        return [payload], True
    if not isinstance(payload["events"], list):
        raise SoukError("events to be a list", quoted(payload["events"]), EXAMPLE)
    for name in payload:
        if name != "events":
            raise SoukError("the body to have events alone, where it has them", quoted(name), EXAMPLE)
    if not 1 <= len(payload["events"]) <= MAX_ROWS:
        remedy = "Send several calls." if payload["events"] else "Send one at least."
        raise SoukError(f"1 to {MAX_ROWS} events in one call", f"{len(payload['events'])}", remedy)
    return list(payload["events"]), False


def _id(row: Any) -> str:
    return str(row.get("event_id", ""))[:512] if isinstance(row, dict) else ""
