"""Whether a column can be what its name says."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells, no_dates
from souk.ingest.convert import TIMES
from souk.ingest.guess.names import NAMES
from souk.ingest.profile import DATE, MANY, Column
from souk.schema import ContractColumn, Kind

FEW_WRONG = 0.05  # share of values that are no true or false, or too large, in a column that is what it is called
MOST_ONCE = (
    0.5  # more different ids a row are those of events, sent twice now and then; fewer those of orders or visits
)

FEWEST_IDS = 30  # rows; of fewer, any column may differ in each
ONE_EACH = 1.1  # values of an id, at most, on the mean
SOME_SELDOM = 1.6  # values of an id that has another than the commonest, at most: rare acts beside none are two
MILLISECONDS = ("ms", "msec", "msecs", "millis", "milliseconds", "millisekunden")
A_SECOND = 1_000  # of them, which half of what users look at or use takes
AN_HOUR = 3600  # seconds, which few stay anywhere
ID = r"^\S*\d\S*$"  # E000001, or 17

ISO = r"^\d{4}-\d{2}-\d{2}"
MOST_TYPES = 12  # values of a column that could be event types
TIME_FORMS = (r"^\d{4}-\d{2}-\d{2}", DATE, r"^\d{16}(\.0)?$", r"^\d{13}(\.0)?$", r"^\d{9,10}(\.\d+)?$")


def misfit(target: ContractColumn, column: Column, unit: str = "") -> str:
    """Why a column cannot be `target`; "" where it can.

    Args:
        target: the contract's column.
        column: that of the file.
        unit: of the times of its table that are known; "" where there are none.
    """
    if column.nested:
        return "its values are nested"
    if not len(column.texts):
        return "it has no values"
    if target.name in TIMES:
        return _no_time(target, column, unit)
    if target.kind is Kind.PATH and column.like(r"^\[") >= MANY:
        return "its values are lists"
    if target.name == "event_id" and column.distinct <= MOST_ONCE * len(column.values):
        return f"{column.distinct:,} different ids in {len(column.values):,} rows"
    if target.type in ("double", "int64") and not column.numeric:
        return f"no numbers, such as {column.not_numbers}"
    if target.type == "int64" and not column.whole:
        return f"no whole numbers, such as {column.examples}"
    if why := _too_large(target, column):
        return why
    if target.type == "bool" and cells.parse_bool(column.values)[1].mean() > FEW_WRONG:
        return f"no true or false, such as {column.examples}"
    return ""


def _too_large(target: ContractColumn, column: Column) -> str:
    if target.name == "dwell_seconds" and np.median(column.numbers) > AN_HOUR:
        told = f"half of its numbers are above an hour, as milliseconds are, such as {column.examples}"
        return f"{told}; if so, map it, with dwell_unit: ms"
    if target.maximum is not None and (high := np.mean(column.numbers > target.maximum)) > FEW_WRONG:
        return f"{high:.0%} of its numbers are above {target.maximum:g}, such as {column.examples}"
    return ""


def in_milliseconds(column: Column) -> str:
    """What to do with a column of events that says how long something took in milliseconds, with "; "; "" elsewhere."""
    named = column.snake.split("_")[-1] in MILLISECONDS and column.numeric and not column.time_unit
    if not named or np.median(column.numbers) < A_SECOND:
        return ""
    return "MILLISECONDS, OF HOW LONG IT TOOK? Then map it to dwell_seconds, with dwell_unit: ms; "


def _no_time(target: ContractColumn, column: Column, unit: str) -> str:
    own = column.time_unit
    if not own:
        return f"no times, such as {column.examples}{'; write them as 2024-05-31 into the file' * column.dated}"
    if unit and own not in ("native", unit):
        return f"its times are in {own}, others of the table in {unit}"
    times = cells.parse_time(no_dates.without(column.values, own), own)[0].drop_null().to_numpy(zero_copy_only=False)
    return "times before 1970" if target.minimum is not None and np.any(times < 0) else ""


def tells_rows(column: Column) -> bool:
    """Whether nearly every row has an id of its own in a column, whatever its name."""
    if column.nested or column.time_unit or (column.numeric and not column.whole):
        return False
    return FEWEST_IDS < MANY * len(column.values) < column.distinct and column.like(ID) >= MANY


def one_each(ids: pa.Array, values: pa.Array, most: float = ONE_EACH, again: bool = False) -> bool:
    """Whether nearly each id goes with one value, as that of an item with its category.

    Args:
        ids: of the rows.
        values: beside them.
        most: values of an id on the mean, below which it is so.
        again: only of ids that come again, of which there must be some: one row has one value of whatever.
    """
    rows = pd.DataFrame({name: cells.parse_text(a)[0].to_pandas() for name, a in (("id", ids), ("value", values))})
    rows = rows.dropna()
    pairs = (rows[rows["id"].duplicated(keep=False)] if again else rows).drop_duplicates()
    if len(pairs) >= most * pairs["id"].nunique():
        return False
    again_of = rows[rows["id"].duplicated(keep=False)]
    seldom = again_of.loc[again_of["value"] != again_of["value"].mode().get(0), "id"].unique()
    return bool(pairs["id"].isin(seldom).sum() <= SOME_SELDOM * len(seldom))  # rare acts are of many items


def few_words(column: Column, most: int = MOST_TYPES) -> bool:
    """Whether a column has as few values as there are event types, at most `most`, and they are no numbers."""
    amounts = column.nested or column.numeric or column.comma or column.currency or column.dated
    return not amounts and 2 <= column.distinct <= most and not column.like(r"^[\[{]")


def ends_too(column: Column, end: Column | None, starts: Collection[str] = ()) -> bool:
    """Whether a column of items is another end beside `end`, as the time of a withdrawal beside that of a sale.

    Args:
        column: of items.
        end: that says until when items can be had; None where none does.
        starts: names of columns with the beginning of items that end by it.
    """
    if not (end and _may_end(column, starts)) or column.time_unit != end.time_unit:
        return False
    return bool(end.name) and not set("{}") & set(column.name + end.name)


def ends_otherwise(column: Column, end: Column | None, starts: Collection[str] = ()) -> str:
    """Why what seems to be another end beside `end` is left out, as `ends_too` has them; "" where it is none."""
    if not (end and end.name and _may_end(column, starts)) or column.time_unit == end.time_unit:
        return ""
    alike = f"write both alike, then available_until of templates may name both, as {{{end.name}}} {{{column.name}}}"
    return f"ANOTHER END, BUT IN {column.time_unit} where {end.name} is in {end.time_unit}: {alike}"


def _may_end(column: Column, starts: Collection[str]) -> bool:
    return bool(column.time_unit) and (column.plain in NAMES["available_until"] or column.name in starts)


def forms_of_times(column: Column) -> list[str]:
    """A value of each form of times in a column that holds nothing else, as of files of different origin."""
    rest, found = column.texts if not column.nested else pa.array([], pa.string()), []
    count = len(rest)
    for form in TIME_FORMS:
        own = pc.match_substring_regex(rest, form)
        if pc.any(own).as_py():
            found.append(str(rest.filter(own)[0].as_py())[:24])
            rest = rest.filter(pc.invert(own))
    return found if len(rest) <= (1 - MANY) * count else []
