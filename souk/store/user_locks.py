"""Who changes the states of users does so alone, a server or a publication: of two that read one state, the later write
would lack what the earlier one added.

Of a sqlite file there is one lock, a file beside it that the system lets go of with who holds it. In a Redis each user
has one, a key with a time to live, so that a server that is killed holds nobody up for longer (Redis documentation,
"Distributed locks with Redis", on a single instance). One that is stopped for longer than that, even within its write,
writes nothing when it goes on: the write is a transaction that the Redis carries out only if nobody touched the locks.
"""

from __future__ import annotations

import copy
import fcntl
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from souk.store.interface import Locked, StoreError

HELD_MS = 5_000  # that a lock lives at most
WAIT_SECONDS = 1.0  # for the locks of another
PAUSE_SECONDS = 0.002
TAKE = """
for _, key in ipairs(KEYS) do if redis.call('EXISTS', key) == 1 then return 0 end end
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return 1
"""  # all or none: nobody who waits for one holds another
DROP = "for _, key in ipairs(KEYS) do if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end end"
FILE = "states.lock"  # of the sqlite file in its folder
AGAIN = "The events wait, and are taken again."
Script = Callable[[str, Sequence[str], Sequence[Any]], Any]  # a script of Redis, its keys and its arguments


@dataclass(frozen=True)
class Held:
    """Locks that are held.

    Args:
        keys: of the locks.
        own: what they hold.
    """

    keys: Sequence[str]
    own: str

    def guarding(self, online: Any, client: Any) -> Any:
        """Feast's online store, as a copy for one write: the pipelines of its `client` are carried out only while the
        locks are held."""
        online = copy.copy(online)
        online._client = Guarded(client, self)
        return online


class Guarded:
    """What Feast writes with, in the place of a client of Redis."""

    def __init__(self, client: Any, held: Held) -> None:
        self._client, self._held = client, held

    def pipeline(self, transaction: bool = False) -> Any:
        """A transaction, whatever Feast asks for: its EXEC is refused where a lock changed hands (WATCH).

        Raises:
            StoreError: a lock is over already.
        """
        pipe = self._client.pipeline(transaction=True)
        try:
            pipe.watch(*self._held.keys)
            if any(value != self._held.own.encode() for value in pipe.mget(self._held.keys)):
                raise late()
            pipe.multi()
        except BaseException:
            pipe.reset()
            raise
        return pipe


class Late(StoreError):
    """States may have been changed by another since they were read."""


def late() -> Late:
    """What is told of that."""
    return Late("states of users to be there at once", "they took too long to change them alone", AGAIN)


def is_late(error: Exception) -> bool:
    """Whether a write was refused since its locks were over."""
    return isinstance(error, Late) or type(error).__name__ == "WatchError"


def keys_of(view: str, user_ids: Sequence[str]) -> list[str]:
    """The locks of users in a Redis."""
    return [f"souk:lock:{view}:{user_id}" for user_id in user_ids]


@contextmanager
def alone(run: Script, keys: Sequence[str], wait: float | None = None) -> Iterator[Held]:
    """Holds locks in a Redis meanwhile.

    Args:
        run: a script on the Redis.
        keys: of the locks.
        wait: for them, at most, seconds; None for WAIT_SECONDS.

    Raises:
        Locked: another holds one of them for too long.
    """
    own = uuid.uuid4().hex
    _until(lambda: bool(run(TAKE, keys, (own, HELD_MS))), wait)
    try:
        yield Held(keys, own)
    finally:
        run(DROP, keys, (own,))


@contextmanager
def alone_in(folder: Path, wait: float | None = None) -> Iterator[None]:
    """Holds the lock of a folder's sqlite file meanwhile; `wait` is that of `alone`.

    Raises:
        Locked: another holds it for too long.
        StoreError: it cannot be made.
    """
    try:
        lock = (folder / FILE).open("a")
    except OSError as error:
        raise StoreError(f"to write {folder / FILE}", error.strerror or str(error), AGAIN) from error

    def taken() -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    with lock:
        _until(taken, wait)
        yield


def _until(taken: Callable[[], bool], wait: float | None) -> None:
    wait = WAIT_SECONDS if wait is None else wait
    until = time.monotonic() + wait
    while not taken():
        if time.monotonic() > until:
            raise Locked("to change states of users alone", f"another did for {wait:g} s", AGAIN)
        time.sleep(PAUSE_SECONDS)
