"""Purchases that are given back in the end whoever liked them, as what is lent, let or leased: a return ends these, and
is no complaint."""

from __future__ import annotations

import pandas as pd

MOSTLY = 0.9  # share of the purchases that are given back; of clothes that is half of them
FEWEST = 30  # purchases that say so


def given_back(rows: pd.DataFrame) -> tuple[int, int]:
    """Of the earlier half of the purchases, how many their user gave back later, and how many these are: of the others
    many may be out yet.

    Args:
        rows: `user_id`, `item_id`, `kind` (the contract's event type) and `time`, of purchases and returns at least.
    """
    pair = ["user_id", "item_id"]
    bought, returned = rows[rows["kind"] == "purchase"], rows[rows["kind"] == "return"]
    early = bought[bought["time"] <= bought["time"].median()].reset_index(drop=True)
    last = returned.groupby(pair)["time"].max().rename("last").reset_index()
    both = early.merge(last, on=pair)
    return int((both["last"] >= both["time"]).sum()), len(early)


def are_loans(given: int, purchases: int) -> bool:
    """Whether nearly all that is bought is given back, by the numbers of `given_back`."""
    return purchases >= FEWEST and given >= MOSTLY * purchases
