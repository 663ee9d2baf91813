"""A record of the impression log: what was answered, what it was answered from, and the request itself."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from souk.serving.request import Request
from souk.serving.slate import Slate
from souk.state import Event

OBJECTIVES = ("engaged", "satisfied")  # of every part file; a further one where a slate has it
AT_ONCE = 20  # records made to rows before requests have their turn: a quarter of a millisecond
REST_SECONDS = 0.001
Record = tuple[int, Slate]  # with the time of its answer, by the server's clock, UTC epoch ms
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),  # of the request, UTC epoch ms
        ("answered_at", pa.int64()),  # by the server's clock, UTC epoch ms
        ("release", pa.string()),
        ("arm", pa.string()),
        ("degraded", pa.list_(pa.string())),
        ("items", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        *((name, pa.list_(pa.float32())) for name in OBJECTIVES),
        ("sources", pa.list_(pa.string())),
        ("propensities", pa.list_(pa.float32())),
        ("features", pa.string()),  # JSON: raw user and query features but ids, a missing number as null
        (
            "request",
            pa.string(),
        ),  # JSON: an instance as docs/serving.md has it, with its timestamp, without what was malformed
    ]
)


def row(record: Record) -> dict[str, Any]:
    """The columns of SCHEMA, and one for each further objective of the slate."""
    answered_at, slate = record
    further = sorted(set[str]().union(*(item.scores for item in slate.items)).difference(OBJECTIVES))
    return {
        "request_id": slate.request_id,
        "user_id": slate.user_id,
        "timestamp": slate.timestamp,
        "answered_at": answered_at,
        "release": slate.release,
        "arm": slate.arm,
        "degraded": list(slate.degraded),
        "items": [item.item_id for item in slate.items],
        "scores": [item.score for item in slate.items],
        **{name: [item.scores.get(name) for item in slate.items] for name in (*OBJECTIVES, *further)},
        "sources": [item.source for item in slate.items],
        "propensities": [item.propensity for item in slate.items],
        "features": _json({name: value for name, value in slate.features.items() if name != "user_id"}),
        "request": _json(instance_of(slate.request)) if slate.request else None,
    }


def to_table(records: Sequence[Record]) -> pa.Table:
    """Records as rows of `SCHEMA`, and a column more for each further objective.

    Requests are answered meanwhile: Python's lock is theirs after every few records.
    """
    rows = []
    for place, record in enumerate(records, start=1):
        rows.append(row(record))
        if place % AT_ONCE == 0:
            time.sleep(REST_SECONDS)
    schema = SCHEMA
    for name in sorted(set[str]().union(*rows).difference(SCHEMA.names)):
        schema = schema.append(pa.field(name, pa.list_(pa.float32())))
        for each in rows:
            each.setdefault(name, [None] * len(each["items"]))
    return pa.Table.from_pylist(rows, schema=schema)


def instance_of(request: Request) -> dict[str, Any]:
    """A request as the instance of a body that asks for the same; what would be left out is."""
    given = {
        "user_id": request.user_id,
        "item_id": request.item_id,
        "k": request.k,
        "timestamp": request.timestamp,
        "context": dict(request.context),
        "profile": dict(request.profile),
        "events": [_event(event) for event in request.events],
        "exclude": sorted(request.exclude),
        "candidates": list(request.candidates or ()),
        "filter": {condition.column: _condition(condition) for condition in request.filter},
    }
    kept = {"k", "timestamp"} if request.user_id or request.item_id else {"k", "timestamp", "events"}
    return {name: value for name, value in given.items() if value or name in kept}  # a visitor's events may be none


def _event(event: Event) -> dict[str, Any]:
    given = {
        "item_id": event.item_id,
        "event_type": event.event_type,
        "timestamp": event.timestamp,
        "value": event.value,
        "event_id": event.event_id,
        "dwell_seconds": event.dwell_seconds,
        "context": dict(event.context),
    }
    return {
        name: value
        for name, value in given.items()
        if value not in ("", {}) and not (isinstance(value, float) and math.isnan(value))
    }


def _condition(condition: Any) -> Any:
    if condition.words:
        return sorted(condition.words)
    ends = {"min": condition.low, "max": condition.high}
    return {end: value for end, value in ends.items() if not math.isinf(value)}


def _json(values: Mapping[str, Any]) -> str:
    return orjson.dumps(values).decode()
