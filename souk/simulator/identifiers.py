"""Names of users, items, events, sessions and requests: a letter and a number of fixed width."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

WIDTH = 10  # of numbers that grow with the simulation


def identifiers(letter: str, count: int) -> np.ndarray:
    """`[count]` text, in ascending order as text too."""
    width = max(4, len(str(count - 1)))
    return np.array([f"{letter}{number:0{width}d}" for number in range(count)], dtype=str)


def numbered(letter: str, numbers: np.ndarray) -> pa.Array:
    """`[n]` int64 as text of one width, so that the order of the text is that of the numbers."""
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers, pa.int64()), pa.string()), WIDTH, "0")
    return pc.binary_join_element_wise(letter, digits, "")
