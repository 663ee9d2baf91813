"""What a detector keeps between requests and restarts: one SQLite file for each release, changed in transactions.

A batch of requests, the windows that it closes, their results and the mark of the file that it came from are one
transaction: a killed process has taken all of it or nothing, and what was acknowledged is on disk.

No file is ever renamed. In a cluster the detector of the release before may still write while the next one starts, and
SQLite holds to the name of a file's journal: one that took over the name would take over the journal of the other.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from souk.drift.columns import Cell
from souk.drift.rows import NARROWED, Row
from souk.errors import SoukError

BEFORE = "drift.db"  # of whichever release had it, before each had a file of its own
FORMAT = "1"
KEPT_WINDOWS = 50
WAIT_SECONDS = 30.0  # for another process to be done with the file
TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS open_rows (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT, time INTEGER NOT NULL, cells TEXT NOT NULL,
    UNIQUE (kind, key)
);
CREATE TABLE IF NOT EXISTS windows (number INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY);
"""
CELLS = f"""
SELECT cells FROM open_rows AS given WHERE NOT EXISTS (
    SELECT 1 FROM open_rows AS asked WHERE given.kind = 'response' AND asked.kind = 'request'
    AND asked.key = given.key AND json_extract(asked.cells, '$.{NARROWED}')
) ORDER BY id
"""  # nosec B608: a name of our own


@dataclass(frozen=True)
class OpenWindow:
    """The window that is being filled.

    Args:
        kinds: rows by source.
        began: the earliest time in it, UTC epoch milliseconds; 0 where it is empty.
        ended: the latest.
    """

    kinds: Mapping[str, int] = field(default_factory=dict)
    began: int = 0
    ended: int = 0

    @property
    def rows(self) -> int:
        """Requests: the most rows of one source, for a call and its answer are one request."""
        return max(self.kinds.values(), default=0)

    def with_row(self, row: Row) -> OpenWindow:
        """The window after one more row."""
        kinds = {**self.kinds, row.kind: self.kinds.get(row.kind, 0) + 1}
        began = min(self.began, row.time) if self.kinds else row.time
        return OpenWindow(kinds, began, max(self.ended, row.time))


class State:
    """The state of one release's detector.

    Args:
        connection: to its database.
        place: where that is, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        self._connection, self._place = connection, place
        self._lock = threading.RLock()

    @classmethod
    def open(cls, folder: str | Path | None, release: str) -> State:
        """Opens or begins the state of a release; those of others in the same folder stay as they are.

        Args:
            folder: where it is kept; None for one that ends with the process.
            release: the release.

        Raises:
            SoukError: the folder cannot be written to, or holds a damaged state, or one that another process uses. So
                does each use of the state later.
        """
        if folder is None:
            return cls._begin(sqlite3.connect(":memory:", isolation_level=None), release, "memory")
        own = path = Path(folder, f"drift-{release}.db")
        try:
            own.parent.mkdir(parents=True, exist_ok=True)
            for path in (own.with_name(BEFORE), own):
                if path == own or path.exists():
                    state = cls._begin(_connect(path), release, str(path))
                    if state.release == release:
                        return state
                    state.close()
            raise sqlite3.DatabaseError("the state of another release")
        except (OSError, sqlite3.Error) as error:
            raise _refused(str(path), error) from error

    @classmethod
    def _begin(cls, connection: sqlite3.Connection, release: str, place: str) -> State:
        """Makes what is missing; what stands there is not touched."""
        state = cls(connection, place)
        try:
            connection.executescript(TABLES)
            with state.change():
                for name, value in (("format", FORMAT), ("release", release)):
                    state._run("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
            if state.get("format") != FORMAT:
                raise sqlite3.DatabaseError(f"a state of format {state.get('format')}, not {FORMAT}")
        except (SoukError, sqlite3.Error):
            connection.close()
            raise
        return state

    @property
    def release(self) -> str:
        """Whose state it is."""
        return str(self.get("release"))

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """A transaction: all that happens within is on disk at the end, or none of it after an exception."""
        with self._lock:
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")  # refused while another process reads, and the transaction is still open then
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it
                    self._run("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While no other thread changes anything."""
        with self._lock:
            yield

    def get(self, name: str, default: str = "") -> str:
        """A value by name."""
        rows = self._rows("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else default

    def put(self, name: str, value: str) -> None:
        """Sets a value."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def count(self, name: str, more: int = 1) -> None:
        """Adds to a total."""
        if more:
            change = "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
            self._run(change, (name, more))

    def untold(self) -> list[dict[str, Any]]:
        """The alarms that wait to be told, the oldest first."""
        waiting = json.loads(self.get("untold") or "[]")
        return waiting if isinstance(waiting, list) else [waiting]  # the one that a version before kept

    def put_untold(self, alarms: Sequence[Mapping[str, Any]]) -> None:
        """Sets the alarms that wait to be told."""
        self.put("untold", json.dumps(alarms) if alarms else "")

    def totals(self) -> dict[str, int]:
        """All totals that are not zero."""
        return dict(self._rows("SELECT name, value FROM totals"))

    def add(self, row: Row) -> bool:
        """Puts a row into the open window; False where one of its key is there already."""
        values = (row.kind, row.key or None, row.time, json.dumps(row.cells, separators=(",", ":")))
        insert = "INSERT OR IGNORE INTO open_rows (kind, key, time, cells) VALUES (?, ?, ?, ?)"
        return self._run(insert, values) == 1

    def open_window(self) -> OpenWindow:
        """How far the open window is."""
        query = "SELECT kind, COUNT(*), MIN(time), MAX(time) FROM open_rows GROUP BY kind"
        found = self._rows(query)
        if not found:
            return OpenWindow()
        kinds = {kind: count for kind, count, _, _ in found}
        return OpenWindow(kinds, min(row[2] for row in found), max(row[3] for row in found))

    def cells(self) -> list[dict[str, Cell]]:
        """The rows of the open window, as they came, without the responses whose requests are NARROWED."""
        return [json.loads(row[0]) for row in self._rows(CELLS)]

    def close_window(self, content: Mapping[str, Any]) -> int:
        """Empties the open window and keeps its `content`; returns its number, from 1."""
        number = int(self.get("windows", "0")) + 1
        self.put("windows", str(number))
        self._run("DELETE FROM open_rows")
        self._run("INSERT INTO windows VALUES (?, ?)", (number, json.dumps(content)))
        self._run("DELETE FROM windows WHERE number <= ?", (number - KEPT_WINDOWS,))
        return number

    def windows(self) -> list[dict[str, Any]]:
        """The content of the last closed windows, the oldest first."""
        found = self._rows("SELECT number, content FROM windows ORDER BY number")
        return [json.loads(content) | {"number": number} for number, content in found]

    def forget_files(self, before: str) -> None:
        """Forgets the marks of the files whose names are before that one, as those of days that were deleted."""
        self._run("DELETE FROM files WHERE path < ?", (before,))

    def take_file(self, name: str) -> bool:
        """Marks a file as read; False where it is already."""
        return self._run("INSERT OR IGNORE INTO files VALUES (?)", (name,)) == 1

    def unread(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are not marked as read, in order."""
        read = {row[0] for row in self._rows("SELECT path FROM files")}
        return [name for name in names if name not in read]

    def _run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """How many rows a statement changed."""
        with self._translated():
            return self._connection.execute(statement, values).rowcount

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All that a query finds: what is damaged further on is met here, too."""
        with self._translated():
            return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _refused(self._place, error) from error


def _refused(place: str, error: OSError | sqlite3.Error) -> SoukError:
    """The error for a file that cannot be used, now or at all."""
    remedy = "Look at the space and your rights there, name another folder with --state, or move the file away to begin"
    remedy += " anew, once nothing uses it."
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        remedy = "Another process uses it, as a second souk-drift would: wait for its end."
    return SoukError(f"a drift state to write to at {place}", str(error), remedy)


def _connect(path: Path) -> sqlite3.Connection:
    """Of any thread, one at a time; a commit is on disk when it returns."""
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
