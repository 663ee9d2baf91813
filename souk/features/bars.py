"""Objectives whose least value, or least dwell time, hardly an event reaches: the bar is likely in another unit, or
some of the types never have what it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.config import Objective, Objectives
from souk.features.labels import engaging_rows
from souk.schema import EventType

HARDLY = 0.001  # share of the values that reach a bar which is told
KEYS = {"dwell_seconds": "min_dwell_seconds", "value": "min_value"}


@dataclass
class _Both:
    """How many events meet both bars of an objective."""

    name: str
    rule: Objective
    events: int = 0
    reached: int = 0

    def add(self, rows: pa.RecordBatch) -> None:
        kinds = pa.array([str(kind) for kind in self.rule.events])
        self.events += pc.sum(pc.is_in(rows["event_type"], value_set=kinds)).as_py() or 0
        self.reached += int(engaging_rows(pa.Table.from_batches([rows]), self.rule).sum())

    def told(self) -> str:
        """What a reader should know; "" where there is nothing to say, or no event of the rule."""
        if not self.events or self.reached > HARDLY * self.events:
            return ""
        found = f"{self.reached:,} of its {self.events:,} events have both: hardly one is positive"
        bars = f"min_value is {self.rule.min_value:,g} and min_dwell_seconds {self.rule.min_dwell_seconds:,g}"
        return f"{self.name}: {bars}, and {found}"


@dataclass
class _Bar:
    """What events have of one column that an objective has a bar for."""

    name: str
    kinds: tuple[EventType, ...]
    column: str
    least: float
    events: int = 0
    known: int = 0
    reached: int = 0
    highest: float = float("-inf")
    of_kind: Counter[str] = field(default_factory=Counter)  # events
    with_it: Counter[str] = field(default_factory=Counter)  # those that have the column

    def add(self, rows: pa.RecordBatch) -> None:
        own = rows.filter(pc.is_in(rows["event_type"], value_set=pa.array([str(kind) for kind in self.kinds])))
        values = own[self.column].drop_null() if self.column in own.schema.names else pa.array([], pa.float64())
        self.events += own.num_rows
        self.of_kind.update(_counts(own["event_type"]))
        if self.column in own.schema.names:
            self.with_it.update(_counts(own["event_type"].filter(own[self.column].is_valid())))
        self.known += len(values)
        if len(values):
            self.reached += pc.sum(pc.greater_equal(values, self.least)).as_py()
            self.highest = max(self.highest, pc.max(values).as_py())

    def told(self) -> str:
        """What a reader should know; "" where there is nothing to say, or no event of the rule."""
        if not self.events or self.reached > HARDLY * self.known:
            return ""
        bar = f"{self.name}: {KEYS[self.column]} is {self.least:,g}"
        if not self.known:
            return f"{bar}, and none of its {self.events:,} events has a {self.column}: none is positive"
        found = f"{self.reached:,} of the {self.known:,} {self.column} of its events are that or more"
        return f"{bar}, and {found}, the highest is {self.highest:,g}: hardly one is positive; is it in another unit?"

    def never(self) -> Iterator[str]:
        """The types of which no event has what the bar asks for, where others have it."""
        for kind in self.kinds if self.known else ():
            count = self.of_kind[kind]
            if count and not self.with_it[kind]:
                bar = f"{self.name}: {KEYS[self.column]} is {self.least:,g}"
                found = f"none of its {count:,} events of type {kind} has a {self.column}: none of these is positive"
                mend = f"leave {kind} out of its events, or name it in an objective of its own without the bar"
                yield f"{bar}, and {found}. Where the file has it, map it; else {mend} (docs/data.md)"


def _counts(kinds: pa.Array) -> dict[str, int]:
    return {each["values"]: each["counts"] for each in pc.value_counts(kinds).to_pylist()}


def far_bars(events: Path, objectives: Objectives) -> Iterator[str]:
    """The objectives of which hardly an event can be positive, or none of some type.

    Args:
        events: `events.parquet`.
        objectives: all of them.
    """
    rules = {"engaged": objectives.engaged, **objectives.given}
    bars = [
        _Bar(name, rule.events, column, least)
        for name, rule in rules.items()
        for column, key in KEYS.items()
        if (least := getattr(rule, key)) is not None
    ]
    if not bars:
        return
    pairs = [_Both(n, r) for n, r in rules.items() if all(getattr(r, key) is not None for key in KEYS.values())]
    file = pq.ParquetFile(events)
    for batch in file.iter_batches(columns=[n for n in ("event_type", *KEYS) if n in file.schema_arrow.names]):
        for bar in bars:
            bar.add(batch)
        for pair in pairs:
            pair.add(batch)
    yield from filter(None, (bar.told() for bar in bars))
    yield from (line for bar in bars for line in bar.never())
    told = {bar.name for bar in bars if bar.told()}
    yield from filter(None, (pair.told() for pair in pairs if pair.name not in told))
