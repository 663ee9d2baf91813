"""What the columns of a file without a line of names are likely to be, by their values and their order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from souk.ingest import cells
from souk.ingest.guess.fit import few_words, tells_rows
from souk.ingest.guess.no_time import of_our_time
from souk.ingest.guess.phrases import act_of
from souk.ingest.guess.several import several
from souk.ingest.guess.visits import soon
from souk.ingest.profile import MANY, Column

FEWEST_IDS = 20  # different ones
MOST_RATINGS, BEST = 21, 10  # values in steps of a half, and the largest
OFTENER = 4  # times as often does a user come again soon, with something else, as an item does with another
FEWEST_SOON = 0.05  # share of a user's events
TITLE = 1.2  # words of a value, on the mean


def roles(table: str, columns: Sequence[Column]) -> tuple[list[str], bool]:
    """A name for each column, `column_3` where nothing tells, and whether times tell users from items.

    Args:
        table: events, items or users.
        columns: the values, the first row among them; their names say nothing.
    """
    names = [f"column_{n}" for n in range(1, len(columns) + 1)]
    if table != "events":
        return _of_rows(table, names, columns), True
    found: dict[int, str] = {}
    timed = [n for n, column in enumerate(columns) if _is_time(column)]
    time = max(timed, key=lambda n: columns[n].distinct, default=None)
    found |= {time: "timestamp"} if time is not None else {}
    rest = [n for n in range(len(columns)) if n not in found]
    for name, fits in (("event_type", _is_type), ("rating", _is_rating)):
        if (place := next((n for n in rest if n and fits(columns[n])), None)) is not None:
            found[place] = name
    found |= _coordinates(columns)
    ids = _ids([n for n in range(len(columns)) if n not in found], columns)
    told = False
    if len(ids) == 1 and any(map(several, columns)):  # items stand in these
        found[ids[0]] = "user_id"
    if len(ids) > 1:
        user, item, told = _who(ids[0], ids[1], columns, time)
        found |= {user: "user_id", item: "item_id"}
    return [found.get(n, name) for n, name in enumerate(names)], told


def _of_rows(table: str, names: list[str], columns: Sequence[Column]) -> list[str]:
    """The id of the rows of items or users stands in one row each; so does nearly every title, which has words."""
    once = [n for n, column in enumerate(columns) if not column.nested and column.distinct > MANY * len(column.values)]
    own = next((n for n in once if _words(columns[n]) < TITLE), None)
    found = {own: f"{table.removesuffix('s')}_id"} if own is not None else {}
    if table == "items":
        titles = [n for n, c in enumerate(columns) if n != own and not c.numeric and 2 * c.distinct > len(c.values)]
        title = next((n for n in titles if _words(columns[n]) >= TITLE and not columns[n].time_unit), None)
        found |= {title: "title"} if title is not None else {}
    return [found.get(n, name) for n, name in enumerate(names)]


def _words(column: Column) -> float:
    return float(np.mean([text.count(" ") for text in column.texts.to_pylist()] or [0])) + 1


def _times(column: Column) -> pd.Series:
    return cells.parse_time(column.values, column.time_unit)[0].to_pandas()


def _is_time(column: Column) -> bool:
    return bool(column.time_unit) and of_our_time(column)


def _is_type(column: Column) -> bool:
    kinds = {act_of(text) for text in set(column.texts.to_pylist())} if few_words(column) else set()
    return len(kinds - {None}) > 1


def _is_rating(column: Column) -> bool:
    if not column.numeric or not 3 <= column.distinct <= MOST_RATINGS:
        return False
    return bool((column.numbers * 2 % 1 == 0).all() and column.numbers.min() >= 0 and 2 < column.numbers.max() <= BEST)


def _coordinates(columns: Sequence[Column]) -> dict[int, str]:
    """A latitude and the longitude behind it: fractions, of which no other amount has so many places."""
    for n, (one, other) in enumerate(pairwise(columns)):
        places = [column.numeric and column.like(r"\.\d{3,}$") >= 0.5 for column in (one, other)]
        if all(places) and np.abs(one.numbers).max() <= 90 and np.abs(other.numbers).max() <= 180:
            return {n: "latitude", n + 1: "longitude"}
    return {}


def _ids(free: Sequence[int], columns: Sequence[Column]) -> list[int]:
    """The columns that may hold ids, without those that another tells, as an item its category."""
    likely = [n for n in free if not columns[n].nested and columns[n].distinct >= FEWEST_IDS]
    likely = [n for n in likely if (columns[n].whole or not columns[n].numeric) and not several(columns[n])]
    likely = [n for n in likely if not tells_rows(columns[n])]
    texts = {n: cells.parse_text(columns[n].values)[0].to_pandas() for n in likely}
    return [n for n in likely if not any(_tells(texts[m], texts[n]) for m in likely if m != n)]


def _tells(one: pd.Series, other: pd.Series) -> bool:
    """Whether each value of `one` goes with one of `other`, which has fewer."""
    pairs = pd.DataFrame({"one": one, "other": other}).dropna().drop_duplicates()
    fewer = other.nunique() < one.nunique() < MANY * len(one)
    return bool(fewer and len(pairs) <= one.nunique() / MANY)


def _who(first: int, second: int, columns: Sequence[Column], time: int | None) -> tuple[int, int, bool]:
    """The column of users, that of items, and whether times tell: users come in visits, and items do not."""
    if time is None:
        return first, second, False
    rows = pd.DataFrame({n: cells.parse_text(columns[n].values)[0].to_pandas() for n in (first, second)})
    rows = rows.assign(time=_times(columns[time])).dropna().drop_duplicates([first, second])
    moments = rows["time"].to_numpy().astype(np.int64)
    again = [soon(pd.factorize(rows[n])[0], moments)[1] for n in (first, second)]
    if max(again) < FEWEST_SOON or max(again) < OFTENER * min(again):
        return first, second, False
    return (first, second, True) if again[0] > again[1] else (second, first, True)
