"""What is told where no column of events could be their time."""

from __future__ import annotations

from collections.abc import Sequence

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.day_orders import FORM
from souk.ingest.guess.fit import forms_of_times
from souk.ingest.guess.nested import flatten, has_objects
from souk.ingest.guess.several import told_several
from souk.ingest.profile import DATE, MANY, UNITS, Column

MONTH_DAY, FEWEST_DAYS = r"^(0?[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$", 12
SAID, MOST = r"[A-Z][a-z]{2,8} [0-9]{1,2}, [0-9]{4}", 0.5  # a day among words, and the share of values with one
SINCE, UNTIL = 725_846_400_000, 2_208_988_800_000  # UTC epoch milliseconds: 1993 to 2039
# Words of what tells an order.
ORDER = {"number", "no", "nr", "seq", "sequence", "step", "index", "since", "ago", "day", "week", "month"}


def of_our_time(column: Column) -> bool:
    """Whether nearly all times of a column are of 1993 to 2039: numbers that are ids often are of other years."""
    if column.time_unit not in UNITS:
        return True
    times = cells.parse_time(column.values, column.time_unit)[0].to_pandas()
    return bool(times.dropna().between(SINCE, UNTIL).mean() >= MANY)


def no_time(path: str, free: Sequence[Column], named: Column | None) -> SoukError:
    """The error, with what most likely is the time and is not read, or what may stand for it.

    Args:
        path: of the events.
        free: their columns that are neither user nor item.
        named: that which goes by a name for the time.
    """
    if named is not None and has_objects(named):
        received = f"{named.name} with objects such as {named.examples}"
        return SoukError(f"the time of an event in {path}", received, flatten(path))
    dated = named or next((column for column in free if column.like(DATE) >= MANY), None)
    mixed = next((column for column in free if len(forms_of_times(column)) > 1), None)
    received = f"{dated.name} with values such as {dated.examples}" if dated else "no column with times"
    if mixed is not None:
        received = f"{mixed.name} with times of several forms, {' and '.join(forms_of_times(mixed))}"
    given = "Give all times" if mixed else "Give times"
    remedy = f"{given} as 2024-05-31 or 2024-05-31T12:00:00Z, or as seconds, milliseconds or microseconds since 1970."
    if dated and not mixed and dated.like(FORM) >= MANY:
        remedy += " Nothing tells whether the day or the month is first: the first rows are of few days."
    if dated and not mixed and _without_year(dated):
        remedy += " A month and a day alone, as they seem to be, need the year before them, as 20240531."
    if (named is None and not mixed) and (worded := next((c for c in free if c.like(SAID) >= MOST), None)):
        received = f"{worded.name} with days among words, such as {worded.texts[0].as_py()[:40]}"
        part = f"log['{worded.name}'].str.extract('({SAID})')[0]"
        remedy += f" With pandas, log['timestamp'] = pandas.to_datetime({part}); drop the rows that then have none."
        return SoukError(f"the time of an event in {path}", received, remedy)
    if named is not None and named.numeric and not _without_year(named):
        remedy += " Steps or days that are counted: docs/data.md, A log without times, says how to write times of them."
    if not dated and not mixed and (many := told_several(free)):
        return SoukError(f"the time of an event in {path}", received, f"{many.strip()} {remedy}")
    if not dated and not mixed:
        counts = [column.name for column in free if column.numeric and ORDER & {*column.snake.split("_")}]
        told = f" {' and '.join(counts)} may tell their order:" if counts else " Where only their order is known:"
        remedy += f"{told} docs/data.md, A log without times, says how to write times of it."
    return SoukError(f"the time of an event in {path}", received, remedy)


def _without_year(column: Column) -> bool:
    """Whether these are a month and a day without signs, as 1111 and 531."""
    return column.whole and column.like(MONTH_DAY) >= MANY and column.distinct > FEWEST_DAYS
