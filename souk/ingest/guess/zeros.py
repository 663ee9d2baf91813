"""Ids that two files write differently: one without the zeros before a number, as spreadsheets write them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.guess.columns import Table
from souk.ingest.profile import Column

NUMBER = r"\d+"
FEWEST, SOME = 20, 0.02  # ids of events that the other file has in another form, and their share of all
MOST = 0.5  # of the ids of a column that must be in the other file but for their zeros, where none is as it is


def note_zeros(events: Table, other: Table, target: str) -> None:
    """Notes ids of events that the file of items or users has, but for the zeros before them.

    Args:
        events: with their ids.
        other: items or users.
        target: the id of its rows, in both.
    """
    own, theirs = (_ids(table, target) for table in (events, other))
    missing = own[~own.isin(theirs)]
    forms = dict(zip(_form(theirs), theirs, strict=True))
    alike = missing[_form(missing).isin(list(forms)) & missing.str.fullmatch(NUMBER)]
    if len(alike) < max(FEWEST, SOME * len(own)):
        return
    one = str(alike.iloc[0])
    pair = f"{one} and {forms[_form(alike).iloc[0]]}"
    told = f"{len(alike):,} OF {len(own):,} IDS ARE WRITTEN DIFFERENTLY IN {other.name}, such as {pair}"
    told = f"{told}: write them alike into both files"
    events.notes[target] = ". ".join(filter(None, [events.notes.get(target, ""), told]))
    column, evidence = events.mapped[target]
    events.mapped[target] = column, f"{told}; {evidence}"


def without_zeros(events: Table, other: Table, ours: Sequence[Column], theirs: Sequence[Column]) -> SoukError | None:
    """The error of two files of which one has all ids without the zeros before them, so that no id is in both; None
    where that is not it.

    Args:
        events: the events.
        other: items or users.
        ours: columns of events that could be the ids.
        theirs: columns of the other file that could be.
    """
    found = []
    for one in ours:
        for another in (column for column in theirs if not one.nested and not column.nested):
            own, known = (pc.unique(column.texts).to_pandas().astype(str) for column in (one, another))
            forms = dict(zip(_form(known), known, strict=True))
            alike = own[_form(own).isin(list(forms)) & ~own.isin(known) & own.str.fullmatch(NUMBER)]
            if len(alike) >= max(FEWEST, MOST * len(own)):
                pair = f"{one.name} {alike.iloc[0]} and {another.name} {forms[_form(alike).iloc[0]]}"
                found.append((len(alike), f"{len(alike):,} of {len(own):,} of {one.name} but for the zeros, as {pair}"))
    if not found:
        return None
    remedy = "Write them alike into both files: a spreadsheet drops the zeros before a number unless it is text."
    return SoukError(f"ids of {events.name} in {other.source.path}", max(found)[1], remedy)


def _ids(table: Table, target: str) -> pd.Series:
    return pc.unique(cells.parse_text(table.mapped[target][0].values)[0].drop_null()).to_pandas().astype(str)


def _form(ids: pd.Series) -> pd.Series:
    """Numbers without zeros before them, and other ids as they are."""
    return ids.str.lstrip("0").where(ids.str.fullmatch(NUMBER), ids)
