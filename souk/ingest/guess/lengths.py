"""Which numbers of items say how long each is: that bounds how long users stay with it, and follows from no stay."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import MANY, Column

LENGTHS = {"duration", "length", "runtime", "laufzeit", "spieldauer", "dauer", "laenge", "duree", "longueur",
           "duracion", "durata", "duracao"}  # fmt: skip
OF_USERS = {"average", "avg", "mean", "median", "session", "visit", "dwell", "stay", "user", "users", "completed"}
UNITS = (0.001, 1, 60, 1_000, 3_600, 60_000, 3_600_000)  # how many of the one unit make the other, of s, ms, min and h
# A share of the stays reach this share of a length. By Markov's inequality fewer reach it of a mean that is read in
# a wrong unit, and more than a few go beyond it in the right one.
NEAR, REACHED = 0.8, 0.05


def is_length(column: Column, numbers: pd.Series, ids: pd.Series, stays: pd.Series) -> bool:
    """Whether a column says how long each item is, by its name or because hardly a stay is longer than its item.

    Args:
        column: of items.
        numbers: its numbers, row by row.
        ids: of its rows.
        stays: how long each event took, with the item's id as its index.
    """
    words = column.snake.split("_")
    return _named(words) or _bounds(numbers, ids, stays, column.whole)


def _named(words: Collection[str]) -> bool:
    """Whether a name is of a length, as `duration_s`, and of none of what users do, as `watch_duration`."""
    of_items = OF_USERS.isdisjoint(words) and not any(act_of(word) for word in words)
    return of_items and not LENGTHS.isdisjoint(words)


def _bounds(numbers: pd.Series, ids: pd.Series, stays: pd.Series, whole: bool) -> bool:
    """Whether the stays are within the numbers of their items in some unit, and some come near to them."""
    own = pd.Series(numbers.to_numpy(), ids).dropna()
    lengths = stays.index.to_series().map(own[~own.index.duplicated()]).to_numpy()
    both = pd.DataFrame({"stay": stays.to_numpy(), "length": lengths}).dropna()
    within = ((both["stay"] <= unit * (both["length"] + whole)).mean() >= MANY for unit in UNITS)
    reached = ((both["stay"] >= NEAR * unit * both["length"]).mean() >= REACHED for unit in UNITS)
    return len(both) > 0 and any(a and b for a, b in zip(within, reached, strict=True))
