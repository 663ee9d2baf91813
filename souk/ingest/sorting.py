"""Rows on disk that come back in order, a part at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from souk.ingest.memory import check_fits
from souk.ordered import in_order

PART_ROWS = 1 << 19
MOST_PARTS = 500  # each is an open file, of which most systems allow a process 1,024
ROW = pa.field("row", pa.int64())  # the number of a row in its table
Cut = tuple[int, str]


def cuts(times: pa.Array, ids: pa.Array, rows: int) -> list[Cut]:
    """Places between parts of about PART_ROWS of `rows` rows, larger ones where that makes more than MOST_PARTS, from a
    sample of their times and ids."""
    parts = min(MOST_PARTS, -(-rows // PART_ROWS))
    if parts < 2 or not len(times):
        return []
    ordered = sorted(zip(times.to_pylist(), ids.to_pylist(), strict=True))
    return [ordered[len(ordered) * part // parts] for part in range(1, parts)]


class SortedRows:
    """Rows of one table, in a file for each part of their order.

    Args:
        folder: an empty folder.
        schema: of the table.
        keys: the columns to sort by.
        cuts: values of the first two keys at which parts begin, ascending; without any all rows are one part.
    """

    def __init__(self, folder: Path, schema: pa.Schema, keys: Sequence[str], cuts: Sequence[Cut] = ()) -> None:
        self._folder, self._schema, self._keys = folder, schema.append(ROW), list(keys)
        self._cuts = list(cuts)
        self._times = np.array([time for time, _ in cuts], np.int64)
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self._bytes = [0] * (len(self._cuts) + 1)

    def add(self, table: pa.Table, rows: np.ndarray) -> None:
        """Takes rows, none of them with a null key, and their numbers."""
        table = table.append_column(ROW, pa.array(rows, pa.int64()))
        if not self._cuts:
            self._write(0, table)
            return
        parts = self._parts(table)
        order = np.argsort(parts, kind="stable")
        table, parts = table.take(pa.array(order)), parts[order]
        starts = np.flatnonzero(np.diff(parts, prepend=-1))
        for start, end in pairwise([*starts.tolist(), len(parts)]):
            self._write(int(parts[start]), table.slice(start, end - start))

    def tables(self) -> Iterator[pa.Table]:
        """The rows in order, with the column `row`, a part at a time; call it once, at the end.

        Raises:
            SoukError: a part that does not fit in memory.
        """
        for writer in self._writers.values():
            writer.close()
        for part in sorted(self._writers):
            check_fits(self._bytes[part], f"{self._folder.name} that are kept in memory whole")
            file = self._path(part)
            with pa.OSFile(str(file)) as stream:
                table = pa.ipc.open_stream(stream).read_all()
            file.unlink()
            yield in_order(table, self._keys)

    def _parts(self, table: pa.Table) -> np.ndarray:
        """The part of each row: how many cuts are not after it."""
        times = table[self._keys[0]].to_numpy()
        parts = np.searchsorted(self._times, times, side="left")
        equal = np.flatnonzero(parts < np.searchsorted(self._times, times, side="right"))
        ids = table[self._keys[1]].take(pa.array(equal)).to_pylist()
        for row, time, name in zip(equal.tolist(), times[equal].tolist(), ids, strict=True):
            parts[row] = bisect_right(self._cuts, (time, name))
        return parts

    def _write(self, part: int, table: pa.Table) -> None:
        if part not in self._writers:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writers[part] = pa.ipc.new_stream(str(self._path(part)), self._schema, options=options)
        self._writers[part].write_table(table)
        self._bytes[part] += table.nbytes

    def _path(self, part: int) -> Path:
        return self._folder / f"{part}.arrow"
