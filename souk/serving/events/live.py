"""Events that come while a release serves: on the disk, then in their users' states, then answered for."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from souk.schema import EventType
from souk.serving.events.backlog import FEW, Backlog, StateWriter
from souk.serving.events.ids import EventIds
from souk.serving.events.log import EventLog, read
from souk.store.interface import Locked, StoreError

logger = logging.getLogger(__name__)
TOGETHER = 2000  # events of one write to the disk
MOST_WAITING = 20_000  # events
START_SECONDS = 30.0  # that a start takes events of the log into the states; the others follow while it serves
LOCKED_SECONDS = 6.0  # that it waits for users whom another holds up: the lock of one that was killed lives for five
PATIENCE = 15.0  # seconds that the end waits for the disk, the store and who sells
REST_SECONDS = 1.0  # between two calls of a store that does not answer, and two looks at the clock


class Busy(Exception):
    """More events wait than the server takes."""


@dataclass(frozen=True)
class Taken:
    """What became of the events of one call.

    Args:
        accepted: events that are on the disk.
        duplicates: events whose id came before; they change nothing.
        pending: accepted events that are not in a state, because the store did not answer, or because a user's state
            cannot be changed.
    """

    accepted: int
    duplicates: int
    pending: int


@dataclass(frozen=True)
class Loaded:
    """What the log gave at the start: events, files with a torn last line, and damaged lines."""

    events: int = 0
    torn: int = 0
    damaged: int = 0


@dataclass(frozen=True)
class _Call:
    rows: list[dict[str, Any]]
    answer: Future[Taken]


class LiveEvents:
    """One thread takes all events: what waits together shares a write to the disk and a call of the store, and the
    events of one user come one after the other.

    Args:
        log: where events are kept.
        writer: takes them into states.
        publication: names the states as they stand (souk.serving.events.backlog).
        clock: seconds that only grow.
        sold: is handed what comes for the first time, before the log is: what it raises keeps the events out, too.
    """

    def __init__(
        self,
        log: EventLog,
        writer: StateWriter,
        publication: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        sold: Callable[[Sequence[Mapping[str, Any]]], None] = lambda rows: None,
    ) -> None:
        self._log, self._writer, self._clock, self._sold = log, writer, clock, sold
        self._backlog = Backlog(log, writer, publication, clock)
        self.loaded, self._ids = Loaded(), EventIds()
        self._calls, self._waiting = deque[_Call](), 0
        self._changed = threading.Condition()
        self._closed, self._rests_until, self._told = False, 0.0, ""
        self._next: tuple[StateWriter, Callable[[], str]] | None = None
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    @property
    def behind(self) -> int:
        """Files of the log of which something is not in the states."""
        return len(self._backlog) + self._backlog.unread

    @property
    def places(self) -> dict[str, int]:
        """Events taken into states, by `souk.serving.events.states.Place`; those taken again included."""
        return dict(self._writer.places)

    def open(self) -> LiveEvents:
        """Reads the log, takes what the states lack, and starts."""
        torn, damaged = self._log.recover().torn, 0

        def ids() -> Iterator[str]:
            nonlocal damaged
            for path in self._log.files():
                try:
                    for row in read(path):
                        if row is None:
                            damaged += 1
                        else:
                            yield row["event_id"]
                except OSError as error:  # an event of it that comes again finds its place in the state
                    logger.warning("%s is passed over: %s: %s", path, type(error).__name__, error)

        self._ids = EventIds(ids())
        self.loaded = Loaded(len(self._ids), torn, damaged)
        if torn or damaged:
            logger.warning("%s: %d torn and %d damaged lines passed over", self._log.folder, torn, damaged)
        self._backlog.load()
        begun = self._clock()
        while len(self._backlog) and self._clock() < begun + START_SECONDS:
            error = self._catch_up()
            if error and not (isinstance(error, Locked) and self._clock() < begun + LOCKED_SECONDS):
                break
        self._backlog.users = FEW
        self._thread.start()
        return self

    def follow(self, writer: StateWriter, publication: Callable[[], str]) -> None:
        """From the next events on other states are written: those of another release, which get what the log has.

        Args:
            writer: takes events into them.
            publication: names the states that were published last.
        """
        with self._changed:
            self._next = writer, publication

    def submit(self, rows: Sequence[dict[str, Any]]) -> Future[Taken]:
        """Takes checked events (`souk.ingest.live.EventCheck`).

        Returns:
            what became of them; an `OSError` where the disk did not take them, and then none of them is taken.

        Raises:
            Busy: too many wait.
        """
        call = _Call(list(rows), Future())
        with self._changed:
            if self._closed or self._waiting + len(rows) > MOST_WAITING:
                raise Busy
            self._calls.append(call)
            self._waiting += len(rows)
            self._changed.notify()
        return call.answer

    def close(self) -> None:
        """Answers the calls that wait, and closes the file; what hangs is not waited for: the next start closes it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)
        if self._thread.is_alive():
            logger.error("%s: what came last is not answered, and the file stays open", self._log.folder)
            return
        with contextlib.suppress(OSError):  # the next start does it
            self._backlog.settle(self._log.close())

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._closed, self._pause())
                together, following = self._together(), self._next
                if not together and self._closed:
                    return
            if following:
                self._follow(following)
            try:
                if together:
                    self._take(together)
                self._look_after()
            except Exception:  # of the code: the calls to come are taken
                logger.exception("events")

    def _follow(self, following: tuple[StateWriter, Callable[[], str]]) -> None:
        """Writes other states from here on; where what they lack cannot be told yet, that is asked again."""
        if following[0] is not self._writer:
            following[0].places.update(self._writer.places)
            self._writer = following[0]
        try:
            self._backlog.follow(*following)
        except Exception:  # of the disk or the code: calls are taken, and the next turn asks again
            logger.exception("following another release")
            return
        with self._changed:
            self._next = None if self._next is following else self._next

    def _pause(self) -> float:
        return 0.0 if len(self._backlog) and self._clock() >= self._rests_until else REST_SECONDS

    def _together(self) -> list[_Call]:
        calls, count = list[_Call](), 0
        while self._calls and count < TOGETHER:
            call = self._calls.popleft()
            self._waiting -= len(call.rows)
            if call.answer.set_running_or_notify_cancel():  # who asked may have hung up
                calls.append(call)
                count += len(call.rows)
        return calls

    def _take(self, calls: Sequence[_Call]) -> None:
        by_call = self._fresh(calls)
        fresh, sold = [row for own in by_call for row in own], False
        try:
            if fresh:
                self._sold(fresh)  # first: an event that is in the log and comes again ends nothing
                sold = True
                self._log.append(fresh)
            self._ids.update(row["event_id"] for row in fresh)
            missing = self._applied(fresh)
        except Exception as error:
            kinds = [{row["event_type"] for row in own} for own in by_call]
            selling = [call for call, of in zip(calls, kinds, strict=True) if EventType.PURCHASE in of]
            for call in calls if sold else selling or calls:
                call.answer.set_exception(error)
            others = [call for call in calls if not call.answer.done()]
            del by_call, calls, call, selling, fresh  # it knows where it was raised, and would hold what holds it
        else:
            others = []
            for call, own in zip(calls, by_call, strict=True):
                pending = sum(row["user_id"] in missing for row in own)
                call.answer.set_result(Taken(len(own), len(call.rows) - len(own), pending))
        if others:
            self._take(others)

    def _fresh(self, calls: Sequence[_Call]) -> list[list[dict[str, Any]]]:
        """The events of each call whose ids come for the first time."""
        seen = set[str]()
        fresh = []
        for call in calls:
            own = list[dict[str, Any]]()
            for row in call.rows:
                if row["event_id"] not in seen and row["event_id"] not in self._ids:
                    seen.add(row["event_id"])
                    own.append(row)
            fresh.append(own)
        return fresh

    def _applied(self, rows: Sequence[dict[str, Any]]) -> set[str]:
        """Users whose events are not in the states now."""
        if not rows:
            return set()
        try:
            if self._clock() >= self._rests_until:
                refused = self._writer.take(self._writer.grouped(rows))
                if refused:
                    self._backlog.refuse(self._log.current)
                return refused
        except Exception as error:  # whatever it was: they are on the disk, and wait there
            self._rest(error)
        self._backlog.owe(self._log.current)
        return {row["user_id"] for row in rows}

    def _look_after(self) -> None:
        """What is to be done beside calls; a little at a time."""
        if self._clock() >= self._rests_until:
            try:
                self._backlog.watch()
            except StoreError as error:
                self._rest(error)
        if len(self._backlog) and self._clock() >= self._rests_until:
            self._catch_up()
        with contextlib.suppress(OSError):  # the disk is asked again the next time
            self._backlog.settle(self._log.rotate())

    def _catch_up(self) -> Exception | None:
        try:
            self._backlog.step()
        except Exception as error:
            self._rest(error)
            return error
        if self._told and not len(self._backlog):
            logger.warning("the events of the log are in the user states again")
            self._told = ""
        return None

    def _rest(self, error: Exception) -> None:
        """Leaves the store alone for a while; the same reason is told once."""
        self._rests_until, why = self._clock() + REST_SECONDS, f"{type(error).__name__}: {error}"
        if why != self._told:
            logger.warning("events wait for the store: %s", error)
            self._told = why
