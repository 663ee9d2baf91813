"""Purchases and returns that no objective names, as where event types were mapped after the objectives were guessed;
returns that only end what is lent; and what `repeat` names and the events have not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.config import Objectives, Repeat
from souk.loans import are_loans, given_back
from souk.schema import EventType

FEWEST = 20  # events of a type that is told: of fewer labels nothing is learned


def unnamed(events: Path, objectives: Objectives) -> Iterator[str]:
    """What a reader should know before anything is trained.

    Args:
        events: `events.parquet`.
        objectives: all of them.
    """
    rules = (objectives.engaged, *objectives.given.values())
    named = {kind for rule in rules for kind in (*rule.events, *rule.unless, *rule.followed_by)}
    asked = [kind for kind in (EventType.PURCHASE, EventType.RETURN) if kind not in named]
    given, bought = _given_back(events)
    if are_loans(given, bought):
        asked = [kind for kind in asked if kind is not EventType.RETURN]
        named -= {EventType.RETURN}
        for name, rule in objectives.given.items():
            if EventType.RETURN in rule.unless:
                yield (
                    f"objectives: {name} has unless: [return], but {given:,} of {bought:,} earlier purchases are given "
                    "back, as what is lent or let: a return ends these, and is no complaint. Leave it out of unless "
                    "(docs/data.md)"
                )
    if not asked:
        return
    of_these = [("event_type", "in", [str(kind) for kind in asked])]
    rows = pq.read_table(events, columns=["event_type"], filters=of_these)
    counts = {each["values"]: each["counts"] for each in pc.value_counts(rows["event_type"]).to_pylist()}
    found = [kind for kind in asked if counts.get(kind, 0) >= FEWEST]
    if found:
        numbers = " and ".join(f"{counts[kind]:,}" for kind in found)
        yield (
            f"objectives: none names {' or '.join(found)}, of which the events have {numbers}: no model learns what "
            "leads to them. Where they say how good an engagement was, let satisfied be "
            f"{_rule(objectives, named | {*found})} (docs/data.md)"
        )


def _given_back(events: Path) -> tuple[int, int]:
    """The numbers of `souk.loans.given_back`; none where nothing is given back."""
    if not len(pq.read_table(events, columns=["event_type"], filters=[("event_type", "==", str(EventType.RETURN))])):
        return 0, 0
    names = {"user_id": "user_id", "item_id": "item_id", "event_type": "kind", "timestamp": "time"}
    rows = [
        pq.read_table(events, columns=[*names], filters=[("event_type", "==", str(kind))]).to_pandas()
        for kind in (EventType.RETURN, EventType.PURCHASE)
    ]
    return given_back(pd.concat(rows).rename(columns=names))


def unheard(events: Path, repeat: Repeat) -> Iterator[str]:
    """What a reader should know where `repeat` names types that no event has."""
    if not repeat.events:
        return
    of_these = [("event_type", "in", [str(kind) for kind in repeat.events])]
    rows = pq.read_table(events, columns=["event_type"], filters=of_these)
    known = pc.unique(rows["event_type"]).to_pylist()
    missing = [str(kind) for kind in repeat.events if kind not in known]
    if missing:
        yield (
            f"repeat: no event is of the type {' or '.join(missing)} that is to keep items out. Look at "
            "data.events.event_types, or leave it out of repeat.events (docs/data.md)"
        )


def _rule(objectives: Objectives, known: set[EventType]) -> str:
    """Satisfaction by the purchase that follows, where it does not engage, and by no return, of the types known: where
    purchases engage, of these alone, since a look that nothing follows is no success for want of a return."""
    engaged = list(objectives.engaged.events)
    if EventType.PURCHASE in engaged and EventType.RETURN in known:
        engaged = [EventType.PURCHASE]
    bought = ", followed_by: [purchase]" if EventType.PURCHASE in known - {*engaged} else ""
    kept = ", unless: [return]" if EventType.RETURN in known else ""
    return f"{{events: [{', '.join(engaged)}]{bought}{kept}, within_days: {objectives.satisfied.within_days or 7:g}}}"
