"""Other columns of events with ids of items or of users, of which names and rows may tell the wrong one; and items
that are users."""

from __future__ import annotations

from souk.ingest.guess.columns import Table
from souk.ingest.guess.ids import FEW, shared
from souk.ingest.profile import MANY

LONG_ID = 4  # characters: of shorter numbers any may be an id


def note_rivals(events: Table, other: Table, target: str) -> None:
    """Notes the columns of events that nothing has claimed and whose values are ids of the file, too.

    Args:
        events: with the ids of users and of items mapped.
        other: items or users.
        target: the id of its rows, in both.
    """
    here, there = events.mapped[target][0], other.mapped[target][0]
    if target in events.templates:  # of several columns
        return
    found = []
    for column in events.free:
        if column.nested or column.distinct < FEW or column.like(rf"^.{{{LONG_ID},}}$") < MANY:
            continue
        if (share := shared(column, there)) >= MANY:
            found.append(
                f"{column.name} ({column.filled:.1%} of the rows have one, {share:.0%} of them of {other.name})"
            )
    if found:
        has = "HAVE" if len(found) > 1 else "HAS"
        told = f"{target} IS {here.name}; {' and '.join(found)} {has} SUCH IDS, TOO: IS IT ONE OF THESE"
        told = told if len(found) > 1 else f"{told[: -len(' ONE OF THESE')]} THE ONE"
        events.notes[target] = ". ".join(filter(None, [events.notes.get(target, ""), f"{told}? Then map it"]))
        events.mapped[target] = events.mapped[target][0], f"{told}? Then map it; {events.mapped[target][1]}"


def note_people(events: Table, items: Table) -> None:
    """Notes that the items are users, as in an app where people look for each other: nothing keeps one's own out."""
    ids, users = items.mapped["item_id"][0], events.mapped["user_id"][0]
    if ids.numeric or users.distinct < FEW or shared(users, ids) < MANY:
        return
    own = f"seller_id: {ids.name} among the items' columns, declared categorical, and own: seller_id under repeat"
    told = f"THE ITEMS ARE USERS, AND ONE MAY BE SHOWN ONE'S OWN ROW: {own} keep it out"
    events.notes["item_id"] = ". ".join(filter(None, [events.notes.get("item_id", ""), told]))
