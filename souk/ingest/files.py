"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a name beside `path` to be written; the file is renamed to `path` at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.partial")
    try:
        yield fresh
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Writes a Parquet file, whole."""
    with whole_file(path) as fresh:
        parquet.write_table(table, fresh, compression="zstd")
