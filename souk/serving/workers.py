"""Several processes behind one address: `souk serve --workers N`.

Python runs one thread of a process at a time, so that a server uses little more than one core. Workers are whole
servers which accept from one socket, as replicas of a workspace would behind a load balancer; what one of them takes
reaches the others by the same logs (docs/serving.md, "Several workers"). This process answers nobody: it starts them,
starts another where one ended, and passes on the signals that end them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from socket import socket
from typing import Any

from souk.errors import SoukError
from souk.listening import bind, shared_port

logger = logging.getLogger(__name__)
REST_SECONDS = 1.0, 30.0  # before another takes the place of one that ended: the first time, and at most
LONG_SECONDS = 60.0  # one that answered for as long did not end for what it was started with
SHORT = 80  # bytes of a folder in which a Unix socket can be
LOOK_SECONDS = 1.0  # between two looks at who hangs, and between what a worker tells to show that it does not
HUNG_LOOKS = 15  # after so many that found no news of a worker, it is killed
ENDING = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Worker:
    """One of several servers.

    Args:
        number: of it, from 0.
        count: of all.
        folder: where they find each other.
        listening: the HTTP socket of all.
        grpc_port: of all.
        pipe: to the process that starts them.
        turns: a number that both see: how often it told that it does not hang.
    """

    number: int
    count: int
    folder: Path
    listening: socket
    grpc_port: int
    pipe: Connection
    turns: Any

    def report(self, text: str) -> None:
        """Tells what a server alone would print."""
        self.pipe.send(("said", text))

    def ready(self) -> None:
        """Tells that it answers: who stands still from here on, before the first turn, hangs too."""
        self.turns.value += 1
        self.pipe.send(("ready",))

    async def turn(self) -> None:
        """Shows that the event loop turns, until it ends: who writes what is left does not hang."""
        try:
            while True:
                self.turns.value += 1
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.turns.value = 0


@dataclass
class _Running:
    process: BaseProcess
    pipe: Connection
    turns: Any
    ready: float = 0.0  # when it was, by the clock that only grows; 0 where it is not
    seen: int = 0  # of its turns, at the last look, and
    silent: int = 0  # looks in a row that found no other


class Workers:
    """Keeps so many workers running until SIGTERM, SIGINT or SIGHUP.

    Args:
        count: of workers.
        work: what one of them does; a spawned process has to be able to import it.
        host: the address to listen on.
        http_port: 0 for any free one.
        grpc_port: 0 for any free one.
        report: is told what the first says, and when all answer.
        patience: seconds that they may take to end.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Worker], None],
        host: str,
        http_port: int,
        grpc_port: int,
        report: Callable[[str], None],
        patience: float = 60.0,
    ) -> None:
        self._count, self._work, self._report, self._patience = count, work, report, patience
        self._host, self._ports = host, (http_port, grpc_port)
        self._running: dict[int, _Running] = {}
        self._due: dict[int, float] = {}
        self._rests = dict.fromkeys(range(count), REST_SECONDS[0])
        self._answered = self._told = False
        self._looked = 0.0
        self._until = 0.0  # when those that were told to end are killed; 0 before that

    def run(self) -> None:
        """The first starts alone, so that what stops all of them is told once; then the others, while it answers.

        Raises:
            SoukError: a port is taken, or what the first says that it cannot start for.
        """
        http_port, grpc_port = self._ports
        with (
            tempfile.TemporaryDirectory(prefix="souk-", dir=_short(tempfile.gettempdir())) as folder,
            bind(self._host, http_port) as listening,
            shared_port(self._host, grpc_port, "--grpc-port") as shared,
            self._signals(),
        ):
            place = Path(folder), listening, shared
            try:
                self._start(0, *place)
                while self._running or (self._due and not self._until):
                    self._look()
                    self._watch()
                    if self._until:
                        listening.close()  # the workers have theirs
                        if time.monotonic() > self._until:
                            self._kill()
                        continue
                    new = range(1, self._count) if self._answered and not self._told else ()
                    due = [number for number, moment in self._due.items() if time.monotonic() >= moment]
                    for number in ({*new} - self._due.keys() | {*due}) - self._running.keys():
                        self._start(number, *place)
            finally:
                self._stop()

    def _watch(self) -> None:
        """Kills who hangs, for another to take its place. Looks are counted: the machine may have stood still."""
        if self._until or time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for number, worker in self._running.items():
            turns = worker.turns.value
            worker.silent = worker.silent + 1 if turns == worker.seen > 0 else 0
            worker.seen = turns
            if worker.silent == HUNG_LOOKS:
                logger.error("worker %d hangs: its event loop has not turned for %d s", number, worker.silent)
                worker.process.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in ENDING}
        for number, handler in before.items():
            if number != signal.SIGHUP or handler != signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._end)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, _: Any) -> None:
        self._until = self._until or time.monotonic() + self._patience
        for each in list(self._running.values()):
            _pass_on(each.process, signal.SIGTERM if number == signal.SIGHUP else number)

    def _stop(self) -> None:
        """Where this process fails: who answers is to end as after any signal."""
        self._end(signal.SIGTERM, None)
        for each in self._running.values():
            each.process.join(max(0.0, self._until - time.monotonic()))
        self._kill()

    def _kill(self) -> None:
        for each in self._running.values():
            each.process.kill()

    def _start(self, number: int, folder: Path, listening: socket, grpc_port: int) -> None:
        self._due.pop(number, None)
        try:
            (ours, theirs), turns = SPAWN.Pipe(), SPAWN.RawValue("Q")
            with theirs:  # so that the end of the process is the end of the pipe
                worker = Worker(number, self._count, folder, listening, grpc_port, theirs, turns)
                process = SPAWN.Process(target=_one, args=(self._work, worker), name=f"worker {number}")
                with _no_interrupt():
                    process.start()
        except OSError as error:
            if not self._answered:
                raise
            self._rest(number, f"cannot be started: {error}")
            return
        self._running[number] = _Running(process, ours, turns)
        if self._until:  # since a moment ago
            _pass_on(process, signal.SIGTERM)

    def _look(self) -> None:
        """Waits a second at most for what workers tell."""
        told = connection.wait([each.pipe for each in self._running.values()], LOOK_SECONDS)
        for number, worker in list(self._running.items()):
            if worker.pipe not in told:
                continue
            try:
                kind, *words = worker.pipe.recv()
            except (EOFError, OSError):
                self._ended(number)
                continue
            if kind == "failed" and not self._answered and not self._until:
                raise SoukError(*words)
            if kind == "failed":
                logger.error("worker %d: %s", number, str(SoukError(*words)))
            elif kind == "said" and number == 0 and not self._told:
                self._say(*words)
            elif kind == "ready":
                worker.ready, self._answered = time.monotonic(), True
                if not self._told and sum(each.ready > 0 for each in self._running.values()) == self._count:
                    self._told = True
                    self._say(f"{self._count} workers answer")

    def _say(self, text: str) -> None:
        with suppress(OSError):  # nobody reads it any more
            self._report(text)

    def _ended(self, number: int) -> None:
        (ended := self._running.pop(number)).pipe.close()
        ended.process.join()
        if self._until:
            return
        if not self._answered:
            code = ended.process.exitcode
            raise SoukError("a worker to start", f"its end with {code}", "What it printed before says why.")
        if ended.ready and time.monotonic() - ended.ready > LONG_SECONDS:
            self._rests[number] = REST_SECONDS[0]
        self._rest(number, f"ended with {ended.process.exitcode}")

    def _rest(self, number: int, why: str) -> None:
        rest = self._rests[number]
        self._rests[number] = min(2 * rest, REST_SECONDS[1])
        self._due[number] = time.monotonic() + rest
        logger.error("worker %d %s; another takes its place in %g s", number, why, rest)


def _short(folder: str) -> str | None:
    """Where a path is too long for a socket, the root's own folder for what is temporary; None leaves the choice."""
    return None if len(os.fsencode(folder)) < SHORT else "/tmp"  # nosec B108 - of a random name in it


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Has processes that are started meanwhile hear SIGINT only when they say so."""
    resource_tracker.ensure_running()  # it would be started with the first of them, and unblocks the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _pass_on(process: BaseProcess, number: int) -> None:
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _one(work: Callable[[Worker], None], worker: Worker) -> None:
    """What a worker does, until it is told to end or nobody is there who would tell it."""
    os.setpgrp()  # a terminal's Ctrl-C is passed on to it; twice would be the end of the calls in flight
    threading.Thread(target=_end_with, args=(parent_process(), worker.folder), daemon=True).start()
    with suppress(KeyboardInterrupt):  # before the server is there to be told
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            work(worker)
        except SoukError as error:
            worker.pipe.send(("failed", error.expected, error.received, error.remedy))
            raise SystemExit(1) from error


def _end_with(parent: Any, folder: Path) -> None:
    """Ends this process when another does, which was killed if it left a folder behind."""
    connection.wait([parent.sentinel])
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
