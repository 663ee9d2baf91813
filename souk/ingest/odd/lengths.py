"""Lists, texts and paths with more entries than are read: the models, filters and matches see the first ones alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from souk.schema import Kind
from souk.spec import LIST_LENGTH

MANY = 0.05  # share of a column's filled cells that are longer, from which it is told
LETTERS = r"[\p{L}\p{N}]+"  # a word, as `souk.values.entries` takes it
LEVEL = r"[^/]*[^/\s][^/]*"  # a part of a path that is not white space
ENTRIES = {Kind.LIST: "entries", Kind.TEXT: "words", Kind.PATH: "levels"}
REMEDY = "Write what tells most first, or give it a column of its own"


def odd_lengths(name: str, rows: Iterable[pa.RecordBatch], kinds: Mapping[str, Kind]) -> Iterator[str]:
    """Which columns have many cells that are cut.

    Args:
        name: of the table.
        rows: its batches, with the declared columns.
        kinds: the declared columns.
    """
    cut = {column: kind for column, kind in kinds.items() if kind in ENTRIES}
    filled, longer = dict.fromkeys(cut, 0), dict.fromkeys(cut, 0)
    for batch in rows if cut else ():
        for column in cut.keys() & set(batch.schema.names):
            lengths = _lengths(batch[column], cut[column])
            filled[column] += pc.sum(pc.greater(lengths, 0)).as_py() or 0
            longer[column] += pc.sum(pc.greater(lengths, LIST_LENGTH)).as_py() or 0
    for column, kind in cut.items():
        if longer[column] and longer[column] >= MANY * filled[column]:
            found = f"{name}: {longer[column]:,} of {filled[column]:,} {column} ({longer[column] / filled[column]:.0%})"
            yield f"{found} have more than {LIST_LENGTH} {ENTRIES[kind]}, and the rest is not read. {REMEDY}"


def _lengths(cells: pa.Array, kind: Kind) -> pa.Array:
    """The entries of each cell, null where it is missing."""
    if kind is Kind.LIST:
        return pc.list_value_length(cells)
    return pc.count_substring_regex(cells.cast(pa.string()), LETTERS if kind is Kind.TEXT else LEVEL)
