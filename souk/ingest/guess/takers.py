"""Which columns of items tell who took them, or how they ended: that is known when they are gone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from souk.ingest import cells, no_dates
from souk.ingest.guess.acts import acts, times_of
from souk.ingest.guess.columns import Table
from souk.ingest.guess.names import NAMES
from souk.ingest.profile import Column

FEWEST = 20  # items whose taker could have been another, or that would have a value by chance
TOOK, OWN_LOOKS = 0.3, 0.8  # share of the items of a column whose user took them, or did anything with them
OF_CHANCE = 0.1  # of the values that items would have before their end by chance, the share that may be there
LOOKS = ("impression", "click", "hide")
TAKERS = {"winner", "winnerid", "buyer", "buyerid", "soldto", "soldtoid", "highestbidder", "highestbidderid",
          "winningbidder", "winningbidderid", "topbidder", "purchaser", "purchaserid", "hoechstbietender", "kaeufer",
          "kaeuferid", "gewinner", "acheteur", "comprador", "acquirente"}  # fmt: skip
ENDING = {"final", "hammer", "sold", "closing", "winning", "highest", "realized", "realised", "end"}
PRICED = {"price", "bid", "amount", "value"}
PRICES = {"zuschlagspreis", "hammerpreis", "endpreis", "hoechstgebot", "verkaufserloes", "currentbid", "topbid",
          "leadingbid", "lastbid"}  # fmt: skip
LATER = "IT TELLS EVENTS OF LATER: {}, such as {}; declare it if it is of before them"


def map_takers(events: Table, items: Table) -> None:
    """Notes the columns of items with the user who took each, with what it went for at last, and those that hardly any
    item has before its end."""
    ends = _ends(items)
    last = times_of(events).drop_null()
    moment = max(last.to_pylist(), default=0)
    rows = acts(events)
    for column in items.free:
        if column.nested or not len(column.texts) or column.name in items.counts:
            continue
        if why := _named(column) or _takes(rows, items, column) or _at_the_end(column, ends, moment):
            items.counts[column.name] = LATER.format(why, column.examples)


def _named(column: Column) -> str:
    words = {*column.snake.split("_")}
    if column.plain in TAKERS and not column.time_unit:
        return "by its name it says who took the item"
    outcome = column.plain in PRICES or (
        words & ENDING and words & PRICED and words <= ENDING | PRICED | {"eur", "usd"}
    )
    return "by its name it says what the item went for" if outcome and column.numeric else ""


def _takes(rows: pd.DataFrame, items: Table, column: Column) -> str:
    """What says that the users in a column took the items of its rows; an owner takes no own ones."""
    whose = cells.parse_text(column.values)[0].to_pandas()
    ids = cells.parse_text(items.mapped["item_id"][0].values)[0].to_pandas()
    named = pd.DataFrame({"item_id": ids, "user_id": whose}).dropna().drop_duplicates()
    named = named[named["user_id"].isin(rows["user_id"].unique())]
    if len(named) < FEWEST or named["user_id"].nunique() < FEWEST:
        return ""
    bought = rows["kind"].eq("purchase")
    deep = rows[bought] if bought.any() else rows[~rows["kind"].isin(LOOKS)]
    bar = TOOK if len(deep) else OWN_LOOKS
    pairs = (deep if len(deep) else rows)[["item_id", "user_id"]].drop_duplicates()
    share = len(named.merge(pairs)) / len(named)
    return f"the user in it took {share:.0%} of these items" if share >= bar else ""


def _ends(items: Table) -> np.ndarray:
    """`[rows]` the end of each item by what goes by a name for it, UTC epoch milliseconds; NaN without one."""
    times = [np.full(len(items.columns[0].values), np.nan)]
    for column in items.columns:
        unit = column.time_unit if column.plain in NAMES["available_until"] or column.name in items.starts else ""
        if unit:
            known = cells.parse_time(no_dates.without(column.values, unit), unit)[0].cast(pa.int64())
            times.append(known.to_pandas().to_numpy(float))
    return np.fmin.reduce(times)


def _at_the_end(column: Column, ends: np.ndarray, moment: int) -> str:
    """What says that hardly any item has a value before its end, and many have one after it; "" where nothing does.

    Args:
        column: of items.
        ends: of the items.
        moment: of the last event, UTC epoch milliseconds.
    """
    if column.time_unit and column.plain in NAMES["available_until"]:
        return ""
    texts = cells.parse_text(column.values)[0]
    filled = texts.is_valid().to_numpy(zero_copy_only=False)
    ended = ends <= moment
    going = ends > moment if (ends > moment).any() else ~ended  # of `sold_at` those without one
    if not ended.any():
        return ""
    chance = filled[ended].mean() * going.sum()
    if chance < FEWEST or filled[going].sum() > OF_CHANCE * chance:
        return ""
    return (
        f"{filled[ended].mean():.0%} of the items that have ended have it, and {filled[going].mean():.0%} of the others"
    )
