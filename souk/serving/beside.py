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
    """Nothing came from the process: it took too long, or ended."""


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
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._used = set[str]()

    @property
    def process_id(self) -> int | None:
        """Of the process; None where there is none."""
        process = self._process
        return process.pid if process else None

    def __call__(self, model: Path, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """As `here`. Calls wait for one another.

        Raises:
            SoukError: there is no such model, or it lacks the signature.
            RuntimeError: TensorFlow refuses the inputs.
            Ended: it took too long, or the process ended twice; the next call has a new one.
        """
        with self._lock:
            self._used.add(signature)
            try:
                answer, refused = self._asked((model, signature, dict(inputs)))
            except Ended:
                raise
            except (EOFError, OSError):  # killed since it was asked last
                answer, refused = self._asked_again((model, signature, dict(inputs)))
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
        """Ends the process."""
        with self._lock:
            self._end()

    def _asked(self, call: tuple[Path, str, Arrays]) -> Any:
        pipe = self._pipe or self._started()
        pipe.send(call)
        if not pipe.poll(self._patience):
            self._end()
            seconds = f"{self._patience:g} s"
            raise Ended(f"Expected TensorFlow's process to answer. Received: nothing in {seconds}. Ask again.")
        return pipe.recv()

    def _asked_again(self, call: tuple[Path, str, Arrays]) -> Any:
        self._end()
        try:
            return self._asked(call)
        except EOFError as error:
            self._end()
            text = "Expected TensorFlow's process to answer. Received: its end. Ask again, or give it more memory."
            raise Ended(text) from error

    def _started(self) -> Connection:
        spawned = get_context("spawn")  # a fork would have the locks of the server's threads, and not the threads
        self._pipe, theirs = spawned.Pipe()
        self._process = spawned.Process(target=_answer, args=(theirs,), name="tensorflow", daemon=True)
        self._process.start()
        theirs.close()  # so that the end of either process is the end of the pipe
        return self._pipe

    def _end(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe:
            pipe.close()
        if process:
            process.kill()
            process.join()


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
