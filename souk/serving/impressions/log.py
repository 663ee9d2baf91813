"""The impression log: one record for each answered request, written off the request path.

What is answered is written, dropped, or pending, always. What was pending when a process was killed, or had waited in
vain when it ended, is lost: another one counts it (souk.serving.impressions.counts).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from souk.serving.impressions.counts import SUFFIX, Counts, CountsFile, lost
from souk.serving.impressions.records import Record
from souk.serving.impressions.sinks import Sink, Written
from souk.serving.slate import Slate, size_of

logger = logging.getLogger(__name__)
PATIENCE = 15.0  # seconds that the end waits for a sink that hangs
LOOK_PATIENCE = 1.0  # and for a look at what others left; another server looks again
LOOK_SECONDS = 60.0  # between two of them


class ImpressionLog:
    """A bounded buffer of slates and the thread that writes it.

    What the sink refuses is tried again at the next flush; what comes while the buffer is full, and what cannot be
    written at all, is dropped and counted.

    Args:
        sink: where records go.
        clock: UTC epoch milliseconds.
        capacity: slates held at most.
        most_bytes: of these slates with their requests, an estimate (`size_of`): some exclude thousands of items.
        flush_records: slates that start a flush.
        flush_bytes: of slates, that start one too.
        flush_seconds: the longest that a slate waits.
        counts: the folder and the name of this process, under which the counts outlive it; None for not at all.
    """

    def __init__(
        self,
        sink: Sink,
        clock: Callable[[], int],
        capacity: int = 4_000,
        most_bytes: int = 64 << 20,
        flush_records: int = 500,
        flush_bytes: int = 16 << 20,
        flush_seconds: float = 5.0,
        counts: tuple[Path, str] | None = None,
    ) -> None:
        self.sink = sink
        self._clock = clock
        self._capacity, self._most_bytes = capacity, most_bytes
        self._flush_records, self._flush_bytes = flush_records, flush_bytes
        self._flush_seconds = flush_seconds
        self._kept_in = counts
        self._buffer: deque[Record] = deque()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closed = self._ended = self._raised = False
        self._answered = self._written = self._dropped = self._parts = self._lost = self._bytes = 0
        self._file: CountsFile | None = None
        self._thread = threading.Thread(target=self._run, name=f"impressions ({sink.name})", daemon=True)
        self._looked, self._ending = threading.Event(), threading.Event()
        self._looking = threading.Thread(target=self._look, name=f"lost impressions ({sink.name})", daemon=True)

    def open(self) -> None:
        """Starts the writing thread, and the looks at what others left.

        Raises:
            SoukError: another process has the name.
        """
        if self._kept_in:
            folder, writer = self._kept_in
            self._file = CountsFile(folder / f".{self.sink.name}.{writer}{SUFFIX}")
            self._file.open()
            self._looking.start()
        self._thread.start()

    def record(self, slates: Iterable[Slate]) -> None:
        """Takes answered slates; never waits for the sink."""
        now, sized = self._clock(), [(slate, size_of(slate)) for slate in slates]
        with self._changed:
            for slate, size in sized:
                self._answered += 1
                if self._closed or self._full(size):
                    self._dropped += 1
                else:
                    self._buffer.append((now, slate))
                    self._bytes += size
            self._note()
            if self._due():
                self._changed.notify()

    @property
    def counts(self) -> Counts:
        """The counts at one moment."""
        with self._changed:
            return Counts(self._answered, self._written, self._dropped, len(self._buffer), self._lost)

    def flush(self) -> bool:
        """Writes what the buffer holds now, a part after the other; False where the sink refused some, which wait in
        the buffer, behind the rest: where one place of it is away, the others have theirs."""
        with self._writing:
            left, well = len(self._buffer), True
            while left > 0:
                count = min(left, self.sink.part)
                waiting = self._flushed(count)
                if waiting == count:  # it took nothing, and is asked no more until the next flush
                    return False
                well &= not waiting
                left -= count
        return well

    def _flushed(self, count: int) -> int:
        """How many of the first records of the buffer wait on: behind the rest, unless it is all of them."""
        with self._changed:
            taken = list(islice(self._buffer, count))
        done = self._done(taken)
        gone = _bytes(taken) - _bytes(done.waiting)
        with self._changed:
            if self._ended:  # given up meanwhile, and counted
                return count
            for _ in taken:
                self._buffer.popleft()
            if len(done.waiting) == count:
                self._buffer.extendleft(reversed(done.waiting))
            else:
                self._buffer.extend(done.waiting)
            self._bytes -= gone
            self._written += done.count
            self._dropped += done.dropped
            self._parts, pending = self.sink.parts, len(self._buffer)
            self._note()
        if done.waiting:
            logger.error("%d impressions (%s) wait: %s", pending, self.sink.name, done.error)
        return len(done.waiting)

    def close(self) -> None:
        """Stops the thread and writes the rest; what the sink refuses even now is dropped.

        Nobody asks this process for its counts any more: they are left for another one, which counts it as lost.
        """
        self._ending.set()
        with self._changed:
            self._closed = True
            self._changed.notify()
        last = threading.Thread(target=self._finish, daemon=True)
        last.start()
        until = time.monotonic() + PATIENCE
        last.join(PATIENCE)
        with self._changed:
            self._ended = True
            left, file, self._file = len(self._buffer), self._file, None  # in whose counts they stay pending
            if left:
                logger.error("%d impressions (%s) lost", left, self.sink.name)
                self._dropped += left
                self._buffer.clear()
        if file:
            file.close(keep=left > 0)
        if self._looking.is_alive():
            self._looking.join(min(LOOK_PATIENCE, max(0.0, until - time.monotonic())))
        if not last.is_alive():
            self.sink.close()

    def looked(self) -> None:
        """Waits until it is known what others left."""
        self._looked.wait()

    def _look(self) -> None:
        while self._kept_in:
            try:
                found = lost(self._kept_in[0], self.sink.name, self.sink.rows_of)  # an object store may take its time
                with self._changed:
                    self._lost += found
            except Exception as error:  # whatever the store raises, it is asked again
                logger.warning("impressions (%s): what others left: %s", self.sink.name, error)
            self._looked.set()
            if self._ending.wait(LOOK_SECONDS):
                return

    def _done(self, taken: Sequence[Record]) -> Written:
        """What a sink raises must not end the thread: nobody would write what comes after it."""
        try:
            done = self.sink.write(taken)
        except Exception as error:
            if not self._raised:
                logger.exception("impressions (%s): the sink failed", self.sink.name)
            self._raised = True
            return Written(0, taken, 0, error)
        self._raised = False
        return done

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

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

    def _full(self, more: int) -> bool:
        return len(self._buffer) >= self._capacity or bool(self._buffer and self._bytes + more > self._most_bytes)

    def _due(self) -> bool:
        return self._closed or len(self._buffer) >= self._flush_records or self._bytes >= self._flush_bytes

    def _note(self) -> None:
        if self._file:
            self._file.put(self._answered, self._written, self._dropped, self._parts)


def _bytes(records: Sequence[Record]) -> int:
    return sum(size_of(slate) for _, slate in records)
