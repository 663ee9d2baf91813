"""Of files that go on after their first rows, those that tell more: of events all rows of some of the users, of items
and users what the events have.

The first rows of a log are of its first days: what users come back to, what follows on what within weeks, and what is
done at another time of the year are not in them. The first of a million items may be the oldest, which no event has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.convert import check_names
from souk.ingest.guess.columns import Table, column_named, table_of
from souk.ingest.guess.nobody import no_users, one_for_all
from souk.ingest.profile import SAMPLE_ROWS, Column, array_of, columns_of, whole_rows
from souk.progress import seldom
from souk.readers import HERE, RawBatch, read_batches

BLOCK = 4096  # consecutive rows that are drawn together where nobody knows whose they are
FEWEST = 0.1  # share of the rows that may be drawn, below which the first ones tell more
FEWEST_DESCRIBED = 100  # rows of what events have, below which the first ones do


def draw_users(events: Table, tell: Callable[[str], None]) -> Table:
    """The events anew, of all rows of some of their users; as they are where these are all rows, or where one user has
    most of them.

    Args:
        events: of the first rows, with the user's column mapped.
        tell: takes a line of progress.
    """
    user, first = events.mapped["user_id"][0], len(events.columns[0].values)
    if first < SAMPLE_ROWS or user.nested or not user.name:
        return events
    drawn = Drawn(user.name, SAMPLE_ROWS, nobody=_nobody(user))
    _read(events, drawn, tell)
    if drawn.given <= first or drawn.rows < FEWEST * SAMPLE_ROWS:
        return events
    return _drawn(events, drawn, f"all {drawn.rows:,} rows of some users, of {drawn.given:,}")


def _nobody(user: Column) -> list[str]:
    """What stands for no user, and the one who may be all whom nobody knows: rows of it are in the sample as often as
    in the log, or nobody would be told of them."""
    words = no_users(user)
    one = one_for_all(user.texts.filter(pc.invert(pc.is_in(user.texts, value_set=pa.array(words, pa.string())))))
    return [*words, *([one[0]] if one else [])]


def are_drawn(ids: list[str], mask: int) -> np.ndarray:
    """Whether the rows of ids are among those of a draw, `[ids] bool`.

    Args:
        ids: of users.
        mask: `Table.drawn` of the events; 0 where all rows count.
    """
    return np.asarray((pd.util.hash_array(np.array(ids, object)) & np.uint64(mask)) == 0)


def draw_described(target: str, events: Table, other: Table, tell: Callable[[str], None]) -> Table:
    """The items or users anew, of the rows with ids that the events have; as they are where these are all rows, or
    where names do not tell the ids.

    Args:
        target: `user_id` or `item_id`.
        events: of some rows.
        other: items or users, of the first rows, with nothing mapped.
        tell: takes a line of progress.
    """
    ours = events.mapped[target][0] if target in events.mapped else column_named(events, target)
    theirs, first = column_named(other, target), len(other.columns[0].values)
    if first < SAMPLE_ROWS or ours is None or theirs is None or ours.nested or theirs.nested:
        return other
    drawn = Drawn(theirs.name, SAMPLE_ROWS, pc.unique(ours.texts))
    _read(other, drawn, tell)
    if drawn.given <= first or drawn.rows < FEWEST_DESCRIBED:
        return other
    return _drawn(other, drawn, f"{drawn.rows:,} rows of what these have, of {drawn.given:,}")


def _read(table: Table, drawn: Drawn, tell: Callable[[str], None]) -> None:
    due = seldom()
    for batch in read_batches(table.source, HERE):
        check_names(batch)
        drawn.add(batch)
        if due():
            tell(f"{table.name}: {drawn.given:,} rows read, to draw from all of them")


def _drawn(table: Table, drawn: Drawn, said: str) -> Table:
    own = table_of(table.name, table.source.model_copy(update={"decimal": "."}), columns_of(drawn.tables))
    return replace(own, notes={**own.notes, "drawn": said}, drawn=drawn.mask)


class Drawn:
    """The rows of ids whose hashes end with n zeros, n being the least that leaves at most `most` rows.

    Rows without an id are drawn in blocks, so that those of a session stay together.

    Args:
        ids: the column.
        most: rows.
        among: the ids that count, as texts; without them all do.
        nobody: ids that are none.
    """

    def __init__(self, ids: str, most: int, among: pa.Array | None = None, nobody: Sequence[str] = ()) -> None:
        self._ids, self._most, self._among = ids, most, among
        self._nobody = pa.array(nobody, pa.string())
        self._kept: list[tuple[pa.Table, np.ndarray]] = []
        self._files: dict[str, int] = {}
        self._mask = np.uint64(0)
        self.given = 0

    def add(self, batch: RawBatch) -> None:
        """Takes the rows of a batch that are drawn, without those that cannot be split into columns."""
        table, hashes = whole_rows(batch), self._hashes(batch)
        self.given += table.num_rows
        if self._among is not None:
            known = cells.as_mask(pc.is_in(self._texts(table), value_set=self._among))
            table, hashes = table.filter(pa.array(known)), hashes[known]
        self._kept.append(self._drawn(table, hashes))
        while self.rows > self._most:
            self._mask = (self._mask << np.uint64(1)) | np.uint64(1)
            self._kept = [self._drawn(*each) for each in self._kept]

    @property
    def mask(self) -> int:
        """The bits that are 0 in the hashes of what is drawn."""
        return int(self._mask)

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
        file = self._files.setdefault(batch.file, len(self._files))  # each, however short, has blocks of its own
        blocks, place = np.unique(batch.positions // BLOCK, return_inverse=True)
        hashes = pd.util.hash_array(np.array([f"{file} {block}" for block in blocks], object))[place]
        texts = self._texts(batch.table)
        ids = pc.if_else(pc.is_in(texts, value_set=self._nobody), None, texts).to_pandas()
        known = ids.notna().to_numpy()
        hashes[known] = pd.util.hash_array(ids[known].to_numpy(object))
        whole = np.ones(len(hashes), bool)
        whole[list(batch.malformed)] = False
        return hashes[whole]

    def _texts(self, table: pa.Table) -> pa.Array:
        """The ids; nulls where a file has no such column."""
        if self._ids not in table.column_names:
            return pa.nulls(table.num_rows, pa.string())
        return cells.parse_text(array_of(table[self._ids]))[0]
