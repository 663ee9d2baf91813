"""What the dates of unknown files say: when an item begins, after which it cannot be had; when it came to be, or not;
and times without a zone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells, no_dates
from souk.ingest.convert import TIMES
from souk.ingest.day_orders import WRITTEN
from souk.ingest.guess.acts import acts, times_of
from souk.ingest.guess.columns import Table, columns_named
from souk.ingest.guess.later import CHANGED
from souk.ingest.guess.names import HAD_FROM, NAMES, STARTS
from souk.ingest.guess.repeat import sold_once
from souk.ingest.profile import MANY, Column
from souk.schema import DAY_MS, MINUTE_MS

# Of whatever: of the export, of a change, of the next sale.
DATES = {"date", "datetime", "datum", "start", "starts", "startdate", "startdatum", "begin", "begins", "begindate"}
LATE = 0.25  # of the events that came after such a date by chance, the share that may
EARLY = 0.5  # share of the events before what is not when their items came to be
BEFORE = 0.9  # share of the events that come before the beginning of what can be had until it begins
FEWEST = 30  # events that say so
# Of the events, and of those that came before such a date by chance, the share that may come before what is when items
# came to be; and the share of the log after which the first event comes.
FEW_EARLY, OF_CHANCE, SOON = 0.02, 0.1, 0.1
# A day, a time of day, and nothing behind it: no +01:00.
NO_ZONE = r"^[^T ]+[T ]\d{1,2}:?\d{2}(:?\d{2})?([.,]\d+)?(\s?[AaPp]\.?[Mm]\.?)?\s*$"


def map_starts(events: Table, items: Table) -> None:
    """A concert, a match or a train is to be had until it begins: nearly all that is done with it comes before.

    What a deal or a course on demand begins with is no end: users come after it. A plain `date` or `start` may be that
    of the export or of the next sale, which all events precede too: it must be far better at it than chance. And what
    most events precede is not when an item came to be, as from when a flat is free (`available_from`)."""
    for column in items.free:
        if not column.time_unit or column.plain not in {*STARTS, *HAD_FROM}:
            continue
        before, count, chance = _before(events, items, column)
        if count < FEWEST:
            continue
        told = f"{before / count:.0%} of what is done with an item comes before it"
        if column.plain in HAD_FROM and before > EARLY * count:
            items.unborn[column.name] = told
        elif column.plain in STARTS and before >= BEFORE * count:
            after = count - chance  # by chance
            if column.plain not in DATES or (after >= FEWEST and count - before <= LATE * after):
                items.starts[column.name] = told


def map_births(events: Table, items: Table) -> None:
    """What hardly any event of an item comes before, though many would by chance, and soon after which its events
    begin, is when it came to be, as the opening of an auction: where no column goes by a name for that."""
    if any(column.time_unit and column.name not in items.unborn for column in columns_named(items, "created_at")):
        return
    found = {}
    for column in items.free:
        words = {*column.snake.split("_")}
        if not column.time_unit or column.plain in NAMES["available_until"] or column.name in items.starts:
            continue
        if CHANGED & words or column.name in items.unborn:
            continue
        before, count, chance = _before(events, items, column)
        if chance < FEWEST or before > min(FEW_EARLY * count, OF_CHANCE * chance):
            continue
        wait, span = _wait(events, items, column)
        if wait <= SOON * span:
            told = f"{before:,} of {count:,} events come before it, by chance {chance:,.0f}"
            found[column.name] = wait, f"{told}; an item's first comes {wait / DAY_MS:.1f} days after it"
    if found:
        name = min(found, key=lambda each: found[each][0])
        items.births[name] = found[name][1]


def note_touched(events: Table, items: Table) -> None:
    """Notes the times of items that are those of an item's first or last event, as when it was last ordered: the events
    tell it, and what ends or begins by it would be known to be taken then."""
    if "drawn" in events.notes:  # of which users nobody knows the others' events
        return
    rows = acts(events)
    if sold_once(rows):  # the time of its sale is its end
        rows = rows[rows["kind"] != "purchase"]
    for column in items.free:
        if not column.time_unit or column.name in items.counts:
            continue
        own = _own(items, column).dropna()
        exact = DAY_MS if (own % DAY_MS == 0).all() else MINUTE_MS
        for kind, each in [("event", rows), *rows.groupby("kind")]:
            times = each.groupby("item_id")["time"]
            for word, touched in (("first", times.min()), ("last", times.max())):
                gaps = (touched - own).dropna()
                if len(gaps) >= FEWEST and gaps.between(0, exact, inclusive="left").mean() >= MANY:
                    why = f"it is when an item had its {word} {kind}"
                    items.counts[column.name] = f"IT TELLS EVENTS OF LATER: {why}, such as {column.examples}"


def _wait(events: Table, items: Table, column: Column) -> tuple[float, float]:
    """How long after this time of an item its first event comes, of most items that have it within the log (the
    median), and how long the log is, milliseconds."""
    own, happened = _own(items, column), times_of(events).to_pandas()
    ids = cells.parse_text(events.mapped["item_id"][0].values)[0].to_pandas()
    first = happened.groupby(ids).min()
    start, end = happened.min(), happened.max()
    within = own[(own >= start) & (own <= end)]
    gaps = (first - within).dropna()
    exact = DAY_MS if (own.dropna() % DAY_MS == 0).all() else MINUTE_MS
    if (gaps < exact).mean() >= MANY:  # when something was first done with it: made of the events
        return np.inf, 0.0
    return (float(gaps.median()) if len(gaps) >= FEWEST else np.inf), float(end - start)


def _own(items: Table, column: Column) -> pd.Series:
    """The time of each item, UTC epoch milliseconds by id."""
    times = cells.parse_time(no_dates.without(column.values, column.time_unit), column.time_unit)[0].cast(pa.int64())
    ids = cells.parse_text(items.mapped["item_id"][0].values)[0].to_pandas()
    return pd.Series(times.to_pandas().to_numpy(), ids).groupby(level=0).max()


def _before(events: Table, items: Table, column: Column) -> tuple[int, int, float]:
    """How many events of the sample come before this time of their item, how many have one, and how many came before
    if the times of the events had nothing to do with the items."""
    own, happened = _own(items, column), times_of(events).to_pandas()
    due = cells.parse_text(events.mapped["item_id"][0].values)[0].to_pandas().map(own)
    dated = due.notna() & happened.notna()
    chance = np.searchsorted(np.sort(happened[dated]), due[dated]).sum() / max(1, dated.sum())
    return int((due > happened).sum()), int(dated.sum()), float(chance)


def note_zone(table: Table) -> None:
    """Written times that name no zone are taken for UTC: those of a shop are local more often than not."""
    columns = [column for target, (column, _) in table.mapped.items() if target in TIMES and column.name]
    texts = [column.texts for column in (*columns, *table.ends) if column.time_unit in WRITTEN]
    found = sum(pc.sum(pc.match_substring_regex(text, NO_ZONE)).as_py() or 0 for text in texts)
    count = sum(map(len, texts))
    if found and "timezone" not in table.notes:
        some = "" if found == count else f"{found:,} of {count:,} "
        what = "times name no zone and are" if some else "times without a zone are"
        table.notes["timestamp_unit"] = f"{some}{what} read as UTC; if they are local: timezone: Europe/Berlin, say"
