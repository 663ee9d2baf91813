"""The time of an event whose day stands in one column and whose time of day in another."""

from __future__ import annotations

import re

from souk.ingest.day_orders import WRITTEN
from souk.ingest.guess.columns import Table
from souk.ingest.guess.time import DAYS
from souk.ingest.profile import MANY, Column
from souk.ingest.templates import fill_template

MIDNIGHT = r"^\S{8,10}[T ]0?0:00(:00(\.0+)?)?$"  # that a spreadsheet or a database adds to a day
ANY_CLOCK = r"^([01]?\d|2[0-3])[:.h][0-5]\d([:.m][0-5]\d)?\b"
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?$"  # beside 2024-05-31
BARE_CLOCK = r"^([01]\d|2[0-3])[0-5]\d([0-5]\d)?$"  # beside 20240531; the number of a line may look like it
SHORT_CLOCK = r"^([01]?\d|2[0-3])?([0-5]?\d)?[0-5]?\d$"  # a number that has lost its zeros: 93015 for 093015
CALLED = r"zeit|time|uhr|zet$|tm$|hour|clock|hora|heure"
LASTING = r"dauer|duration|length|elapsed"
SINCE = r"timeframe|timeoffset|offsetms|msoffset|elapsed|since|sessiontime"
FEWEST = 3  # times of day


def map_clock(events: Table) -> None:
    """Adds the time of day from a column of its own to the day of the events: else all of a day were at midnight."""
    day, evidence = events.mapped["timestamp"]
    if day.time_unit not in ("native", *WRITTEN):
        return
    if clock := _clock(events, day):
        template = f"{{{day.name}}}T{{{clock.name}}}"
        arrays = {day.name: day.values, clock.name: clock.values}
        made = Column(day.name, fill_template(template, arrays, len(day.values), whole=True, path=False))
        if made.time_unit in WRITTEN:
            events.templates["timestamp"] = template, f"the time of day of {day.name} stands in {clock.name}"
            events.mapped["timestamp"] = made, f"{made.time_unit}: {made.examples}"
            events.source = events.source.model_copy(update={"timestamp_unit": made.time_unit})
            return
    if day.like(rf"{DAYS}|{MIDNIGHT}") >= MANY:
        called = (column for column in events.free if re.search(CALLED, column.plain))
        short = next((column for column in called if _is_clock(column, SHORT_CLOCK)), None)
        other = next((column for column in events.free if _is_clock(column, ANY_CLOCK)), short)
        why = "ONLY DAYS: what is done on one is of one moment"
        write = "THE TIME OF DAY? Write both into one column, as 2024-05-31T12:00:00"
        asked = f"; IS {other.name} {write}" if other else _since(events)
        events.mapped["timestamp"] = day, f"{why}{asked}; {evidence}"


def _since(events: Table) -> str:
    """The question whether a column counts from the beginning of a visit or a day, with "; "; "" where none may."""
    called = [c for c in events.free if re.search(SINCE, c.plain) and c.whole and c.distinct > len(c.values) / 2]
    found = next((column for column in called if column.numbers.min() >= 0), None)
    write = "THE TIME SINCE A VISIT OR A DAY BEGAN? Add it to the day (docs/data.md, A log without times)"
    return f"; IS {found.name} {write}" if found else ""


def _clock(events: Table, day: Column) -> Column | None:
    """The column with the time of day; of several one that is called so, then the next one behind the day."""
    bare = day.like(r"^\d+$") >= MANY
    places = [column.name for column in events.columns]
    fit = [column for column in events.free if _is_clock(column, BARE_CLOCK if bare else CLOCK)]
    named = [column for column in fit if re.search(CALLED, column.plain)]
    behind = places.index(day.name)
    order = sorted(named or ([] if bare else fit), key=lambda column: places.index(column.name))
    return next((column for column in order if places.index(column.name) > behind), next(iter(order), None))


def _is_clock(column: Column, form: str) -> bool:
    if column.nested or set("{}") & set(column.name) or re.search(LASTING, column.plain):
        return False
    return len(column.texts) > 0 and column.like(form) >= MANY and column.distinct >= FEWEST
