"""The accepted rows of a table, on disk until all are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest.mapping import TableSource
from souk.ingest.repeats import RepeatedIds
from souk.ingest.sorting import SortedRows, cuts
from souk.schema import ID_COLUMN


class Accepted:
    """Takes rows without a fault, finds those with the id of another, and gives the rest in order.

    Args:
        table: whose rows they are.
        folder: an empty folder.
        sample: rows of the table, to cut it in parts of about the same size.
        rows: of the table, refused ones included.
    """

    def __init__(self, table: TableSource, folder: Path, sample: pa.Table, rows: int) -> None:
        self.schema = table.schema
        self.dropped = np.zeros(rows, bool)  # by row: the id is that of another row that is kept
        self.count = 0
        self._whole: pa.Table | None = None
        self._key, self._last = ID_COLUMN[table.name], table.source.repeated_ids == "last"
        self._repeat_rows, self._repeats = np.zeros(0, np.int64), np.zeros(0, np.int64)
        events = table.name == "events"
        keys = ("timestamp", self._key) if events else (self._key,)
        places = cuts(sample["timestamp"], sample["event_id"], rows) if events else []
        for name in ("ids", table.name):
            (folder / name).mkdir()
        self._ids = RepeatedIds(folder / "ids")
        self._rows = SortedRows(folder / table.name, table.schema, keys, places)

    def add(self, table: pa.Table, rows: np.ndarray) -> None:
        """Takes rows and their numbers in the table."""
        if len(rows):
            self._ids.add(table[self._key], rows)
            self._rows.add(table, rows)
            self.count += len(rows)

    def find_repeats(self, made: int = 0) -> int:
        """Drops the rows with the id of another, or numbers the id; call it when all rows are in.

        Args:
            made: the ids of the rows before this one are made of their content: a repeated one gets a number.

        Returns:
            How many are dropped.
        """
        repeat_rows, repeats = [self._repeat_rows], [self._repeats]
        for rows, nth in self._ids.find(self._last):
            self.dropped[rows[rows >= made]] = True
            repeat_rows.append(rows[rows < made])
            repeats.append(nth[rows < made])
        order = np.argsort(np.concatenate(repeat_rows))
        self._repeat_rows, self._repeats = np.concatenate(repeat_rows)[order], np.concatenate(repeats)[order]
        dropped = int(self.dropped.sum())
        self.count -= dropped
        return dropped

    def whole(self) -> pa.Table:
        """The rows in order, in memory.

        Raises:
            SoukError: they do not fit.
        """
        if self._whole is None:
            self._whole = pa.concat_tables([self.schema.empty_table(), *self.tables()])
        return self._whole

    def tables(self) -> Iterator[pa.Table]:
        """The rows in order, events in parts and by time and id, items and users whole and by id; call it once."""
        for table in self._rows.tables():
            rows = table["row"].to_numpy()
            kept = ~self.dropped[rows]
            yield self._numbered(table.drop_columns(["row"]).filter(pa.array(kept)), rows[kept])

    def _numbered(self, table: pa.Table, rows: np.ndarray) -> pa.Table:
        """`table` with "-1", "-2", ... after the ids that repeat."""
        place = np.searchsorted(self._repeat_rows, rows).clip(max=max(0, len(self._repeat_rows) - 1))
        again = self._repeat_rows[place] == rows if len(self._repeat_rows) else np.zeros(len(rows), bool)
        if not again.any():
            return table
        numbers = pc.binary_join_element_wise("", pa.array(self._repeats[place]).cast(pa.string()), "-")
        suffix = pc.if_else(pa.array(again), numbers, "")
        ids = pc.binary_join_element_wise(table[self._key], suffix, "")
        column = table.column_names.index(self._key)
        table = table.set_column(column, table.schema.field(column), ids)
        return table.sort_by([("timestamp", "ascending"), (self._key, "ascending")])
