"""What everybody engages with while a release serves: from the event log, where other servers write too."""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from souk.schema import DAY_MS
from souk.serving.events.log import closed_name, event
from souk.serving.events.states import event_of
from souk.serving.loaded import Loaded
from souk.spec import FeatureSpec
from souk.state import engaging

logger = logging.getLogger(__name__)
CHUNK = 2_000  # lines between two looks at the clock
PATIENCE = 1.0  # seconds that another's look is waited for
MOST_WAITING = 100_000  # engagements whose item is still to come, and as many whose time is
SETTLED_NS = 2_000_000_000  # a folder that changed later may change again within a tick of its file system's clock


@dataclass
class _File:
    """What is known of a file of the log.

    Args:
        place: bytes of it that were read.
        closed: it has its last name, and was read to its end.
        told: what was wrong with it last.
    """

    place: int = 0
    closed: bool = False
    told: str = ""


@dataclass
class _Day:
    """What is known of a day's folder.

    Args:
        changed: when it changed last, ns, where everything in it was read.
        files: by the names that they have in the end.
        told: what was wrong with it last.
    """

    changed: int = -1
    files: dict[str, _File] = field(default_factory=dict)
    told: str = ""


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
        self._days: dict[Path, _Day] = {}
        self._last = folder  # the file in which the last look ended
        self._waiting = _Waiting()
        self._counted_all = time.monotonic()  # when the last look began after which nothing was left
        self._failed = False
        self._looking = threading.Lock()
        self.counted = 0

    @property
    def behind(self) -> float:
        """Seconds since everything that there was had been counted: since the start, where it never had."""
        return time.monotonic() - self._counted_all

    def follow(self, seconds: float = float("inf")) -> int:
        """Takes what the log got since the last look, for so long at most; how many engagements were counted.

        What is left is taken by the next look.
        """
        with self._looking:
            return self._follow(seconds)

    def go_on(self, other: LiveCounts) -> bool:
        """Begins, before it counts anything, with what another has counted of the same release and log.

        Returns:
            whether it does; not where a look of the other hangs, or it knows an item that is not here.
        """
        if not other._looking.acquire(timeout=PATIENCE):
            return False
        try:
            theirs, mine = other._loaded(), self._loaded()
            there, here = theirs.catalogue.positions, mine.catalogue.positions
            own = np.fromiter((here.get(item, -1) for item in there), np.int64, len(there))
            if (own < 0).any():
                return False
            mine.items.counts.take(theirs.items.counts, own, np.fromiter(there.values(), np.int64, len(there)))
            self._days, self._last, self._waiting = deepcopy(other._days), other._last, other._waiting.copied()
            self._counted_all, self.counted = other._counted_all, other.counted
            return True
        finally:
            other._looking.release()

    def _follow(self, seconds: float) -> int:
        before, began, self._failed = self.counted, time.monotonic(), False
        until = began + seconds
        in_time = self._add_waiting(until)
        unread = [path for day in self._listed_days() for path in self._unread(day)]
        begin = bisect_right(unread, self._last, key=_last_name)  # so that one that grows fast keeps none from its turn
        for path in unread[begin:] + unread[:begin]:
            if not self._take(path, until):
                self._last, in_time = _last_name(path), False
                break
        if in_time and not self._failed:
            self._counted_all = began
        return self.counted - before

    def _listed_days(self) -> list[Path]:
        """The folders that may hold something new: not those of before the boundary. What is gone is forgotten."""
        since = self._loaded().items.counts.since
        there = self._folder.iterdir() if self._folder.is_dir() else ()
        days = sorted(day for day in there if _end(day) >= since)
        if days:  # a volume that is away for a moment has none, and is not to be counted again
            self._days = {day: self._days.get(day, _Day()) for day in days}
        return days

    def _unread(self, day: Path) -> list[Path]:
        """The files of a day's folder that were not read to their end; none where it is as it was then."""
        known = self._days[day]
        try:
            changed = day.stat().st_mtime_ns
            if known.changed == changed or not day.is_dir():
                return []
            paths = sorted(filter(_of_the_log, day.iterdir()), key=_last_name)
        except FileNotFoundError:  # it was removed
            return []
        except OSError as error:  # of this folder alone, as one of which a network file system lost hold
            self._fail(day, known, error)
            return []
        unread = [path for path in paths if not self._file(path).closed]
        if not unread and time.time_ns() - changed > SETTLED_NS:
            known.changed = changed
        return unread

    def _file(self, path: Path) -> _File:
        return self._days[path.parent].files.setdefault(_last_name(path).name, _File())

    def _take(self, path: Path, until: float) -> bool:
        """Counts what a file has behind what was read; whether there is time for another."""
        known = self._file(path)
        try:
            with path.open("rb") as file:
                # What a disk refused is cut off again. Where a look saw it before, it stays counted.
                known.place = file.seek(min(known.place, os.fstat(file.fileno()).st_size))
                whole = takewhile(lambda line: line.endswith(b"\n"), file)
                while chunk := list(islice(whole, CHUNK)):
                    self._add([each for line in chunk for each in self._engagement(event(line))])
                    known.place += sum(map(len, chunk))
                    if time.monotonic() > until:
                        return False
        except FileNotFoundError:  # it has its last name by now, or was removed
            return path == _last_name(path) or self._take(_last_name(path), until)
        except OSError as error:
            self._fail(path, known, error)
            return True
        known.closed = path == _last_name(path)
        return True  # one of which nothing is new costs little

    def _fail(self, path: Path, known: _Day | _File, error: OSError) -> None:
        """Leaves a path to a later look; the same reason is told once."""
        self._failed = True
        if known.told != (why := f"{error.strerror}"):
            logger.warning("%s: %s", path, why)
        known.told = why

    def _engagement(self, row: dict[str, Any] | None) -> list[tuple[str, int]]:
        """Item and time of a row, where it is one that counts."""
        try:
            counts = row is not None and engaging(event_of(row), self._spec)
            return [(str(row["item_id"]), int(row["timestamp"]))] if row is not None and counts else []
        except (KeyError, TypeError, ValueError):  # no server wrote it
            return []

    def _add(self, found: list[tuple[str, int]]) -> None:
        """Counts what can be counted now; the rest waits."""
        loaded, now = self._loaded(), self._clock()
        counts, position = loaded.items.counts, loaded.catalogue.positions
        known, ahead = list[tuple[int, int]](), list[tuple[int, str]]()
        for item, moment in found:
            if moment >= now:
                ahead.append((moment, item))
            elif moment >= counts.since and item in position:
                known.append((position[item], moment))
            elif moment >= counts.since:
                self._waiting.for_item(item, moment)
        self._waiting.for_time(ahead)
        counts.add(*np.array(known, np.int64).reshape(-1, 2).T)
        self.counted += len(known)

    def _add_waiting(self, until: float) -> bool:
        """Counts what waited long enough; whether there was time for all of it."""
        for found in self._waiting.ready(self._clock(), self._loaded().catalogue.positions):
            self._add(found)
            if time.monotonic() > until:
                return False
        return True


class _Waiting:
    """Engagements that cannot be counted yet: for a time that is still to come, or for an item that is."""

    def __init__(self) -> None:
        self._ahead: list[tuple[int, str]] = []  # ascending
        self._unknown: OrderedDict[str, deque[int]] = OrderedDict()  # times by item, in the order in which they came
        self._unknown_size = 0
        self._positions: Mapping[str, int] = {}  # of the items that nothing in `_unknown` is of

    def copied(self) -> _Waiting:
        """Another with the same, which looks through it at once: its items may be others."""
        other = _Waiting()
        other._ahead, other._unknown_size = [*self._ahead], self._unknown_size
        other._unknown = OrderedDict((item, deque(moments)) for item, moments in self._unknown.items())
        return other

    def for_time(self, found: list[tuple[int, str]]) -> None:
        """Takes times and items; where these are too many, what is due last is given up."""
        if found:
            self._ahead = sorted([*self._ahead, *found])[:MOST_WAITING]

    def for_item(self, item: str, moment: int) -> None:
        """Takes one; where these are too many, one of the item that waits longest is given up."""
        self._unknown.setdefault(item, deque()).append(moment)
        self._unknown_size += 1
        if self._unknown_size > MOST_WAITING:
            self._taken(next(iter(self._unknown)), 1)

    def ready(self, now: int, positions: Mapping[str, int]) -> Iterator[list[tuple[str, int]]]:
        """Hands out what is of a time before now, or of an item that is known by now, CHUNK of it at a time.

        Who looks at no more than some of it gets the rest the next time. That costs little where nothing is ready.
        """
        while due := self._ahead[: min(CHUNK, bisect_left(self._ahead, (now,)))]:
            del self._ahead[: len(due)]
            yield [(item, moment) for moment, item in due]
        if positions is self._positions:
            return
        for item in self._unknown.keys() & positions.keys():
            while item in self._unknown:
                yield [(item, moment) for moment in self._taken(item, CHUNK)]
        self._positions = positions

    def _taken(self, item: str, most: int) -> list[int]:
        moments = self._unknown[item]
        taken = [moments.popleft() for _ in range(min(most, len(moments)))]
        self._unknown_size -= len(taken)
        if not moments:
            del self._unknown[item]
        return taken


def _of_the_log(path: Path) -> bool:
    """Whether it is a file of events, one that grows or another."""
    return path.suffix == (".open" if path.name.startswith(".") else ".jsonl")


def _last_name(path: Path) -> Path:
    """The name that a file has in the end."""
    return closed_name(path) if path.suffix == ".open" else path


def _end(day: Path) -> int:
    """When the last event of a day's folder may have been, UTC epoch milliseconds; of another name the end of time."""
    try:
        began = datetime.strptime(day.name, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        began = datetime.max.replace(tzinfo=UTC)
    return int(began.timestamp() * 1000) + 2 * DAY_MS  # clocks of clients are ahead of the server's
