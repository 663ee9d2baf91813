"""Whether engagements lie between the first and the last moment of their item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.errors import SoukError
from souk.ingest.notices import NEARLY_ALL
from souk.items import available_at, of_this_listing, times_of
from souk.schema import DAY_MS, EventType
from souk.sources.freshness import imported

BATCH_ROWS = 1 << 16
MANY_EARLY = 0.2  # share of the engagements before their item came to be that is worth a word
MANY_LATE = 0.01  # share of the engagements after an item's end that is worth a word
SLACK_MS = 60_000  # after its end what is taken was still to be had: the clock of a sale is another one, or coarser


@dataclass(frozen=True)
class Lifetimes:
    """Engagements, counted by the dates of their items.

    Args:
        engagements: all of them; 0 where no item has a date.
        dated: those whose item has a `created_at` that tells something: no import, and not to come.
        early: of these, those before it.
        close: of these, those by less than a day.
        late: those after the `available_until` of their item.
        items: how many there are.
        ended: whether none of them, some of which have an end, is available after the last event.
    """

    engagements: int
    dated: int
    early: int
    close: int
    late: int
    items: int
    ended: bool

    @classmethod
    def of(cls, events: Path, items: pa.Table, engaging: Callable[[pa.Table], np.ndarray], last: int) -> Lifetimes:
        """Counts them in one pass over the events.

        Args:
            events: `events.parquet`.
            items: the items table, of all items in it.
            engaging: says which rows of an events table are engagements, `[rows] bool`.
            last: the time of the last event, UTC epoch milliseconds.
        """
        until, born = times_of(items, "available_until", np.inf), _births(items, last)
        count = dated = early = close = late = 0
        if not (np.isfinite(until).any() or np.isfinite(born).any()):
            return cls(0, 0, 0, 0, 0, len(items), False)
        for place, time in _engagements(events, items, engaging):
            count += len(place)
            ahead = born[place] - time
            dated += int(np.isfinite(ahead).sum())
            early += int((ahead > 0).sum())
            close += int(((ahead > 0) & (ahead < DAY_MS)).sum())
            late += int((until[place] < time).sum())
        ended = bool(np.isfinite(until).any()) and not available_at(items, last + 1).any()
        return cls(count, dated, early, close, late, len(items), ended)

    def notices(self) -> Iterator[str]:
        """What a reader should know of the dates."""
        if self.early > MANY_EARLY * self.dated:
            said = f"{self.early:,} of {self.dated:,} engagements come before the created_at of their item"
            doubt = "is it of another time zone (`timezone`), or a later date, such as that of a change"
            doubt += ", or when it begins, which is `available_until`?"
            yield f"items: {said}, {self.close:,} of them by less than a day: {doubt}"
        if self.late > MANY_LATE * self.engagements:
            why = "no slate has an item after its end, so they are lost in `filtering`"
            said = f"{self.late:,} of {self.engagements:,} engagements come after the available_until of their item"
            yield f"items: {said}: {why}"
        if self.ended:
            yield f"items: none of {self.items:,} is available after the last event: slates for later times are empty"

    def check(self, column: str, once: bool = False) -> None:
        """Refuses ends after which nearly all engagements come: nothing would be left to learn from.

        Args:
            column: what the file calls `available_until`; several where it is the earliest of them.
            once: whether a purchase ends its item, too.

        Raises:
            SoukError: they do.
        """
        if not self.late or self.late < NEARLY_ALL * self.engagements:
            return
        if once:
            raise SoukError(
                "hardly anything to be taken of what is sold once after its purchase, or after its end",
                f"{self.late:,} of {self.engagements:,} engagements",
                f"Where there are several of an item, leave repeat.sold_once out; otherwise look at {column}.",
            )
        born = f"Is {column} when an item came to be, such as its publication? Then map it to created_at, which is that"
        other = "Otherwise look at timestamp_unit and timezone of data.items, or leave available_until out."
        raise SoukError(
            "engagements up to the available_until of their item, the last moment at which it can be had",
            f"{self.late:,} of {self.engagements:,} after it",
            f"{born}. {other}",
        )


def until_taken(events: Path, items: pa.Table, engaging: Callable[[pa.Table], np.ndarray]) -> tuple[pa.Table, int]:
    """Moves ends to the engagements that come after them by at most SLACK_MS; returns the items, and how many moved.

    Args:
        events: `events.parquet`.
        items: the items table, of all items in it.
        engaging: says which rows of an events table are engagements, `[rows] bool`.
    """
    until = times_of(items, "available_until", np.inf)
    if not np.isfinite(until).any():
        return items, 0
    last = until.copy()
    for place, time in _engagements(events, items, engaging):
        near = (time > until[place]) & (time - until[place] <= SLACK_MS)
        np.maximum.at(last, place[near], time[near])
    moved = int((last > until).sum())
    if not moved:
        return items, 0
    return _with_ends(items, last), moved


def until_sold(events: Path, items: pa.Table, last: int) -> tuple[pa.Table, int]:
    """Ends items with their first purchase, where they have no earlier end; returns them, and how many end so.

    It is the first, as it is for a server: with the last, what was bought and is still to be had would be known to be
    bought again. A purchase of before the item came to be was of an earlier listing.

    Args:
        events: `events.parquet`.
        items: the items table, of all items in it.
        last: the time of the last event, UTC epoch milliseconds.
    """
    until, born = times_of(items, "available_until", np.inf), _births(items, last)
    ends = until.copy()
    for place, time in _engagements(
        events, items, lambda rows: rows["event_type"].to_pandas().eq(EventType.PURCHASE).to_numpy()
    ):
        own = of_this_listing(time, born[place])
        np.minimum.at(ends, place[own], time[own])
    return _with_ends(items, ends), int((ends < until).sum())


def _births(items: pa.Table, last: int) -> np.ndarray:
    """`[items]` float64, UTC epoch milliseconds; NaN where unknown, of an import, or to come after the `last` event."""
    born = times_of(items, "created_at", np.nan)
    born[np.isin(born, imported(born)) | (born > last + DAY_MS)] = np.nan
    return born


def _with_ends(items: pa.Table, ends: np.ndarray) -> pa.Table:
    """The items with these ends, `[items]` UTC epoch milliseconds; inf where there is none."""
    column = items.schema.get_field_index("available_until")
    values = pa.array(np.where(np.isfinite(ends), ends, 0).astype(np.int64), mask=~np.isfinite(ends))
    return items.set_column(column, "available_until", values)


def _engagements(
    events: Path, items: pa.Table, engaging: Callable[[pa.Table], np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of engagements: the rows of their items, and their times, UTC epoch milliseconds, `[engagements]`."""
    file, ids = parquet.ParquetFile(events), items["item_id"].combine_chunks()
    wanted = ("item_id", "timestamp", "event_type", "value", "dwell_seconds")
    names = [name for name in wanted if name in file.schema_arrow.names]
    for batch in file.iter_batches(BATCH_ROWS, columns=names):
        rows = pa.Table.from_batches([batch])
        rows = rows.filter(pa.array(engaging(rows)))
        yield pc.index_in(rows["item_id"], value_set=ids).to_numpy(), rows["timestamp"].to_numpy()
