"""Tables in order that are larger than pyarrow sorts: it joins each column, which ends at 2 GiB of text or 2^31 numbers
in lists. So do `take` and `combine_chunks`: texts of a large table are coded (`dictionary_encode`) before they are
joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PART_BYTES = 1 << 28  # joined at once; a part whose rows are up to eight times as long as others still fits


def in_order(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """`table` by the columns `keys`, ascending; one of more than PART_BYTES in chunks of about as many."""
    by = [(key, "ascending") for key in keys]
    if table.nbytes <= PART_BYTES:
        return table.sort_by(by)
    order = pc.sort_indices(table.select(keys), sort_keys=by).to_numpy()
    if (np.diff(order.astype(np.int64)) > 0).all():
        return table
    rows = max(1, PART_BYTES * len(table) // table.nbytes)
    batches = table.to_batches()
    return pa.concat_tables(_taken(batches, order[start : start + rows]) for start in range(0, len(order), rows))


def _taken(batches: Sequence[pa.RecordBatch], rows: np.ndarray) -> pa.Table:
    """Some rows of what the batches have together, in the order of their numbers `rows`."""
    ends = np.cumsum([0, *(len(batch) for batch in batches)])
    place = np.argsort(rows)
    bounds = np.searchsorted(rows[place], ends)
    pieces = [
        batch.take(pa.array(rows[place[first:last]] - start))
        for batch, start, first, last in zip(batches, ends[:-1].astype(rows.dtype), bounds, bounds[1:], strict=False)
        if last > first
    ]
    back = np.empty(len(rows), np.int64)
    back[place] = np.arange(len(rows))
    return pa.Table.from_batches(pieces).take(pa.array(back))
