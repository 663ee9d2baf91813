"""Rows of events whose user is nobody: a word that stands for none, or one id for all whom nobody knows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.config_words import skipping
from souk.ingest.guess.names import NAMES, PSEUDONYMS
from souk.ingest.profile import MANY, Column

MOST_OF_ONE = 0.1  # share of the rows that one user may have
TIMES_THE_NEXT = 10  # as many as the user with the second most
MOST_LOST = 0.5  # share of the rows without a user
SOME_LOST = 0.2  # of these, where something that stays stands for a user: a cookie, which a session is not


def map_nobody(events: Table) -> None:
    """Takes what stands for no user, as NA, out of the users: of it all would be one that did nearly everything."""
    column, evidence = events.mapped["user_id"]
    if column.nested:
        return
    users = cells.parse_text(column.values)[0]
    if words := no_users(column):
        users = pc.if_else(pc.is_in(users, value_set=pa.array(words)), None, users)
        events.nobody = words
        events.mapped["user_id"] = Column(column.name, users), evidence
    told = _mostly_nobody(events, users) or _told_of_one(column, users)
    if told and "user_id" not in events.notes:
        events.notes["user_id"] = told
        events.mapped["user_id"] = events.mapped["user_id"][0], f"{told}; {evidence}"


def no_users(column: Column) -> list[str]:
    """The values that say, in words, that there is no user."""
    texts = column.texts
    words: list[str] = pc.unique(
        texts.filter(pc.is_in(pc.utf8_lower(texts), value_set=pa.array(cells.MISSING)))
    ).to_pylist()
    return words


def one_for_all(users: pa.Array) -> tuple[str, float] | None:
    """The user who has far more rows than any other, and the share of them; None where there is none.

    Args:
        users: of each row, as text.
    """
    counts = pc.value_counts(users.drop_null()).to_pylist()
    most = sorted(counts, key=lambda each: -each["counts"])[:2]
    if len(most) < 2 or most[0]["counts"] < max(MOST_OF_ONE * len(users), TIMES_THE_NEXT * most[1]["counts"]):
        return None
    return most[0]["values"], most[0]["counts"] / len(users)


def _mostly_nobody(events: Table, users: pa.Array) -> str:
    """What to do where most rows have a session and no user; "" elsewhere."""
    known = 1 - users.null_count / max(1, len(users))
    if known <= 1 - SOME_LOST and (browser := _pseudonym(events)):
        own = f"user_id: {browser} each {browser} is one, and all rows count"
        both = f"user_id: '{{{events.mapped['user_id'][0].name}|{browser}}}' under templates"
        return (
            f"ONLY {known:.1%} OF THE ROWS HAVE A USER: with {own}; in place of it {both} takes it for lack of a user"
        )
    session = column_named(events, "session_id")
    if known > 1 - MOST_LOST or session is None or session.nested or session.filled < MANY:
        return ""
    own = f"user_id: {session.name} each session is one, and all rows count"
    return f"ONLY {known:.1%} OF THE ROWS HAVE A USER: with {own}"


def _pseudonym(events: Table) -> str:
    """The column with what stands for a user in nearly all rows, as a cookie; "" where none does."""
    names = (*PSEUDONYMS, *NAMES["user_id"])
    found = [column for column in events.free if column.plain in names and not column.nested]
    found = [column for column in found if column.filled >= MANY and column.distinct < MANY * len(column.values)]
    users = events.mapped["user_id"][0].distinct
    found = [column for column in found if column.distinct >= users]  # as `cookie: yes` has not
    return min(found, key=lambda column: names.index(column.plain)).name if found else ""


def _told_of_one(column: Column, users: pa.Array) -> str:
    """What to do where one user has far more rows than any other; "" elsewhere."""
    if not (found := one_for_all(users)):
        return ""
    one, share = found
    out = skipping(column.name, [one])
    return f"ONE USER, {one}, HAS {share:.0%} OF THE ROWS: if that is nobody, {out} beside path"
