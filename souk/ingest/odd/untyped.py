"""Events that the config makes all of one type, while a column of the file that nothing reads may say theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from souk.ingest.guess.fit import MOST_TYPES, few_words
from souk.ingest.guess.names import names_act
from souk.ingest.guess.order_status import tells_orders, without_lost
from souk.ingest.guess.phrases import act_of
from souk.ingest.mapping import TableSource
from souk.ingest.profile import Column
from souk.schema import EventType

LEAST = 2  # values that are words for different types, where its name tells nothing of a column
SHOWN = 4


class Untyped:
    """The values of columns that nothing reads, while they are few."""

    def __init__(self, table: TableSource) -> None:
        self._table = table
        self._values: dict[str, set[str]] = {}
        self._constant = str(table.source.constants.get("event_type", "")) if table.name == "events" else ""

    def note(self, raw: pa.Table) -> None:
        """Remembers the values of more rows, as they stand in the file."""
        for name in self._table.ignored(raw.column_names) if self._constant else ():
            known = self._values.setdefault(name, set())
            if len(known) <= MOST_TYPES and not pa.types.is_nested(raw.schema.field(name).type):
                known.update(Column(name, raw[name].unique()).texts.to_pylist())

    def notices(self) -> Iterator[str]:
        """Each column that looks like the type of the events, by its name or its words; of how orders ended, how those
        that came to nothing are left out."""
        for name, values in self._values.items():
            status = Column(name, pa.array(sorted(values), pa.string()))
            if tells_orders(status):
                if out := without_lost(status):
                    yield f"events: {name} says how orders ended: beside data.events.path, {out}"
            elif _is_type(name, values):
                shown = ", ".join(text[:24] for text in sorted(values)[:SHOWN])
                found = (
                    f"events: EVERY EVENT IS A {self._constant.upper()}, and the column {name} ({shown}), which looks"
                )
                remedy = "map it in data.events.columns.event_type, its values in data.events.event_types"
                yield f"{found} like their type, is not used: {remedy}, and leave out data.events.constants.event_type"


def _is_type(name: str, values: Iterable[str]) -> bool:
    column = Column(name, pa.array(sorted(values), pa.string()))
    if not few_words(column):
        return False
    kinds: set[EventType] = {kind for text in values if (kind := act_of(text))}
    return names_act(column.snake, column.plain) or len(kinds) >= LEAST
