"""Ids that two files write differently: one without the zeros before a number, as spreadsheets write them."""

from __future__ import annotations

import pandas as pd
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.columns import Table

NUMBER = r"\d+"
FEWEST, SOME = 20, 0.02  # ids of events that the other file has in another form, and their share of all


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


def _ids(table: Table, target: str) -> pd.Series:
    return pc.unique(cells.parse_text(table.mapped[target][0].values)[0].drop_null()).to_pandas().astype(str)


def _form(ids: pd.Series) -> pd.Series:
    """Numbers without zeros before them, and other ids as they are."""
    return ids.str.lstrip("0").where(ids.str.fullmatch(NUMBER), ids)
