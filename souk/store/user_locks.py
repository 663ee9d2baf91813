"""Who changes the states of users in a Redis does so alone: of two that read one state, the later write would lack what
the earlier one added.

A lock is a key with a time to live, so that a server that is killed holds nobody up for longer (Redis documentation,
"Distributed locks with Redis", on a single instance).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from souk.store.interface import StoreError

HELD_MS = 5_000  # that a lock lives at most
FRESH = 0.5  # of that, in which a state that was read may be written
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


@contextmanager
def alone(run: Script, keys: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Holds locks meanwhile; yields what says, before a write, that they are held for long enough.

    Args:
        run: a script on the Redis.
        keys: of the locks.

    Raises:
        StoreError: another holds one of them for too long, or this one did.
    """
    own, held_ms = uuid.uuid4().hex, HELD_MS
    began = time.monotonic()
    until = began + WAIT_SECONDS
    while not run(TAKE, keys, (own, held_ms)):
        if time.monotonic() > until:
            raise StoreError("to change states of users alone", f"another did for {WAIT_SECONDS:g} s", AGAIN)
        time.sleep(PAUSE_SECONDS)
        began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > FRESH * held_ms / 1000:
            raise StoreError("states of users to be there at once", "they took too long to change them alone", AGAIN)

    try:
        yield check
    finally:
        run(DROP, keys, (own,))
