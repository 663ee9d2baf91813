"""Which numbers of items say how long each is: that bounds how long users stay with it, and is no mean of it."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import Column

LENGTHS = {"duration", "length", "runtime", "laufzeit", "spieldauer", "dauer", "laenge", "duree", "longueur",
           "duracion", "durata", "duracao"}  # fmt: skip
OF_USERS = {"average", "avg", "mean", "median", "session", "visit", "dwell", "stay", "user", "users", "completed",
            "max", "maximum", "longest", "total", "sum", "engagement", "playback", "usage", "attention",
            "consumed", "time", "p50", "p75", "p90", "p95", "p99"}  # fmt: skip
UNITS = (0.001, 1, 60, 1_000, 3_600, 60_000, 3_600_000)  # how many of the one unit make the other, of s, ms, min and h
FEW, NEAR = 3, 0.02  # stays of an item whose mean is looked at, and how far half of the numbers are from it at most


def is_length(column: Column, numbers: pd.Series, ids: pd.Series, stays: pd.Series) -> bool:
    """Whether a column says how long each item is, by its name, and is not how long users stayed.

    Args:
        column: of items.
        numbers: its numbers, row by row.
        ids: of its rows.
        stays: how long each event took, with the item's id as its index.
    """
    return _named(column.snake.split("_")) and not _is_mean(numbers, ids, stays)


def _named(words: Collection[str]) -> bool:
    """Whether a name is of a length, as `duration_s`, and of none of what users do, as `watch_duration`."""
    of_items = OF_USERS.isdisjoint(words) and not any(act_of(word) for word in words)
    return of_items and not LENGTHS.isdisjoint(words)


def _is_mean(numbers: pd.Series, ids: pd.Series, stays: pd.Series) -> bool:
    """Whether the numbers are how long users stayed with each item on average, in some unit, whatever they are called:
    that tells of what is done later."""
    own = pd.Series(numbers.to_numpy(float), ids).dropna()
    each = stays.dropna().groupby(level=0).agg(["mean", "size"])
    means = each.loc[each["size"] >= FEW, "mean"]
    ratio = (own[~own.index.duplicated()] / means[means > 0]).dropna()
    return len(ratio) > 0 and any(float((unit * ratio - 1).abs().median()) < NEAR for unit in UNITS)
