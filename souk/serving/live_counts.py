"""What everybody engages with while a release serves: from the event log, where other servers write too."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from souk.schema import DAY_MS
from souk.serving.event_log import closed_name, event
from souk.serving.event_states import event_of
from souk.serving.loaded import Loaded
from souk.spec import FeatureSpec
from souk.state import engaging

logger = logging.getLogger(__name__)
CHUNK = 2_000  # lines between two looks at the clock
MOST_WAITING = 100_000  # engagements whose item is still to come, and as many whose time is
SETTLED_NS = 2_000_000_000  # a folder that changed later may change again within a tick of its file system's clock


class LiveCounts:
    """Adds the engagements of the log to the counts of a release, a little after they came.

    What the release was trained with is counted in it: of the log only events from its boundary on are. Those of an
    item that it does not know yet wait for the item, those of a clock that is ahead for their time. An event that was
    sent to two servers counts twice: each knows the ids that it was sent.

    Args:
        folder: of the log.
        spec: of the release.
        loaded: what serves now; its counts are added to.
        clock: UTC epoch milliseconds.
    """

    def __init__(self, folder: Path, spec: FeatureSpec, loaded: Callable[[], Loaded], clock: Callable[[], int]) -> None:
        self._folder, self._spec, self._loaded, self._clock = folder, spec, loaded, clock
        self._read: dict[Path, int] = {}  # bytes, by the name that a file has in the end
        self._closed: set[Path] = set()  # read to their end
        self._days: dict[Path, int] = {}  # when a folder changed, of those of which everything is read
        self._ahead, self._unknown = (deque[tuple[str, int]](maxlen=MOST_WAITING) for _ in range(2))
        self._positions: Mapping[str, int] = {}  # of the items that were known at the last look
        self._told: set[str] = set()
        self.counted = 0

    def follow(self, seconds: float = float("inf")) -> int:
        """Takes what the log got since the last look, for so long at most; how many engagements were counted.

        What is left is taken by the next look.
        """
        before, until = self.counted, time.monotonic() + seconds
        self._add_waiting()
        for day in self._changed_days():
            with contextlib.suppress(FileNotFoundError):  # it was removed
                if not self._take_day(day, until):
                    break
        return self.counted - before

    def _take_day(self, day: Path, until: float) -> bool:
        """Counts what a day's files have behind what was read; whether there was time for all of it."""
        changed, growing = day.stat().st_mtime_ns, False
        for path in (*sorted(day.glob("[!.]*.jsonl")), *sorted(day.glob(".*.open"))):
            growing |= path.suffix == ".open"
            if not self._take(path, until):
                return False
        if not growing and time.time_ns() - changed > SETTLED_NS:
            self._days[day] = changed
        return True

    def _changed_days(self) -> Iterator[Path]:
        """The folders that may hold something new: not those of before the boundary."""
        since = self._loaded().items.counts.since
        for day in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                if day.is_dir() and _end(day) >= since and self._days.get(day) != day.stat().st_mtime_ns:
                    yield day

    def _take(self, path: Path, until: float) -> bool:
        """Counts what a file has behind what was read; whether there was time for all of it."""
        name = closed_name(path) if path.suffix == ".open" else path
        if name in self._closed:
            return True
        try:
            with path.open("rb") as file:
                # What a full disk refused was cut off again, and may have been counted: if it is shorter, from there.
                place = file.seek(min(self._read.get(name, 0), os.fstat(file.fileno()).st_size))
                found, lines = list[tuple[str, int]](), 0
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    place, lines = place + len(line), lines + 1
                    found += self._engagement(event(line))
                    if lines % CHUNK == 0:
                        self._add(found)
                        self._read[name], found = place, []
                        if time.monotonic() > until:
                            return False
                self._add(found)
                self._read[name] = place
        except FileNotFoundError:  # it has its last name by now, or was removed
            return True
        except OSError as error:
            if (said := f"{path}: {error.strerror}") not in self._told:
                logger.warning("%s", said)
                self._told.add(said)
            return True
        if path == name:
            self._closed.add(name)
            self._read.pop(name, None)
        return not lines or time.monotonic() <= until  # one of which nothing is new costs little

    def _engagement(self, row: dict[str, Any] | None) -> list[tuple[str, int]]:
        """Item and time of a row, where it is one that counts."""
        try:
            counts = row is not None and engaging(event_of(row, self._spec), self._spec)
            return [(str(row["item_id"]), int(row["timestamp"]))] if row is not None and counts else []
        except (KeyError, TypeError, ValueError):  # no server wrote it
            return []

    def _add(self, found: list[tuple[str, int]]) -> None:
        loaded, now = self._loaded(), self._clock()
        counts, position = loaded.items.counts, loaded.catalogue.positions
        found = [(item, moment) for item, moment in found if moment >= counts.since]
        known = [(position[item], moment) for item, moment in found if moment < now and item in position]
        self._ahead.extend((item, moment) for item, moment in found if moment >= now)
        self._unknown.extend((item, moment) for item, moment in found if moment < now and item not in position)
        counts.add(*np.array(known, np.int64).reshape(-1, 2).T)
        self.counted += len(known)

    def _add_waiting(self) -> None:
        """Adds what waited for its time, and, where there are others than at the last look, for its item."""
        position = self._loaded().catalogue.positions
        waiting = [self._ahead] + [self._unknown] * (position is not self._positions)
        self._positions = position
        self._add([queue.popleft() for queue in waiting for _ in range(len(queue))])


def _end(day: Path) -> int:
    """When the last event of a day's folder may have been, UTC epoch milliseconds; of another name the end of time."""
    try:
        began = datetime.strptime(day.name, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        began = datetime.max.replace(tzinfo=UTC)
    return int(began.timestamp() * 1000) + 2 * DAY_MS  # clocks of clients are ahead of the server's
