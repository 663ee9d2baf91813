"""What users did, by time: for a `repeat` whose items are kept out by other events than those that engage."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.labels import keeping_rows
from souk.spec import FeatureSpec

COLUMNS = ("user_id", "timestamp", "item_id", "event_type", "value", "dwell_seconds")
ROWS = 1 << 20  # at a time


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
    source = pq.ParquetFile(events)
    schema = pa.schema([*(source.schema_arrow.field(name) for name in COLUMNS[:3]), ("keeps_out", pa.bool_())])
    with pq.ParquetWriter(folder / "acts.parquet", schema) as writer:
        for batch in source.iter_batches(ROWS, columns=names):  # there may be more events than memory
            rows = pa.Table.from_batches([batch])
            rows = rows.filter(pc.is_in(rows["event_type"], pa.array(kinds)))
            kept = pa.array(keeping_rows(rows, spec) & (spec.repeat.rule != "always"), pa.bool_())
            writer.write_table(rows.select(COLUMNS[:3]).append_column("keeps_out", kept).cast(schema))
