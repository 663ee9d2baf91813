"""Scalars of any type as texts: a number has one, whatever the type that its column has."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

EXACT = float(2**53)


def text_of(array: pa.Array) -> pa.Array:
    """Any scalar as a string; numbers that are whole have no ".0", of whatever type."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        values = array.to_numpy(zero_copy_only=False).astype(np.float64)  # EXACT is beyond half floats
        whole = pa.array((np.abs(values) < EXACT) & (np.nan_to_num(values) % 1 == 0))
        array = pc.if_else(pc.is_nan(array), None, array)
        integers = pc.if_else(whole, array, None).cast(pa.int64(), safe=False)
        return pc.coalesce(integers.cast(pa.string()), array.cast(pa.string()))
    return _of_decimals(array.cast(pa.string())) if pa.types.is_decimal(array.type) else array.cast(pa.string())


def plain(number: Decimal) -> str:
    """Digits without an exponent, and no zeros behind the last that counts."""
    text = f"{abs(number) if number.is_zero() else number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _of_decimals(text: pa.Array) -> pa.Array:
    """What `plain` makes of each; warehouses write whole numbers as 17.000000000, and 0 as 0E-9."""
    small = pc.fill_null(pc.match_substring(text, "E"), False)
    words = text.filter(small).dictionary_encode()
    of_words = pa.array([plain(Decimal(word)) for word in words.dictionary.to_pylist()], pa.string())
    text = pc.replace_with_mask(text, small, of_words.take(words.indices))
    return pc.utf8_rtrim(pc.replace_substring_regex(text, r"(\.\d*?)0+$", r"\1"), ".")
