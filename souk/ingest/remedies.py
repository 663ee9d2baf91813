"""What helps where one reason refuses most of the refused rows of a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from souk.ingest import cells
from souk.ingest.convert import TIMES, is_number
from souk.ingest.day_orders import ORDERS
from souk.ingest.faults import Reason
from souk.ingest.guess.kind import without_currency
from souk.ingest.mapping import TableSource
from souk.ingest.profile import COMMA, Column
from souk.schema import DAY_MS, SECONDS, EventType, Kind

ISO_FORM = "2024-05-31T12:00:00"
FRACTION = r"[+-]?[\d., ]*[.,]\d*[1-9]\d*"  # a number that is not whole
LONGEST = 40  # characters of a value in a remedy
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
LIKELY = range(631_152_000, SECONDS.stop)  # 1990 to 2099; what is one in two units is decades before or after


class Refusals(Protocol):
    """Of a table: its name, its rows that are not skipped, and those refused by `reason` and column, with values."""

    @property
    def name(self) -> str: ...
    @property
    def judged(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def reasons(self) -> Mapping[str, int]: ...
    @property
    def values(self) -> Mapping[str, Sequence[str]]: ...


def remedies(table: Refusals, origin: TableSource) -> list[str]:
    """A sentence for each reason that the config or the file can be mended by; none where no reason is most of them.

    Args:
        table: what was refused.
        origin: where it comes from.
    """
    return [
        *_unit(table, origin),
        *_mixed_units(table, origin),
        *_missing(table, origin),
        *_event_types(table),
        *_comma(table, origin),
        *_currency(table, origin),
        *_dates(table, origin),
        *_whole(table, origin),
        *_separators(table, origin),
        *_encoding(table),
        *_malformed(table),
        *_duplicates(table, origin),
    ]


def unit_remedy(table: str, unit: str, value: str = "") -> str:
    """What helps where the times of a table cannot be read in its `unit`.

    Args:
        table: its name.
        unit: what the config says.
        value: one of its times, as it came; "" where there is none to show.
    """
    key = f"data.{table}.timestamp_unit"
    if named := of_numbers(key, unit, _number(value)):
        return named
    orders = [order for order in ORDERS if order != unit and value and _reads(value, order)]
    if orders and not _reads(value, "iso"):  # such as 31.05.2024 12:00
        return f"Set {key} to {' or '.join(orders)}, by whether the month or the day is first in {value[:LONGEST]}."
    if value and not _reads(value, "s") and not _reads(value, "iso"):
        written = f"Write times such as {value[:LONGEST]} as {ISO_FORM} in the file"
        return f"{written}; {key} is iso." if unit == "iso" else f"{written}, and set {key} to iso."
    remedy = "ms, s or us if times are numbers, else write them" if unit == "iso" else "iso if times are written"
    return f"Set {key} to {remedy} as {ISO_FORM}."


def _reads(value: str, unit: str) -> bool:
    return not cells.parse_time(pa.array([value], pa.string()), unit)[1].any()


def _number(value: str) -> float:
    """What a text says as a number; 0 where it is none."""
    return float(cells.parse_number(pa.array([value], pa.string()))[0][0].as_py() or 0)


def of_numbers(key: str, unit: str, number: float) -> str:
    """What helps where a time that is read in `unit` is this number of another one; "" where none makes a time of it.

    Args:
        key: of the unit in the config.
        unit: what the config says.
        number: the time, as the file has it.
    """
    right = _likely(number, unit)
    if right == "ns":
        return f"They look like nanoseconds: divide them by 1,000 in the file, and set {key} to us."
    return f"They look like {right}: set {key} to {right}." if right != unit else ""


def _likely(number: float, unit: str) -> str:
    """The unit by which a number is a time of these decades; `unit` where none is."""
    units = (name for name, count in PER_SECOND.items() if LIKELY.start <= number / count < LIKELY.stop)
    return next(units, unit)


def _unit(table: Refusals, origin: TableSource) -> Iterator[str]:
    """Most rows, and so most of those refused, have a time that cannot be read: a few are bad data, unless they are
    days in an order that reads the others too."""
    labels, unit = [f"{Reason.TYPE} {name}" for name in TIMES], origin.source.timestamp_unit
    values = [value for label in labels for value in table.values.get(label, ())]
    ordered = bool(values) and unit == "iso" and any(all(_reads(value, order) for value in values) for order in ORDERS)
    if 2 * sum(table.reasons.get(label, 0) for label in labels) > table.judged or (_most(table, labels) and ordered):
        yield unit_remedy(table.name, unit, next(iter(values), ""))


def _mixed_units(table: Refusals, origin: TableSource) -> Iterator[str]:
    """Times of another unit among those of the config's, which are in the future by it."""
    unit, label = origin.source.timestamp_unit, f"{Reason.FUTURE} timestamp"
    value = next(iter(table.values.get(label, ())), "")
    right = _likely(_number(value), unit) if unit in PER_SECOND and value else unit
    if right != unit and _most(table, [label]):
        yield f"{value[:LONGEST]} looks like {right} among times in {unit}: write all in one unit into the file."


def _missing(table: Refusals, origin: TableSource) -> Iterator[str]:
    """Most rows lack an id: another column has it, or they are of nothing that Souk is asked for."""
    for name in ("user_id", "item_id"):
        if _most(table, [f"{Reason.MISSING} {name}"]):
            columns, key = origin.origin(name), f"data.{table.name}"
            empty = f"{name} is the file's {' and '.join(columns)}, which these rows have not"
            out = f'; {key}.skip: {{{columns[0]}: ""}} leaves them out if they have none' if len(columns) == 1 else ""
            yield f"{empty}: name the column that they have it in, in {key}.columns.{name}{out}."


def _event_types(table: Refusals) -> Iterator[str]:
    label = f"{Reason.DOMAIN} event_type"
    unknown = [value for value in table.values.get(label, ()) if value not in set(EventType)]
    if unknown and _most(table, [label]):
        shown = ", ".join(value[:LONGEST] for value in unknown)
        yield f"Map the event types in data.{table.name}.event_types, as {{view: click}}; unknown are: {shown}."


def _comma(table: Refusals, origin: TableSource) -> Iterator[str]:
    numbers = [f"{Reason.TYPE} {column.name}" for column in origin.schema if is_number(column)]
    labels = [label for label in numbers if _with_commas(table.values.get(label, ()))]
    labels = [label for label in labels if label not in dict(_broken(table, origin))]
    if labels and _most(table, labels):
        value = table.values[labels[0]][0]
        point = value.replace(".", "").replace(",", ".")
        key = f"data.{table.name}.decimal"
        yield f'Set {key} to "," for a CSV, else write {value[:LONGEST]} as {point[:LONGEST]}.'


def _currency(table: Refusals, origin: TableSource) -> Iterator[str]:
    numbers = [f"{Reason.TYPE} {column.name}" for column in origin.schema if is_number(column)]
    priced = {label: Column("", pa.array(table.values.get(label, ()), pa.string())).currency for label in numbers}
    labels = [label for label, value in priced.items() if value]
    if labels and _most(table, labels):
        value = priced[labels[0]]
        yield f"Write {value[:LONGEST]} as {without_currency(value)[:LONGEST]} in the file."


def _dates(table: Refusals, origin: TableSource) -> Iterator[str]:
    """Written dates in the place of numbers: no kind takes them, and as days they can be learned and filtered."""
    numbers = [f"{Reason.TYPE} {column.name}" for column in origin.schema if is_number(column)]
    labels = [
        label for label in numbers if (values := table.values.get(label)) and all(_reads(v, "iso") for v in values)
    ]
    if labels and _most(table, labels):
        value, name = table.values[labels[0]][0], labels[0].removeprefix(f"{Reason.TYPE} ")
        days = cells.parse_time(pa.array([value], pa.string()), "iso")[0].cast(pa.int64())[0].as_py() / DAY_MS
        yield f"No kind takes dates: for {name} write days as a number into the file, {days:g} for {value[:LONGEST]}."


def _whole(table: Refusals, origin: TableSource) -> Iterator[str]:
    """Amounts in the place of whole numbers: another column is mapped."""
    for label, value in _broken(table, origin):
        if _most(table, [label]):
            name = label.removeprefix(f"{Reason.TYPE} ")
            what = f"{table.name}.{name} is a whole number" + (", 0 or 1 at the top" if name == "position" else "")
            found = f"the file's {' and '.join(origin.origin(name))}, which is read as it, has {value[:LONGEST]}"
            yield f"{what}; {found}: name another column in data.{table.name}.columns.{name}."


def _broken(table: Refusals, origin: TableSource) -> Iterator[tuple[str, str]]:
    """The reasons of columns of whole numbers that have others, and one of these."""
    for column in origin.schema:
        label = f"{Reason.TYPE} {column.name}"
        if pa.types.is_integer(column.type) and is_number(column):
            for value in table.values.get(label, ()):
                if re.fullmatch(FRACTION, value.strip()):
                    yield label, value
                    break


def _with_commas(values: Sequence[str]) -> bool:
    """Whether all of some values look like numbers with a decimal comma."""
    return bool(values) and all(re.match(COMMA, value) for value in values)


def _separators(table: Refusals, origin: TableSource) -> Iterator[str]:
    """Texts in a list or a vector are split by the separator that the config names."""
    many = [name for name, kind in origin.kinds.items() if kind in (Kind.LIST, Kind.VECTOR)]
    unsplit = [
        name for name in many if name not in origin.source.separators and f"{Reason.TYPE} {name}" in table.reasons
    ]
    if unsplit and _most(table, [f"{Reason.TYPE} {name}" for name in unsplit]):
        key = f"data.{table.name}.separators"
        yield f'Name in {key} what stands between the entries of {", ".join(unsplit)}, as {{{unsplit[0]}: "|"}}.'


def _encoding(table: Refusals) -> Iterator[str]:
    if _most(table, [label for label in table.reasons if label.partition(" ")[0] == Reason.ENCODING]):
        yield f"Set data.{table.name}.encoding to latin-1 for a CSV, or to what it is in, else write the file in UTF-8."


def _malformed(table: Refusals) -> Iterator[str]:
    if _most(table, [f"{Reason.MALFORMED}"]):
        quote = "in a CSV a quote that is opened and not closed takes all that follows with it"
        yield f"Look at the first of these rows: {quote}, and each row has as many cells as the line of names."


def _duplicates(table: Refusals, origin: TableSource) -> Iterator[str]:
    """Most ids come again: they are of something else, such as orders, or the rows are of events."""
    labels = [label for label in table.reasons if label.partition(" ")[0] == Reason.DUPLICATE]
    if labels and 2 * sum(table.reasons[label] for label in labels) > table.judged:
        key = f"data.{table.name}"
        if table.name == "events":
            name = " and ".join(origin.origin("event_id"))[:LONGEST]
            yield f'If {name} is no id of a row, as of an order, leave it out: {key}.columns.event_id: "".'
        else:
            yield f"Set {key}.repeated_ids to first or last to take one row of each id."


def _most(table: Refusals, labels: Sequence[str]) -> bool:
    return 2 * sum(table.reasons.get(label, 0) for label in labels) > table.refused
