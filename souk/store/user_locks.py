"""Who changes the states of users in a Redis does so alone: of two that read one state, the later write would lack what
the earlier one added.

A lock is a key with a time to live, so that a server that is killed holds nobody up for longer (Redis documentation,
"Distributed locks with Redis", on a single instance). One that is stopped for longer than that, even within its write,
writes nothing when it goes on: the write is a transaction that the Redis carries out only if nobody touched the locks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from souk.store.interface import StoreError

HELD_MS = 5_000  # that a lock lives at most
WAIT_SECONDS = 1.0  # for the locks of another
PAUSE_SECONDS = 0.002
TAKE = """
for _, key in ipairs(KEYS) do if redis.call('EXISTS', key) == 1 then return 0 end end
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return 1
"""  # all or none: nobody who waits for one holds another
DROP = "for _, key in ipairs(KEYS) do if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end end"
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

    def guarding(self, client: Any) -> Guarded:
        """A client whose pipelines are carried out only while the locks are held."""
        return Guarded(client, self)


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


def late() -> StoreError:
    """What is told of states that may have been changed by another since they were read."""
    return StoreError("states of users to be there at once", "they took too long to change them alone", AGAIN)


@contextmanager
def alone(run: Script, keys: Sequence[str]) -> Iterator[Held]:
    """Holds locks meanwhile.

    Args:
        run: a script on the Redis.
        keys: of the locks.

    Raises:
        StoreError: another holds one of them for too long.
    """
    own, until = uuid.uuid4().hex, time.monotonic() + WAIT_SECONDS
    while not run(TAKE, keys, (own, HELD_MS)):
        if time.monotonic() > until:
            raise StoreError("to change states of users alone", f"another did for {WAIT_SECONDS:g} s", AGAIN)
        time.sleep(PAUSE_SECONDS)
    try:
        yield Held(keys, own)
    finally:
        run(DROP, keys, (own,))
