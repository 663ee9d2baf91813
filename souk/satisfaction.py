"""How satisfied a user was so far: with what a query's window holds, as far as it is known at the query's time.

An item that satisfies nearly everyone says little about a user whom it satisfied. So what counts is the surprise: the
label less the item's satisfied rate. Its means are effects of the user, added to those of the item as in the baseline
of a rating predictor (Koren 2010, section 2.1): over all past events, the last, those like a candidate, those of its
categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.config import Objective
from souk.items import ItemTable
from souk.schema import DAY_MS, NO_ACTS
from souk.sources.co_visitation import decay
from souk.sources.rows import totals_of
from souk.valued import Valued

DOUBT = 5.0  # a mean is drawn to 0 as if there were so many more labels, without a surprise


def surprises(
    items: ItemTable, window: np.ndarray, tokens: Mapping[str, Sequence[Any]], ages: np.ndarray
) -> np.ndarray:
    """Of each event of a window, its label of satisfaction less its item's rate; NaN where it has none, or none yet.

    Args:
        items: the item table.
        window: `[window]` int64, the events' items; -1 for unknown ones.
        tokens: their raw token features.
        ages: `[window]` float64, days from each event to the query.
    """
    found = np.full(len(window), np.nan)
    if items.satisfied is not None and len(window):
        known = (window >= 0) & _told(items.satisfied, tokens, ages)
        label = own_fields(items.satisfied, tokens) & _followed(items.satisfied, window, tokens, ages)
        found[known] = label[known] - items.counters[window[known], 1]
    return found


def satisfaction(
    items: ItemTable, window: np.ndarray, surprise: np.ndarray, moments: np.ndarray, asked: Valued
) -> np.ndarray:
    """The mean surprises `[4, asked]`: of all events, of the last, of those like an item, of those with its values.

    Args:
        items: the item table.
        window: `[window]` int64, the events' items.
        surprise: `[window]`, of `surprises`.
        moments: `[window]` int64, how many moments each event lies behind the last.
        asked: the candidates.
    """
    columns = np.zeros((4, len(asked)))
    told = np.isfinite(surprise)
    if told.any():
        window, surprise, weight = window[told], surprise[told], decay(moments[told])
        columns[0] = surprise.sum() / (len(surprise) + DOUBT)
        columns[1] = weight @ surprise / (weight.sum() + DOUBT)
        alike = likeness(items, window, asked.positions)
        columns[2] = alike @ surprise.astype(np.float32) / (alike.sum(axis=1) + DOUBT)
        columns[3] = _by_values(items, window, surprise, asked)
    return columns


def likeness(items: ItemTable, window: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The weight of each event's item for each candidate, `[asked, window]`: their cosine, squared; 0 below it."""
    cosines = items.vectors[asked] @ items.vectors[window].T
    np.maximum(cosines, 0, out=cosines)
    return np.asarray(np.square(cosines, out=cosines))


def _by_values(items: ItemTable, window: np.ndarray, surprise: np.ndarray, asked: Valued) -> np.ndarray:
    """The mean over each candidate's values of the mean surprise of the events whose item has the value."""
    event, value = items.expanded(window)
    sums, counts = (totals_of(value, w, items.value_count, asked.value) for w in (surprise[event], None))
    return asked.means(sums / (counts + DOUBT))


def _told(objective: Objective, tokens: Mapping[str, Sequence[Any]], ages: np.ndarray) -> np.ndarray:
    """Which events carry the label and are old enough: it is known at the end of its window, whichever way it went.

    None are where it asks about hides or impressions, which are no tokens: no label would be told rather than a wrong
    one.
    """
    if not {*objective.unless, *objective.followed_by}.isdisjoint(NO_ACTS):
        return np.zeros(len(ages), bool)
    kinds = {str(kind) for kind in objective.events}
    carries = np.fromiter((kind in kinds for kind in tokens["token_event_type"]), bool, len(ages))
    waits = bool(objective.unless or objective.followed_by)
    return np.asarray(carries & (_milliseconds(ages) > int(objective.within_days * DAY_MS)) if waits else carries)


def own_fields(objective: Objective, tokens: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """Whether each event's own fields meet the rule, as float32: what training has of them."""
    found = np.ones(len(tokens["token_item_id"]), bool)
    for name, least in (("token_value", objective.min_value), ("token_dwell", objective.min_dwell_seconds)):
        if least is not None:
            found &= np.asarray(tokens[name], np.float32) >= np.float32(least)
    return found


def _followed(
    objective: Objective, window: np.ndarray, tokens: Mapping[str, Sequence[Any]], ages: np.ndarray
) -> np.ndarray:
    """Whether what followed each event in time is what the rule wants: of `unless` with its item, as `labels.label`."""
    if not objective.unless and not objective.followed_by:
        return np.ones(len(window), bool)
    kinds, same = np.array(tokens["token_event_type"], object), window[:, None] == window
    gap = _milliseconds(ages[:, None] - ages)  # from the event of the row to that of the column
    within = gap <= int(objective.within_days * DAY_MS)
    kept = np.ones(len(window), bool)
    for kind in objective.unless:
        since = int(kind in objective.events)  # as `labels.undone_from`
        kept &= ~(within & (gap >= since) & same & (kinds == str(kind))).any(axis=1)
    if objective.followed_by:
        counts = within & (gap >= max(1, int(objective.from_days * DAY_MS))) & (same | objective.any_item)
        kept &= (counts & np.isin(kinds, [str(kind) for kind in objective.followed_by])).any(axis=1)
    return np.asarray(kept)


def _milliseconds(days: np.ndarray) -> np.ndarray:
    """Whole ones, as labels have them: a week between two dates is one whatever the time of the query adds to both."""
    return np.rint(days * DAY_MS)
