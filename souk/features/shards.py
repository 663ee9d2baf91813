"""The Beam part that does the work: all events of a shard of users become the files of that shard.

Events travel as columns (Arrow), not as Python objects, and meet their shard once; nothing copies a history per event.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.analyze import BATCH_ROWS, record_batch
from souk.features.columns import example_rows, example_schema, state_schema, table
from souk.features.records import encode, write_records
from souk.features.rows import SequenceRow, sequence_rows
from souk.features.windows import Windows
from souk.progress import report
from souk.schema import EventType
from souk.spec import Entity, FeatureSpec
from souk.state import Event, state_of, token_features
from souk.state_rows import profile_of, to_row

EVENT_COLUMNS = ("event_id", "user_id", "item_id", "event_type", "timestamp", "value", "dwell_seconds")
PARTS = "parts"


def event_types(spec: FeatureSpec) -> list[str]:
    """The event types that a state or a label looks at."""
    given = spec.objectives.given.values()
    asked = {kind for rule in given for kind in (*rule.events, *rule.unless, *rule.followed_by)}
    shown = {EventType.IMPRESSION} if spec.repeat.fatigue else set[EventType]()
    return sorted({*spec.history_events, EventType.HIDE, *shown, *asked})


def event_columns(spec: FeatureSpec, present: Iterable[str]) -> list[str]:
    """The columns of the events table that are read, of those that are `present` in the file."""
    names = set(present)
    return [name for name in dict.fromkeys((*EVENT_COLUMNS, *sorted(spec.columns.events))) if name in names]


def shard_of(user_id: str, shards: int) -> int:
    """The shard of a user: the same on every machine and in every run."""
    return zlib.crc32(user_id.encode()) % shards


def split_by_shard(rows: pa.Table, shards: int, types: list[str] | None = None) -> Iterator[tuple[int, bytes]]:
    """Parts of a table with a `user_id`, as (shard, Arrow IPC stream); `types` keeps only those event types."""
    if types is not None:
        rows = rows.filter(pc.is_in(rows["event_type"], pa.array(types)))
    users = rows["user_id"].combine_chunks().dictionary_encode()
    by_user = np.array([shard_of(user, shards) for user in users.dictionary.to_pylist()], np.int64)
    if not len(by_user):
        return
    numbers = by_user[users.indices.to_numpy()]
    for shard in np.unique(numbers).tolist():
        part = rows.take(pa.array(np.flatnonzero(numbers == shard)))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
        yield shard, sink.getvalue().to_pybytes()


def read_parts(parts: Iterable[bytes]) -> pa.Table | None:
    """The inverse of `split_by_shard` for one shard; None without parts."""
    tables = [pa.ipc.open_stream(part).read_all() for part in parts]
    return pa.concat_tables(tables) if tables else None


class BuildShard(beam.DoFn):
    """Writes the training rows, examples and states of a shard; emits raw features for analysis.

    Outputs `token` and `query`: RecordBatches of what happened before the test window.

    Args:
        spec: the feature specification.
        windows: the boundaries.
        folder: the features folder.
        shards: how many shards there are.
    """

    def __init__(self, spec: FeatureSpec, windows: Windows, folder: str, shards: int) -> None:
        self.spec, self.windows, self.folder, self.shards = spec, windows, folder, shards

    def process(self, element: tuple[int, Mapping[str, Iterable[bytes]]]) -> Iterator[Any]:
        """Takes (shard, {"events": parts, "users": parts})."""
        shard, parts = element
        profiles = _profiles(read_parts(parts["users"]), self.spec)
        histories = _histories(read_parts(parts["events"]), self.spec)
        rows: list[tuple[str, bytes]] = []
        examples: list[dict[str, Any]] = []
        states: list[dict[str, Any]] = []
        analysed = {Entity.TOKEN: _Batches(Entity.TOKEN, self.spec), Entity.QUERY: _Batches(Entity.QUERY, self.spec)}
        for user_id in sorted({*profiles, *histories}):
            events, profile = histories.get(user_id, []), profiles.get(user_id, profile_of({}, self.spec))
            for row in sequence_rows(user_id, events, profile, self.spec, self.windows.end):
                rows.append((row.row_id, encode(row, self.spec)))
                examples.extend(example_rows(user_id, row))
                yield from analysed[Entity.QUERY].add(_queries_before(row, self.windows.test_start, self.spec))
            yield from analysed[Entity.TOKEN].add(_tokens_before(events, self.windows.test_start, self.spec))
            states.append(to_row(state_of(user_id, events, self.spec, profile), self.spec))
        for batches in analysed.values():
            yield from batches.flush()
        self._write(shard, rows, examples, states)
        report(f"shard {shard + 1} of {self.shards}: {len(states):,} users, {len(examples):,} targets")

    def _write(
        self, shard: int, rows: list[tuple[str, bytes]], examples: list[dict[str, Any]], states: list[dict[str, Any]]
    ) -> None:
        name = f"{shard:05d}-of-{self.shards:05d}"
        folder = Path(self.folder)
        write_records(str(folder / "sequences" / f"{name}.tfrecord"), (record for _, record in sorted(rows)))
        pq.write_table(table(examples, example_schema(self.spec)), folder / PARTS / f"examples-{name}.parquet")
        pq.write_table(table(states, state_schema(self.spec)), folder / PARTS / f"user_state-{name}.parquet")


class _Batches:
    """Gathers raw features of one entity into RecordBatches of about BATCH_ROWS."""

    def __init__(self, entity: Entity, spec: FeatureSpec) -> None:
        self._entity, self._spec = entity, spec
        self._columns: dict[str, list[Any]] = {feature.name: [] for feature in spec.of(entity)}

    def add(self, columns: Mapping[str, list[Any]]) -> Iterator[Any]:
        for name, values in self._columns.items():
            values.extend(columns[name])
        if len(next(iter(self._columns.values()))) >= BATCH_ROWS:
            yield from self.flush()

    def flush(self) -> Iterator[Any]:
        if next(iter(self._columns.values())):
            yield beam.pvalue.TaggedOutput(str(self._entity), record_batch(self._columns, self._entity, self._spec))
            self._columns = {name: [] for name in self._columns}


def _queries_before(row: SequenceRow, time: int, spec: FeatureSpec) -> dict[str, list[Any]]:
    targets = [target for target in row.targets if target.event.timestamp < time]
    return {f.name: [target.query[f.name] for target in targets] for f in spec.of(Entity.QUERY)}


def _tokens_before(events: list[Event], time: int, spec: FeatureSpec) -> dict[str, list[Any]]:
    return token_features(tuple(e for e in events if e.timestamp < time and e.event_type in spec.history_events))


def _profiles(users: pa.Table | None, spec: FeatureSpec) -> dict[str, dict[str, Any]]:
    return {} if users is None else {row["user_id"]: profile_of(row, spec) for row in users.to_pylist()}


def _histories(events: pa.Table | None, spec: FeatureSpec) -> dict[str, list[Event]]:
    """Each user's events in order."""
    if events is None:
        return {}
    events = events.sort_by([(name, "ascending") for name in ("user_id", "timestamp", "event_id")])
    names = events.column_names
    columns = {name: events[name].to_pylist() for name in names}
    nothing = [None] * len(events)
    declared = sorted(spec.columns.events)
    contexts = zip(*(columns.get(name, nothing) for name in declared), strict=True) if declared else nothing
    histories: dict[str, list[Event]] = {}
    for user, item, kind, time, value, event_id, dwell, context in zip(
        columns["user_id"],
        columns["item_id"],
        columns["event_type"],
        columns["timestamp"],
        columns.get("value", nothing),
        columns["event_id"],
        columns.get("dwell_seconds", nothing),
        contexts,
        strict=True,
    ):
        event = Event(item, kind, time, _nan(value), event_id, _nan(dwell), _context(declared, context))
        histories.setdefault(user, []).append(event)
    return histories


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _context(names: list[str], values: tuple[Any, ...] | None) -> dict[str, Any]:
    if values is None:
        return {}
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
