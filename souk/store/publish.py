"""Writes user states into Feast: apply, then materialise."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from feast import FeatureStore

from souk.spec import FeatureSpec
from souk.store.definitions import (
    EVENT_TIME,
    ONLINE,
    REGISTRY,
    SPECS,
    WRITTEN_TIME,
    offline_file,
    repo_config,
    settings,
    user_entity,
    user_state_view,
    view_name,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("ms", tz="UTC")


def publish(user_state: str | Path, spec: FeatureSpec, folder: str | Path, now: int) -> int:
    """Makes the states of a features folder the ones that are served under the view of `spec`.

    Views of other specifications are untouched. A publication that is killed leaves every view readable, with the
    states from before it or from it; the next one completes it. Publishing again changes nothing but the time.

    Args:
        user_state: the `user_state.parquet` of a features folder.
        spec: its specification.
        folder: the workspace's `feast/` folder.
        now: UTC epoch milliseconds.

    Returns:
        How many states there are.
    """
    folder = Path(folder).absolute()
    (folder / SPECS).mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        count, last = _write_offline(Path(user_state), offline_file(spec, folder), now)
        _write_text(folder / SPECS / f"{spec.hash}.json", spec.to_json())
        _write_text(folder / "feature_store.yaml", yaml.safe_dump(settings(folder), sort_keys=False))
        _database(folder / ONLINE, "PRAGMA journal_mode=WAL")  # readers are never locked out, and see whole commits
        with _staged(folder / REGISTRY) as registry:
            store = FeatureStore(config=repo_config(folder, registry))
            end = max(EPOCH + timedelta(milliseconds=max(now, last)), EPOCH) + timedelta(seconds=1)
            with redirect_stdout(StringIO()):
                store.apply([user_entity(), user_state_view(spec, folder)])
                store.materialize(EPOCH - timedelta(days=1), end, feature_views=[view_name(spec)])
        _database(folder / ONLINE, "PRAGMA wal_checkpoint(TRUNCATE)")  # the file alone is the database again
    return count


def _write_offline(source: Path, target: Path, now: int) -> tuple[int, int]:
    """The states with Feast's two times; returns their number and the last event time."""
    reader = pq.ParquetFile(source)
    fields = [pa.field(EVENT_TIME, TIME), pa.field(WRITTEN_TIME, TIME)]
    schema = pa.schema([*reader.schema_arrow, *fields])
    partial = target.with_suffix(".partial")
    count = last = 0
    with pq.ParquetWriter(partial, schema) as writer:
        for batch in reader.iter_batches(batch_size=8192):
            times = pa.array([row[-1] if row else 0 for row in batch["event_time"].to_pylist()], pa.int64())
            written = pa.array([now] * len(batch), pa.int64())
            columns = [*batch.columns, times.cast(TIME), written.cast(TIME)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count, last = count + len(batch), max(last, pc.max(times).as_py() or 0)
    os.replace(partial, target)
    return count, last


def _write_text(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _database(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    try:
        connection.execute(statement).fetchall()
    finally:
        connection.close()


@contextmanager
def _staged(registry: Path) -> Iterator[Path]:
    """A copy of the registry, which takes the registry's place at the end: Feast writes it in place, not at once."""
    partial = registry.with_name("registry.partial.db")
    partial.unlink(missing_ok=True)
    if registry.exists():
        shutil.copyfile(registry, partial)
    yield partial
    os.replace(partial, registry)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
