"""What TensorFlow runs for a server: in this process, or in one beside it.

Answers come from graphs (souk.serving.signatures). TensorFlow has what these cannot: gradients of explanations, and
words of items' texts. It takes seconds and half a gigabyte, and while it reads a model it holds Python's lock for
tenths of a second, in which a server would answer nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from souk.errors import SoukError

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Path, str, Arrays], dict[str, np.ndarray]]
KEPT = 12  # signatures that are held: three of each release, and of those of experiments' arms
POLITE = 10  # how much less of a core than requests the process gets
PATIENCE = 60.0  # seconds for one call, with the start of the process and the reading of its model


class Ended(OSError):
    """Nothing came from the process: it took too long, or ended.

    Args:
        received: what came instead of an answer.
    """

    def __init__(self, received: str) -> None:
        super().__init__(f"Expected TensorFlow's process to answer. Received: {received}. Ask again.")


def here(model: Path, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
    """What a signature of a SavedModel answers; the first call takes seconds.

    Raises:
        SoukError: there is no such model, or it lacks the signature.
    """
    return _function(model, signature)(inputs)


@lru_cache(KEPT)
def _function(model: Path, signature: str) -> Callable[[Arrays], dict[str, np.ndarray]]:
    from souk.serving.signatures import SavedModel

    return SavedModel(model).by_tensorflow(signature)


class Beside:
    """The same in a process of its own, which the first call starts, and the one after its end starts again.

    Args:
        patience: seconds that a call may take.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience, self._lock = patience, threading.Lock()
        self._there: tuple[BaseProcess, Connection] | None = None
        self._used, self._closed = set[str](), False

    @property
    def process_id(self) -> int | None:
        """Of the process; None where there is none."""
        there = self._there
        return there[0].pid if there else None

    def __call__(self, model: Path, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """As `here`. Calls wait for one another.

        Raises:
            SoukError: there is no such model, or it lacks the signature.
            RuntimeError: TensorFlow refuses the inputs.
            Ended: it took too long, or the process ended twice; the next call has a new one.
        """
        with self._lock:
            self._used.add(signature)
            answer, refused = self._asked((model, signature, dict(inputs)))
        if isinstance(refused, tuple):
            raise SoukError(*refused)
        if refused:
            raise RuntimeError(refused)
        return answer

    def prepare(self, model: Path, signature: str) -> None:
        """Has a signature read ahead, where one of its name was asked for before: who uses none pays for none."""
        if signature in self._used:
            with contextlib.suppress(SoukError, RuntimeError, Ended):  # the call that needs it says so
                self(model, signature, {})

    def close(self) -> None:
        """Ends the process, for good; a call that waits for it fails."""
        self._closed, there = True, self._there
        if there:
            there[0].kill()
        with self._lock:
            self._end()

    def _asked(self, call: tuple[Path, str, Arrays]) -> Any:
        for _ in range(2):  # it may have been killed since it was asked last
            if self._closed:
                raise Ended("the end of the server")
            process, pipe = self._there = self._there or _started()
            began, late = time.monotonic(), threading.Timer(self._patience, process.kill)
            late.start()
            try:
                pipe.send(call)
                return pipe.recv()
            except (EOFError, OSError):
                self._end()
                if time.monotonic() - began >= self._patience:
                    raise Ended(f"nothing in {self._patience:g} s") from None
            finally:
                late.cancel()
        raise Ended("its end, twice")

    def _end(self) -> None:
        there, self._there = self._there, None
        if there:
            process, pipe = there
            pipe.close()
            process.kill()
            process.join()


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
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(_answered(*pipe.recv()))


def _answered(model: Path, signature: str, inputs: Arrays) -> tuple[dict[str, np.ndarray], Any]:
    """The outputs, and what is wrong: the parts of a SoukError, or a text."""
    try:
        function = _function(model, signature)
        return function(inputs) if inputs else {}, None
    except SoukError as error:
        return {}, (error.expected, error.received, error.remedy)
    except Exception as error:  # of TensorFlow, whatever it raises
        return {}, f"{type(error).__name__}: {error}"
