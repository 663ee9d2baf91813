"""Which columns of unknown files are the ids of users and of items, and what is told where none can be."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.fit import MOST_ONCE
from souk.ingest.guess.names import NAMES, PSEUDONYMS, SELDOM_ITEMS
from souk.ingest.guess.other_ids import names_id
from souk.ingest.guess.properties import by_property
from souk.ingest.guess.several import told_several
from souk.ingest.guess.zeros import without_zeros
from souk.ingest.profile import MANY, SAMPLE_ROWS, Column, plain

FEW_UNLISTED = 0.05  # of the items in events, those that a file which lists all that can be had may lack
SEVERAL = 1.5  # users of an id, on the mean
MOST_EMPTY = 0.5  # of the rows without a value, in a column of ids: what an item replaces or follows on is none
FEW_SHARED = 0.5  # ids that a column which is not named for them may have by chance
NO_OTHER = "by its name, as no other goes by a likelier one"
MOST_PARTS = 4  # of a template
FEW, OFTEN = 20, 100  # what fewer values say of so many rows each is a group: the gate asks for as many users
# Parts of names: of columns with ids, and of files.
STEMS = {
    "user_id": r"user|cust|visitor|member|client|buyer|kunde|kunnr|debitor|login|nutzer|leser|reader|mitglied",
    "item_id": r"item|prod|article|artikel|artnr|matnr|movie|sku|track",
}


def map_ids(target: str, events: Table, other: Table | None, goods: Table | None = None) -> None:
    """The user or item id of events and of the table that describes them: by name, else by shared values.

    Args:
        target: `user_id` or `item_id`.
        events: the table of events.
        other: that of users or of items, if there is any.
        goods: that of items, if there is any: what it has a column of, as of devices for sale, is no user.
    """
    named = column_named(events, target)
    if other is None:
        alike = [c for c in events.free if not c.nested and re.search(STEMS[target], c.plain)]
        many = max((column for column in alike if not _few(column)), key=names_id, default=None)
        session = column_named(events, "session_id") if target == "user_id" else None
        own = [column for column in events.free if column.plain in NAMES["event_id"]] if target == "item_id" else []
        shows = next((column for column in own if _of_many(events, column)), None)
        sold = {column.plain for column in goods.columns} if goods else set()
        seldom = SELDOM_ITEMS if target == "item_id" else [name for name in PSEUDONYMS if name not in sold]
        by_name = {column.plain: column for column in reversed(events.free) if not column.nested and not _few(column)}
        other_id = next((by_name[name] for name in seldom if name in by_name), None)
        ways = (
            (named, "by its name"),
            (many, "its name contains the word"),
            (other_id if target == "user_id" else None, NO_OTHER),
            (session, "there are no users: by the session"),
            (shows, "no other goes by a name for it, and these come again: concerts, say, not rows"),
            (other_id, NO_OTHER),
        )
        found = next(((column, evidence) for column, evidence in ways if column), None) or _group(events, target, alike)
        if found is None:
            raise _no_column(events, target)
        events.mapped[target] = found
        return
    theirs = next((c for c in other.free if named and c.plain == named.plain), None) or column_named(other, target)
    others = set(NAMES["user_id" if target == "item_id" else "item_id"])
    strange = set() if theirs else others
    own = [c for c in other.columns if not c.nested and c.filled > MOST_EMPTY]
    ids = {c.plain: c for c in own if not repeats(c) and c.plain not in strange}
    if _of_several(named, theirs, ids.values()) and (finer := _finer(events, ids, others)):
        if named and finer.plain in PSEUDONYMS:
            remedy = f"map {named.name}, and give a file with one row of each"
            events.notes[target] = (
                f"EACH {finer.name} IS A USER, AND NOT EACH {named.name}: if several are one's, {remedy}"
            )
        named, theirs = finer, ids[finer.plain]
    named = _by_their_name(events, named, theirs)
    same = ids.get(named.plain) if named else None
    ours = [named] if named else [column for column in events.free if not column.nested]
    shares = [(shared(a, b), a, b) for a in ours for b in ([same] if same else ids.values())]
    share, here, there = _of_most_rows(shares)
    if theirs is not None and not theirs.nested:
        known = max((shared(a, theirs) for a in ours), default=0.0)
        if known and known >= share and repeats(theirs):
            raise _repeated(other, target, theirs)
        if named and not known and share < FEW_SHARED:
            raise without_zeros(events, other, [named], [theirs]) or _strangers(other, named, theirs)
    meant = "" if theirs else _mistaken_ids(target, events, other, list(ids.values()), share)
    if here is None or there is None or share == 0 or meant:
        if not meant and (twice := _that_repeats(ours, other, strange)):
            raise _repeated(other, target, *twice)
        raise without_zeros(events, other, ours, [*ids.values()]) or _no_column(
            other if named or meant else events, target, named, meant
        )
    few = "ONLY " if share < FEW_SHARED else ""
    evidence = f"{few}{share:.0%} of the ids in events are among {there.name} of {other.name}"
    again = len(there.texts) - there.distinct
    more = f"; {again:,} of its {len(there.texts):,} ids repeat: they go to the quarantine" if again else ""
    events.mapped[target], other.mapped[target] = (here, evidence), (there, evidence + more)


def _by_their_name(events: Table, named: Column | None, theirs: Column | None) -> Column | None:
    """The column of events that goes by the file's own name for its ids and has them in nearly all rows, where the one
    that names tell has others, too, as those of sizes and colours beside that of the product; else that one."""
    if named is None or theirs is None or named.plain == theirs.plain:
        return named
    least = max(MANY, shared(named, theirs))
    alike = (c for c in events.free if c.plain == theirs.plain and not c.nested and c.filled >= MANY)
    return next((column for column in alike if shared(column, theirs) > least), named)


def _of_most_rows(shares: Sequence[tuple[float, Column, Column]]) -> tuple[float, Column | None, Column | None]:
    """The pair of columns with the largest share of the first's ids in the second; of those that share nearly as many
    with the same column the one with its name, or with twice as many rows and more ids: what an item replaces is
    another item of the file, and few rows have one.

    Args:
        shares: of each pair of a column of events and one of the other file, with them.
    """
    if not shares:
        return 0.0, None, None
    best = max(shares, key=lambda each: each[0])
    share, here, there = best
    alike = [each for each in shares if each[2] is there and each[0] >= MANY * share > 0]
    if same := next((each for each in alike if each[1].plain == there.plain and each[1].filled > MOST_EMPTY), None):
        return same
    fuller = [each for each in alike if each[1].filled >= 2 * here.filled and each[1].distinct > here.distinct]
    return max(fuller, key=lambda each: each[1].filled, default=best)


def _few(column: Column) -> bool:
    """Whether a column says which of a few groups its rows are of, as an age does, rather than whose they are."""
    return column.distinct < FEW and column.distinct * OFTEN <= len(column.texts)


def _group(events: Table, target: str, alike: Sequence[Column]) -> tuple[Column, str] | None:
    """What a log that names no ids has in the place of them, and what to do; None where it has nothing.

    Args:
        events: whose note says it to who reads no comment.
        target: the id.
        alike: its columns whose names have a part of those for the id.
    """
    if not alike:
        return None
    seen = f"{alike[0].name} HAS ONLY {alike[0].distinct} VALUES IN {len(alike[0].texts):,} ROWS"
    groups = [c.name for c in alike if called(c.plain, target) and c.distinct > 1 and not set("{}") & set(c.name)]
    names = "-".join(f"{{{name}}}" for name in groups[:MOST_PARTS])
    made = f"; or in its place under templates, {target}: '{names}' takes those who are alike in each for one"
    events.notes[target] = f"{seen}: groups, and no ids. Map the ids{made if len(groups) > 1 else ''}"
    return alike[0], events.notes[target]


def _of_many(events: Table, column: Column) -> bool:
    """Whether ids come again with other users, as those of concerts do, and those of orders and of what was sent twice
    do not."""
    if column.nested or column.distinct > MOST_ONCE * len(column.values) or "user_id" not in events.mapped:
        return False
    users = cells.parse_text(events.mapped["user_id"][0].values)[0]
    pairs = pa.table({"id": cells.parse_text(column.values)[0], "user": users}).group_by(["id", "user"]).aggregate([])
    return len(pairs) > SEVERAL * column.distinct


def _of_several(ours: Column | None, theirs: Column | None, ids: Collection[Column]) -> bool:
    """Whether the ids that names tell may each be those of several: accounts in events beside the learners of a file,
    which has none of them, or hotels beside its rooms."""
    strange = ours is not None and max((shared(ours, column) for column in ids), default=0.0) < FEW_SHARED
    return strange or (theirs is not None and repeats(theirs))


def _finer(events: Table, ids: Mapping[str, Column], strange: Container[str]) -> Column | None:
    """The column of events that goes by the name of one of `ids`, which stand in one row each, and has nearly all its
    values there; none by a `strange` name. What stands in one row of the events, too, is of events, as their times."""
    mine = (column for column in events.free if not column.nested and repeats(column))
    free = (column for column in mine if column.plain not in strange)
    alike = (column for column in free if column.plain in ids)
    return next((column for column in alike if shared(column, ids[column.plain]) >= MANY), None)


def _that_repeats(ours: Sequence[Column], other: Table, strange: Container[str]) -> tuple[Column, Column] | None:
    """The column of `other` that repeats and has the most ids of one of events, which is the second; None where none
    has many.

    Args:
        ours: the columns of events that may have the ids; where it is not one alone, most ids of the other's must
            stand once, as words of a context do not.
        other: the file, whose ids no name tells.
        strange: plain names of columns that it cannot be.
    """
    known = len(ours) == 1
    columns = [c for c in other.columns if not c.nested and repeats(c) and c.plain not in strange]
    likely = [c for c in columns if known or 2 * c.distinct > len(c.texts)]
    shares = [(shared(a, b), a, b) for a in ours for b in likely]
    share, here, there = max(shares, key=lambda each: each[0], default=(0.0, None, None))
    return (there, here) if here and there and share >= FEW_SHARED else None


def _mistaken_ids(target: str, events: Table, other: Table, ids: Sequence[Column], share: float) -> str:
    """What a file whose ids no name tells rather seems to be, with a space after it; "" where nothing says so.

    Args:
        target: what its ids should be.
        events: whose other ids are looked for.
        other: the file.
        ids: its columns.
        share: of the events' ids, those that one of the columns has.
    """
    swapped, meant = ("user_id", "users") if target == "item_id" else ("item_id", "items")
    named = column_named(events, swapped) or next((c for c in events.free if called(c.plain, swapped)), None)
    ours = events.mapped[swapped][0] if swapped in events.mapped else named
    if ours is None or ours.nested:
        return ""
    known = max((shared(ours, column) for column in ids), default=0.0)
    by_name = called(plain(Path(other.source.path).name), swapped)
    alone = known >= MANY and share < FEW_SHARED and not ours.numeric  # numbers meet by chance
    if known and (known >= share if by_name else alone):
        why = "by its name and its ids" if by_name else "by its ids"
        return f"It may be a file of {meant}, {why}: then give it as --{meant}. "
    return ""


def note_unlisted(events: Table, items: Table) -> None:
    """Notes that a few items of events have no row in the file of items, which then lists what can be had; of a file
    that is longer than its sample nobody knows."""
    ours, theirs = (pc.unique(table.mapped["item_id"][0].texts) for table in (events, items))
    lacking = len(ours) - (pc.sum(pc.is_in(ours, value_set=theirs)).as_py() or 0)
    if 0 < lacking <= FEW_UNLISTED * len(ours) and len(items.columns[0].values) < SAMPLE_ROWS:
        found = f"{lacking:,} of the {len(ours):,} items in events have no row in the file of items"
        items.notes["items_without_rows"] = f"{found}: can they not be had any more? Else available"


def called(name: str, target: str) -> bool:
    """Whether a plain name has a part of those for `target`, a user's or an item's id, and none of the other's."""
    others = [stem for key, stem in STEMS.items() if key != target]
    return bool(re.search(STEMS[target], name)) and not any(re.search(stem, name) for stem in others)


def shared(ours: Column, theirs: Column) -> float:
    """The share of the ids of one column that another has."""
    return float(pc.mean(pc.is_in(pc.unique(ours.texts), value_set=pc.unique(theirs.texts))).as_py() or 0)


def repeats(column: Column) -> bool:
    return column.distinct <= MANY * len(column.texts)


def _no_column(table: Table, target: str, ours: Column | None = None, meant: str = "") -> SoukError:
    names = ", ".join(column.name for column in table.columns)
    meant = meant or _mistaken(table) or (told_several(table.columns) if table.name == "events" else "")
    names += f", none with ids of events such as {ours.examples}" if ours and not meant else ""
    join = f"Where another file has the {target}, as one of orders beside that of their lines, join the two first. "
    remedy = f"{meant}{join * (table.name == 'events')}"
    remedy += f"Rename the column to {target}, or write the config by hand (docs/data.md)."
    if len(table.columns) == 1 and not meant:
        remedy = "It has one column: separate them by a comma, a semicolon, a tab or |, or write the config by hand."
    return SoukError(f"a column of {table.source.path} that could be {target}", names, remedy)


def _mistaken(table: Table) -> str:
    """What a file of items or users rather seems to be, with a space after it; "" where nothing tells."""
    who, what = (column_named(table, target) for target in ("user_id", "item_id"))
    if table.name == "events":
        return ""
    if who and what:
        timed = any(column.time_unit for column in table.columns)
        meant = f"leave --{table.name} out, or give the file of {table.name}"
        return f"With {who.name} and {what.name} it may be a file of events: then {meant}. " if timed else ""
    others = [(name, column) for name, column in (("users", who), ("items", what)) if column and name != table.name]
    return "".join(
        f"With {column.name} it may be a file of {name}: then give it as --{name}. " for name, column in others
    )


def _repeated(table: Table, target: str, column: Column, ours: Column | None = None) -> SoukError:
    """A column whose ids repeat; `ours` of events has the same ones, where no name tells that it is `target`."""
    rows = len(column.texts)
    has = f", which has {shared(ours, column):.0%} of the ids in {ours.name} of events, and" if ours else ","
    received = f"{column.name}{has} in which {rows - column.distinct:,} of {rows:,} repeat"
    keep = f"Keep one row of each, or write the config by hand with data.{table.name}.repeated_ids (docs/data.md)."
    remedy = _mistaken(table) + (by_property(table, column) or keep)
    return SoukError(f"ids in {table.source.path} that stand in one row each, for {target}", received, remedy)


def _strangers(table: Table, ours: Column, theirs: Column) -> SoukError:
    received = f"none of the {ours.distinct:,} in {ours.name} ({ours.examples}) is in {theirs.name} ({theirs.examples})"
    remedy = (
        "Write the ids of both alike (where they are of two systems, as logins and customers, by the table that says "
        "which are the same), or write the config by hand (docs/data.md)."
    )
    return SoukError(f"ids of events in {table.source.path}", received, remedy)
