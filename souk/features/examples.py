"""Reads `examples.parquet`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def coded(folder: Path, name: str) -> pa.DictionaryArray:
    """A column of strings of the examples of a features folder: each of them once, and of each event which."""
    column = pq.read_table(folder / "examples.parquet", columns=[name], read_dictionary=[name])[name]
    return column.unify_dictionaries().combine_chunks()
