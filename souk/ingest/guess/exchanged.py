"""Whether the files of items and of users that `souk init` was given stand in each other's place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.ids import FEW_SHARED, called, repeats, shared
from souk.ingest.guess.names import NAMES
from souk.ingest.guess.visits import soon
from souk.ingest.profile import Column
from souk.schema import contract

OTHER = {"user_id": "item_id", "item_id": "user_id"}
FILE = {"user_id": "users", "item_id": "items"}
PEOPLE = {"name", "active", "description"}  # words for columns of items that people have, too
BLOCK = 6 * 60 * 60_000  # milliseconds in which times are exchanged
CLEARLY = 0.2  # of the ids of users or of items, that the files exchanged must explain more, and of neither fewer
FEWEST = 100  # pairs of events in a row
VISITS = 0.25  # of what could come so soon, from which on it is by visits; news of an hour has .02, visitors have .5


def check_events(tables: Mapping[str, Table]) -> None:
    """Refuses a file of events that names no user, where another that was given has users who come again, and times: by
    their name, or, as a catalogue may say who sells what since when, beside items that come again, too.

    Raises:
        SoukError: it is so.
    """
    events = tables["events"]
    if _ids(events, "user_id"):
        return
    for key, table in tables.items():
        who, what, when = _ids(table, "user_id"), _ids(table, "item_id"), column_named(table, "timestamp")
        if when is None and what is not None and repeats(what):
            when = next((column for column in table.free if column.time_unit), None)
        if key == "events" or who is None or when is None or not (repeats(who) and when.time_unit):
            continue
        remedy = f"exchange the two, --events {table.source.path} --{key} {events.source.path}"
        received = f"{events.source.path}, in which no column goes by a name for users"
        raise SoukError(
            "a file of events as --events", received, f"With {who.name} and {when.name} {key} may be it: {remedy}."
        )


def check_exchanged(tables: Mapping[str, Table]) -> str:
    """Looks for the ids of events in both files: by the name of their column, and by themselves where they are no
    numbers, which meet by chance. A file may have ids of the other by right, as that of items the owners.

    Returns:
        Why the two may be exchanged, where that explains little more than the files as given do; "" where nothing says
        so.

    Raises:
        SoukError: the ids of users are in the file of items, or those of items in that of users, and the two exchanged
            explain clearly more of the events.
    """
    if not {"items", "users"} <= tables.keys():
        return ""
    found = {target: _place(target, tables) for target in FILE}
    told = next((target for target, place in found.items() if place == FILE[OTHER[target]]), None)
    if told is None or any(place == FILE[target] for target, place in found.items()):
        return ""
    ours, file = _ids(tables["events"], told), tables[FILE[OTHER[told]]]
    kinds, name = (FILE[told], FILE[OTHER[told]]), ours.name if ours else told
    given = {target: _explained(target, file, tables) for target, file in FILE.items()}
    more = [_explained(target, FILE[OTHER[target]], tables) - share for target, share in given.items()]
    if min(more) < 0 or max(more) < CLEARLY:
        own = _explained(OTHER[told], kinds[1], tables, but=ours.plain if ours else "")
        return "" if own >= FEW_SHARED else f"the file of {kinds[1]} has the ids of {kinds[0]}, {name} of events"
    exchange = f"--items {tables['users'].source.path} --users {tables['items'].source.path}"
    raise SoukError(
        f"a file of {kinds[1]} as --{kinds[1]}",
        f"{file.source.path}, which has the ids of {kinds[0]}, {name} of events",
        f"It may be a file of {kinds[0]}: exchange the two, {exchange}. "
        f"If they are right, write the config by hand (docs/data.md).",
    )


def doubt_exchanged(tables: Mapping[str, Table]) -> str:
    """Why the two may be exchanged where no name of an id tells: users come in visits, in which they take several
    items, and items do not. "" where nothing says so.

    Args:
        tables: with the ids of events mapped.
    """
    events = tables["events"]
    if not {"items", "users"} <= tables.keys() or any(_ids(events, target, mapped=True) for target in FILE):
        return ""
    user, item = (_visits(events, *ids) for ids in (("user_id", "item_id"), ("item_id", "user_id")))
    if max(user, item) >= VISITS and 4 * min(user, item) <= max(user, item):
        name = events.mapped["item_id"][0].name
        return f"{name} of events comes in visits, as users do" if item > user else ""
    words = [column.name for column in tables["users"].columns if _of_items(column)]
    if words and not any(map(_of_items, tables["items"].columns)):
        return f"the file of users has {', '.join(words[:3])}, as items have"
    return ""


def _ids(events: Table, target: str, mapped: bool = False) -> Column | None:
    """The column of events that its name tells to have these ids.

    Args:
        events: the table.
        target: the ids.
        mapped: only if it is mapped to them.
    """
    if mapped:
        column = events.mapped[target][0]
        return column if column.plain in NAMES[target] or called(column.plain, target) else None
    named = column_named(events, target)
    return named or next((c for c in events.free if not c.nested and called(c.plain, target)), None)


def _place(target: str, tables: Mapping[str, Table]) -> str:
    """`items` or `users`, where the ids of events that names tell to be `target` are; "" where that is not told."""
    ours = _ids(tables["events"], target)
    if ours is None or ours.nested:
        return ""
    shares = {key: {c.plain: shared(ours, c) for c in _unique(tables[key])} for key in FILE.values()}
    same = [key for key, own in shares.items() if own.get(ours.plain, 0.0) >= FEW_SHARED]
    known = [] if ours.numeric else [key for key, own in shares.items() if max(own.values(), default=0) >= FEW_SHARED]
    place = known if len(known) == 1 else same
    return place[0] if len(place) == 1 else ""


def _explained(target: str, key: str, tables: Mapping[str, Table], but: str = "") -> float:
    """The share of the ids of events that a file has in any one column.

    Args:
        target: the ids; where no name tells them, of the columns left the one that it has most of.
        key: `items` or `users`, the file.
        tables: all three.
        but: the plain name of a column of the file that does not count.
    """
    named, other = (_ids(tables["events"], each) for each in (target, OTHER[target]))
    ours = [named] if named else [column for column in tables["events"].free if column is not other]
    theirs = [column for column in _unique(tables[key]) if column.plain != but]
    return max((shared(a, b) for a in ours if not a.nested for b in theirs), default=0.0)


def _unique(table: Table) -> list[Column]:
    """The columns with a value of its own for nearly every row."""
    return [column for column in table.columns if not column.nested and not repeats(column)]


def _of_items(column: Column) -> bool:
    """Whether a column goes by a name that only items have."""
    own = contract("items").keys() - contract("users").keys() - {"item_id", "available"}
    return column.plain not in PEOPLE and any(column.plain in NAMES.get(target, ()) for target in own)


def _visits(events: Table, who: str, what: str) -> float:
    """How much sooner than by chance an id comes again, with something else: the share of its events within SOON of the
    one before, less that with the times of each BLOCK exchanged, of what could be more; 0 where there are few."""
    rows = pd.DataFrame({key: cells.parse_text(events.mapped[key][0].values)[0].to_pandas() for key in (who, what)})
    times = cells.parse_time(events.mapped["timestamp"][0].values, events.source.timestamp_unit)[0]
    rows = rows.assign(time=times.to_pandas()).dropna().drop_duplicates([who, what])
    codes, moments = pd.factorize(rows[who])[0], rows["time"].to_numpy().astype(np.int64)
    by_block, shuffled = np.argsort(moments // BLOCK, kind="stable"), np.empty_like(moments)
    drawn = np.random.default_rng(0).random(len(moments))
    shuffled[by_block] = moments[np.lexsort((drawn, moments // BLOCK))]
    (count, share), (_, chance) = soon(codes, moments), soon(codes, shuffled)
    return (share - chance) / (1 - chance) if count >= FEWEST and chance < 1 else 0.0
