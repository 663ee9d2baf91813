"""Patterns of values: `*` stands for any text, "" for a missing value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest.cells import as_mask, parse_text


def fits(text: pa.Array, pattern: str) -> np.ndarray:
    """The mask of the cells of `text` that fit `pattern`."""
    if not pattern:
        return ~as_mask(text.is_valid())
    if "*" not in pattern:
        return as_mask(pc.equal(text, pattern))
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return as_mask(pc.match_substring_regex(text, f"(?s)^{expression}$"))


def fits_any(array: pa.Array, patterns: Iterable[str]) -> np.ndarray:
    """The mask of the cells that fit one of `patterns`, as texts without surrounding white space."""
    text = parse_text(array)[0]
    mask = np.zeros(len(text), bool)
    for pattern in patterns:
        mask |= fits(text, pattern)
    return mask


def ranked(names: Iterable[str]) -> list[str]:
    """Patterns, those that count before others last: without `*` before with it, then the longer ones."""
    return sorted(names, key=lambda key: ("*" not in key, len(key), key))


def rename(text: pa.Array, names: Mapping[str, str]) -> pa.Array:
    """`text` with the cells that fit a key of `names` replaced by its value; of several keys the longest counts."""
    renamed = text
    for pattern in ranked(names):
        renamed = pc.if_else(pa.array(fits(text, pattern)), str(names[pattern]), renamed)
    return renamed
