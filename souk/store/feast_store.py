"""User states in Feast's online store."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feast import FeatureStore, FeatureView

from souk.errors import shown
from souk.publication import REGISTRY
from souk.spec import FeatureSpec
from souk.state import UserState
from souk.state_rows import from_row, state_columns
from souk.store.definitions import (
    NOT_STATED,
    ONLINE,
    address_file,
    published_uri,
    repo_config,
    stated_uri,
    view_name,
)
from souk.store.interface import Change, StoreError
from souk.store.redis_errors import remedy_for, said
from souk.store.user_locks import Held, alone, alone_in, is_late, keys_of, late
from souk.store.values import Row, emptied, feast_row, plain, user_key

logger = logging.getLogger(__name__)
AGAIN = "`souk users publish` publishes the states of the release again; `souk run` does where they are new."
PATIENCE_MS = 10_000  # of those who write states, and of commands: a server says how long its requests may wait
VIEW_SECONDS = 60.0  # between two looks at the view
MARK = "souk:mark"  # a key that a Redis has not any more once it is emptied
PROCESS_SECONDS = 1.0  # between two questions which process of a Redis it is


@dataclass(frozen=True)
class Access:
    """How states are asked for.

    Args:
        uri: the address of a Redis, "" for sqlite in the folder; None for where they were published last.
        timeout_ms: the longest that a Redis is waited for, to connect or to answer.
        stale_ms: states that were written longer ago are stale; 0 for none.
    """

    uri: str | None = None
    timeout_ms: int = PATIENCE_MS
    stale_ms: int = 0


class FeastStore:
    """An `OnlineStore` that reads and writes through Feast; opened by the first call, and again after one that failed.

    A Redis that went away is connected to again by the next call, and threads ask it at the same time; sqlite is asked
    by one after the other. Where no address is named, the first call after a publication elsewhere goes there.

    Args:
        folder: the workspace's `feast/` folder.
        spec: the feature specification, which names the view.
        access: where the states are, and how long to wait.
        clock: UTC epoch milliseconds, to tell the age of a state.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: FeatureSpec,
        access: Access | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._folder, self._spec, self._view = Path(folder).absolute(), spec, view_name(spec)
        self._access, self._clock = access or Access(), clock
        self._columns = [name for name in state_columns(spec) if name != "user_id"]
        self._features: list[str] = []
        self._lock, self._updating = threading.Lock(), threading.Lock()
        self._store: FeatureStore | None = None
        self._table: FeatureView | None = None
        self._looked = 0.0
        self._uri = ""
        self._settings: tuple[int, int] | None = None  # which file said so
        self._file: tuple[int, int] | None = None  # the sqlite file that was opened
        self._stays = False  # whatever is published meanwhile
        self.aged: Callable[[float], None] = lambda seconds: None  # is told the age of each state that is read
        self.damaged: Callable[[], None] = lambda: None  # is told of each row that is no state
        self._told = False
        self._process, self._asks_from = ("", ""), 0.0  # its address and name

    def read(self, user_ids: Sequence[str]) -> list[UserState | None]:
        """See `OnlineStore.read`."""
        if not user_ids:
            return []
        keys = [user_key(user_id) for user_id in user_ids]
        answer = self._asked(lambda store: list(zip(user_ids, self._got(store, keys), strict=True)))
        return [self._state(user_id, *told) for user_id, told in answer]

    def write(self, states: Iterable[UserState], now: int) -> None:
        """See `OnlineStore.write`."""
        self._write(states, now)

    def _write(self, states: Iterable[UserState], now: int, held: Held | None = None) -> None:
        rows = [feast_row(state, self._spec, now) for state in states]
        if rows:
            self._asked(lambda store: self._put(store, rows, held))

    def update(self, user_ids: Sequence[str], change: Change, now: int) -> None:
        """See `OnlineStore.update`. Other processes are kept out, publications too."""
        with self._updating, self._staying() as uri:
            if not uri:
                with alone_in(self._folder):
                    self.write(change(self.read(user_ids)), now)
                return
            with alone(self._script, keys_of(self._view, user_ids)) as held:
                self._write(change(self.read(user_ids)), now, held)

    def process(self) -> str:
        """Names the process that holds the states; "" for sqlite, and for a Redis that may not tell. One that started
        again, or another in its place, may know less than the one before: of one without persistence nothing, else
        what was saved or copied last. One that was emptied has another name, too. Unlike all else, for one thread at a
        time.

        Raises:
            StoreError: the Redis does not answer.
        """
        if time.monotonic() < self._asks_from:
            return self._process[1]
        try:
            found = self._asked(self._run_id)
        except StoreError:
            if self._uri:
                raise
            found = ""  # nothing was published here yet
        uri, before = self._process
        if before and found != before and uri == self._uri and not found.startswith(f"{before} "):  # but for a mark
            text = (
                "%s is another Redis, or was emptied: `souk users publish` brings back what it lost and the log has not"
            )
            logger.warning(text, shown(uri))
        self._process, self._asks_from = (self._uri, found), time.monotonic() + PROCESS_SECONDS
        return found

    def _run_id(self, store: FeatureStore) -> str:
        if not self._uri:
            return ""
        from redis.exceptions import ClusterError, NoPermissionError, ResponseError

        client, name = _client_of(store), ""
        try:
            name = str(client.info("server").get("run_id", ""))
            own = uuid.uuid4().hex.encode()
            if name and client.get(MARK) is None:
                client.set(MARK, own, nx=True)
            return f"{name} {(client.get(MARK) or own).decode(errors='replace')}" if name else ""
        except ResponseError as error:
            # As a script runs, or its memory is full: it passes.
            passes = isinstance(error, ClusterError) or str(error).startswith("BUSY")
            if passes or (name and not isinstance(error, NoPermissionError)):
                raise
            return name  # it may not tell, or has a proxy before it that cannot

    @contextmanager
    def _staying(self) -> Iterator[str]:
        """The address of the states until the end: what is locked in one place protects none in another."""
        try:
            with self._lock:
                self._opened()
                self._stays, uri = True, self._uri
        except Exception as error:
            raise self._failed(error) from error
        try:
            yield uri
        finally:
            self._stays = False

    def _script(self, text: str, keys: Sequence[str], values: Sequence[Any]) -> Any:
        return self._asked(lambda store: _client_of(store).eval(text, len(keys), *keys, *values))

    def _asked(self, call: Callable[[FeatureStore], Any]) -> Any:
        try:
            with self._lock:
                store = self._opened()
                if not self._uri:
                    return call(store)
            return call(store)
        except Exception as error:  # whatever Feast or its database raises, the store did not answer
            raise self._failed(error) from error

    def _got(self, store: FeatureStore, keys: list[Any]) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """When each was written, and its values; `FeatureStore.get_online_features` makes tables of them, which takes
        three times as long."""
        table = self._view_of(store)
        asked = [*self._features]  # a list of its own: Feast's Redis store adds a name to it
        return list(store.provider.online_read(store.config, table, keys, asked))

    def _view_of(self, store: FeatureStore) -> FeatureView:
        """The view, looked at now and then: one of before a column came lacks it until it is published again."""
        now = time.monotonic()
        if self._table is None or now > self._looked + VIEW_SECONDS:  # it takes some milliseconds
            store.refresh_registry()
            self._table, self._looked = store.get_feature_view(self._view), now
            there = {field.name for field in self._table.schema}
            self._features = [name for name in self._columns if name in there]
        return self._table

    def _put(self, store: FeatureStore, rows: list[Row], held: Held | None) -> None:
        online = store.provider.online_store
        if held:
            online = held.guarding(online, _client_of(store))
        view = self._view_of(store)
        online.online_write_batch(store.config, view, emptied(rows, view, state_columns(self._spec)), None)

    def _opened(self) -> FeatureStore:
        if self._store is None or self._moved() or self._replaced():
            self._store = self._table = None
            uri = published_uri(self._folder, self._spec) if self._access.uri is None else self._access.uri
            for name in (REGISTRY,) if uri else (REGISTRY, ONLINE):
                if not (self._folder / name).is_file():
                    raise FileNotFoundError(f"no file {self._folder / name}")
            self._file = None if uri else self._online()
            self._store, self._uri = FeatureStore(config=repo_config(self._folder, uri, self._access.timeout_ms)), uri
        return self._store

    def _moved(self) -> bool:
        """Whether states were published elsewhere since it was opened; where that is not to be read, they were not."""
        if self._access.uri is not None or self._stays:
            return False
        try:
            status = os.stat(address_file(self._folder, self._spec))
            settings = status.st_ino, status.st_mtime_ns
            moved = settings != self._settings and stated_uri(self._folder, self._spec) != self._uri
        except NOT_STATED:
            return False
        self._settings = settings
        return moved

    def _replaced(self) -> bool:
        """Whether the sqlite file is another one, or gone: SQLite would go on in the one that was opened."""
        return not self._uri and not self._stays and self._online() != self._file

    def _online(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._folder / ONLINE)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _state(self, user_id: str, written: datetime | None, values: dict[str, Any] | None) -> UserState | None:
        if written is None:  # sqlite has nothing
            return None
        try:
            row = {"user_id": user_id} | {name: plain(value) for name, value in (values or {}).items()}
            if row.get("count") is None:  # Redis has empty values
                return None
            state = from_row(row, self._spec)
        except Exception as error:  # whatever was stored for this user, it is no state
            self._note_damaged(error)
            return None
        age = self._clock() / 1000 - written.replace(tzinfo=UTC).timestamp()
        self.aged(max(0.0, age))
        return replace(state, stale=True) if 0 < self._access.stale_ms < 1000 * age else state

    def _note_damaged(self, error: Exception) -> None:
        self.damaged()
        if not self._told:
            text = "a user's row in %s is no state (%s): who has one is unknown until an event or a run replaces it"
            logger.warning(text, self._view, type(error).__name__)  # the error's text may quote a value
        self._told = True

    def _failed(self, error: Exception) -> StoreError:
        if not type(error).__module__.startswith("redis."):  # whose client connects again by itself
            self._store = self._table = None
        if is_late(error):
            return late()
        if isinstance(error, StoreError):
            return error
        return StoreError(
            f"Feast to answer from {shown(self._uri) or self._folder} with view {self._view}",
            f"{type(error).__name__}: {said(error)}",
            remedy_for(error, AGAIN),
        )


def _client_of(store: FeatureStore) -> Any:
    """Feast's client of the Redis."""
    return store.provider.online_store._get_client(store.config.online_store)
