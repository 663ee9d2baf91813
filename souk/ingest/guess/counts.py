"""Which columns of items and users tell how much the events tell: that of later, too."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pandas as pd
import pyarrow as pa

from souk.ingest import cells
from souk.ingest.guess.bands import banded, lower_bounds
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.kind import without_currency
from souk.ingest.guess.lengths import is_length
from souk.ingest.guess.names import FILLERS, QUANTITIES, RATINGS, names_rating
from souk.ingest.profile import Column, snake

ALIKE = 0.9  # rank correlation with how many events of one type each has, or with their sum, from which a column has it
CLASSED = 0.6  # share of the variance of these ranks that is between the classes of a column, which are made of them
ANSWERS = {"0", "1", "true", "false", "yes", "no", "y", "n", "t", "f"}
FEWEST = 50  # rows that say so
FEWEST_VALUES = 3
FEWEST_CLASS, MOST_CLASSES = 10, 6  # rows of a class; a product has many groups by right, and customers trades
SHARED_TYPES = 6  # the most common types, of whose numbers shares are made, as of likes in impressions
BESIDE = {*FILLERS, "created", "received", "sent", "posted"}  # in a type, of what is counted of it
NUMBER = {"cnt", "count", "counts", "rate", "num", "times"}  # the last word of such a name
PER_CENT = {"pct", "percent", "percentage", "prozent", "rate", "ratio"}  # no amount, in names: its sum is a number
MEAN = "the mean {} of each"
TOLD = "IT TELLS EVENTS OF LATER: {}, such as {}; declare it if it is of before them"


def map_counts(events: Table, other: Table, target: str) -> None:
    """Notes the columns of `other` that grow with the events of its rows, as the students of a course, or the orders
    and the turnover of a customer, and the classes that are made of these, as A, B and C: at any time of the training
    they tell what came later.

    Args:
        events: with their types.
        other: items or users.
        target: the id of its rows, in both.
    """
    ids = cells.parse_text(other.mapped[target][0].values)[0].to_pandas()
    whose = cells.parse_text(events.mapped[target][0].values)[0].to_pandas()
    counts = {f"how many of {word} each has": own.value_counts() for word, own in _kinds(events, whose)}
    sums = {f"the sum of {name} of each": own for name, own in _sums(events, whose)}
    each = pd.DataFrame({word: ids.map(count).fillna(0) for word, count in (counts | sums).items()})
    if target == "user_id" and "drawn" in events.notes:  # of users who were not drawn nobody knows how many they have
        each = each.where(ids.isin(whose))
    each = each.rank()
    stays = _stays(events, whose)
    means = pd.DataFrame({MEAN.format(name): ids.map(own) for name, own in _means(events, whose, stays)})
    shares = pd.DataFrame(dict(_shares({word: ids.map(count).fillna(0) for word, count in counts.items()})))
    types = {_said(text): text for text in events.types}
    for column in other.free:
        if not column.nested and (
            why := _grows(column, each[[*counts]])
            or _grows(column, each[[*sums]])
            or _averages(column, means.drop(columns=_own_length(column, ids, stays) if target == "item_id" else []))
            or (_averages(column, shares) if _is_share(column) else "")
            or _named(column, types)
        ):
            other.counts[column.name] = TOLD.format(why, column.examples)


def _shares(counts: dict[str, pd.Series]) -> Iterator[tuple[str, pd.Series]]:
    """Of each row, how many events of one common type it has for each of another; NaN where it has none of that.

    Args:
        counts: by what they count, of all events and of each type.
    """
    common = sorted([*counts][1:], key=lambda word: -counts[word].sum())[:SHARED_TYPES]
    for above, below in permutations(common, 2):
        yield (
            f"{above} / {below}".replace("how many of ", "").replace(" each has", ""),
            (counts[above] / counts[below].where(counts[below] > 0)),
        )


def _is_share(column: Column) -> bool:
    """Whether a column has shares, or per cents."""
    return column.numeric and not column.whole and column.numbers.min() >= 0 and column.numbers.max() <= 100


def _said(text: str) -> frozenset[str]:
    return frozenset(word for word in snake(text).split("_") if word not in BESIDE)


def _named(column: Column, types: dict[frozenset[str], str]) -> str:
    """What says by a name that a column counts events of a type, as `report_count`, however few there are."""
    words = column.snake.split("_")
    told = types.get(frozenset(words[:-1])) if words[-1] in NUMBER and column.numeric else None
    return f"by its name it counts {told}" if told else ""


def _kinds(events: Table, whose: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    """The ids of the events, of all and of those of each type that is not left out: a plan has ads by right."""
    if not events.has("event_type") or "*" in events.types:  # of quantities, how many are a 3 tells nothing
        yield "events", whose
        return
    words = cells.parse_text(events.mapped["event_type"][0].values)[0].to_pandas()
    known = words.isin(list(events.types))
    yield "events", whose[known]
    yield from ((str(word), own) for word, own in whose[known].groupby(words[known]))


def _sums(events: Table, whose: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    """By id, the sum of each column of amounts, such as what the lines of orders cost, and of price times quantity."""
    numbers = {
        column.name: _priced(column) if column.currency else cells.parse_number(column.values)[0].to_pandas()
        for column in events.free
        if not column.nested
        and (column.currency or (column.numeric and not column.time_unit))
        and PER_CENT.isdisjoint(column.snake.split("_"))
    }
    price, value = (column_named(events, target) for target in ("price", "value"))
    if price and value and value.plain in QUANTITIES and {price.name, value.name} <= numbers.keys():
        numbers[f"{price.name} times {value.name}"] = numbers[price.name] * numbers[value.name]
    yield from ((name, amounts.groupby(whose).sum()) for name, amounts in numbers.items())


def _priced(column: Column) -> pd.Series:
    """The numbers of a column of amounts with a currency, row by row, which a config cannot read and sums are of."""
    texts = cells.parse_text(column.values)[0].to_pandas()
    bare = texts.map({text: without_currency(text) for text in texts.dropna().unique() if any(map(str.isdigit, text))})
    return cells.parse_number(pa.array(bare, pa.string(), from_pandas=True))[0].to_pandas()


def _stays(events: Table, whose: pd.Series) -> pd.Series:
    """How long users stayed, by id, with the name of the column; empty without one."""
    dwell = events.mapped["dwell_seconds"][0] if events.has("dwell_seconds") else column_named(events, "dwell_seconds")
    if dwell is None or not dwell.numeric:
        return pd.Series(dtype=float)
    return pd.Series(cells.parse_number(dwell.values)[0].to_numpy(zero_copy_only=False), whose, name=dwell.name)


def _own_length(column: Column, ids: pd.Series, stays: pd.Series) -> list[str]:
    """The mean that a column of items goes with by right, as it says how long each is; none of other columns."""
    numbers = _amounts(column)
    return [MEAN.format(stays.name)] if len(stays) and len(numbers) and is_length(column, numbers, ids, stays) else []


def _means(events: Table, whose: pd.Series, stays: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    """By id, the mean of the ratings, and of how long users stayed; of prices it would be what the item's own price is
    by right."""
    value = column_named(events, "value")
    if value is not None and value.numeric and (names_rating(value.snake) or value.plain in RATINGS):
        stars = cells.parse_number(value.values)[0].to_pandas()
        yield value.name, stars[stars > 0].groupby(whose).mean()
    if len(stays):
        yield str(stays.name), stays.groupby(level=0).mean()


def _averages(column: Column, means: pd.DataFrame) -> str:
    """With which mean a column of items or users goes, and how closely; "" where it does with none."""
    numbers = _amounts(column)
    for name in means if len(numbers) else ():
        both = pd.DataFrame({"own": numbers, "mean": means[name]}).dropna()
        if len(both) >= FEWEST and min(both["own"].nunique(), both["mean"].nunique()) >= FEWEST_VALUES:
            alike = both["own"].rank().corr(both["mean"].rank())
            if alike >= ALIKE:
                return f"it goes with {name}, by a rank correlation of {alike:.2f}"
    return ""


def _grows(column: Column, each: pd.DataFrame) -> str:
    """With what of `each` row's a column of items or users goes, and how closely; "" where it does with nothing."""
    numbers = _amounts(column)
    if column.distinct >= FEWEST_VALUES and numbers.notna().sum() >= FEWEST:
        known = each[numbers.notna()]
        known = known.loc[:, known.nunique() > 1]
        alike = known.corrwith(numbers.dropna().rank()).abs()  # the best-seller is the first in a rank
        if len(alike) and alike.max() >= ALIKE:
            return f"it goes with {alike.idxmax()}, by a rank correlation of {alike.max():.2f}"
    if 2 <= column.distinct <= MOST_CLASSES:
        classes = cells.parse_text(column.values)[0].to_pandas().dropna()
        ranks = each.loc[classes.index].rank()
        if column.distinct == 2:  # as vip or not: nobody knows which came first, but where no row is an exception
            flag = set(classes.str.lower()) <= ANSWERS  # videos and articles are not told apart by who played them
            parting = _parting(classes, ranks) if flag else pd.Series(dtype=bool)
            return f"its two values part all rows by {parting.idxmax()}" if parting.any() else ""
        shares = _between(classes, ranks)
        if len(shares) and shares.max() >= CLASSED:
            return f"its values are classes of {shares.idxmax()}, {shares.max():.0%} of whose ranks they tell"
    return ""


def _amounts(column: Column) -> pd.Series:
    """The numbers of a column, row by row, of bands the least ones; empty where it has other values."""
    if banded(column):
        return lower_bounds(column)
    return cells.parse_number(column.values)[0].to_pandas() if column.numeric else pd.Series(dtype=float)


def _parting(classes: pd.Series, ranks: pd.DataFrame) -> pd.Series:
    """By which columns of `ranks` all rows of one of two classes are above all of the other, each of several rows."""
    groups = ranks.groupby(classes)
    many = (groups.count().min() >= FEWEST_CLASS) & (ranks.count() >= FEWEST)
    return many & (groups.min().max() > groups.max().min())


def _between(classes: pd.Series, ranks: pd.DataFrame) -> pd.Series:
    """The share of the variance of each column of `ranks` that is between the classes of its rows; none of a class has
    few rows, as a word for one product has."""
    if classes.value_counts().min() < FEWEST_CLASS or len(classes) < FEWEST:
        return pd.Series(dtype=float)
    ranks = ranks.loc[:, ranks.nunique() > 1]
    means = ranks.groupby(classes).transform("mean")
    return means.var(ddof=0) / ranks.var(ddof=0)
