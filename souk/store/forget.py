"""Deletes the states of whole views where they are kept online, some at a time: servers use the others meanwhile."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from feast.infra.online_stores.helpers import _mmh3, _redis_key_prefix
from google.protobuf.timestamp_pb2 import Timestamp

from souk.errors import shown
from souk.progress import seldom
from souk.store.definitions import ONLINE, PROJECT
from souk.store.publish import PATIENCE_SECONDS, client
from souk.store.user_locks import alone_in

ROWS = 20_000  # of sqlite that are deleted at once; a whole table goes through the journal at once, and is as large
PAUSE_SECONDS = 0.01  # in which servers get at the file
USERS = 200  # of a Redis that are asked at once
# The fields of the views, and the key where no state is left in it. In one step, or what a server writes of the user
# meanwhile, under another view, would go with the key: Feast's own deletion looks first, and holds all keys in memory.
FORGET = """
for _, key in ipairs(KEYS) do
  local gone = 0
  for at = 1, #ARGV, 1000 do  -- Lua unpacks no more than some thousands
    gone = gone + redis.call('HDEL', key, unpack(ARGV, at, math.min(at + 999, #ARGV)))
  end
  if gone > 0 then
    local left = false
    for _, field in ipairs(redis.call('HKEYS', key)) do left = left or string.sub(field, 1, 4) == '_ts:' end
    if not left then redis.call('DEL', key) end
  end
end
"""
Tell = Callable[[str], object]


def written(folder: Path, uri: str, views: Sequence[str], since: int, tell: Tell) -> set[str]:
    """The views that have a state which was written since then.

    Args:
        folder: the workspace's `feast/` folder.
        uri: the address of a Redis; "" for sqlite in the folder.
        views: their names.
        since: UTC epoch milliseconds.
        tell: takes a line of progress.
    """
    if not uri:
        return _written_rows(folder / ONLINE, views, since)
    stamps, found = [f"_ts:{view}" for view in views], set[str]()
    asked = client(folder, uri)
    for keys in _pages(asked, f"{shown(uri)}: looked at", tell):
        with asked.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key, stamps)
            for times in pipe.execute():
                found |= {view for view, time in zip(views, times, strict=True) if time and _ms(time) >= since}
    return found


def forget(folder: Path, uri: str, views: Mapping[str, set[str]], tell: Tell) -> None:
    """Deletes all states of views.

    Args:
        folder: the workspace's `feast/` folder.
        uri: the address of a Redis; "" for sqlite in the folder.
        views: the columns of their states, by name.
        tell: takes a line of progress.
    """
    if not uri:
        _forget_rows(folder, views, tell)
        return
    fields: list[Any] = [f"_ts:{view}" for view in views]
    fields += [_mmh3(f"{view}:{column}") for view, columns in views.items() for column in sorted(columns)]
    asked = client(folder, uri)
    for keys in _pages(asked, f"{shown(uri)}: deleted from", tell):
        asked.eval(FORGET, len(keys), *keys, *fields)


def _pages(asked: Any, doing: str, tell: Tell) -> Iterator[list[bytes]]:
    """The keys of all users that the Redis has from the beginning to the end."""
    pattern = _redis_key_prefix(["user_id"]) + b"*" + PROJECT.encode()
    cursor, done, due = 0, 0, seldom()
    while True:
        cursor, keys = asked.scan(cursor, match=pattern, count=USERS)
        if keys:
            yield keys
        done += len(keys)
        if due():
            tell(f"{doing} {done:,} of {asked.dbsize():,} users")
        if not cursor:
            return


def _ms(stamp: bytes) -> int:
    return int(Timestamp.FromString(stamp).ToMilliseconds())


def _since(table: str) -> str:
    return f"SELECT 1 FROM {table} WHERE event_ts >= ? LIMIT 1"  # nosec B608: a table of Feast's


def _written_rows(file: Path, views: Sequence[str], since: int) -> set[str]:
    seconds = since // 1000  # as Feast stores times, of the clock of the place: an hour or twelve beside it
    with closing(_opened(file)) as connection:
        return {
            view
            for view in views
            if _has(connection, view) and connection.execute(_since(_table(view)), (seconds,)).fetchone()
        }


def _forget_rows(folder: Path, views: Iterable[str], tell: Tell) -> None:
    due = seldom()
    with closing(_opened(folder / ONLINE)) as connection:
        for view in (view for view in views if _has(connection, view)):
            table, done, deleted = _table(view), 0, 1
            while deleted:
                with alone_in(folder, PATIENCE_SECONDS), connection:
                    some = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} LIMIT {ROWS})"  # nosec B608
                    deleted = connection.execute(some).rowcount
                done += deleted
                if due():
                    tell(f"{folder / ONLINE}: deleted {done:,} rows of {view}")
                time.sleep(PAUSE_SECONDS)
            with alone_in(folder, PATIENCE_SECONDS):
                connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # as after a publication


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file if file.exists() else ":memory:", timeout=PATIENCE_SECONDS)


def _has(connection: sqlite3.Connection, view: str) -> bool:
    name = f"{PROJECT}_{view}"
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone())


def _table(view: str) -> str:
    return f'"{PROJECT}_{view}"'
