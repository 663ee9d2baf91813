"""Co-visitation with order and decay: what others went on to after the items that a user just saw.

The rules are sequential rules (Kamehkhosh, Jannach and Ludewig 2017; "SR" in Ludewig and Jannach 2018): an event votes
for those after it, less with every step between them. `souk.features.co_visitation` counts them; this scores by them.
"""

from __future__ import annotations

import numpy as np

from souk.sources.rows import SparseRows, summed

WINDOW = 100  # last events of a query that are looked at
STEPS = 1.25  # exponent of the decay by moments


def decay(moments: np.ndarray) -> np.ndarray:
    """The weight of events that lie `moments` behind the last one; events of one time are one moment."""
    return np.asarray((1.0 + moments) ** -STEPS)


def follow(rules: SparseRows, items: np.ndarray, moments: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The items that follow a history: score(j) = sum over its events k of decay(k) · W[item of k, j].

    Args:
        rules: W, a row for each item; by what is taken together (`souk.features.ease`) as by what follows.
        items: `[window]` int64, the history, oldest first; -1 for unknown items.
        moments: `[window]` int64, how many moments each lies behind the last event.
        size: of the item table.

    Returns:
        items, ascending, and their scores, both `[found]`.
    """
    items, moments = items[-WINDOW:], moments[-WINDOW:]
    known = items >= 0
    owner, found, weights = rules.gather(items[known])
    return summed(found, weights * decay(moments[known])[owner], size)
