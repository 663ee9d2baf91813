"""Patterns of values: `*` stands for any text, "" for a missing value."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from math import isfinite

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest.cells import as_mask, is_list, parse_text
from souk.ingest.scalars import plain

TRUTH = ("true", "false")  # in Parquet and JSON; Python writes True into a CSV, and spreadsheets TRUE
LARGEST = 30  # the exponent of what is compared as a number
WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # that YAML takes for them, where cells are such


def fits(text: pa.Array, pattern: str) -> np.ndarray:
    """The mask of the cells of `text` that fit `pattern`."""
    if not pattern:
        return ~as_mask(text.is_valid())
    if "*" not in pattern:
        return as_mask(pc.equal(text, pattern))
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return as_mask(pc.match_substring_regex(text, f"(?s)^{expression}$"))


def fits_any(array: pa.Array, patterns: Iterable[str]) -> np.ndarray:
    """The mask of the cells that fit one of `patterns`, as texts without surrounding white space.

    A truth value fits one in any case.
    """
    text = parse_text(array)[0]
    mask = np.zeros(len(text), bool)
    for pattern in patterns:
        truth = pattern.lower() in TRUTH
        mask |= fits(pc.utf8_lower(text), pattern.lower()) if truth else fits(text, pattern)
    return mask


def fits_skip(array: pa.Array, patterns: Collection[str], key: str, file: str) -> np.ndarray:
    """The mask of the cells that a key of `skip` leaves out.

    Args:
        array: a column of a file.
        patterns: what the key has; of lists and the like only "", for one that is missing or empty.
        key: where it stands in the config.
        file: that has the column.

    Raises:
        SoukError: the cells are no texts, and the patterns ask for some.
    """
    with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if pa.types.is_boolean(array.type):
            return fits_any(array, [WORDS.get(pattern.lower(), pattern) for pattern in patterns])
        if pa.types.is_integer(array.type) or pa.types.is_decimal(array.type):
            return fits_any(array, [way for pattern in patterns for way in _exact(pattern)])
        if pa.types.is_floating(array.type):
            values, numbers = (
                array.to_numpy(zero_copy_only=False),
                [n for pattern in patterns for n in _number(pattern)],
            )
            with np.errstate(over="ignore"):
                asked = np.array(numbers).astype(values.dtype)
            # one beyond a column of fewer bits is none of its cells
            return fits_any(array, patterns) | np.isin(values, asked[np.isfinite(asked)])
        if not pa.types.is_nested(array.type):
            return fits_any(array, patterns)
    if any(patterns):
        received = f"a column of {array.type} in {file}"
        raise SoukError(f"texts or numbers in {key}", received, 'Take it out, or ask for "", a missing one.')
    missing = as_mask(array.is_null())
    return missing | as_mask(pc.equal(pc.list_value_length(array), 0)) if is_list(array.type) else missing


def _exact(pattern: str) -> list[str]:
    """How a number that a pattern is stands as a text; the pattern alone where it is none."""
    try:
        number = Decimal(pattern)  # exact, where a float would take an id of 17 digits for its neighbour
    except ArithmeticError:
        return [pattern]
    return [pattern, plain(number)] if number.is_finite() and abs(number.adjusted()) <= LARGEST else [pattern]


def _number(pattern: str) -> list[float]:
    """The number that a pattern is, if it is one."""
    try:
        number = float(pattern)
    except ValueError:
        return []
    return [number] if isfinite(number) else []


def ranked(names: Iterable[str]) -> list[str]:
    """Patterns, those that count before others last: without `*` before with it, then the longer ones."""
    return sorted(names, key=lambda key: ("*" not in key, len(key), key))


def rename(text: pa.Array, names: Mapping[str, str]) -> pa.Array:
    """`text` with the cells that fit a key of `names` replaced by its value; of several keys the longest counts."""
    renamed = text
    for pattern in ranked(names):
        renamed = pc.if_else(pa.array(fits(text, pattern)), str(names[pattern]), renamed)
    return renamed
