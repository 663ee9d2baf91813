"""What users did, hid and were shown, by time: what keeps items out of slates by more than what engages."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.labels import keeping_rows
from souk.schema import EventType
from souk.spec import FeatureSpec

COLUMNS = ("user_id", "timestamp", "item_id", "event_type", "value", "dwell_seconds")
ROWS = 1 << 20  # at a time
MARKS = "marks.parquet"


def write_acts(events: Path, folder: Path, spec: FeatureSpec) -> None:
    """Writes `acts.parquet` where it is asked for: all history events where `repeat` has a pause or fatigue, else those
    that keep items out, in the order of the events: `user_id`, `timestamp`, `item_id` and whether each `keeps_out`.

    Args:
        events: `events.parquet`.
        folder: the features folder.
        spec: the feature specification.
    """
    if not spec.keeps_acts:
        return
    every = spec.repeat.pause_minutes or spec.repeat.fatigue
    kinds = [str(kind) for kind in (spec.history_events if every else spec.repeat.events)]
    names = [name for name in COLUMNS if name in pq.read_schema(events).names]
    source = pq.ParquetFile(events)
    schema = pa.schema([*(source.schema_arrow.field(name) for name in COLUMNS[:3]), ("keeps_out", pa.bool_())])
    with pq.ParquetWriter(folder / "acts.parquet", schema) as writer:
        for batch in source.iter_batches(ROWS, columns=names):  # there may be more events than memory
            rows = pa.Table.from_batches([batch])
            rows = rows.filter(pc.is_in(rows["event_type"], pa.array(kinds)))
            kept = pa.array(keeping_rows(rows, spec) & (spec.repeat.rule != "always"), pa.bool_())
            writer.write_table(rows.select(COLUMNS[:3]).append_column("keeps_out", kept).cast(schema))


def write_marks(events: Path, folder: Path, spec: FeatureSpec) -> None:
    """Writes `marks.parquet` where there are any: the hides and, for fatigue, the impressions, in the order of the
    events: `user_id`, `timestamp`, `item_id`, `event_type` and `value`.

    Args:
        events: `events.parquet`.
        folder: the features folder.
        spec: the feature specification.
    """
    kinds = [EventType.HIDE, *([EventType.IMPRESSION] if spec.repeat.fatigue else [])]
    source = pq.ParquetFile(events)
    names = [name for name in COLUMNS[:5] if name in source.schema_arrow.names]
    schema = pa.schema([*(source.schema_arrow.field(name) for name in COLUMNS[:4]), ("value", pa.float64())])
    writer = None
    for batch in source.iter_batches(ROWS, columns=names):
        rows = pa.Table.from_batches([batch])
        rows = rows.filter(pc.is_in(rows["event_type"], pa.array([str(kind) for kind in kinds])))
        if len(rows):
            if "value" not in names:
                rows = rows.append_column("value", pa.nulls(len(rows), pa.float64()))
            writer = writer or pq.ParquetWriter(folder / MARKS, schema)
            writer.write_table(rows.select(COLUMNS[:5]).cast(schema))
    if writer:
        writer.close()
