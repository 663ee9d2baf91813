"""Cells to the types of the contract, a column at a time.

Every parser takes an array of any type and returns the typed array, with null where a cell is missing or cannot be
read, and the mask of the cells that are there but cannot be read.
"""

from __future__ import annotations

import ast
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest.day_orders import WRITTEN, in_iso_order
from souk.ingest.scalars import EXACT, text_of
from souk.ingest.worded import in_numbers
from souk.values import cell_text

THOUSANDS = r"^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$"  # 1,250.00: commas part them
COMMA_NUMBER = r"^[+-]?([1-9]\d{0,2}(\.\d{3})+|\d+)(,\d+)?([eE][+-]?\d+)?$"  # 1.250,00: points part thousands
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?\s?(Z|z|UTC|[+-]\d{2}(:?\d{2})?)?)?$"
# As ISO writes them without signs, and SAP: 20240531, 20240531T120000.
DAY = r"((?:19|20)\d{2}|9999)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
BASIC = rf"^{DAY}([T ]([01]\d|2[0-3])[0-5]\d([0-5]\d)?(Z|[+-]\d{{2}}(:?\d{{2}})?)?)?$"
NAMES_ZONE = r"[T ]\d{2}:\d{2}.*(Z|z|UTC|[+-]\d{2}(:?\d{2})?)$"
MONTH, YEAR = r"^((?:1[5-9]|20)\d{2}|9999)-(0[1-9]|1[0-2])$", r"^((?:1[5-9]|20)\d{2}|9999)$"  # 2024-05, 2024
# Nanoseconds begin in 1677 and end in 2262: years of old books, and such as 9999, that say never.
EARLY, FAR = r"^1([0-5]\d{2}|6[0-6]\d|67[0-7])", r"^(22[6-9]\d|2[3-9]\d{2}|[3-9]\d{3})"
MISSING = ("", "na", "n/a", "nan", "null", "none", "\\n")  # as a number, time or truth value; text only ""
TRUE = ("true", "t", "yes", "y", "1", "ja", "j", "wahr", "oui", "vrai", "si", "sí", "sì", "sim")
FALSE = ("false", "f", "no", "n", "0", "nein", "falsch", "non", "faux", "não", "nao")
TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # of a second
MS_PER_UNIT = {"ms": 1.0, "s": 1000.0, "us": 0.001}
Parsed = tuple[pa.Array, np.ndarray]


def parse_text(array: pa.Array) -> Parsed:
    """Strings without surrounding white space; numbers become their decimal text."""
    text = pc.utf8_trim_whitespace(text_of(array))
    text = pc.if_else(pc.equal(text, ""), None, text)
    return text, np.zeros(len(text), bool)


def parse_path(array: pa.Array, separator: str = "") -> Parsed:
    """Category paths, "a/b/c"; `separator` is what the source has for the slash."""
    text, wrong = parse_text(array)
    return (pc.replace_substring(text, separator, "/") if separator else text), wrong


def with_points(array: pa.Array) -> pa.Array:
    """Texts with a decimal comma as those with a point. One that is no such number becomes none: what 1.5 means in a
    file of commas nobody knows."""
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return array
    text = pc.utf8_trim_whitespace(array)
    changed = pc.replace_substring(pc.replace_substring(text, ".", ""), ",", ".")
    other = pc.replace_substring_regex(text, r"([.,])", r"\1 ")  # no number any more
    return pc.if_else(pc.match_substring_regex(text, COMMA_NUMBER), changed, other)


def parse_number(array: pa.Array) -> Parsed:
    """Finite float64 numbers, seconds of durations; texts may have commas between thousands."""
    if pa.types.is_null(array.type):
        return array.cast(pa.float64()), np.zeros(len(array), bool)
    if pa.types.is_duration(array.type):
        number = pc.divide(array.cast(pa.int64()).cast(pa.float64(), safe=False), TICKS[array.type.unit])
        wrong = np.zeros(len(array), bool)
    elif _is_number(array.type):
        number, wrong = array.cast(pa.float64(), safe=False), np.zeros(len(array), bool)
    else:
        text = _without_commas(_present(array))
        readable = pc.match_substring_regex(text, NUMBER)
        number = pc.utf8_ltrim(pc.if_else(readable, text, None), "+").cast(pa.float64())
        wrong = as_mask(pc.invert(readable))
    infinite = as_mask(pc.is_inf(number))
    unclear = infinite | as_mask(pc.is_nan(number))
    return pc.if_else(pa.array(unclear), None, number), wrong | infinite


def parse_integer(array: pa.Array) -> Parsed:
    """int64, from numbers that are whole and below 2^53."""
    number, wrong = parse_number(array)
    values = number.to_numpy(zero_copy_only=False)
    there = ~np.isnan(values)
    odd = there & ((np.abs(values) >= EXACT) | (np.nan_to_num(values) % 1 != 0))
    return pa.array(np.where(there & ~odd, values, 0).astype(np.int64), mask=~there | odd), wrong | odd


def parse_bool(array: pa.Array) -> Parsed:
    """true, t, yes, y, 1, as `ja` and `oui`, and their opposites, in any case."""
    if pa.types.is_boolean(array.type):
        return array, np.zeros(len(array), bool)
    text = pc.utf8_lower(_present(array))
    true, false = (as_mask(pc.is_in(text, value_set=pa.array(values))) for values in (TRUE, FALSE))
    return pa.array(true, mask=~(true | false)), as_mask(text.is_valid()) & ~(true | false)


def parse_time(array: pa.Array, unit: str, zone: str = "UTC") -> Parsed:
    """int64 UTC epoch milliseconds.

    Of a local time that the clocks of `zone` show twice the first is taken; one that they skip cannot be read. Columns
    that are dates or times already are converted whatever the unit.

    Args:
        array: the cells.
        unit: ms, s, us (since 1970 in UTC), iso, or mdy and dmy, which read what iso does and days in their order.
        zone: that of dates and times which name none.
    """
    if pa.types.is_duration(array.type):
        raise pa.ArrowInvalid("a duration is no time")
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        time = array.cast(pa.timestamp("ms", getattr(array.type, "tz", None)), safe=False).cast(pa.int64())
        aware = getattr(array.type, "tz", None)
        return (time, np.zeros(len(array), bool)) if aware else _from_zone(time, np.ones(len(array), bool), zone)
    if unit in WRITTEN:
        return _parse_iso(in_iso_order(_present(array), unit), zone)
    number, wrong = parse_number(array)
    values = np.floor(number.to_numpy(zero_copy_only=False) * MS_PER_UNIT[unit])
    there = ~np.isnan(values)
    far = there & (np.abs(values) >= EXACT)
    return pa.array(np.where(there & ~far, values, 0).astype(np.int64), mask=~there | far), wrong | far


def parse_list(array: pa.Array, separator: str = "") -> Parsed:
    """Lists of non-empty strings; a missing list is null. Text is a JSON list, or is split at `separator`."""
    lists, wrong = _lists(array, separator)
    entries = pc.utf8_trim_whitespace(text_of(lists.flatten()))
    keep = as_mask(pc.not_equal(entries, ""))
    parents = _parents(lists)
    return _list_of(entries.filter(pa.array(keep)), parents[keep], lists.is_null()), wrong


def parse_vector(array: pa.Array, separator: str = "") -> Parsed:
    """Lists of float32 numbers; one entry that is no number spoils the vector."""
    lists, wrong = _lists(array, separator)
    entries, bad = parse_number(lists.flatten())
    parents = _parents(lists)
    wrong[parents[bad | as_mask(entries.is_null())]] = True
    keep = ~wrong[parents]
    missing = pa.array(wrong | as_mask(lists.is_null()))
    return _list_of(entries.cast(pa.float32()).filter(pa.array(keep)), parents[keep], missing), wrong


def spelled(text: pa.Array) -> pa.Array:
    """Dates and times that ISO writes without signs, 20240531 or 20240531T120000, with them, and those with the name of
    a month (`souk.ingest.worded`) in numbers; all else as it is."""
    text = in_numbers(text)
    basic = pc.fill_null(pc.match_substring_regex(text, BASIC), False)
    if not pc.any(basic).as_py():
        return text
    signs, with_signs = r"^(\d{4})(\d{2})(\d{2})", r"\1-\2-\3"
    time = pc.replace_substring_regex(text, rf"{signs}[T ](\d{{2}})(\d{{2}})(\d{{2}})", rf"{with_signs}T\4:\5:\6")
    time = pc.replace_substring_regex(time, rf"{signs}[T ](\d{{2}})(\d{{2}})", rf"{with_signs}T\4:\5")
    return pc.if_else(basic, pc.replace_substring_regex(time, rf"{signs}$", with_signs), text)


def whole_days(text: pa.Array, last: bool = False) -> pa.Array:
    """Months and years, as catalogues of records and books have them, as their first day: 2024-05-01 of 2024-05,
    2024-01-01 of 2024; all else as it is.

    Args:
        text: strings without white space around them.
        last: whether to take their last day.
    """
    text = pc.replace_substring_regex(text, YEAR, r"\1-12" if last else r"\1-01")
    if not last:
        return pc.replace_substring_regex(text, MONTH, r"\1-\2-01")
    months = pc.fill_null(pc.match_substring_regex(text, MONTH), False)
    own = text.filter(months)
    days = pd.PeriodIndex(own.to_pandas(), freq="M").days_in_month.astype(str)
    return pc.replace_with_mask(text, months, pc.binary_join_element_wise(own, pa.array(days, own.type), "-"))


def like_days(numbers: pa.Array) -> bool:
    """Whether whole numbers are all days without signs, as 20240531."""
    return bool(pc.all(pc.match_substring_regex(numbers.cast(pa.string()), rf"^{DAY}$")).as_py())


def _parse_iso(text: pa.Array, zone: str) -> Parsed:
    text = spelled(text)
    readable = pc.match_substring_regex(text, ISO)
    series = pc.replace_substring_regex(pc.if_else(readable, text, None), r"\s?(UTC|Z|z)$", "Z")
    series = pc.replace_substring_regex(pc.replace_substring(series, ",", "."), FAR, "2260")
    series = pc.replace_substring_regex(series, EARLY, "1680").to_pandas()
    times = pd.to_datetime(series, format="ISO8601", utc=True, errors="coerce")
    missing = times.isna().to_numpy()
    ms = times.to_numpy(dtype="datetime64[ms]").astype(np.int64)
    naive = ~as_mask(pc.match_substring_regex(text, NAMES_ZONE))
    time, skipped = _from_zone(pa.array(np.where(missing, 0, ms), mask=missing), naive, zone)
    return time, (as_mask(text.is_valid()) & missing) | skipped


def _from_zone(time: pa.Array, naive: np.ndarray, zone: str) -> Parsed:
    """Epoch milliseconds of which the `naive` ones were read as UTC and are those of clocks in `zone`.

    A time that these clocks skip is refused, but for midnight: that is a day, which begins when they go on.
    """
    if zone == "UTC" or not naive.any():
        return time, np.zeros(len(time), bool)
    local = pd.DatetimeIndex(time.fill_null(0).to_numpy(zero_copy_only=False).astype("datetime64[ms]"))
    first = np.ones(len(local), bool)  # of two times that clocks show, the earlier one
    there = local.tz_localize(zone, ambiguous=first, nonexistent="NaT")
    if (days := there.isna() & (local == local.normalize())).any():
        there = there.where(~days, local.tz_localize(zone, ambiguous=first, nonexistent="shift_forward"))
    skipped = naive & there.isna() & as_mask(time.is_valid())
    ms = there.tz_convert("UTC").tz_localize(None).to_numpy(dtype="datetime64[ms]").astype(np.int64)
    values = np.where(naive, np.where(skipped, 0, ms), time.fill_null(0).to_numpy(zero_copy_only=False))
    return pa.array(values, mask=skipped | as_mask(time.is_null())), skipped


def _present(array: pa.Array) -> pa.Array:
    """Trimmed text, null where it says that there is no value."""
    text = pc.utf8_trim_whitespace(text_of(array))
    return pc.if_else(pc.is_in(pc.utf8_lower(text), value_set=pa.array(MISSING)), None, text)


def _without_commas(text: pa.Array) -> pa.Array:
    """Numbers that have commas between thousands without these; all else as it is."""
    if not pc.any(pc.match_substring(text, ",")).as_py():
        return text
    return pc.if_else(pc.match_substring_regex(text, THOUSANDS), pc.replace_substring(text, ",", ""), text)


def _lists(array: pa.Array, separator: str) -> tuple[pa.Array, np.ndarray]:
    """Any column as an array of lists, and the mask of the cells that are none."""
    if is_list(array.type):
        return array.cast(pa.list_(array.type.value_type)), np.zeros(len(array), bool)
    text, wrong = parse_text(array)
    bracketed = as_mask(pc.starts_with(text, "["))
    if not separator or bracketed.any():
        return _literal_lists(text, separator)
    return pc.split_pattern(text, separator).cast(pa.list_(pa.string())), wrong


def _literal_lists(text: pa.Array, separator: str) -> tuple[pa.Array, np.ndarray]:
    """Cells that are JSON or Python lists; the others are split at `separator`."""
    values: list[list[str] | None] = []
    wrong = np.zeros(len(text), bool)
    for row, cell in enumerate(text.to_pylist()):
        if cell is None or cell[0] != "[":
            values.append(cell.split(separator) if cell and separator else None)
            wrong[row] = bool(cell) and not separator
            continue
        entries = _literal(cell)
        wrong[row] = entries is None
        values.append(entries)
    return pa.array(values, pa.list_(pa.string())), wrong


def _literal(cell: str) -> list[str] | None:
    for read in (json.loads, ast.literal_eval):
        try:
            entries = read(cell)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(entries, list) and not any(isinstance(e, list | dict | set | tuple) for e in entries):
            return [cell_text(e).encode("utf-8", "replace").decode() for e in entries if e is not None]
    return None


def _list_of(entries: pa.Array, parents: np.ndarray, missing: pa.Array) -> pa.Array:
    """Lists from entries and the index of the row that each belongs to."""
    sizes = np.bincount(parents, minlength=len(missing))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), entries, mask=missing)


def _parents(lists: pa.Array) -> np.ndarray:
    """The row that each entry of `lists.flatten()` belongs to."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), lengths)


def as_mask(values: Any) -> np.ndarray:
    """A boolean array or column as a numpy mask; null is false."""
    filled = pc.fill_null(values, False)
    array = filled.combine_chunks() if isinstance(filled, pa.ChunkedArray) else filled
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=bool)


def _is_number(kind: pa.DataType) -> bool:
    tests = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean
    return any(test(kind) for test in tests)


def is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
