"""Writes user states into Feast: apply, then write online, alone with some users at a time as servers are."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from feast import FeatureStore, FeatureView
from feast.infra.online_stores.helpers import get_online_store_from_config

from souk.errors import SoukError
from souk.progress import seldom
from souk.publication import ADDRESS, BEGUN, REGISTRY, SPECS, publishing
from souk.spec import FeatureSpec
from souk.state_rows import state_columns
from souk.store.definitions import (
    EVENT_TIME,
    ONLINE,
    SETTINGS,
    WRITTEN_TIME,
    offline_file,
    published_uri,
    repo_config,
    settings,
    user_entity,
    user_state_view,
    view_name,
)
from souk.store.redis_errors import answering
from souk.store.user_locks import alone, alone_in, is_late, keys_of
from souk.store.values import Row, emptied, row_of, user_of

TOGETHER = 200  # users whose states are written at once: servers that have events of them wait meanwhile
PATIENCE_SECONDS = 30.0  # for servers that change them
PATIENCE_MS = 10_000  # for each answer of a Redis, which is asked some times
TRIES = 5  # of a write to a Redis which took longer than its locks live
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("ms", tz="UTC")
PARTIAL = ".partial"  # what a file is called that is not whole
STAGED = "registry.partial.db"  # of which Feast demands the ending
TYPES = {"list<string>": pa.string(), "list<int64>": pa.int64(), "list<double>": pa.float64()}


def publish(
    user_state: str | Path,
    spec: FeatureSpec,
    folder: str | Path,
    now: int,
    uri: str = "",
    clear: bool = False,
    tell: Callable[[str], object] = lambda line: None,
) -> int:
    """Makes the states of a features folder the ones that are served under the view of `spec`.

    Views of other specifications are untouched. States are written as servers change them, alone: what a server reads
    and writes meanwhile undoes none of it. Events that it took before are missing until it sees that there was a
    publication, and takes them from its log again. A publication that stops or is killed leaves every view readable,
    each user's state from before it or from it, and servers see that it did (`souk.store.definitions.publication`). The
    next one completes it. Publishing again changes nothing but the time.
    States are read and written some at a time: memory does not grow with the users.

    Args:
        user_state: the `user_state.parquet` of a features folder.
        spec: its specification.
        folder: the workspace's `feast/` folder.
        now: UTC epoch milliseconds.
        uri: the address of the Redis that serves them; "" for sqlite in the folder.
        clear: whether every state under the view is deleted before, also of users who are not published; for a moment
            all users are unknown then.
        tell: takes a line of progress.

    Returns:
        How many states there are.

    Raises:
        SoukError: the file lacks a column that is no list.
        StoreError: a server holds users up, and does not end; a Redis does not answer, or refuses; sqlite's file cannot
            be written.
    """
    folder = Path(folder).absolute()
    (folder / SPECS).mkdir(parents=True, exist_ok=True)
    if uri:
        try_redis(folder, uri)
    with answering(uri, folder / ONLINE), publishing(folder, tell=tell):
        count = _write_offline(Path(user_state), offline_file(spec, folder), state_columns(spec), now)
        _write_text(folder / SPECS / f"{spec.of_states.hash}.json", spec.of_states.to_json())
        if not uri:
            _database(folder / ONLINE, "PRAGMA journal_mode=WAL")  # readers are never locked out, and see whole commits
        with staged(folder / REGISTRY) as registry:
            store = FeatureStore(config=repo_config(folder, uri, PATIENCE_MS, registry, again=True))
            end = EPOCH + timedelta(milliseconds=max(now, 0), seconds=1)
            name = view_name(spec)
            before = next((view for view in store.list_feature_views() if view.name == name), None)
            with redirect_stdout(StringIO()):
                store.apply([user_entity(), user_state_view(spec, folder)])
                _write_text(folder / BEGUN, f"begun {time.time_ns()}")  # from before the first state is gone
                if clear:
                    with nullcontext() if uri else alone_in(folder, PATIENCE_SECONDS):
                        view = store.get_feature_view(view_name(spec))
                        store.apply(user_entity(), objects_to_delete=[view], partial=False)
                        store.apply([user_entity(), user_state_view(spec, folder)])
            _write_online(store, spec, folder, uri, count, tell, before)
            view = store.get_feature_view(view_name(spec))
            store.registry.apply_materialization(view, store.project, EPOCH - timedelta(days=1), end)
        if not uri:
            _database(folder / ONLINE, "PRAGMA wal_checkpoint(TRUNCATE)")  # the file alone is the database again
        _keep_others(folder)
        _write_text(folder / SPECS / f"{spec.of_states.hash}{ADDRESS}", uri)
        _write_text(folder / SETTINGS, yaml.safe_dump(settings(folder, uri), sort_keys=False))
        (folder / BEGUN).unlink()
    return count


def try_redis(folder: str | Path, uri: str) -> None:
    """Locks, writes and deletes as a publication does: what a Redis refuses is told before the work that it is for,
    before others are held up, and before any state is gone.

    Raises:
        StoreError: it does not answer, or refuses.
    """
    key = f"souk:trial:{uuid.uuid4().hex}"
    with answering(uri):
        asked = client(Path(folder).absolute(), uri)
        with alone(partial(_script, asked), [f"{key}:lock"]), asked.pipeline(transaction=True) as pipe:
            pipe.hset(key, "field", "value")
            pipe.delete(key)
            pipe.execute()


def client(folder: Path, uri: str) -> Any:
    """Feast's client of a Redis."""
    config = repo_config(folder, uri, PATIENCE_MS, again=True)
    return get_online_store_from_config(config.online_store)._get_client(config.online_store)


def _keep_others(folder: Path) -> None:
    """Notes where the states are that a version published which wrote no address for each specification."""
    if (folder / SETTINGS).exists():
        for path in (folder / SPECS).glob("*.json"):
            if not path.with_suffix(ADDRESS).exists():
                _write_text(path.with_suffix(ADDRESS), published_uri(folder))


def _write_online(
    store: FeatureStore,
    spec: FeatureSpec,
    folder: Path,
    uri: str,
    count: int,
    tell: Callable[[str], object],
    before: FeatureView | None,
) -> None:
    """Writes the offline file's states online, where the view was `before`.

    Feast's `materialize` does the same, and takes 2 ms and 14 KiB a user for it: its offline store makes a frame of all
    of them, and a digest of that frame for each of its operations.
    """
    online, view = store.provider.online_store, store.get_feature_view(view_name(spec))
    columns, due, done = state_columns(spec), seldom(), 0
    for batch in pq.ParquetFile(offline_file(spec, folder)).iter_batches(batch_size=TOGETHER):
        rows = emptied((row_of(row, columns, row[EVENT_TIME]) for row in batch.to_pylist()), before, columns)
        if uri:
            _write_alone(online, store.config, view, rows)
        else:
            with alone_in(folder, PATIENCE_SECONDS):
                online.online_write_batch(store.config, view, rows, None)
        done += len(rows)
        if due():
            tell(f"{done:,} of {count:,} user states in Feast")


def _write_alone(online: Any, config: Any, view: Any, rows: list[Row]) -> None:
    client = online._get_client(config.online_store)
    keys = keys_of(view.name, [user_of(row) for row in rows])
    for left in reversed(range(TRIES)):
        with alone(partial(_script, client), keys, PATIENCE_SECONDS) as held:
            try:
                held.guarding(online, client).online_write_batch(config, view, rows, None)
            except Exception as error:
                if not left or not is_late(error):
                    raise
            else:
                return


def _script(client: Any, text: str, keys: Sequence[str], values: Sequence[Any]) -> Any:
    return client.eval(text, len(keys), *keys, *values)


def _write_offline(source: Path, target: Path, columns: Mapping[str, str], now: int) -> int:
    """The states with Feast's two times; returns their number.

    A list that the file does not have is empty: states of before it was kept, such as what users hid. A column that is
    none of a state any more is left out.
    """
    reader = pq.ParquetFile(source)
    there = [name for name in reader.schema_arrow.names if name in columns]
    lists = [name for name, kind in columns.items() if name not in there and kind.startswith("list")]
    if missing := [name for name in columns if name not in (*there, *lists)]:
        remedy = "Run the pipeline again: these states are of another specification."
        raise SoukError(f"user states with the columns {', '.join(missing)}", f"{source} without", remedy)
    empty = [pa.field(name, pa.list_(TYPES[columns[name]])) for name in lists]
    kept = [reader.schema_arrow.field(name) for name in there]
    schema = pa.schema([*kept, *empty, pa.field(EVENT_TIME, TIME), pa.field(WRITTEN_TIME, TIME)])
    count = 0
    with _whole(target) as partial, pq.ParquetWriter(partial, schema) as writer:
        for batch in reader.iter_batches(batch_size=8192, columns=there):
            written = pa.array([now] * len(batch), pa.int64()).cast(TIME)
            none = [pa.array([[]] * len(batch), field.type) for field in empty]
            writer.write_table(pa.Table.from_arrays([*batch.columns, *none, written, written], schema=schema))
            count += len(batch)
    return count


def _write_text(path: Path, text: str) -> None:
    with _whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def _whole(target: Path, name: str = "") -> Iterator[Path]:
    """The file that takes the place of `target` at the end, or is gone: a disk that it filled takes events again."""
    partial = target.with_name(name) if name else target.with_suffix(PARTIAL)
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def clean(folder: Path) -> None:
    """Deletes what publications into a folder left that were killed. Nobody may publish meanwhile."""
    for left in (folder / STAGED, *folder.glob(f"*{PARTIAL}"), *(folder / SPECS).glob(f"*{PARTIAL}")):
        left.unlink(missing_ok=True)


def _database(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    try:
        connection.execute(statement).fetchall()
    finally:
        connection.close()


@contextmanager
def staged(registry: Path) -> Iterator[Path]:
    """A copy of the registry, which takes the registry's place at the end: Feast writes it in place, not at once."""
    with _whole(registry, STAGED) as partial:
        partial.unlink(missing_ok=True)
        if registry.exists():
            shutil.copyfile(registry, partial)
        yield partial
