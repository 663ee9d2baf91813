"""Which files of the event log are not yet in the user states, and the way there."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from souk.serving.events.log import EventLog, closed_name, read
from souk.serving.events.states import event_of, with_all
from souk.spec import FeatureSpec
from souk.state import Event, UserState
from souk.store.interface import OnlineStore

logger = logging.getLogger(__name__)
BLOCK = 200  # users of one read and one write


class StateWriter:
    """Takes events into the states of their users. One thread at a time.

    Args:
        store: of the states.
        spec: of the release.
        clock: UTC epoch milliseconds.
        changed: is told whose states are others.
    """

    def __init__(
        self,
        store: OnlineStore,
        spec: FeatureSpec,
        clock: Callable[[], int],
        changed: Callable[[Collection[str]], None] = lambda users: None,
    ) -> None:
        self.store, self._spec, self._clock, self._changed = store, spec, clock, changed
        self.places: Counter[str] = Counter()

    def grouped(self, rows: Iterable[dict[str, Any]]) -> dict[str, list[Event]]:
        """The events of each user."""
        events: dict[str, list[Event]] = {}
        for row in rows:
            events.setdefault(row["user_id"], []).append(event_of(row, self._spec))
        return events

    def take(self, events: dict[str, list[Event]]) -> None:
        """Events into states: one read and one write for each BLOCK of users.

        Raises:
            StoreError: the store does not answer; what is missing may be taken again.
        """
        for users in blocks(events):
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
        events: dict[str, list[Event]],
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
    """The files that wait. A file is marked, beside it, with the publication of states that it is in.

    Args:
        log: the log.
        writer: takes events.
        publication: what names the states as they were published last, with their view; another name, and every file
            waits again, since those states may know nothing of it.
    """

    def __init__(self, log: EventLog, writer: StateWriter, publication: Callable[[], str]) -> None:
        self._log, self._writer, self._name = log, writer, publication
        self._publication = publication()
        self._waiting: dict[Path, None] = {}  # by the name that a file has in the end
        self._steps: Iterator[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def load(self) -> None:
        """All closed files wait that do not bear the mark."""
        self._publication = self._name()
        for path in self._log.files():
            if path.suffix == ".jsonl" and _mark(path) != self._publication:
                self._waiting[path] = None

    def follow(self, writer: StateWriter, publication: Callable[[], str]) -> None:
        """Other states from now on, in which a file is only if it bears their mark."""
        self._writer, self._name, self._steps = writer, publication, None
        self.watch()

    def owe(self, path: Path | None) -> None:
        """A file of which something is not in the states."""
        if path is not None:
            self._waiting.setdefault(closed_name(path) if path.suffix == ".open" else path)
            self._steps = None

    def watch(self) -> None:
        """Everything waits anew after another publication, what comes just now included."""
        if self._name() != self._publication:
            logger.info("user states were published: the events of the log are taken into them")
            self._steps = None
            self.load()
            self.owe(self._log.current)

    def step(self) -> None:
        """A block of users further.

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
        if closed is not None and closed not in self._waiting:
            with contextlib.suppress(OSError):  # it is taken again then
                _mark_file(closed).write_text(self._publication, encoding="utf-8")

    def _way(self) -> Iterator[None]:
        while self._waiting:
            path = next(iter(self._waiting))
            growing = path.with_name(f".{path.stem}.open")
            there = path if path.exists() else growing
            events = self._writer.grouped(row for row in read(there) if row is not None)
            for users in blocks(events):
                self._writer.take({user: events[user] for user in users})
                yield
            del self._waiting[path]
            self.settle(path if path.exists() else None)


def blocks(users: Iterable[str]) -> Iterator[list[str]]:
    """BLOCK users after the other."""
    rest = iter(users)
    while block := list(islice(rest, BLOCK)):
        yield block


def _mark_file(path: Path) -> Path:
    return path.with_name(f".{path.stem}.applied")


def _mark(path: Path) -> str:
    try:
        return _mark_file(path).read_text(encoding="utf-8")
    except OSError:
        return ""
