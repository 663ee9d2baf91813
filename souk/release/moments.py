"""When users asked for a slate in the test window, as far as a log tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.monitored import ENGAGEMENTS, REQUESTS, VISITS
from souk.next_steps import PAUSE_MS
from souk.ordered import in_order
from souk.schema import EventType
from souk.spec import FeatureSpec

FEWEST_REQUESTS = 200  # with fewer a window is not tested either
LEAST = 1_000  # moments, as many as a window of requests has


@dataclass(frozen=True)
class Moments:
    """Moments of a window.

    Args:
        kind: what tells of them, one of `souk.monitored.MOMENTS`.
        rows: `user_id`, `timestamp`, and a column for each declared one of events, by its own name; in order of time.
    """

    kind: str
    rows: pa.Table


def asked_moments(tables: str | Path, features: str | Path, spec: FeatureSpec) -> Moments:
    """The moments of the test window in which a slate was asked for.

    They are the logged requests, by their impressions, where there are some and these have the context of what users
    did. Of a log without those they are the beginnings of visits, and of one that has fewer than LEAST of them the
    engaging events, although these follow one another faster than requests.

    Args:
        tables: output of ingest.
        features: output of build_features.
        spec: its specification.
    """
    start = json.loads(Path(features, "windows.json").read_text(encoding="utf-8"))["test_start"]
    events = Path(tables, "events.parquet")
    visits, requests = _visits(events, spec, start), _requests(events, spec, start)
    if len(requests) >= FEWEST_REQUESTS and _as_told(requests) >= _as_told(visits):
        kind, rows = REQUESTS, requests
    elif len(visits) >= LEAST:
        kind, rows = VISITS, visits
    else:
        kind, rows = ENGAGEMENTS, _engagements(Path(features, "examples.parquet"), spec, start)
    return Moments(kind, in_order(rows, ["timestamp", "event_id"]).drop_columns(["event_id"]))


def _as_told(rows: pa.Table) -> set[str]:
    """The columns that say anything."""
    return {name for name in rows.column_names if rows[name].null_count < len(rows)}


def _requests(events: Path, spec: FeatureSpec, start: int) -> pa.Table:
    """The first impression of each request; a slate has many, so that batches are made small before they are joined."""
    file = pq.ParquetFile(events)
    named = "request_id" in file.schema_arrow.names
    names = [*_columns(spec), "request_id"] if named else _columns(spec)
    batches = file.iter_batches(columns=[*names, "event_type"]) if named else ()
    shown = (
        batch.filter(
            (pc.field("event_type") == EventType.IMPRESSION)
            & (pc.field("timestamp") >= start)
            & pc.field("request_id").is_valid()
        )
        for batch in batches
    )
    parts = [_first(pa.table(batch)) for batch in shown if len(batch)]
    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    whole = pa.concat_tables([part.select(names) for part in parts]) if parts else schema.empty_table()
    return _first(whole).select(_columns(spec))


def _first(shown: pa.Table) -> pa.Table:
    """The first row of each user and request."""
    if not len(shown):
        return shown
    rows = in_order(shown, ["user_id", "request_id", "timestamp", "event_id"])
    return rows.filter(pa.array(_changes(rows["user_id"]) | _changes(rows["request_id"])))


def _visits(events: Path, spec: FeatureSpec, start: int) -> pa.Table:
    """The first act of each visit that begins in the window."""
    acts = pq.read_table(
        events,
        columns=_columns(spec),
        filters=[
            ("timestamp", ">=", start - PAUSE_MS),
            ("event_type", "in", [str(kind) for kind in spec.history_events]),
        ],
    )
    if not len(acts):
        return acts
    rows = in_order(acts, ["user_id", "timestamp", "event_id"])
    times = rows["timestamp"].to_numpy()
    later = np.diff(times, prepend=times[:1]) > PAUSE_MS
    return rows.filter(pa.array((later | _changes(rows["user_id"])) & (times >= start)))


def _engagements(examples: Path, spec: FeatureSpec, start: int) -> pa.Table:
    context = {f.name: f.source for f in spec.context}
    rows = pq.read_table(
        examples, columns=["event_id", "user_id", "timestamp", *context], filters=[("timestamp", ">=", start)]
    )
    return rows.rename_columns([context.get(name, name) for name in rows.column_names])


def _columns(spec: FeatureSpec) -> list[str]:
    return list(dict.fromkeys(["event_id", "user_id", "timestamp", *(f.source for f in spec.context)]))


def _changes(column: pa.ChunkedArray) -> np.ndarray:
    """Whether each row has another value than the one before it, as the first has."""
    codes = column.dictionary_encode().combine_chunks().indices.to_numpy()
    return np.diff(codes, prepend=-1) != 0
