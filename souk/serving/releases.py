"""Which release answers: the current one of the workspace, changed under traffic when the pointer moves."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from souk.errors import SoukError
from souk.ingest.live import EventCheck
from souk.release.bundle import Bundle
from souk.serving.events.counts import LiveCounts
from souk.serving.items.live import LiveItems
from souk.serving.items.outcomes import Outcome, Retired
from souk.serving.reading import Unwanted, read_while
from souk.serving.request import RequestParser
from souk.serving.retries import Retries

logger = logging.getLogger(__name__)
POLITE = 10  # how much less of a core than requests a release that is being read gets
Changed = TypeVar("Changed")
WARM_SECONDS = 600.0  # that the release before is kept for a rollback


@dataclass(frozen=True, eq=False)
class Served:
    """A release that answers, with all that has to change at once.

    Args:
        bundle: the release.
        live: its recommender, which upserts replace.
        parser: of its requests.
        check: of events.
        close: lets go of what it holds open.
        bytes: what its arrays and models take (souk.serving.memory).
        counts: what adds the engagements of the event log.
    """

    bundle: Bundle
    live: LiveItems
    parser: RequestParser
    check: EventCheck
    close: Callable[[], None]
    bytes: int = 0
    counts: LiveCounts | None = None


class Serve(Protocol):
    """Makes a release answer, with what was counted `before`, when it answered last; None to count from its start."""

    def __call__(self, before: Served | None = None) -> Served: ...


@dataclass(frozen=True)
class Ready:
    """A release that was read, checked and warmed, but that does not answer yet.

    Args:
        serve: makes it answer; short, and while it runs no item can be upserted. May be called again.
        close: lets go of what it holds open, if it is not to answer.
    """

    serve: Serve
    close: Callable[[], None]


class Releases:
    """The release that answers.

    A new one is read, checked and warmed in a thread beside the old one; then one reference moves, so that an answer is
    of one release. One that is broken is refused, said so once, and the old one stays; what failed for
    something that may pass (a volume, the memory) is tried again (souk.serving.retries). What was in the air is
    answered by the old one. That is kept for WARM_SECONDS, or until a third is read: so a rollback is one reference,
    too, and there are never more than two.

    Args:
        first: answers from the start.
        pointed: the folder that the workspace points to.
        read: makes a release of a folder ready.
        clock: monotonic seconds.
        changed: is told of each release that answers instead of another; may be replaced.
        let_go: is called when the release before was let go of; may be replaced.
        kept: is called when one more release is in memory to stay; may be replaced.
    """

    changed: Callable[[Served], None]
    let_go: Callable[[], None]
    kept: Callable[[], None]

    def __init__(
        self,
        first: Ready,
        pointed: Callable[[], Path],
        read: Callable[[Path], Ready],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ready, self.now = first, first.serve()
        self._seen, self._noting = weakref.WeakSet((self.now,)), threading.Lock()
        threading.Thread(target=self.now.live.warm, name="item tower", daemon=True).start()  # no answer waits for it
        self.taken = self.refused = 0
        self.changed, self.let_go, self.kept = lambda served: None, lambda: None, lambda: None
        self.beside: Sequence[Served] = ()  # releases of experiments' arms
        self._pointed, self._read, self._clock = pointed, read, clock
        self._tried, self._retries = self.now.bundle.folder, Retries(clock)
        self._before: tuple[Ready, Served, float] | None = None  # what answered before, and until when
        self._items_taken = clock()  # when the last look at the log of items began that took all
        self._lost = self._closed = False

    @property
    def alive(self) -> list[Served]:
        """Every release that is in memory: this one, and whichever somebody still holds."""
        with self._noting:
            return list(self._seen)

    def note(self, served: Served) -> None:
        """Counts a release among those that are in memory, for as long as it is."""
        with self._noting:
            self._seen.add(served)

    def close(self) -> None:
        """Lets go of everything; what is being read is let go when it is."""
        self._closed = True
        self._let_go()
        with contextlib.suppress(Exception):  # of an index that is gone already
            self.now.close()

    @property
    def items_behind(self) -> float:
        """Seconds since all of the log of items was in the answers; less than one where no look fails or waits."""
        return self._clock() - self._items_taken

    def follow(self, seconds: float) -> None:
        """Looks at the pointer from now on, so often."""
        often(self.look, seconds, "releases", POLITE)

    def follow_logs(self, item_seconds: float, count_seconds: float) -> None:
        """From now on takes what other servers do to items, and counts what everybody engages with, each so often."""
        often(self._follow_items, item_seconds, "log of items", 0)
        often(lambda: self._follow_counts(count_seconds), count_seconds, "log of events", 0)

    def _follow_items(self) -> None:
        began = self._clock()
        for served in (self.now, *self.beside):
            served.live.follow()
        self._items_taken = began

    def _follow_counts(self, seconds: float) -> None:
        counts = [served.counts for served in (self.now, *self.beside) if served.counts]
        for each in counts:
            each.follow(seconds / 5 / len(counts))

    def look(self) -> bool:
        """Serves what the pointer points to, if that is new and sound; whether it changed."""
        if self._before and self._clock() - self._before[2] > WARM_SECONDS:
            self._let_go()
        folder = self._news()
        if folder is None:
            return False
        try:
            ready, same = self._made_ready(folder)
            try:
                if self._closed:
                    raise SoukError("a server that goes on", "one that ends")
                with self.now.live.handing_over():
                    before, self.now = (self._ready, self.now, self._clock()), ready.serve(same)
            except BaseException:
                ready.close()
                raise
        except Unwanted:
            logger.warning("release %s: no longer current, %s stays", folder.name, self.now.bundle.folder.name)
            self._tried = self.now.bundle.folder
            return False
        except Exception as error:  # whatever is wrong with it, the old one answers
            self.refused += 1
            self._retries.failed(error)
            logger.exception("release refused, %s stays: %s", self.now.bundle.folder.name, why(error))
            return False
        del same
        self._ready, self._before = ready, before
        self.note(self.now)
        self.taken += 1
        logger.warning("release %s answers now", folder.name)
        self.changed(self.now)
        self.now.live.warm()
        self.kept()
        return True

    def _news(self) -> Path | None:
        """What the pointer points to, where that is to be tried now."""
        try:
            folder = self._pointed()
        except (SoukError, OSError) as error:
            if not self._lost:
                logger.warning("%s stays: %s", self.now.bundle.folder.name, error)
            self._lost = True
            return None
        self._lost = False
        if folder == self.now.bundle.folder or (folder == self._tried and not self._retries.due):
            self._tried = folder
            return None
        if folder != self._tried:
            self._retries.begin()
        self._tried = folder
        return folder

    def _made_ready(self, folder: Path) -> tuple[Ready, Served | None]:
        """The release before, which is as it was, and how it answered; or another, for which that one goes."""
        if self._before and self._before[1].bundle.folder == folder:
            (ready, served, _), self._before = self._before, None
            logger.warning("release %s: still here", folder.name)
            return ready, served
        self._let_go()
        logger.warning("release %s: reading it beside %s", folder.name, self.now.bundle.folder.name)
        return read_while(lambda: self._current(folder), self._read, folder), None

    def _current(self, folder: Path) -> bool:
        """Whether the pointer is at a folder; so it is where nobody can tell."""
        with contextlib.suppress(SoukError, OSError):
            return self._pointed() == folder
        return True

    def _let_go(self) -> None:
        """Of the release before."""
        before, self._before = self._before, None
        if before:
            with contextlib.suppress(Exception):  # of an index that is gone already
                before[1].close()
            del before
            self.let_go()

    def upsert(self, rows: Sequence[Any]) -> Outcome:
        """`LiveItems.upsert` of the release that answers; those beside it have it from the log."""
        return self._of_now(lambda live: live.upsert(rows), lambda live: live.follow())

    def sell(self, times: Mapping[str, int]) -> None:
        """`LiveItems.sell` of the release that answers, and of those beside it."""
        self._of_now(lambda live: live.sell(times), lambda live: live.sell(times, logged=True))

    def _of_now(self, change: Callable[[LiveItems], Changed], beside: Callable[[LiveItems], None]) -> Changed:
        while True:
            with contextlib.suppress(Retired):  # handed over while these rows waited
                changed = change(self.now.live)
                for served in self.beside:
                    with contextlib.suppress(OSError, Retired):  # it is taken, and the next look has it there
                        beside(served.live)
                return changed


def why(error: Exception) -> Exception | str:
    """An error of a release or a file, in words: what is wrong with these quotes no request (souk.serving.logs)."""
    return str(error) if isinstance(error, SoukError) else error


def often(look: Callable[[], object], seconds: float, name: str, less: int) -> None:
    """Calls `look` so often, in a thread that gets `less` of a core than others."""

    def run() -> None:
        with contextlib.suppress(OSError, AttributeError):  # of this thread alone; where the system has it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), less)
        told = ""
        while True:
            time.sleep(seconds)
            try:
                look()
                told = ""
            except BaseException as error:  # of a disk, or of the code, even one that exits: the next look comes
                if str(error) != told:
                    logger.exception("%s", name)
                told = str(error)

    threading.Thread(target=run, name=name, daemon=True).start()
