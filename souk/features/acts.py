"""What users did, by time: for a `repeat` whose items are kept out by other events than those that engage."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from souk.features.labels import keeping_rows
from souk.spec import FeatureSpec

COLUMNS = ("user_id", "timestamp", "item_id", "event_type", "value", "dwell_seconds")


def write_acts(events: Path, folder: Path, spec: FeatureSpec) -> None:
    """Writes `acts.parquet` where it is asked for: all history events where `repeat` has a pause, else those that keep
    items out, in the order of the events: `user_id`, `timestamp`, `item_id` and whether each `keeps_out`.

    Args:
        events: `events.parquet`.
        folder: the features folder.
        spec: the feature specification.
    """
    if not spec.keeps_acts:
        return
    kinds = [str(kind) for kind in (spec.history_events if spec.repeat.pause_minutes else spec.repeat.events)]
    names = [name for name in COLUMNS if name in pq.read_schema(events).names]
    rows = pq.read_table(events, columns=names, filters=[("event_type", "in", kinds)])
    kept = pa.array(keeping_rows(rows, spec) & (spec.repeat.rule != "always"))
    pq.write_table(rows.select(COLUMNS[:3]).append_column("keeps_out", kept), folder / "acts.parquet")
