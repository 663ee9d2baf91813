"""Of events that go on after the first rows of their files, all rows of some of the users.

The first rows of a log are of its first days: what users come back to, what follows on what within weeks, and what is
done at another time of the year are not in them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from souk.ingest import cells
from souk.ingest.guess_columns import Table, table_of
from souk.ingest.profile import SAMPLE_ROWS, columns_of, whole_rows
from souk.readers import HERE, RawBatch, read_batches

BLOCK = 4096  # consecutive rows that are drawn together where nobody knows whose they are
FEWEST = 0.1  # share of the rows that may be drawn, below which the first ones tell more


def draw_users(events: Table) -> Table:
    """The events anew, of all rows of some of their users; as they are where these are all rows, or where one user has
    most of them.

    Args:
        events: of the first rows, with the user's column mapped.
    """
    user, first = events.mapped["user_id"][0], len(events.columns[0].values)
    if first < SAMPLE_ROWS or user.nested or not user.name:
        return events
    drawn = Drawn(user.name, SAMPLE_ROWS)
    for batch in read_batches(events.source, HERE):
        drawn.add(batch)
    if drawn.given <= first or drawn.rows < FEWEST * SAMPLE_ROWS:
        return events
    whole = table_of(events.name, events.source.model_copy(update={"decimal": "."}), columns_of(drawn.tables))
    said = f"all {drawn.rows:,} rows of some users, of {drawn.given:,}"
    return replace(whole, notes={**whole.notes, "drawn": said})


class Drawn:
    """The rows of users whose hashed ids end with n zeros, n being the least that leaves at most `most` rows.

    Rows without a user are drawn in blocks, so that those of a session stay together.

    Args:
        user: the column with the ids.
        most: rows.
    """

    def __init__(self, user: str, most: int) -> None:
        self._user, self._most = user, most
        self._kept: list[tuple[pa.Table, np.ndarray]] = []
        self._mask = np.uint64(0)
        self.given = 0

    def add(self, batch: RawBatch) -> None:
        """Takes the rows of a batch that are drawn, without those that cannot be split into columns."""
        table, hashes = whole_rows(batch), self._hashes(batch)
        self.given += table.num_rows
        self._kept.append(self._drawn(table, hashes))
        while self.rows > self._most:
            self._mask = (self._mask << np.uint64(1)) | np.uint64(1)
            self._kept = [self._drawn(*each) for each in self._kept]

    @property
    def rows(self) -> int:
        """How many are kept."""
        return sum(table.num_rows for table, _ in self._kept)

    @property
    def tables(self) -> list[pa.Table]:
        """The rows that are kept, in their order."""
        return [table for table, _ in self._kept]

    def _drawn(self, table: pa.Table, hashes: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        drawn = (hashes & self._mask) == 0
        return table.filter(pa.array(drawn)), hashes[drawn]

    def _hashes(self, batch: RawBatch) -> np.ndarray:
        """Of each row that can be split into columns, `[rows]` uint64."""
        hashes = pd.util.hash_array(batch.positions // BLOCK)
        if self._user in batch.table.column_names:
            ids = cells.parse_text(batch.table[self._user].combine_chunks())[0].to_pandas()
            known = ids.notna().to_numpy()
            hashes[known] = pd.util.hash_array(ids[known].to_numpy(object))
        whole = np.ones(len(hashes), bool)
        whole[list(batch.malformed)] = False
        return hashes[whole]
