"""Labels that look at what the user did next, and when they become known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.config import Objective, Objectives
from souk.errors import SoukError
from souk.schema import DAY_MS, EventType
from souk.spec import FeatureSpec, positive
from souk.state import Event

UNKNOWN = -1


@dataclass(frozen=True)
class Label:
    """An objective's answer for one event.

    Args:
        value: 1, 0, or -1 where the data does not tell (yet).
        known_at: UTC epoch milliseconds; a model fitted up to a boundary may use the value if `known_at` is before it.
            The end of the label's window, whichever way it went; without a window, or for an event that does not
            carry the label, the event's own time.
    """

    value: int
    known_at: int


def label(objective: Objective, event: Event, later: Iterable[Event], end: int) -> Label:
    """What `objective` says of `event`.

    Args:
        objective: the rule.
        event: the event.
        later: what the same user did with the same item: of `unless` at least the first event of each kind that counts
            (`undone_from`), and all hides from then on; of `followed_by` at least the first one that counts
            (`returns_from`), with any item where the rule says so.
        end: one past the last event of the data: what happens from then on is not known.
    """
    if event.event_type not in objective.events:
        return Label(UNKNOWN, event.timestamp)
    if not objective.unless and not objective.followed_by:
        return Label(int(positive(objective, event.value, event.dwell_seconds)), event.timestamp)
    # A return is known at once, that there is none only at the end: what is known early is of one kind.
    deadline = event.timestamp + int(objective.within_days * DAY_MS)
    if deadline >= end:
        return Label(UNKNOWN, deadline)
    within = _standing([other for other in later if other.timestamp <= deadline])
    undone = any(o.event_type in objective.unless and o.item_id == event.item_id for o in within)
    since = returns_from(objective, event)
    back = any(o.event_type in objective.followed_by and o.timestamp >= since for o in within)
    kept = not undone and (back or not objective.followed_by)
    return Label(int(kept and positive(objective, event.value, event.dwell_seconds)), deadline)


def _standing(events: list[Event]) -> list[Event]:
    """Without hides that are taken back, and without what takes them back: as `souk.state.noted`."""
    hides = [event for event in events if event.event_type == EventType.HIDE]
    last = {hide.item_id: hide for hide in sorted(hides, key=lambda e: (e.timestamp, e.value != 0))}
    return [
        event
        for event in events
        if event.event_type != EventType.HIDE or (event is last[event.item_id] and event.value != 0)
    ]


def never_known(objectives: Objectives, first: int, end: int) -> Iterator[str]:
    """The objectives of which no label is known: their windows are as long as the data.

    Args:
        objectives: all of them.
        first: the time of the first event, UTC epoch milliseconds.
        end: one past the last event.
    """
    for name, objective in objectives.given.items():
        waits = objective.unless or objective.followed_by
        if waits and first + int(objective.within_days * DAY_MS) >= end:
            days = (end - first) / DAY_MS
            span = f"{days:.3g}" if days < 100 else f"{days:,.0f}"
            known = f"within_days is {objective.within_days:g}, and the events are of {span} days"
            yield f"{name}: {known}: no label of it is known, and it is not learned; a smaller within_days helps"


def returns_from(objective: Objective, event: Event) -> int:
    """The earliest time at which an event of `followed_by` counts, UTC epoch milliseconds: later than `event` itself,
    since two lines of one basket are no second purchase."""
    return event.timestamp + max(1, int(objective.from_days * DAY_MS))


def undone_from(objective: Objective, event: Event, kind: EventType) -> int:
    """The earliest time at which an event of `unless` counts, UTC epoch milliseconds: that of `event`, since dates have
    no other for what came later that day; of a kind that carries the label itself a later one."""
    return event.timestamp + (kind in objective.events)


def engaging_rows(events: pa.Table, objective: Objective) -> np.ndarray:
    """`souk.state.engaging` of each row of an events table, `[rows]` bool, by `objectives.engaged`."""
    found: np.ndarray = np.isin(events["event_type"].to_numpy(), [str(kind) for kind in objective.events])
    for column, least in (("value", objective.min_value), ("dwell_seconds", objective.min_dwell_seconds)):
        if least is not None:
            values = events[column] if column in events.column_names else pa.nulls(len(events), pa.float64())
            found = found & pc.fill_null(pc.greater_equal(values, least), False).to_numpy(zero_copy_only=False)
    return found


def keeping_rows(events: pa.Table, spec: FeatureSpec) -> np.ndarray:
    """`souk.state.keeps_out` of each row of an events table, `[rows]` bool."""
    kinds = [str(kind) for kind in spec.repeat.events]
    return np.isin(events["event_type"].to_numpy(), kinds) if kinds else engaging_rows(events, spec.objectives.engaged)


def check_objectives(spec: FeatureSpec) -> None:
    """Refuses what cannot be a target: an engagement that only the future decides.

    Raises:
        SoukError: the engaged objective looks at later events, or asks for impressions.
    """
    objective = spec.objectives.engaged
    if objective.unless or objective.followed_by:
        raise SoukError(
            "objectives.engaged to depend on an event's own fields",
            "unless or followed_by",
            "Move them to objectives.satisfied, or to a further objective.",
        )
    strange = [str(kind) for kind in objective.events if kind not in spec.history_events]
    if strange:
        raise SoukError("objectives.engaged.events to be acts of a user", ", ".join(strange), "Leave them out.")
