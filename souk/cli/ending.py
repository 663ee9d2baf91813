"""Ends a command in order when a signal ends it, and the processes of a run before the run: CI sends one to `souk run`
alone."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDING = (signal.SIGTERM, signal.SIGHUP)  # which Python leaves to the system
ROUNDS = 50  # in which a process may have started others
WAIT = 0.02  # seconds


class EndedBySignal(KeyboardInterrupt):
    """A signal came.

    It has a class of its own because Python ends itself by SIGINT, whatever its exit code is to be, once a plain
    KeyboardInterrupt left a text that `exec` runs, even one that is caught; and any import makes dataclasses by `exec`.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """What asks a command to end raises `EndedBySignal` in it, as Ctrl-C raises: what it made half is cleared away."""

    def end(number: int, frame: FrameType | None) -> None:
        raise EndedBySignal(number)

    with _answered(ENDING, end):
        yield


@contextlib.contextmanager
def processes_end_first() -> Iterator[threading.Event]:
    """Yields what is set once a signal came; then the processes below this one are ended and `EndedBySignal` is raised.

    A step also ends by itself when its stdin does (souk.progress), but not while it still imports, and what it started
    does not.
    """
    came = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        came.set()
        end_processes()
        raise EndedBySignal(number)

    with _answered(SIGNALS, end):
        yield came


@contextlib.contextmanager
def _answered(signals: Sequence[int], end: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Signals call `end`; those that are ignored (nohup, a shell's background) stay so."""
    ours = threading.current_thread() is threading.main_thread()
    numbers = [number for number in signals if ours and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_processes() -> None:
    """Kills every process below this one."""
    for _ in range(ROUNDS):
        found = _below(os.getpid())
        if not found:
            return
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(WAIT)


def _below(root: int) -> list[int]:
    """The processes below `root` that have not ended, parents first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found
