"""What each row of unknown events is: an event of a type that a column says, or all of one type."""

from __future__ import annotations

import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.contracts import tells_contracts
from souk.ingest.guess.deeds import of_some, settled
from souk.ingest.guess.fit import few_words
from souk.ingest.guess.flags import clicked, is_flag, numbers_orders, tells_act
from souk.ingest.guess.names import NAMES, QUANTITIES, SETTINGS, kind_of, names_act
from souk.ingest.guess.order_status import tells_orders, without_lost
from souk.ingest.guess.phrases import act_of
from souk.ingest.guess.spoken import MOST, OTHERS, act_in, spoken
from souk.ingest.guess.stars import unrated
from souk.ingest.guess.whole import act_of_all, of_another_act, told_alone
from souk.ingest.profile import MANY, Column
from souk.schema import EventType

ENOUGH = 0.25  # share of them that are acts Souk knows, of a column that is the type whatever the others say
UNKNOWN = "unknown to Souk: is it a click? What is none of these acts, skip leaves out"
SHOWN = 4  # values in a comment
LONGEST = 24  # characters of a value there
TYPE_WORDS = ("tipo", "evento")  # too common a name to be the type whatever the values


def map_type(table: Table) -> None:
    """The event type: a column of few values, else one type for all."""
    named = _named(table)
    if named is not None and named.name != "event_type" and not _says_acts(named) and spoken(table) is not None:
        named = None  # an auction is of a `type`, too
    status = None if named else next((column for column in table.free if tells_orders(column)), None)
    some = status if status and status.filled < MANY else None  # the others are no orders
    status = None if some else status
    column = named or (None if status else _of_those_with(table, some) if some else spoken(table))
    flag = next((c for c in table.free if kind_of(c.name) and is_flag(c) and tells_act(table, c)), None)
    rated = _one_type(table)[0] == "rating"  # what was read and given stars need not have been shown
    if flag is None and column is None and status is None and not rated:
        flag = clicked(table)
    if flag is not None:
        table.mapped["event_type"] = flag, "0 or 1: shown, and maybe more"
        kind = kind_of(flag.name) or EventType.CLICK
        for text in sorted(pc.unique(flag.texts).to_pylist()):
            table.types[text] = (kind, "happened") if text in ("1", "true") else (EventType.IMPRESSION, "was shown")
    elif column is not None and not column.nested and column.distinct <= MOST:
        beside = f", of which only some have {some.name}" if some else ""
        table.mapped["event_type"] = column, f"by its {'name' if named else 'values'}; {column.distinct} values{beside}"
        for text in sorted(pc.unique(column.texts).to_pylist()):
            match = act_in(table, text)
            known = f"{match}s" if match else UNKNOWN
            table.types[text] = match or EventType.CLICK, known
            table.unknown += [] if match else [text]
    else:
        _map_one_type(table, status)


def _of_those_with(table: Table, status: Column) -> Column | None:
    """The column of a few words, an act or more among them, of which nearly all rows of some have a status, as orders
    and quotes, and hardly any of others, as searches; None where there is none."""
    known = cells.parse_text(status.values)[0].to_pandas()
    for column in table.free:
        if column is status or not few_words(column, MOST) or column.plain in OTHERS or not _says_acts(column):
            continue
        if column.snake.split("_")[-1] not in SETTINGS and of_some(
            known, cells.parse_text(column.values)[0].to_pandas()
        ):
            return column
    return None


def _map_one_type(table: Table, status: Column | None = None) -> None:
    """Maps all rows to one type, where no column says it.

    Args:
        table: of events.
        status: of each as of an order; None where none says it.
    """
    every, why = ("purchase", _of_orders(status)) if status else _one_type(table)
    perhaps = "" if _stayed(table) else _perhaps_type(table, every, status)
    if every == "rating" and _map_unrated(table, why + perhaps):
        return
    taken_back = _taken_back(table) if every == "purchase" else None
    if taken_back is None:
        table.constants["event_type"] = every, why + perhaps
        if other := of_another_act(table, EventType(every)):
            table.notes["event_type"] = other
        elif not status and not perhaps and (told := told_alone(EventType(every), why)):
            table.notes["event_type"] = told
        return
    quantity, told = taken_back
    if said := table.notes.get("event_type"):
        other = f"PURCHASE, OR A RETURN WHERE {quantity.name} IS NEGATIVE"
        table.notes["event_type"] = f"{other}, UNLESS{said.partition('UNLESS')[2]}"
    table.mapped["event_type"] = quantity, told + perhaps
    table.mapped["value"] = quantity, f"by its name; such as {quantity.examples}"
    table.types["-*"], table.types["*"] = (EventType.RETURN, "taken back"), (EventType.PURCHASE, why)


def _named(table: Table) -> Column | None:
    """The column that goes by a name for the type; of several that which says acts: `event_name` may be a concert's,
    and one of these `Show`."""
    first = column_named(table, "event_type")
    others = [column for column in table.free if column.plain in NAMES["event_type"] and _says_acts(column)]
    if first is None or first.name == "event_type" or _says_acts(first) >= ENOUGH:
        return first
    return max([first, *others], key=_says_acts)  # the first of them where they are alike


def _says_acts(column: Column) -> float:
    """The share of a column's values that are acts."""
    if column.nested or not 0 < column.distinct <= MOST:
        return 0.0
    return sum(act_of(text) is not None for text in pc.unique(column.texts).to_pylist()) / column.distinct


def _stayed(table: Table) -> bool:
    """Whether each row says for how long something was played or read, and so what it is."""
    return "dwell_seconds" in table.mapped and table.mapped["dwell_seconds"][0].filled >= MANY


def _one_type(table: Table) -> tuple[str, str]:
    """What all events are where no column says it, and why."""
    value = column_named(table, "value")
    if value is not None and value.numeric and value.plain not in QUANTITIES:
        return "rating", f"there is no type column, but {value.name}"
    if told := act_of_all(table):
        return str(told[0]), f"no type column, but {told[1]}"
    if contracts := tells_contracts(table):
        return "purchase", f"no type column, but {contracts}"
    if value is not None or column_named(table, "price") or numbers_orders(table):
        return "purchase", "no type column, but quantities, prices or orders"
    if _stayed(table):
        return "click", f"no type column, but how long each took, {table.mapped['dwell_seconds'][0].name}"
    return "click", "there is no type column"


def _map_unrated(table: Table, evidence: str) -> bool:
    """Maps what was taken and not rated to clicks, where a number of the ratings says so; whether one does."""
    value = column_named(table, "value")
    none, why = unrated(value) if value is not None else ([], "")
    if value is None or not none:
        return False
    table.mapped["event_type"] = value, f"{why}; {evidence}"
    table.mapped["value"] = value, f"by its name; such as {value.examples}"
    table.types |= dict.fromkeys(none, (EventType.CLICK, "taken, and not rated"))
    table.types["*"] = EventType.RATING, "ratings"
    return True


def _taken_back(table: Table) -> tuple[Column, str] | None:
    """The column of quantities, of which all rows have one and some are negative, as of what is taken back, and the
    evidence; None where there is none."""
    value = column_named(table, "value")
    if value is None or value.plain not in QUANTITIES or len(value.numbers) < len(value.values):
        return None
    count = int((value.numbers < 0).sum())
    if not count:
        return None
    return value, f"{count:,} of {len(value.numbers):,} quantities are negative: returns; no type column"


def _of_orders(status: Column) -> str:
    """The evidence of a status of orders, with how those that came to nothing are left out."""
    values = sorted(pc.unique(status.texts).to_pylist())
    said = f"orders, by {status.name} ({', '.join(text[:LONGEST] for text in values[:SHOWN])})"
    return f"{said}; beside path, {out}" if (out := without_lost(status)) else said


def _perhaps_type(table: Table, kind: str, status: Column | None = None) -> str:
    """Which column could say the type of an event in words that Souk does not know, for a comment.

    Args:
        table: of events; its note says the same to who reads no comment.
        kind: what every event is taken for.
        status: that tells it, beside which a column is the type only by its name or its words.
    """
    words = (column for column in table.free if few_words(column) and column.plain not in OTHERS)
    acts = (column for column in words if column.snake.split("_")[-1] not in SETTINGS)
    columns = [column for column in acts if not settled(table, column) and tells_act(table, column)]
    columns = [column for column in columns if kind != "rating" or not is_flag(column)]  # of stars it says more
    if status is not None:
        columns = [column for column in columns if column is not status and any(_likeness(column))]
    if not columns:
        return ""
    column = max(columns, key=_likeness)  # the first of those that are as likely
    values = sorted(pc.unique(column.texts).to_pylist(), key=lambda text: (act_of(text) is None, text))
    shown = ", ".join(text[:LONGEST] for text in values[:SHOWN])
    seen, remedy = f"{column.name} ({shown})", "map it to event_type and its values under event_types"
    others = [f"{other}s" for other in ("impression", "click", "return", "purchase") if other != kind]
    every = f"{kind.upper()}, {', '.join(others[:-1])} and {others[-1]} too"
    table.notes["event_type"] = f"{every}, UNLESS {seen} IS THE TYPE: then {remedy}"
    return f"; OR IS IT {seen}? Then {remedy}, and declare it no more"


def _likeness(column: Column) -> tuple[bool, int]:
    """How much a column of few words seems to be the type: by its name, then by how many of its values are known."""
    named = column.plain.startswith(TYPE_WORDS) or names_act(column.snake, column.plain)
    return named, sum(act_of(text) is not None for text in pc.unique(column.texts).to_pylist())
