"""User states as flat rows: the columns of `user_state.parquet` and of the Feast view.

`from_row(to_row(state))` is the same state. A profile is stored in its normal form (`profile_of`): missing strings are
"", missing numbers NaN, missing lists empty. Rows of a version before have `event_context` too, which nothing reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from souk.habits import Habit, Habits
from souk.schema import Kind
from souk.spec import FeatureSpec
from souk.state import NO_CONTEXT, Event, UserState

PROFILE = "profile_"
# Column name to type. Lists of one prefix run in parallel.
STATE_COLUMNS = {
    "user_id": "string",
    "count": "int64",
    "event_id": "list<string>",
    "event_item_id": "list<string>",
    "event_type": "list<string>",
    "event_time": "list<int64>",
    "event_value": "list<double>",
    "event_dwell_seconds": "list<double>",
    "daily_day": "list<int64>",
    "daily_count": "list<int64>",
    "engaged_item_id": "list<string>",
    "engaged_time": "list<int64>",
    "hidden_item_id": "list<string>",
    "hidden_time": "list<int64>",
}
SHOWN_COLUMNS = {"shown_item_id": "list<string>", "shown_time": "list<int64>"}  # of specs with `repeat.fatigue`
HABIT_COLUMNS = {  # of specs with `habits`
    "habit_item_id": "list<string>",
    "habit_events": "list<int64>",
    "habit_first": "list<int64>",
    "habit_last": "list<int64>",
}
PROFILE_TYPES = {Kind.NUMERIC: "double", Kind.LIST: "list<string>", Kind.VECTOR: "list<double>"}


def state_columns(spec: FeatureSpec) -> dict[str, str]:
    """Every column of a state row and its type: `string`, `int64`, `double`, or a `list<>` of one of them."""
    profile = {PROFILE + name: PROFILE_TYPES.get(kind, "string") for name, kind in sorted(spec.columns.users.items())}
    shown, habits = SHOWN_COLUMNS if spec.repeat.fatigue else {}, HABIT_COLUMNS if spec.build.habits else {}
    return STATE_COLUMNS | shown | habits | profile


def profile_of(row: Mapping[str, Any], spec: FeatureSpec) -> dict[str, Any]:
    """The declared user columns of a row of the users table, in normal form."""
    return {name: _normal(row.get(name), kind) for name, kind in sorted(spec.columns.users.items())}


def to_row(state: UserState, spec: FeatureSpec) -> dict[str, Any]:
    """A state as a flat row with the columns of `state_columns`."""
    events = state.events
    row: dict[str, Any] = {
        "user_id": state.user_id,
        "count": state.count,
        "event_id": [event.event_id for event in events],
        "event_item_id": [event.item_id for event in events],
        "event_type": [str(event.event_type) for event in events],
        "event_time": [event.timestamp for event in events],
        "event_value": [event.value for event in events],
        "event_dwell_seconds": [event.dwell_seconds for event in events],
        "daily_day": list(state.daily),
        "daily_count": list(state.daily.values()),
        "engaged_item_id": list(state.engaged),
        "engaged_time": list(state.engaged.values()),
        "hidden_item_id": list(state.hidden),
        "hidden_time": list(state.hidden.values()),
    }
    if spec.repeat.fatigue:
        row["shown_item_id"] = [item for item, times in state.shown.items() for _ in times]
        row["shown_time"] = [time for times in state.shown.values() for time in times]
    if spec.build.habits:
        row |= habit_columns(state.habits)
    return row | {PROFILE + name: value for name, value in profile_of(state.profile, spec).items()}


def from_row(row: Mapping[str, Any], spec: FeatureSpec) -> UserState:
    """The inverse of `to_row`; lists may be any sequence, and a missing or null one is empty."""
    times = _list(row, "event_time")
    columns = (
        _list(row, "event_item_id"),
        _list(row, "event_type"),
        times,
        _list(row, "event_value"),
        _list(row, "event_id"),
        _list(row, "event_dwell_seconds"),
        [NO_CONTEXT] * len(times),
    )
    events = tuple(map(Event._make, zip(*columns, strict=True)))
    return UserState(
        user_id=row["user_id"],
        count=row["count"] or 0,
        events=events,
        daily=dict(zip(_list(row, "daily_day"), _list(row, "daily_count"), strict=True)),
        engaged=dict(zip(_list(row, "engaged_item_id"), _list(row, "engaged_time"), strict=True)),
        hidden=dict(zip(_list(row, "hidden_item_id"), _list(row, "hidden_time"), strict=True)),
        shown=_shown(_list(row, "shown_item_id"), _list(row, "shown_time")),
        habits=habits_of(*(_list(row, name) for name in HABIT_COLUMNS)),
        profile=profile_of({name: row.get(PROFILE + name) for name in spec.columns.users}, spec),
    )


def habit_columns(habits: Habits) -> dict[str, list[Any]]:
    """Habits as HABIT_COLUMNS."""
    columns = [*zip(*((item, *habit) for item, habit in habits.items()), strict=True)] or [()] * len(HABIT_COLUMNS)
    return {name: list(column) for name, column in zip(HABIT_COLUMNS, columns, strict=True)}


def habits_of(
    items: Sequence[str], events: Sequence[int], first: Sequence[int], last: Sequence[int]
) -> dict[str, Habit]:
    """The inverse of `habit_columns`."""
    return dict(zip(items, map(Habit, events, first, last), strict=True))


def _shown(items: list[str], times: list[int]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for item, time in zip(items, times, strict=True):
        found[item] = (*found.get(item, ()), time)
    return found


def _normal(value: Any, kind: Kind) -> Any:
    if kind is Kind.VECTOR:
        return [float(entry) for entry in value] if value is not None else []
    if kind is Kind.LIST:
        return [str(entry) for entry in value] if value is not None else []
    if kind is Kind.NUMERIC:
        return math.nan if value is None else float(value)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    return [] if value is None else list(value)
