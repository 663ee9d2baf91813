"""What may be recommended again, by what users of a sample come back to."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
import pyarrow.compute as pc

from souk.ingest.guess.acts import acts, engaging_kinds
from souk.ingest.guess.columns import Table
from souk.ingest.guess.drawn_rows import are_drawn
from souk.next_steps import PAUSE_MS
from souk.schema import MINUTE_MS, NO_ACTS, Kind

SELDOM, OFTEN = 0.05, 0.15  # shares of the engagements: below items never repeat, above always
BOUGHT_AGAIN = 0.02  # share of the purchases after a user's first, below which what is bought is bought once
PURCHASES = 150  # of them, that say so: by chance none is seen of a share of 2% once in twenty times
SEVERAL, BY_CHANCE = 0.1, 20  # of the purchases of what another bought: the share of chance below which each is one of
# its kind, and the fewest by chance that tell it
OWNERS, FEWEST_OWNERS = 0.5, 20  # share of the words of a column that are ids of users who did something, and how many
FEWEST_DRAWN = 3  # of them, where only some of the users are looked at
AT_HAND = 0.03  # share of the engagements with the item of the event before, from which a pause is worth its word


def repeat(table: Table, items: Table | None = None) -> str:
    """The line of the section, with the shares that it is made of.

    Args:
        table: of events.
        items: of items, where there are any.
    """
    rows, engaging = acts(table), engaging_kinds(table)
    share = repeated(rows, engaging)
    of = f"of {', '.join(engaging)}" if table.next_steps else "of the events"
    told = [f"{share:.1%} {of} are a user's second or later with the same item"]
    rule = "never" if share < SELDOM else "always" if share > OFTEN else "after_days"
    keys = ["days: 30"] if rule == "after_days" else []
    again, count = _bought_again(rows)
    once = rule != "never" and count >= PURCHASES and again < BOUGHT_AGAIN
    if once:
        rule, keys = "never", ["events: [purchase]"]
        told.insert(0, f"{again:.1%} of {count:,} purchases after a user's first are of an item bought before")
    at_hand = _at_hand(rows, engaging)
    if (once or rule == "always") and at_hand >= AT_HAND:  # elsewhere what engaged is out anyway
        keys.append(f"pause_minutes: {PAUSE_MS // MINUTE_MS}")
        told.append(f"{at_hand:.1%} are with the item of the user's last event, at most half an hour before")
    if why := sold_once(rows):
        keys.append("sold_once: true")
        told.append(why)
    if (owner := _owners(rows, items, table.drawn)) and items is not None:
        keys.append(f"own: {owner}")
        told.append(f"the ids in {items.declared[owner][0].name} are those of users: nobody is shown what is their own")
    said = f"{{{', '.join([f'rule: {rule}', *keys])}}}" if keys else rule
    return f"repeat: {said}  # {'; '.join(told)}"


def repeated(rows: pd.DataFrame, engaging: Collection[str]) -> float:
    """The share of engaging events whose user had the item before."""
    pairs = rows[rows["kind"].isin(engaging)][["user_id", "item_id"]]
    return float(pairs.duplicated().mean()) if len(pairs) else 0.0


def _bought_again(rows: pd.DataFrame) -> tuple[float, int]:
    """Of the purchases after each user's first moment of one, the share with an item bought before, and how many they
    are. Two lines of one moment and item are one purchase; what was given back in between, as an app that is installed
    anew, is bought once."""
    both = rows[rows["kind"].isin(["purchase", "return"])].sort_values("time", kind="stable")
    both = both.drop_duplicates(["user_id", "item_id", "time", "kind"])
    before = both.groupby(["user_id", "item_id"])["kind"].shift()
    bought = both[both["kind"] == "purchase"]
    later = bought["time"] > bought.groupby("user_id")["time"].transform("min")
    again = before[bought.index] == "purchase"
    return (float(again[later].mean()) if later.any() else 0.0), int(later.sum())


def sold_once(rows: pd.DataFrame) -> str:
    """What says that of each item there is one; "" where nothing does.

    Args:
        rows: of `souk.ingest.guess.acts.acts`.
    """
    several, buyers, chance = _bought_by_others(rows)
    if chance < BY_CHANCE or several >= SEVERAL * chance:
        return ""
    return f"{several:,} of {buyers:,} purchases are of an item that another bought before, by chance {chance:,.0f}"


def _bought_by_others(rows: pd.DataFrame) -> tuple[int, int, float]:
    """Of the pairs of a buyer and an item, how many are of an item that another bought before, how many there are, and
    how many would be of such an item if each were as likely to be bought."""
    bought = rows[rows["kind"] == "purchase"].drop_duplicates(["user_id", "item_id"])
    pairs, items = len(bought), max(1, rows["item_id"].nunique())
    return pairs - bought["item_id"].nunique(), pairs, pairs - items * (1 - (1 - 1 / items) ** pairs)


def _owners(rows: pd.DataFrame, items: Table | None, drawn: int) -> str:
    """The declared column of items that says whose they are: whose words are ids of the events' users; "" without one.

    Numbers say nothing: 17 may be a seller and another user.

    Args:
        rows: of events.
        items: of items, where there are any.
        drawn: `Table.drawn` of the events; owners whose rows are not among these say nothing.
    """
    users = set(rows["user_id"].unique())
    for name, (column, guess) in items.declared.items() if items else ():
        if guess.kind is Kind.CATEGORICAL and column.distinct >= FEWEST_OWNERS and not column.numeric:
            words = pc.unique(column.texts).to_pylist()
            owners = {word for word, asked in zip(words, are_drawn(words, drawn), strict=True) if asked}
            if len(owners & users) >= max(FEWEST_DRAWN, OWNERS * len(owners)):
                return name
    return ""


def _at_hand(rows: pd.DataFrame, engaging: Collection[str]) -> float:
    """The share of the engagements with the item of the user's event before, at an earlier time within half an hour."""
    rows = rows[~rows["kind"].isin([str(kind) for kind in NO_ACTS])].sort_values(["user_id", "time"], kind="stable")
    before = rows.shift()
    same = (rows["user_id"] == before["user_id"]) & (rows["item_id"] == before["item_id"])
    gap = rows["time"] - before["time"]
    asked = rows["kind"].isin(engaging)
    return float((same & (gap > 0) & (gap <= PAUSE_MS))[asked].mean()) if asked.any() else 0.0
