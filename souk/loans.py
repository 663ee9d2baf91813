"""Purchases that are given back in the end whoever liked them, as what is lent, let or leased: a return ends these, and
is no complaint."""

from __future__ import annotations

import numpy as np
import pandas as pd

MOSTLY = 0.9  # share of the purchases that are given back; of clothes that is half of them
FEWEST = 30  # purchases that say so


def given_back(rows: pd.DataFrame) -> tuple[int, int]:
    """Of the earlier half of the purchases, how many their user gave back later, and how many these are: of the others
    many may be out yet.

    A return gives back one purchase of its user and item, the last that is out: who buys again and again, and returns
    once, keeps the others.

    Args:
        rows: `user_id`, `item_id`, `kind` (the contract's event type) and `time`, of purchases and returns at least.
    """
    rows = rows[rows["kind"].isin(["purchase", "return"])].sort_values(["time", "kind"])
    given, out = np.zeros(len(rows), bool), dict[tuple[object, object], list[int]]()
    for at, (user, item, kind) in enumerate(rows[["user_id", "item_id", "kind"]].itertuples(index=False)):
        if kind == "purchase":
            out.setdefault((user, item), []).append(at)
        elif mine := out.get((user, item)):
            given[mine.pop()] = True
    bought = (rows["kind"] == "purchase").to_numpy()
    early = bought & (rows["time"] <= rows["time"][bought].median()).to_numpy()
    return int(given[early].sum()), int(early.sum())


def are_loans(given: int, purchases: int) -> bool:
    """Whether nearly all that is bought is given back, by the numbers of `given_back`."""
    return purchases >= FEWEST and given >= MOSTLY * purchases
