"""Which column of unknown events says how long a user stayed with an item, as `ms_played` does, and in which unit."""

from __future__ import annotations

import re

import numpy as np

from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.deeds import described
from souk.ingest.guess.fit import A_SECOND, AN_HOUR, MILLISECONDS
from souk.ingest.guess.names import NAMES, PACKED
from souk.ingest.profile import Column

SECONDS = ("s", "sec", "secs", "second", "seconds", "sek", "sekunden")
LASTED = {"play", "played", "playback", "playing", "listen", "listened", "listening", "heard", "stream", "streamed",
          "streaming", "watch", "watched", "watching", "view", "viewed", "viewing", "read", "reading", "engaged",
          "engagement", "stayed", "gehoert", "abgespielt", "gesehen", "gelesen"}  # fmt: skip
BESIDE = {"time", "duration", "total", "dauer", "zeit", "event", *PACKED}  # changes nothing
TIMED, FEWEST = r"(play|watch|watched|listen|listening|read|reading|view|viewing)(ing)?time", 20  # different numbers
UNITLESS = "HOW LONG, IN A UNIT THAT YOU KNOW? Map it to value, and give satisfied a min_value of these events"
A_DAY = 24 * AN_HOUR  # nobody stays as long


def map_dwell(events: Table) -> None:
    """Maps a number whose name says for how long something was played, watched or read, and in which unit.

    A column by the contract's own name goes first, as does any that another name gives away
    (`souk.ingest.guess.columns.map_rest`).
    """
    if column_named(events, "dwell_seconds") is not None:
        return
    for column in events.free:
        unit = _unit(column)
        if unit and described(events, column) != ["item"]:  # how long an item is tells nothing of its users
            words = "milliseconds" if unit == "ms" else "seconds"
            events.mapped["dwell_seconds"] = column, f"how long, in {words}, by its name; such as {column.examples}"
            events.source = events.source.model_copy(update={"dwell_unit": unit})
            return
    if column_named(events, "value") is None:
        for column in events.free:
            if _lasting(column) and described(events, column) != ["item"]:
                events.counts[column.name] = f"{UNITLESS}, such as {column.examples}"


def _lasting(column: Column) -> bool:
    """Whether a number says for how long, in a unit that its name does not tell, as `playtime_forever`."""
    if column.nested or column.time_unit or not column.numeric or column.distinct < FEWEST:
        return False
    return re.match(TIMED, column.plain) is not None


def _unit(column: Column) -> str:
    """`s` or `ms`, of a column that says for how long; "" where it does not, or half of its numbers are none of it."""
    words = column.snake.split("_")
    of_unit = [word for word in words if word in (*MILLISECONDS, *SECONDS)]
    own = [word for word in words if word not in of_unit]
    lasted = not LASTED.isdisjoint(own) and {*own} <= LASTED | BESIDE
    if column.nested or column.time_unit or not column.numeric or len(of_unit) != 1:
        return ""
    if not lasted and "".join(own) not in NAMES["dwell_seconds"]:
        return ""
    unit, middle = ("ms" if of_unit[0] in MILLISECONDS else "s"), float(np.median(column.numbers))
    seconds = middle / A_SECOND if unit == "ms" else middle
    return unit if 1 <= seconds <= A_DAY else ""
