"""Items of which a re-ranking needs to know: their vectors, engagements and ages."""

import numpy as np

from souk.items import ItemTable
from souk.schema import DAY_MS
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows

NOW = 1_000 * DAY_MS


def shop(vectors, events=None, ages=None, now=NOW):
    """Items with vectors, engagements and ages in days at `now`."""
    vectors = np.asarray(vectors, np.float32)
    count = len(vectors)
    counters = np.zeros((count, 3), np.float32)
    counters[:, 0] = np.log1p(np.zeros(count) if events is None else events)
    age = np.full(count, np.nan) if ages is None else np.asarray(ages, np.float64)
    none = np.zeros(count + 1, np.int64)
    return ItemTable(
        {}, vectors, counters, now - age * DAY_MS, none, none[:0], SparseRows.empty(count), Segments.empty()
    )
