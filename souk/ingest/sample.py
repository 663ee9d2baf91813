"""Evenly spaced rows of a table of unknown length."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

SAMPLE_ROWS = 200_000  # what statistics, outlier bounds and an inferred schema are computed from


class Sample:
    """Every n-th of the rows that it is given, n being the smallest power of two that keeps at most `limit`.

    Args:
        schema: of the rows.
        limit: rows.
    """

    def __init__(self, schema: pa.Schema, limit: int = SAMPLE_ROWS) -> None:
        self._limit = limit
        self._kept = schema.empty_table()
        self._step, self._given = 1, 0

    def add(self, table: pa.Table, chosen: np.ndarray) -> None:
        """Takes the rows where the mask `chosen` is true."""
        rows = np.flatnonzero(chosen)
        first = -self._given % self._step
        self._given += len(rows)
        taken = np.zeros(len(chosen), bool)
        taken[rows[first :: self._step]] = True  # `take` would join the columns of a table in chunks
        self._kept = pa.concat_tables([self._kept, table.filter(pa.array(taken))])
        while self._kept.num_rows > self._limit:
            self._kept = self._kept.take(pa.array(np.arange(0, self._kept.num_rows, 2)))
            self._step *= 2

    @property
    def table(self) -> pa.Table:
        """The rows kept so far, in their order."""
        return self._kept.combine_chunks()
