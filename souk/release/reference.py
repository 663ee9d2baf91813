"""The reference of drift: raw features and scores of requests as they were when the release was made.

The requests are moments of the test window, the last that the release has seen, in which a slate was asked for: drawn
evenly, so busy users and hours weigh as much as they do in traffic, each with the user's state just before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.monitored import KIND, REFERENCE, item_scores, monitored_features, score_columns, slate_scores
from souk.release.golden import Answer, GoldenRequest
from souk.release.moments import Moments
from souk.spec import FeatureSpec
from souk.state import Event, UserState, features_at, states_before
from souk.state_rows import profile_of

REQUESTS = 5_000
SEED = 17
EVENT_COLUMNS = ("event_id", "user_id", "item_id", "event_type", "timestamp", "value", "dwell_seconds")


def reference_requests(
    moments: Moments, tables: str | Path, spec: FeatureSpec, k: int, count: int = REQUESTS, skip: int = 0
) -> list[GoldenRequest]:
    """Moments of the test window, in an order that is drawn from SEED.

    Args:
        moments: of the window.
        tables: output of ingest.
        spec: of the features.
        k: items in each slate.
        count: how many, fewer where the window has fewer.
        skip: how many to leave out before: after `skip=REQUESTS` come moments that the reference does not have.
    """
    drawn = np.random.default_rng(SEED).permutation(len(moments.rows))[skip : skip + count].tolist()
    rows = [row for place in drawn for row in moments.rows.slice(place, 1).to_pylist()]  # `take` joins all of a column
    histories = _histories(Path(tables, "events.parquet"), spec, [row["user_id"] for row in rows])
    users = pq.read_table(Path(tables, "users.parquet"))
    users = users.filter(pc.is_in(users["user_id"], value_set=pa.array(list(histories), pa.string())))
    profiles = {row["user_id"]: profile_of(row, spec) for row in users.to_pylist()}
    states = _states(rows, histories, profiles, spec)
    requests = []
    for moment in rows:
        user, time = moment["user_id"], moment["timestamp"]
        given = {f.source: moment[f.source] for f in spec.context if not _missing(moment[f.source])}
        requests.append(GoldenRequest(user, k, time, states[user, time], given))
    return requests


def _states(
    moments: Sequence[Mapping[str, Any]],
    histories: Mapping[str, Sequence[Event]],
    profiles: Mapping[str, Mapping[str, Any]],
    spec: FeatureSpec,
) -> dict[tuple[str, int], UserState]:
    """What is known just before each moment; a user's history is gone through once."""
    times: dict[str, set[int]] = {}
    for moment in moments:
        times.setdefault(moment["user_id"], set()).add(moment["timestamp"])
    found: dict[tuple[str, int], UserState] = {}
    for user, own in times.items():
        profile, ordered = profiles.get(user, profile_of({}, spec)), sorted(own)
        states = states_before(user, histories[user], ordered, spec, profile)
        found |= {(user, time): state for time, state in zip(ordered, states, strict=True)}
    return found


def write_reference(
    folder: str | Path, spec: FeatureSpec, requests: Sequence[GoldenRequest], answers: Sequence[Answer], kind: str
) -> None:
    """A row per request: its `user_*`, `query_*` and `context_*` features but ids, and its `slate_*` scores.

    Args:
        folder: the release.
        spec: its specification.
        requests: sampled ones.
        answers: theirs.
        kind: of their moments.
    """
    rows = [_row(spec, request, answer) for request, answer in zip(requests, answers, strict=True)]
    table = pa.Table.from_pylist(rows, schema=_schema(spec).with_metadata({KIND: kind}))
    pq.write_table(table, Path(folder) / REFERENCE)


def _histories(events: Path, spec: FeatureSpec, users: Sequence[str]) -> dict[str, list[Event]]:
    """The history of each of `users`, oldest first; nobody else's is read into memory."""
    histories: dict[str, list[Event]] = {user: [] for user in users}
    if not histories:
        return histories
    present = set(pq.read_schema(events).names)
    rows = pq.read_table(
        events,
        columns=[name for name in EVENT_COLUMNS if name in present],
        filters=[("user_id", "in", list(histories)), ("event_type", "in", [str(kind) for kind in spec.history_events])],
    )
    for batch in rows.to_batches(max_chunksize=65_536):
        for row in batch.to_pylist():
            histories[row["user_id"]].append(_event(row))
    return {user: sorted(own, key=lambda e: e.order) for user, own in histories.items()}


def _event(row: Mapping[str, Any]) -> Event:
    value, dwell = (math.nan if row.get(name) is None else row[name] for name in ("value", "dwell_seconds"))
    return Event(
        row["item_id"],
        row["event_type"],
        row["timestamp"],
        value,
        row["event_id"],
        dwell,
    )


def _row(spec: FeatureSpec, request: GoldenRequest, answer: Answer) -> dict[str, Any]:
    features = features_at(request.state, request.timestamp, spec, request.context)
    return {**features.user, **features.query, **slate_scores(item_scores(answer["items"], spec), spec)}


def _schema(spec: FeatureSpec) -> pa.Schema:
    types = {"string": pa.string(), "int64": pa.int64(), "float32": pa.float32()}
    features = [
        pa.field(f.name, pa.list_(types[f.dtype]) if f.length else types[f.dtype]) for f in monitored_features(spec)
    ]
    return pa.schema([*features, *(pa.field(name, pa.float32()) for name in score_columns(spec))])


def _missing(value: Any) -> bool:
    return value in (None, "", []) or (isinstance(value, float) and math.isnan(value))
