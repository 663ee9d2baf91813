"""Which columns of events tell what the user did, or to which item: no request knows them before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.fit import few_words, one_each
from souk.ingest.guess.names import SETTINGS, names_act
from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import MANY, Column
from souk.schema import EventType

if TYPE_CHECKING:
    from souk.ingest.guess.columns import Table

FEWEST_LOOKS = 30  # that tell what no look has
SETTLED = 1.002  # values of an item or a user: a few of what is bought come back, and are an act of another type
SEVERAL_ROWS = 3  # of an item or a user, on the mean, that tell what each has one value of
FEWEST_OF_ONE = 5  # looks that are to be expected of a value, for none of them to tell something
MOSTLY = 0.5  # a column tells acts from looks where no look has the values of more than this share of acts
SHORTER = 0.1  # share of the stays with other words that one with a word may outlast, where that tells who left
CAUSES = {"reason", "trigger", "initiator", "grund", "motif", "motivo"}  # in names of columns
SPOKEN = 0.5  # more than this share of its values are words for event types where a column speaks of them
# Of two rows of an item and different users: the share that have one value, at least, and how many times as many as of
# any two rows, and of two rows of a user and different items, where a column tells the item.
ALIKE, BY_CHANCE, OF_USER = 0.05, 4, 2
FEWEST_PAIRS = 200  # that tell it
# Words of a column with what a user asked for before there was a slate; that tells items by right.
SEARCHED = {"query", "search", "searched", "searchterm", "keyword", "keywords", "suche", "suchbegriff",
            "suchanfrage", "recherche", "requete", "busqueda", "ricerca", "pesquisa", "busca"}  # fmt: skip


def of_acts(table: Table, column: Column) -> str:
    """Why a column of events would give away what the user did; "" where it does not."""
    checks = (_tells_type, _tells_cause, _of_no_item, _of_deeds, _tells_dwell)
    return next((why for check in checks if (why := check(table, column))), "")


def _tells_cause(table: Table, column: Column) -> str:
    """Why a column with the reason for which something began or ended is no context; "" for another."""
    if CAUSES.isdisjoint(column.snake.split("_")):
        return ""
    return f"SAYS WHY IT BEGAN OR ENDED, such as {column.examples}; declare it if a request has it"


def _tells_dwell(table: Table, column: Column) -> str:
    """Why a column has a word for those who left at once, as `skipped` has; "" where it has none."""
    if "dwell_seconds" not in table.mapped or column.nested:
        return ""
    dwell = cells.parse_number(table.mapped["dwell_seconds"][0].values)[0].to_pandas()
    rows = pd.DataFrame({"dwell": dwell, "value": cells.parse_text(column.values)[0].to_pandas()}).dropna()
    ranks = rows["dwell"].rank().groupby(rows["value"])
    count, others = ranks.size(), len(rows) - ranks.size()
    longer = (ranks.sum() - count * (count + 1) / 2) / (count * others).where(others > 0)  # of all pairs, Mann-Whitney
    left = longer.index[(longer <= SHORTER) & (count >= FEWEST_LOOKS)]
    if not len(left):
        return ""
    return f"TELLS HOW LONG THE USER STAYED: by far the shortest is {left[0]}; declare it if a request has it"


def _of_no_item(table: Table, column: Column) -> str:
    """Why a column of events says nothing of what users take: hardly a row with an item has it, as the id of an episode
    beside that of a track; "" elsewhere."""
    if "item_id" not in table.mapped or column.nested or not len(column.texts):
        return ""
    item, own = (cells.parse_text(each.values)[0] for each in (table.mapped["item_id"][0], column))
    beside = len(own.filter(item.is_valid()).drop_null())
    if beside > (1 - MANY) * len(column.texts):
        return ""
    return f"ONLY ROWS WITHOUT AN ITEM HAVE IT, such as {column.examples}"


def settled(table: Table, column: Column) -> bool:
    """Whether a column of events has one value for each item, or each user, who have several rows: it tells no act."""
    ids = (table.mapped[target][0] for target in ("item_id", "user_id") if target in table.mapped)
    several = (own for own in ids if len(own.texts) >= SEVERAL_ROWS * own.distinct)
    return any(one_each(own.values, column.values, SETTLED) for own in several)


def described(table: Table, column: Column) -> list[str]:
    """What a column of events has one value for: each item, each user, or both."""
    asked = (("item_id", "item"), ("user_id", "user"))
    return [word for target, word in asked if one_each(table.mapped[target][0].values, column.values)]


def tells_item(table: Table, column: Column) -> str:
    """Why a column of events tells which item a row is of, as the version of an app, or the price class of the day;
    "" where it does not. Who asks for a slate has no item yet.

    What is of the user, as a town, tells items, too, where these are of the town; it is known before, as what was
    searched for is.
    """
    if not SEARCHED.isdisjoint(column.snake.split("_")):
        return ""
    texts = {"value": cells.parse_text(column.values)[0].to_pandas()}
    texts |= {key: cells.parse_text(table.mapped[key][0].values)[0].to_pandas() for key in ("item_id", "user_id")}
    rows = pd.DataFrame(texts).dropna()
    chance = float((rows["value"].value_counts(normalize=True) ** 2).sum())
    own, whose = _alike(rows, "item_id", "user_id"), _alike(rows, "user_id", "item_id")
    if own < ALIKE or own < BY_CHANCE * chance or own < OF_USER * whose:
        return ""
    shares = f"{own:.0%} of two rows of an item have one value, {chance:.0%} of any two"
    return f"TELLS WHICH ITEM IT IS, since {shares}; such as {column.examples}; declare it if a request has it"


def _alike(rows: pd.DataFrame, of: str, apart: str) -> float:
    """Of the pairs of rows that share `of` and not `apart`, the share that have one value; 0 without any.

    Args:
        rows: `value`, `item_id` and `user_id`.
    """

    def pairs(*keys: str) -> int:
        return int((rows.groupby([*keys]).size() ** 2).sum())

    all_of_them = pairs(of) - pairs(of, apart)
    return (pairs(of, "value") - pairs(of, apart, "value")) / all_of_them if all_of_them >= FEWEST_PAIRS else 0.0


def _tells_type(table: Table, column: Column) -> str:
    """Why a column of events may say what the user did, which no request knows before; "" where it does not."""
    values = pc.unique(column.texts).to_pylist()
    spoken = sum(act_of(text) is not None for text in values) > SPOKEN * len(values)
    unless = f"such as {column.examples}; declare it if a request has it"
    if spoken or names_act(column.snake, column.plain):
        return f"SEEMS TO SAY WHAT THE USER DID, which would give the answer away, {unless}"
    if column.snake.split("_")[-1] in SETTINGS or settled(table, column):
        return ""
    if ("event_type" in table.constants or "*" in table.types) and few_words(column):
        return f"MAY SAY WHAT THE USER DID, {unless}"
    return ""


def _of_deeds(table: Table, column: Column) -> str:
    """Why a column of events is no context where no look has it, as the category of a seat that was bought; "" else."""
    if not table.has("event_type"):
        return ""
    said = cells.parse_text(table.mapped["event_type"][0].values)[0].to_pandas()
    values = cells.parse_text(column.values)[0].to_pandas()
    clicks = [text for text, (kind, _) in table.types.items() if kind in (EventType.CLICK, EventType.IMPRESSION)]
    looks = [text for text in clicks if text not in table.unknown]  # `assigned` is one for want of a word
    unless = "so it would say what the user did, such as {}; declare it if a request has it"
    if not looks and of_some(values, said):
        return f"ONLY EVENTS OF SOME TYPES HAVE IT, {unless.format(column.examples)}"
    each = [values[said == text] for text in looks or clicks]  # a click may have what what was shown has not
    if sum(map(len, each)) < FEWEST_LOOKS:
        return ""
    if all(own.notna().mean() <= 1 - MANY for own in each if len(own)):
        return f"NO LOOK HAS IT, {unless.format(column.examples)}"
    looked, acts = pd.concat(each).dropna(), values[~said.isin(clicks)].dropna().value_counts()
    by_chance = acts * len(looked) / max(acts.sum(), 1)  # looks that would have a value if it told them not apart
    own = acts[~acts.index.isin(looked.unique()) & (by_chance >= FEWEST_OF_ONE)]
    if own.sum() > MOSTLY * acts.sum():  # the page of the thanks for an order
        return f"NO LOOK HAS WHAT MOST OTHERS HAVE, {unless.format(', '.join(own.index[:3]))}"
    return ""


def of_some(values: pd.Series, said: pd.Series) -> bool:
    """Whether nearly all events of some types have a value, and hardly any of others."""
    counts, shares = said.value_counts(), values.notna().groupby(said).mean()
    shares = shares[counts[shares.index] >= FEWEST_LOOKS]
    return bool((shares >= MANY).any() and (shares <= 1 - MANY).any())
