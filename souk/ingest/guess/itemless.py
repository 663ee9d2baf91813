"""Rows of events that have no item since they are of none, as a look at a home page, or a search without a hit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from souk.ingest import cells
from souk.ingest.guess.chosen import skip_rows
from souk.ingest.guess.columns import Table
from souk.ingest.guess.config_words import skipping
from souk.ingest.guess.fit import few_words
from souk.ingest.guess.spoken import MOST
from souk.ingest.profile import MANY, Column

SOME = 0.2  # share of the rows of a type from which it is one that may have no item
FEW = 0.05  # of the rows, up to which a run refuses them without a word in the config


def skip_itemless(events: Table) -> None:
    """Leaves out, by `skip`, the rows without an item where nearly all of them are of some values of another column,
    which have none, or of types that often have none: as faults they would make room for those of a feed that breaks.
    Others it notes."""
    if "item_id" in events.templates or not events.has("item_id"):
        return
    column, evidence = events.mapped["item_id"]
    lacking = cells.parse_text(column.values)[0].to_pandas().isna() & _kept(events)
    if column.nested or not lacking.any():
        return
    typed = events.mapped["event_type"][0] if events.has("event_type") and "*" not in events.types else None
    for other in [*([typed] if typed else []), *events.free]:
        words = _values(other, lacking, MANY)
        if words and (count := skip_rows(events, other, words)):
            told = f"they are of no item, {', '.join(words)} of {other.name} ({count})"
            events.notes["itemless"] = told
            return
    shares = f"{int(lacking.sum()):,} of {len(lacking):,} rows have no {column.name}"
    if typed is not None and (words := _values(typed, lacking, SOME)):
        _skip_empty(events, column.name)
        events.notes["itemless"] = f"{shares}, all of {', '.join(words)}, which may be of none"
    elif lacking.mean() > FEW:
        out = skipping(column.name, [""])
        told = f"{shares}, for which the quarantine makes room: if they are of none, {out} beside path"
        events.notes["item_id"] = ". ".join(filter(None, [events.notes.get("item_id", ""), told]))
        events.mapped["item_id"] = column, f"{told}; {evidence}"


def _kept(events: Table) -> pd.Series:
    """Of each row of the sample, whether `skip` keeps it."""
    kept = np.ones(len(events.columns[0].values), bool)
    for column in events.columns:
        if words := events.source.skip.get(column.name):
            texts = cells.parse_text(column.values)[0].to_pandas()
            kept &= ~(texts.isin(words) | (texts.isna() if "" in words else False)).to_numpy(bool)
    return pd.Series(kept)


def _values(column: Column, lacking: pd.Series, share: float) -> list[str]:
    """The values of a column of few words that have nearly all rows without an item, each at least in this share of its
    own; none where others lack more than a few."""
    if column.time_unit or not few_words(column, MOST):
        return []
    own = cells.parse_text(column.values)[0].to_pandas()
    each = lacking.groupby(own).mean()
    words = sorted(each.index[each >= share])
    of_these = own.isin(words)
    enough = len(words) < len(each) and (lacking & of_these).sum() >= MANY * lacking.sum()
    return [str(word) for word in words] if enough and lacking[~of_these].mean() <= 1 - MANY else []


def _skip_empty(events: Table, name: str) -> None:
    skip = {**events.source.skip, name: (*events.source.skip.get(name, ()), "")}
    events.source = events.source.model_copy(update={"skip": skip})
