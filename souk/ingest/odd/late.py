"""Events that arrived long after their time: what learns from them takes each for known from its own time on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pyarrow import parquet

HOUR_MS = 3_600_000
MANY = 0.01  # share of all that is worth a word


def odd_arrivals(events: Path) -> Iterator[str]:
    """Whether many events arrived more than an hour after their time.

    Args:
        events: `events.parquet`.
    """
    file = parquet.ParquetFile(events)
    if "arrived_at" not in file.schema_arrow.names:
        return
    late = rows = 0
    for batch in file.iter_batches(columns=["timestamp", "arrived_at"]):
        times, arrived = (batch[name].to_numpy(zero_copy_only=False) for name in ("timestamp", "arrived_at"))
        late += int(np.count_nonzero(arrived - times > HOUR_MS))  # one that is not known is NaN
        rows += batch.num_rows
    if late and late >= MANY * rows:
        found = f"events: {late:,} of {rows:,} ({late / rows:.1%}) arrived more than an hour after their time"
        why = "features and figures know each from its own time on, and a server only from its arrival"
        mend = "Send them sooner, or leave arrived_at out where it is the time of an import (docs/data.md)"
        yield f"{found}: {why}. {mend}"
