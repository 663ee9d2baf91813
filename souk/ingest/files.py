"""Parquet files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from souk.folders import whole_file

GROUP_BYTES = 1 << 25
MOST_ROWS = 1 << 20  # of a row group, as of pyarrow


def write_parquet(table: pa.Table, path: Path) -> None:
    """Writes a Parquet file, whole, in row groups of at most about GROUP_BYTES: who reads it makes objects of one."""
    rows = max(1, min(MOST_ROWS, GROUP_BYTES * len(table) // max(1, table.nbytes)))
    with whole_file(path) as fresh:
        parquet.write_table(table, fresh, compression="zstd", row_group_size=rows)
