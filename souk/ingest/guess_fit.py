"""Whether a column can be what its name says."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells, no_dates
from souk.ingest.convert import TIMES
from souk.ingest.guess_kind import guess_kind
from souk.ingest.guess_names import NAMES
from souk.ingest.profile import DATE, MANY, Column, plain
from souk.schema import ContractColumn

FEW_WRONG = 0.05  # share of values that are no true or false, or too large, in a column that is what it is called
MOST_ONCE = (
    0.5  # more different ids a row are those of events, sent twice now and then; fewer those of orders or visits
)

FEWEST_IDS = 30  # rows; of fewer, any column may differ in each
ID = r"^\S*\d\S*$"  # E000001, or 17

ISO = r"^\d{4}-\d{2}-\d{2}"
MOST_TYPES = 12  # values of a column that could be event types
MOST_STATES = 12
TIME_FORMS = (r"^\d{4}-\d{2}-\d{2}", DATE, r"^\d{16}(\.0)?$", r"^\d{13}(\.0)?$", r"^\d{9,10}(\.\d+)?$")
FEW_DATES, FEW_STRAYS = 0.02, 3  # share of the values that are times where the others are so few words, as `never`
# What a column says of an item that is gone, or is not; no case, no punctuation.
GONE = {"sold", "soldout", "expired", "inactive", "ended", "closed", "removed", "deleted", "discontinued", "archived",
        "delisted", "withdrawn", "retired", "unavailable", "outofstock", "reserved", "completed", "cancelled",
        "verkauft", "ausverkauft", "vergriffen", "abgelaufen", "beendet", "geloescht", "entfernt",
        "reserviert"}  # fmt: skip
LIVE = {"active", "available", "live", "open", "instock", "onsale", "forsale", "listed", "published", "draft", "aktiv",
        "verfuegbar", "lieferbar", "offen"}  # fmt: skip
# What is counted of what users did with an item, or left of it by then.
COUNTED = {"left", "remaining", "remainder", "stock", "inventory", "sold", "sales", "orders", "purchases", "bookings",
           "reviews", "reviewcount", "numreviews", "ratingcount", "numratings", "views", "viewcount", "clicks",
           "clickcount", "likes", "favorites", "favourites", "downloads", "installs", "plays", "students", "learners",
           "enrolments", "enrollments", "subscribers", "followers", "participants", "attendees",
           "popularity", "averagerating", "avgrating", "ratingaverage", "ratingavg", "meanrating", "bestand",
           "lagerbestand", "umsatz", "absatz", "turnover", "revenue", "restplaetze", "verkauft", "verkaeufe",
           "bewertungen", "aufrufe"}  # fmt: skip
CODES = {"id", "code", "key", "channel", "tax", "unit"}  # behind such a word is no count: stock_code, sales_tax


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
        return _no_time(column, unit)
    if target.name == "event_id" and column.distinct <= MOST_ONCE * len(column.values):
        return f"{column.distinct:,} different ids in {len(column.values):,} rows"
    if target.type in ("double", "int64") and not column.numeric:
        return f"no numbers, such as {column.examples}"
    if target.type == "int64" and not column.whole:
        return f"no whole numbers, such as {column.examples}"
    if target.maximum is not None and (high := np.mean(column.numbers > target.maximum)) > FEW_WRONG:
        return f"{high:.0%} of its numbers are above {target.maximum:g}, such as {column.examples}"
    if target.type == "bool" and cells.parse_bool(column.values)[1].mean() > FEW_WRONG:
        return f"no true or false, such as {column.examples}"
    return ""


def _no_time(column: Column, unit: str) -> str:
    own = column.time_unit
    if not own:
        return f"no times, such as {column.examples}{'; write them as 2024-05-31 into the file' * column.dated}"
    if unit and own not in ("native", unit):
        return f"its times are in {own}, others of the table in {unit}"
    times = cells.parse_time(no_dates.without(column.values, own), own)[0].drop_null().to_numpy(zero_copy_only=False)
    return "times before 1970" if np.any(times < 0) else ""


def tells_rows(column: Column) -> bool:
    """Whether nearly every row has an id of its own in a column, whatever its name."""
    if column.nested or column.time_unit or (column.numeric and not column.whole):
        return False
    return FEWEST_IDS < MANY * len(column.values) < column.distinct and column.like(ID) >= MANY


def few_words(column: Column) -> bool:
    """Whether a column has as few values as there are event types, and they are no numbers."""
    amounts = column.nested or column.numeric or column.comma or column.currency or column.dated
    return not amounts and 2 <= column.distinct <= MOST_TYPES


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


def _strays(column: Column) -> str:
    """What stands among times that is none, as TBA; "" where it is no column of times, or of nothing else."""
    if column.nested or column.time_unit or not FEW_DATES <= column.like(ISO) < MANY:
        return ""
    others = column.texts.filter(pc.invert(pc.match_substring_regex(column.texts, ISO)))
    if column.like(ISO) < 0.5 and pc.count_distinct(others).as_py() > FEW_STRAYS:
        return ""
    told = f"TIMES, BUT FOR {len(others):,} OF {len(column.texts):,} VALUES, such as {str(others[0])[:24]}"
    return f"{told}: leave these empty in the file, then map it"


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


def becomes(column: Column, end: Column | None, created: bool = False) -> str:
    """Why a column may tell when an item came to be or what became of it later, as that it was sold or how often; ""
    where it does not.

    Args:
        column: of items.
        end: that says until when items can be had; None where none does.
        created: whether another says when they came to be.
    """
    if (column.dated or column.time_unit in ("iso", "native")) and column.distinct > 1 and not (end and created):
        birth = "" if created else "IF IT IS WHEN AN ITEM CAME TO BE, map it to created_at; "
        ending = "" if end else "IF ITEMS CANNOT BE HAD AFTER IT, map it to available_until; "
        return f"{birth}{ending}{guess_kind(column).evidence}"
    words = column.snake.split("_")
    counts = column.plain in COUNTED or (COUNTED & {*words} and words[-1] not in CODES)
    counted = column.numeric and counts and not {*pc.unique(column.texts).to_pylist()} <= {"0", "1"}  # sea_views
    told = f"IT TELLS EVENTS OF LATER, such as {column.examples}; declare it if it is of before them" if counted else ""
    if strays := _strays(column):
        return strays
    if column.nested or not 1 <= column.distinct <= MOST_STATES:
        return told
    values = {plain(text): text for text in sorted(pc.unique(column.texts).to_pylist())}
    gone = [text for word, text in values.items() if word in GONE]
    named = column.plain.endswith(("status", "state"))
    flag = column.plain.removeprefix("is") in GONE and not cells.parse_bool(column.values)[1].any()
    if not flag and not (gone and (named or 2 * len(values.keys() & (GONE | LIVE)) >= len(values))):
        return told
    shown = ", ".join(text[:24] for text in (gone or list(values.values()))[:2])
    return f"IT TELLS EVENTS OF LATER, such as {shown}; give `available_until`, the time, or `available`, true or false"
