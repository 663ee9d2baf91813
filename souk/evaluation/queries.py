"""The questions of an evaluation: who asks when, what is known then, and which items are right."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.windows import read_windows
from souk.metrics import Ints
from souk.spec import FeatureSpec
from souk.state import Event, UserState, engaging, repeat_excluded, state_of
from souk.state_rows import profile_of

WindowName = Literal["validation", "test"]
LABEL_COLUMNS = ["user_id", "item_id", "event_type", "timestamp", "value", "dwell_seconds"]


@dataclass(frozen=True)
class Catalogue:
    """The items to rank, in the order of the item table, with what was known of them before one window.

    Args:
        ids: `[items]` item ids.
        position: the place of each id.
        available: `[items]` bool.
        engaged_users: per user, the positions that were engaged before the window, in order, repeats kept.
        popularity: `[items]` engaging events before the window.
        old: `[items]` bool: any event before the window.
        start: where the window begins, UTC epoch milliseconds.
        engaged_times: per user, the times of `engaged_users`, UTC epoch milliseconds.
    """

    ids: tuple[str, ...]
    position: Mapping[str, int]
    available: np.ndarray
    engaged_users: Mapping[str, Ints]
    popularity: Ints
    old: np.ndarray
    start: int
    engaged_times: Mapping[str, Ints]


@dataclass(frozen=True)
class Query:
    """One moment at which a user is recommended to.

    Args:
        user_id: the user.
        timestamp: UTC epoch milliseconds.
        state: what is known strictly before it, in the challenger's spec.
        context: declared event columns at that moment.
        past: the user's events before it, oldest first, and
        profile: the row of the users table: states in another spec are computed from them.
        history: positions of the items engaged before it, oldest first, repeats kept.
        excluded: positions that the repeat rule keeps out of the slate; unavailable items are out of every slate.
        targets: positions of the right items, available and not excluded.
        target_events: the event of each target.
        filtered: how many more items were engaged with at that moment, and are kept out of the slate.
    """

    user_id: str
    timestamp: int
    state: UserState
    context: Mapping[str, Any]
    past: Sequence[Event]
    profile: Mapping[str, Any]
    history: Ints
    excluded: Ints
    targets: Ints
    target_events: tuple[str, ...]
    filtered: int


@dataclass(frozen=True)
class Window:
    """The users who engage in a window.

    Args:
        start: UTC epoch milliseconds.
        end: one past its last event.
        events: all events of each such user before `end`, oldest first.
        profiles: their rows of the users table.
    """

    start: int
    end: int
    events: Mapping[str, tuple[Event, ...]]
    profiles: Mapping[str, Mapping[str, Any]]


def read_window(tables: Path, features: Path, spec: FeatureSpec, name: WindowName = "test") -> tuple[Catalogue, Window]:
    """What models that were fitted before a window are asked in it.

    Choices are made on "validation", with models that know nothing from `validation_start` on; "test" is read once,
    for what was chosen. Nothing of what follows the window is read.

    Returns:
        The catalogue as it was known at the start of the window, and the users who engage in the window.
    """
    windows = read_windows(features / "windows.json")
    start = {"validation": windows.validation_start, "test": windows.test_start}[name]
    end = {"validation": windows.test_start, "test": windows.end}[name]
    return _read_catalogue(tables, features, spec, start), _read_users(tables, spec, start, end)


def _read_catalogue(tables: Path, features: Path, spec: FeatureSpec, start: int) -> Catalogue:
    items = pq.read_table(features / "items.parquet", columns=["item_id", "available"]).to_pandas()
    ids = tuple(items["item_id"])
    position = {item: place for place, item in enumerate(ids)}
    past = _history(tables, spec, LABEL_COLUMNS, ("timestamp", "<", start))
    places = past["item_id"].to_pandas().map(position).to_numpy(np.int64)
    engaged = _engaging_rows(past, spec)
    old = np.zeros(len(ids), dtype=bool)
    old[places] = True
    users = past["user_id"].to_pandas()[engaged].to_numpy()
    rows = pd.DataFrame({"place": places[engaged], "time": past["timestamp"].to_numpy()[engaged]})
    grouped = {str(user): group for user, group in rows.groupby(users, sort=True)}
    return Catalogue(
        ids=ids,
        position=position,
        available=items["available"].fillna(True).to_numpy(bool),
        engaged_users={user: group["place"].to_numpy() for user, group in grouped.items()},
        popularity=np.bincount(places[engaged], minlength=len(ids)),
        old=old,
        start=start,
        engaged_times={user: group["time"].to_numpy() for user, group in grouped.items()},
    )


def _read_users(tables: Path, spec: FeatureSpec, start: int, end: int) -> Window:
    """The histories up to `end` of the users who engage from `start` on."""
    context = [feature.source for feature in spec.context]
    late = _history(tables, spec, LABEL_COLUMNS, ("timestamp", ">=", start), ("timestamp", "<", end))
    asking = sorted(set(late.filter(_engaging_rows(late, spec))["user_id"].to_pylist()))
    columns = ["event_id", *LABEL_COLUMNS, *context]
    rows = _history(tables, spec, columns, ("user_id", "in", asking), ("timestamp", "<", end))
    events: dict[str, list[Event]] = {user: [] for user in asking}
    for row in rows.to_pylist():
        events[row["user_id"]].append(_event(row, context))
    people = pq.read_table(tables / "users.parquet", filters=[("user_id", "in", asking)]).to_pylist() if asking else []
    return Window(
        start=start,
        end=end,
        events={user: tuple(sorted(own, key=lambda e: e.order)) for user, own in events.items()},
        profiles={row["user_id"]: row for row in people},
    )


def _history(tables: Path, spec: FeatureSpec, columns: Sequence[str], *rows: tuple[str, str, Any]) -> pa.Table:
    """The history events that meet the filters `rows`, in order."""
    present = pq.read_schema(tables / "events.parquet").names
    if any(kind == "in" and not wanted for _, kind, wanted in rows):
        rows = (("timestamp", "<", 0),)  # pyarrow cannot tell the type of an empty list
    return pq.read_table(
        tables / "events.parquet",
        columns=[name for name in columns if name in present],
        filters=[("event_type", "in", [str(kind) for kind in spec.history_events]), *rows],
    )


def _engaging_rows(table: pa.Table, spec: FeatureSpec) -> np.ndarray:
    """`souk.state.engaging` of each row."""
    objective = spec.objectives.engaged
    found = np.isin(table["event_type"].to_numpy(), [str(kind) for kind in objective.events])
    for column, least in (("value", objective.min_value), ("dwell_seconds", objective.min_dwell_seconds)):
        if least is not None and column not in table.column_names:
            return np.zeros(len(table), dtype=bool)
        if least is not None:
            found &= pc.fill_null(pc.greater_equal(table[column], least), False).to_numpy()
    return found


def rolling_queries(window: Window, catalogue: Catalogue, spec: FeatureSpec, most: int) -> list[Query]:
    """A query for each moment of engagement in the window, at most the first `most` of each user.

    All that a user engages with at one time are the targets of one query.
    """
    return with_targets(all_moments(window, catalogue, spec, most))


def all_moments(window: Window, catalogue: Catalogue, spec: FeatureSpec, most: int) -> list[Query]:
    """`rolling_queries` with the moments up to the last one whose every item is kept out of the slate."""
    queries = []
    for user in window.events:
        found = 0
        for time, wanted in _moments(window, user, spec):
            query = _query(window, user, time, wanted, catalogue, spec)
            queries.append(query)
            found += bool(len(query.targets))
            if found == most:
                break
    return queries


def with_targets(queries: Sequence[Query]) -> list[Query]:
    """The queries that have an answer."""
    return [query for query in queries if len(query.targets)]


def frozen_queries(window: Window, catalogue: Catalogue, spec: FeatureSpec) -> list[Query]:
    """One query a user at the start of the window, with the context of the user's first moment in it; the targets are
    all items that are engaged with in the window."""
    queries = []
    for user in window.events:
        wanted = [event for _, events in _moments(window, user, spec) for event in events]
        queries.append(_query(window, user, window.start, wanted, catalogue, spec))
    return with_targets(queries)


def _moments(window: Window, user: str, spec: FeatureSpec) -> Iterator[tuple[int, list[Event]]]:
    late = [e for e in window.events[user] if e.timestamp >= window.start and engaging(e, spec)]
    for time, events in groupby(late, key=lambda e: e.timestamp):
        yield time, list(events)


def in_spec(query: Query, spec: FeatureSpec) -> UserState:
    """The state of a query for models of another spec: they may keep a longer history or other columns."""
    return state_of(query.user_id, query.past, spec, profile_of(query.profile, spec))


def _query(
    window: Window, user: str, time: int, wanted: Sequence[Event], catalogue: Catalogue, spec: FeatureSpec
) -> Query:
    events = window.events[user]
    past = events[: bisect_left(events, time, key=lambda e: e.timestamp)]
    profile = window.profiles.get(user, {})
    state = state_of(user, past, spec, profile_of(profile, spec))
    barred = {catalogue.position[item] for item in repeat_excluded(state, time, spec) if item in catalogue.position}
    targets: dict[int, str] = {}
    for event in wanted:
        place = catalogue.position.get(event.item_id)
        if place is not None and place not in barred and catalogue.available[place]:
            targets.setdefault(place, event.event_id)
    return Query(
        user_id=user,
        timestamp=time,
        state=state,
        context=wanted[0].context,
        past=past,
        profile=profile,
        history=np.array([catalogue.position[e.item_id] for e in past if engaging(e, spec)], dtype=np.int64),
        excluded=np.array(sorted(barred), dtype=np.int64),
        targets=np.array(list(targets), dtype=np.int64),
        target_events=tuple(targets.values()),
        filtered=len({event.item_id for event in wanted}) - len(targets),
    )


def _event(row: Mapping[str, Any], context: Sequence[str]) -> Event:
    value, dwell = row.get("value"), row.get("dwell_seconds")
    return Event(
        item_id=row["item_id"],
        event_type=row["event_type"],
        timestamp=row["timestamp"],
        value=float("nan") if value is None else value,
        event_id=row["event_id"],
        dwell_seconds=float("nan") if dwell is None else dwell,
        context={name: row.get(name) for name in context},
    )
