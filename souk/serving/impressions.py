"""The impression log: one record for each answered request, written off the request path.

Parquet part files by the hour of the answer: `<folder>/<date>/<hour>/<writer>-<number>.parquet`. Each is written
beside its place and renamed into it, so a reader never meets half a file.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from souk.serving.slate import Slate

logger = logging.getLogger(__name__)

OBJECTIVES = ("engaged", "satisfied")  # of every part file; a further one where a slate has it
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),  # of the request, UTC epoch ms
        ("answered_at", pa.int64()),  # by the server's clock, UTC epoch ms
        ("release", pa.string()),
        ("arm", pa.string()),
        ("degraded", pa.list_(pa.string())),
        ("items", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        *((name, pa.list_(pa.float32())) for name in OBJECTIVES),
        ("sources", pa.list_(pa.string())),
        ("propensities", pa.list_(pa.float32())),
        ("features", pa.string()),  # JSON: raw user and query features but ids, a missing number as null
    ]
)
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Counts:
    """What became of the answers: `answered == written + dropped + pending`, always."""

    answered: int
    written: int
    dropped: int
    pending: int


class ImpressionLog:
    """A bounded buffer of slates and the thread that writes it.

    A write that the disk refuses is tried again at the next flush; what comes while the buffer is full, and what cannot
    be written at all, is dropped and counted.

    Args:
        folder: where the hours' folders go.
        writer: part of every file name, different for each process that writes here.
        clock: UTC epoch milliseconds.
        capacity: slates held at most.
        flush_records: slates that start a flush.
        flush_seconds: the longest that a slate waits.
    """

    def __init__(
        self,
        folder: str | Path,
        writer: str,
        clock: Callable[[], int],
        capacity: int = 4_000,
        flush_records: int = 500,
        flush_seconds: float = 5.0,
    ) -> None:
        self._folder = Path(folder)
        self._writer = writer
        self._clock = clock
        self._capacity = capacity
        self._flush_records = flush_records
        self._flush_seconds = flush_seconds
        self._buffer: deque[tuple[int, Slate]] = deque()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closed = False
        self._answered = self._written = self._dropped = self._parts = 0
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)

    def open(self) -> None:
        """Starts the writing thread."""
        self._thread.start()

    def record(self, slates: Iterable[Slate]) -> None:
        """Takes answered slates; never waits for the disk."""
        now = self._clock()
        with self._changed:
            for slate in slates:
                self._answered += 1
                if self._closed or len(self._buffer) >= self._capacity:
                    self._dropped += 1
                else:
                    self._buffer.append((now, slate))
            if len(self._buffer) >= self._flush_records:
                self._changed.notify()

    @property
    def counts(self) -> Counts:
        """The counts at one moment."""
        with self._changed:
            return Counts(self._answered, self._written, self._dropped, len(self._buffer))

    def flush(self) -> bool:
        """Writes what the buffer holds now; False where the disk refused, and the slates stay in the buffer."""
        with self._writing:
            with self._changed:
                taken = list(self._buffer)
            for hour, group in groupby(taken, key=lambda entry: entry[0] // HOUR_MS):
                records = list(group)
                try:
                    self._write(hour, records)
                    written = len(records)
                except OSError as error:
                    logger.error("%d impressions wait: %s: %s", len(taken), type(error).__name__, error)
                    return False
                except Exception:  # not the disk: the same records would fail again, and hold up all that follow
                    logger.exception("%d impressions cannot be written", len(records))
                    written = 0
                with self._changed:
                    for _ in records:
                        self._buffer.popleft()
                    self._written += written
                    self._dropped += len(records) - written
        return True

    def close(self) -> None:
        """Stops the thread and writes the rest; what the disk refuses even now is dropped and counted."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        if not self.flush():
            with self._changed:
                logger.error("%d impressions lost", len(self._buffer))
                self._dropped += len(self._buffer)
                self._buffer.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._due, timeout=self._flush_seconds)
                if self._closed:
                    return
                empty = not self._buffer
            if not empty and not self.flush():
                with self._changed:  # a full disk is not asked again before the next interval
                    self._changed.wait_for(lambda: self._closed, timeout=self._flush_seconds)

    def _due(self) -> bool:
        return self._closed or len(self._buffer) >= self._flush_records

    def _write(self, hour: int, records: Sequence[tuple[int, Slate]]) -> None:
        moment = datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC)
        folder = self._folder / moment.strftime("%Y-%m-%d") / moment.strftime("%H")
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._writer}-{self._parts:06d}"
        part = folder / f".{name}.part"
        try:
            pq.write_table(to_table(records), part, compression="zstd")
            os.replace(part, folder / f"{name}.parquet")
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self._parts += 1


def to_table(records: Sequence[tuple[int, Slate]]) -> pa.Table:
    """Slates, each with the time of its answer, as rows of `SCHEMA`, and a column more for each further objective."""
    found = {name for _, slate in records for item in slate.items for name in item.scores}
    further = sorted(found.difference(OBJECTIVES))
    schema = SCHEMA
    for name in further:
        schema = schema.append(pa.field(name, pa.list_(pa.float32())))
    rows = [
        {
            "request_id": slate.request_id,
            "user_id": slate.user_id,
            "timestamp": slate.timestamp,
            "answered_at": answered_at,
            "release": slate.release,
            "arm": slate.arm,
            "degraded": list(slate.degraded),
            "items": [item.item_id for item in slate.items],
            "scores": [item.score for item in slate.items],
            **{name: [item.scores.get(name) for item in slate.items] for name in (*OBJECTIVES, *further)},
            "sources": [item.source for item in slate.items],
            "propensities": [item.propensity for item in slate.items],
            "features": _json(slate.features),
        }
        for answered_at, slate in records
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _json(features: Mapping[str, Any]) -> str:
    return orjson.dumps({name: value for name, value in features.items() if name != "user_id"}).decode()
