"""Which files of the event log are not yet in the user states, and the way there."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from souk.ingest.outliers import Limits
from souk.serving.events.log import EventLog, closed_name, read
from souk.serving.events.states import Place, event_of, with_all
from souk.serving.seldom import Seldom
from souk.spec import FeatureSpec
from souk.state import Event, UserState
from souk.store.interface import OnlineStore, StoreError

logger = logging.getLogger(__name__)
Entry = TypeVar("Entry")
seldom = Seldom(logger)
BLOCK = 200  # users of one read and one write
FEW = 20  # users of a step while calls come: some 30 ms, for which they wait
ROWS = 1_000  # that are read in a step, as long
AGAIN_SECONDS = 60.0  # until a file that could not be read is tried again
NOT_OF_A_USER = (StoreError, OSError, MemoryError)  # what is raised of the store, or the machine, as a whole


class StateWriter:
    """Takes events into the states of their users. One thread at a time.

    Args:
        store: of the states.
        spec: of the release.
        clock: UTC epoch milliseconds.
        changed: is told whose states are others.
        bounds: by column of events `[low, high, action]`: numbers are clipped in states as in the rows of training, and
            in the log they are as they came.
    """

    def __init__(
        self,
        store: OnlineStore,
        spec: FeatureSpec,
        clock: Callable[[], int],
        changed: Callable[[Collection[str]], None] = lambda users: None,
        bounds: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> None:
        self.store, self._spec, self._clock, self._changed = store, spec, clock, changed
        self._limits = Limits(bounds)
        self.places: Counter[str] = Counter()

    def grouped(self, rows: Iterable[dict[str, Any]]) -> dict[str, list[Event]]:
        """The events of each user, but for those that training refuses: a log has some of before its bounds."""
        events: dict[str, list[Event]] = {}
        for row in rows:
            if not self._limits.refused(row):
                events.setdefault(row["user_id"], []).append(event_of(self._limits.clipped(row)))
        return events

    def take(self, events: Mapping[str, list[Event]]) -> set[str]:
        """Events into states: one read and one write for each BLOCK of users.

        Returns:
            users whose state cannot be changed, whatever is wrong with it: the others have their events.

        Raises:
            StoreError: the store does not answer; what is missing may be taken again.
        """
        refused = set[str]()
        for users in blocks(events, BLOCK):
            try:
                self._update(users, events)
            except NOT_OF_A_USER:
                raise
            except Exception as error:
                if len(users) > 1:
                    refused.update(*(self.take({user: events[user]}) for user in users))
                else:
                    seldom.exception("events that their user's state cannot take", error)
                    self.places[Place.REFUSED] += len(events[users[0]])
                    refused.update(users)
        return refused

    def _update(self, users: list[str], events: Mapping[str, list[Event]]) -> None:
        changed, places = list[UserState](), Counter[str]()
        change = partial(self._change, users, events, changed, places)
        try:
            self.store.update(users, change, self._clock())
        finally:  # one that failed may have written some
            self._changed([state.user_id for state in changed])
        self.places.update(places)

    def _change(
        self,
        users: list[str],
        events: Mapping[str, list[Event]],
        changed: list[UserState],
        places: Counter[str],
        states: list[UserState | None],
    ) -> list[UserState]:
        for user, state in zip(users, states, strict=True):
            old = state or UserState(user)
            new, found = with_all(old, events[user], self._spec)
            places.update(found)
            if new is not old:
                changed.append(new)
        return changed


class Backlog:
    """The files that wait. A file is marked, beside it, with the publication of states that it is in, unless a state
    could not be changed by something of it: the next start tries that again.

    Args:
        log: the log.
        writer: takes events.
        publication: what names the states as they were published last, with their view and the process that holds
            them; another name, and every file waits again, since those states may know nothing of it. It raises a
            StoreError where that cannot be told now.
        clock: seconds that only grow.

    Attributes:
        users: of a step.
    """

    def __init__(
        self,
        log: EventLog,
        writer: StateWriter,
        publication: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._writer, self._name, self._clock = log, writer, publication, clock
        self._publication = ""  # that is not known yet
        self._waiting: dict[Path, None] = {}  # by the name that a file has in the end
        self._unread: dict[Path, float] = {}  # that could not be read, and when it is tried again
        self._refused = set[Path]()  # of which something could not be taken
        self._steps: Iterator[None] | None = None
        self.users = BLOCK

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unread(self) -> int:
        """Files that could not be read: they wait for a while beside the others, and hold none of these up."""
        unread, waiting = list(self._unread), list(self._waiting)  # at once: another thread changes them
        return len({*unread}.difference(waiting))

    def load(self) -> None:
        """All closed files wait that do not bear the mark; where that is not known, `watch` sees to it later."""
        try:
            self._publication = self._name()
        except StoreError:
            self._publication = ""
            return
        for path in self._log.files():
            if path.suffix == ".jsonl" and _mark(path) != self._publication:
                self._waiting[path] = None

    def follow(self, writer: StateWriter, publication: Callable[[], str]) -> None:
        """Other states from now on, in which a file is only if it bears their mark."""
        self._writer, self._name, self._steps = writer, publication, None
        try:
            self.watch()
        except StoreError:
            self._publication = ""

    def owe(self, path: Path | None) -> None:
        """A file of which something is not in the states."""
        if path is not None:
            self._waiting.setdefault(closed_name(path) if path.suffix == ".open" else path)
            self._steps = None

    def refuse(self, path: Path | None) -> None:
        """A file of which something cannot be taken into a state."""
        if path is not None:
            self._refused.add(closed_name(path) if path.suffix == ".open" else path)

    def watch(self) -> None:
        """Everything waits anew where the states may be others, what comes just now included.

        Raises:
            StoreError: that cannot be told now.
        """
        for path in [path for path, until in self._unread.items() if self._clock() >= until]:
            del self._unread[path]
            self._waiting.setdefault(path)
            self._steps = None
        if self._name() != self._publication:
            if self._publication:
                logger.info("user states were published, or their store started again: they get the events of the log")
            self._steps = None
            self.load()
            self.owe(self._log.current)

    def step(self) -> None:
        """Some users, or rows of a file, further.

        Raises:
            StoreError: the store does not answer; the file goes on waiting.
        """
        self._steps = self._steps or self._way()
        try:
            next(self._steps, None)
        except Exception:
            self._steps = None
            raise

    def settle(self, closed: Path | None) -> None:
        """Marks a file that was closed, unless something of it waits."""
        if closed is not None and not any(closed in each for each in (self._waiting, self._unread, self._refused)):
            with contextlib.suppress(OSError):  # it is taken again then
                _mark_file(closed).write_text(self._publication, encoding="utf-8")

    def _way(self) -> Iterator[None]:
        while self._waiting:
            path = next(iter(self._waiting))
            growing = path.with_name(f".{path.stem}.open")
            events: dict[str, list[Event]] = {}
            self._refused.discard(path)
            try:
                there = path if path.exists() else growing
                for part in blocks((row for row in read(there) if row is not None), ROWS):
                    for user, own in self._writer.grouped(part).items():
                        events.setdefault(user, []).extend(own)
                    yield
            except OSError as error:  # of this file alone, as one without the right to read it
                seldom.warning("%s of the events is tried again later: %s: %s", str(path), type(error).__name__, error)
                self._unread[path] = self._clock() + AGAIN_SECONDS
                del self._waiting[path]
                continue
            rest = iter(events)
            while users := list(islice(rest, self.users)):
                if self._writer.take({user: events[user] for user in users}):
                    self.refuse(path)
                yield
            del self._waiting[path]
            self.settle(path if path.exists() else None)


def blocks(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """So many entries after the other."""
    rest = iter(entries)
    while block := list(islice(rest, size)):
        yield block


def _mark_file(path: Path) -> Path:
    return path.with_name(f".{path.stem}.applied")


def _mark(path: Path) -> str:
    try:
        return _mark_file(path).read_text(encoding="utf-8")
    except OSError:
        return ""
