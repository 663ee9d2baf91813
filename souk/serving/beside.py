"""What TensorFlow runs for a server: in this process, or in one beside it.

Answers come from graphs (souk.graphs). TensorFlow has what these cannot: gradients of explanations. It takes seconds
and half a gigabyte, and while it reads a model it holds Python's lock for tenths of a second, in which a server would
answer nobody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from souk.errors import SoukError, Unanswered

logger = logging.getLogger(__name__)
Arrays = Mapping[str, np.ndarray]
Run = Callable[[Path, str, Arrays], dict[str, np.ndarray]]
POLITE = 5  # how much less of a core than requests the process gets: a third, since items wait for it too
JOINED = 5.0  # seconds in which a killed process is gone, if it is no disk that holds it
REMEDY = "Ask again: the machine may be busy, or have no memory for it."
PATIENCE = 120.0  # seconds for one call, with the reading of its model
STARTING = 300.0  # more where the process has to be started for it: a busy machine needs minutes for that


class Ended(Unanswered):
    """Nothing came from the process: it took too long, or ended.

    Args:
        received: what came instead of an answer.
    """

    def __init__(self, received: str) -> None:
        super().__init__(f"Expected TensorFlow's process to answer. Received: {received}. {REMEDY}")


def here(model: Path, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
    """What a signature of a SavedModel answers; the first call takes seconds.

    Raises:
        SoukError: there is no such model, or it lacks the signature.
    """
    return _function(model, signature)(inputs)


@cache
def _function(model: Path, signature: str) -> Callable[[Arrays], dict[str, np.ndarray]]:
    from souk.serving.signatures import SavedModel

    return SavedModel(model).by_tensorflow(signature)


@dataclass(frozen=True)
class _Call:
    """What the process is asked.

    Args:
        model: the SavedModel.
        signature: of it.
        inputs: its arrays; none to have it read alone.
        kept: the models that are to stay in its memory; others may go.
    """

    model: Path
    signature: str
    inputs: Arrays
    kept: frozenset[Path]


class Beside:
    """The same in a process of its own, which the first call starts, and the one after its end starts again.

    It holds the models that are `held`, or all it was asked of where none is.

    Args:
        patience: seconds that a call may take, with its second attempt; not counted is what it waits for another.
        starting: seconds more of a call that finds no process, or one that has ended.
    """

    def __init__(self, patience: float = PATIENCE, starting: float = STARTING) -> None:
        self._patience, self._starting, self._lock = patience, starting, threading.Lock()
        self._held, self._counting = Counter[Path](), threading.Lock()
        self.starts = 0
        self._there: tuple[BaseProcess, Connection] | None = None
        self._used, self._closed = set[str](), False

    @property
    def process_id(self) -> int | None:
        """Of the process; None where there is none."""
        there = self._there
        return there[0].pid if there else None

    @property
    def bytes(self) -> int:
        """The memory that it holds; 0 where there is none, or no system that tells."""
        try:
            pages = Path(f"/proc/{self.process_id}/statm").read_text(encoding="utf-8").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def __call__(self, model: Path, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """As `here`. Calls wait for one another.

        Raises:
            SoukError: there is no such model, or it lacks the signature.
            ValueError: TensorFlow refuses the inputs.
            Ended: TensorFlow failed, or took too long, or the process ended twice; the next call has a new one.
            OSError: the system has no room for another process.
        """
        with self._lock:
            self._used.add(signature)
            with self._counting:
                kept = frozenset(+self._held)
            answer, error = self._asked(_Call(model, signature, dict(inputs), kept))
        if error is not None:
            raise error[0](*error[1:])
        return answer

    def hold(self, models: Iterable[Path]) -> None:
        """These models will be asked for until they are let go."""
        with self._counting:
            self._held.update(models)

    def let_go(self, models: Iterable[Path]) -> None:
        """Undoes `hold`; the process forgets them with its next call."""
        with self._counting:
            self._held.subtract(models)

    def prepare(self, model: Path, signature: str) -> None:
        """Has a signature read ahead, where one of its name was asked for before: who uses none pays for none."""
        if signature in self._used:
            with contextlib.suppress(Exception):  # the call that needs it says so
                self(model, signature, {})

    def close(self) -> None:
        """Ends the process, for good; a call that waits for it fails."""
        self._closed, there = True, self._there
        if there:
            there[0].kill()
        with self._lock:
            self._end()

    def _asked(self, call: _Call) -> Any:
        code, began, allowed, starting = None, time.monotonic(), self._patience, self._starting
        for _ in range(2):  # it may have been killed since it was asked last
            if not self._closed and not self._there:
                self._there = self._started()
                allowed, starting = allowed + starting, 0.0
            until = began + allowed
            if self._closed or not self._there:  # `close` may have found no process while this one was started
                self._end()
                raise Ended("the end of the server")
            process, pipe = self._there
            late = threading.Timer(max(0.0, until - time.monotonic()), process.kill)
            late.start()
            try:
                pipe.send(call)
                return pipe.recv()
            except (EOFError, OSError):
                code = self._end()
                logger.warning("TensorFlow's process ended with %s", code)
                if time.monotonic() >= until:
                    raise Ended(f"nothing in {allowed:g} s") from None
            except BaseException:  # what is left in the pipe would be the answer to another call
                self._end()
                raise
            finally:
                late.cancel()
        raise Ended(f"its end, twice, with {code}")

    def _started(self) -> tuple[BaseProcess, Connection]:
        self.starts += 1
        return _started()

    def _end(self) -> int | None:
        """Ends the process; with what it ended."""
        there, self._there = self._there, None
        if there is None:
            return None
        process, pipe = there
        pipe.close()
        process.kill()
        process.join(JOINED)
        return process.exitcode


def _started() -> tuple[BaseProcess, Connection]:
    spawned = get_context("spawn")  # a fork would have the locks of the server's threads, and not the threads
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_answer, args=(theirs,), name="tensorflow", daemon=True)
    process.start()
    theirs.close()  # so that the end of either process is the end of the pipe
    return process, ours


def _answer(pipe: Connection) -> None:
    """What the process does, until the server's end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C, which is the server's to answer
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its C++ parts print what no setting silences; errors go back
    with contextlib.suppress(OSError):
        os.nice(POLITE)
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")  # before the server, where memory ends
    before = frozenset[Path]()
    with contextlib.suppress(EOFError, OSError):
        while True:
            call = pipe.recv()
            if not before <= call.kept:
                _function.cache_clear()  # those that stay are read again, in a second
            before = call.kept
            pipe.send(_answered(call))


def _answered(call: _Call) -> tuple[dict[str, np.ndarray], tuple[Any, ...] | None]:
    """The outputs, or what to raise: a class and its arguments."""
    from tensorflow.errors import InvalidArgumentError

    try:
        function = _function(call.model, call.signature)
        return function(call.inputs) if call.inputs else {}, None
    except SoukError as error:
        return {}, (SoukError, error.expected, error.received, error.remedy)
    except (InvalidArgumentError, ValueError, TypeError) as error:
        return {}, (ValueError, f"{type(error).__name__}: {error}")
    except Exception as error:  # of the memory, or of a model that is gone: not of what it was asked
        return {}, (Ended, f"{type(error).__name__}: {error}"[:400])
