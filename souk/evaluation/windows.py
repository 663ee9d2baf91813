"""What an evaluation reads: the catalogue and the users of a window, and nothing of what follows it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from souk.errors import SoukError
from souk.evaluation.queries import Catalogue
from souk.evaluation.window import Window
from souk.features.labels import engaging_rows
from souk.features.windows import read_windows
from souk.items import available_at, item_columns, times_of
from souk.owners import owned
from souk.schema import FOREVER, EventType
from souk.spec import FeatureSpec
from souk.state import Event
from souk.withheld import fatigued_since

WindowName = Literal["validation", "test"]
Filter = tuple[str, str, Any]
LABEL_COLUMNS = ["user_id", "item_id", "event_type", "timestamp", "value", "dwell_seconds"]


def read_window(
    tables: Path,
    features: Path,
    spec: FeatureSpec,
    name: WindowName = "test",
    most: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
    context: Collection[str] = (),
) -> tuple[Catalogue, Window]:
    """What models that were fitted before a window are asked in it.

    Choices are made on "validation", with models that know nothing from `validation_start` on; "test" is read once,
    for what was chosen. Nothing of what follows the window is read.

    Args:
        tables: output of `ingest`.
        features: output of `build_features`.
        spec: that of the data.
        name: of the window.
        most: users at most, those with the least hash of their id: the same ones for every release; None for all.
        tell: is told where there are more.
        context: columns of events that queries carry beside those of `spec`, for models of other specs.

    Returns:
        The catalogue as it was known at the start of the window, and the users who engage in the window.

    Raises:
        SoukError: an event is of an item that the features lack.
    """
    windows = read_windows(features / "windows.json")
    start = {"validation": windows.validation_start, "test": windows.test_start}[name]
    end = {"validation": windows.test_start, "test": windows.end}[name]
    inside = _history(tables, spec, LABEL_COLUMNS, ("timestamp", ">=", start), ("timestamp", "<", end))
    users = sorted(set(inside.filter(engaging_rows(inside, spec.objectives.engaged))["user_id"].to_pylist()))
    engaging = len(users)
    if most and engaging > most:
        tell(f"{most:,} of the {engaging:,} users who engage in the window are drawn (evaluate.max_users)")
        users = sorted(sorted(users, key=lambda user: hashlib.sha256(user.encode()).digest())[:most])
    catalogue = _read_catalogue(tables, features, spec, inside, (start, end), windows.end)
    found = _read_users(tables, spec, users, start, end, context)
    return catalogue, replace(found, engaging=engaging, last_out=windows.last_out)


def _read_catalogue(
    tables: Path, features: Path, spec: FeatureSpec, inside: pa.Table, bounds: tuple[int, int], end: int
) -> Catalogue:
    """The catalogue of the window between `bounds`, of data that go to `end`; `inside` are its history events."""
    start, until = bounds
    items = item_columns(features, "item_id", "available", "created_at", "available_until")
    ids = tuple(items["item_id"].to_pylist())
    position = {item: place for place, item in enumerate(ids)}
    past = _history(tables, spec, LABEL_COLUMNS, ("timestamp", "<", start))
    if unknown := {*past["item_id"].unique().to_pylist(), *inside["item_id"].unique().to_pylist()} - position.keys():
        expected, received = f"every item of the events of {tables} in {features}", f"{len(unknown):,} that it lacks"
        remedy = "Give the tables and the features of one run."
        raise SoukError(expected, f"{received}, such as {min(unknown)}", remedy)
    places = past["item_id"].to_pandas().map(position).to_numpy(np.int64)
    engaged = engaging_rows(past, spec.objectives.engaged)
    old = np.zeros(len(ids), dtype=bool)
    old[places] = True
    users = past["user_id"].to_pandas()[engaged].to_numpy()
    rows = pd.DataFrame({"place": places[engaged], "time": past["timestamp"].to_numpy()[engaged]})
    grouped = {str(user): group for user, group in rows.groupby(users, sort=True)}
    return Catalogue(
        ids=ids,
        position=position,
        available=available_at(items, 0, end),
        engaged_users={user: group["place"].to_numpy() for user, group in grouped.items()},
        popularity=np.bincount(places[engaged], minlength=len(ids)),
        old=old,
        start=start,
        end=until,
        engaged_times={user: group["time"].to_numpy() for user, group in grouped.items()},
        born=_born(times_of(items, "created_at", 0).astype(np.int64), old, position, inside),
        until=times_of(items, "available_until", FOREVER).astype(np.int64),
        owned=owned(features, spec),
    )


def _born(created: np.ndarray, old: np.ndarray, position: Mapping[str, int], inside: pa.Table) -> np.ndarray:
    """`Catalogue.born`: dates of creation may be wrong, and what has an event was there."""
    born = np.where(old, 0, created)
    first = inside.group_by("item_id").aggregate([("timestamp", "min")])
    places = np.array([position[item] for item in first["item_id"].to_pylist()], np.int64)
    born[places] = np.minimum(born[places], first["timestamp_min"].to_numpy())
    return born


def _read_users(
    tables: Path, spec: FeatureSpec, asking: Sequence[str], start: int, end: int, more: Collection[str]
) -> Window:
    """The histories up to `end` of the users `asking`, with `more` columns of context."""
    context = list(dict.fromkeys([*(feature.source for feature in spec.context), *more]))
    columns = ["event_id", *LABEL_COLUMNS, *context]
    rows = _history(tables, spec, columns, ("user_id", "in", asking), ("timestamp", "<", end))
    events: dict[str, list[Event]] = {user: [] for user in asking}
    for row in rows.to_pylist():
        events[row["user_id"]].append(_event(row, context))
    shown = (("timestamp", ">=", fatigued_since(start, spec)), ("timestamp", "<", end))
    people = pq.read_table(tables / "users.parquet", filters=[("user_id", "in", asking)]).to_pylist() if asking else []
    return Window(
        start=start,
        end=end,
        events={user: tuple(sorted(own, key=lambda e: e.order)) for user, own in events.items()},
        profiles={row["user_id"]: row for row in people},
        hides=_marks(tables, asking, EventType.HIDE, ("timestamp", "<", end)),
        shown=_marks(tables, asking, EventType.IMPRESSION, *shown) if spec.repeat.fatigue else {},
    )


def _marks(tables: Path, asking: Sequence[str], kind: EventType, *times: Filter) -> dict[str, list[Event]]:
    """By user the hides or the impressions at some times, oldest first."""
    found: dict[str, list[Event]] = {}
    columns = ["event_id", *LABEL_COLUMNS]
    for row in _events(tables, [kind], columns, ("user_id", "in", asking), *times).to_pylist() if asking else ():
        found.setdefault(row["user_id"], []).append(_event(row, ()))
    return {user: sorted(own, key=lambda e: e.order) for user, own in found.items()}


def _history(tables: Path, spec: FeatureSpec, columns: Sequence[str], *rows: Filter) -> pa.Table:
    """The history events that meet the filters `rows`, in order."""
    return _events(tables, spec.history_events, columns, *rows)


def _events(tables: Path, kinds: Sequence[EventType], columns: Sequence[str], *rows: Filter) -> pa.Table:
    """The events of some types that meet the filters `rows`, in order."""
    present = pq.read_schema(tables / "events.parquet").names
    if any(kind == "in" and not wanted for _, kind, wanted in rows):
        rows = (("timestamp", "<", 0),)  # pyarrow cannot tell the type of an empty list
    return pq.read_table(
        tables / "events.parquet",
        columns=[name for name in columns if name in present],
        filters=[("event_type", "in", [str(kind) for kind in kinds]), *rows],
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
