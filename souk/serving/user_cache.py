"""User states that were read a moment ago. A user's own events end what is known of the user; all else ends by time."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakSet

from cachetools import TTLCache

from souk.serving.users import Store
from souk.state import Event, UserState

BYTES = 256 << 20  # of one release, by `size_of`: some 6,500 users of 100 events
FORGOTTEN_USERS = 200_000
FORGOTTEN_SECONDS = 600.0  # longer than any read takes
SAMPLED = 4  # entries of each part of a state that its size is told by


class UserCaches:
    """The caches of a server, one for each release that it reads.

    Args:
        seconds: how long a state is kept; 0 keeps none.
        most: bytes of one release's states, by `size_of`; a larger one is not kept.
        clock: seconds that only grow.
    """

    def __init__(self, seconds: float, most: int = BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.most, self.clock = seconds, most, clock
        self.reads: Counter[str] = Counter()  # hit, miss
        self._caches: WeakSet[UserCache] = WeakSet()
        self._adding = threading.Lock()

    def of(self, store: Store) -> Store:
        """A release's store behind a cache of its own."""
        if not self.seconds:
            return store
        cache = UserCache(store, self)
        with self._adding:
            self._caches.add(cache)
        return cache

    def forget(self, users: Collection[str]) -> None:
        """These users' states are others now."""
        for cache in self._all():
            cache.forget(users)

    @property
    def bytes(self) -> int:
        """What the states take."""
        return sum(cache.bytes for cache in self._all())

    def __len__(self) -> int:
        return sum(len(cache) for cache in self._all())

    def _all(self) -> list[UserCache]:
        with self._adding:  # a set that grows meanwhile cannot be gone through
            return list(self._caches)


class _Kept(NamedTuple):
    state: UserState | None
    size: int


class UserCache:
    """A store whose answers are kept for a while. Users who are not known are kept too.

    What several threads want of one user at the same time is read once. A read that began before a user was forgotten
    is not kept, and nobody who asks afterwards waits for it.

    Args:
        store: is asked for what is not there.
        caches: of the server.
    """

    def __init__(self, store: Store, caches: UserCaches) -> None:
        self.store, self._reads = store, caches.reads
        self._lock = threading.Lock()
        self._most = caches.most
        self._kept: TTLCache[str, _Kept] = TTLCache(caches.most, caches.seconds, caches.clock, lambda kept: kept.size)
        self._flying: dict[str, Future[UserState | None]] = {}
        self._turns = 0
        self._forgotten: TTLCache[str, int] = TTLCache(FORGOTTEN_USERS, FORGOTTEN_SECONDS, caches.clock)

    def fresh(self, user_ids: Collection[str]) -> dict[str, UserState | None]:
        """What is kept of these users."""
        with self._lock, self._kept.timer:  # whose time stands still meanwhile
            found = {user: self._kept[user].state for user in user_ids if user in self._kept}
        self._reads.update({"hit": sum(user in found for user in user_ids)})
        return found

    def read(self, user_ids: Sequence[str]) -> list[UserState | None]:
        """The states of users, asked of the store, together with who asks for them already; see `OnlineStore.read`."""
        own: dict[str, Future[UserState | None]] = {}
        flying: dict[str, Future[UserState | None]] = {}
        with self._lock:
            began = self._turns
            for user in user_ids:
                if user not in self._flying:
                    self._flying[user] = own[user] = Future()
                flying[user] = self._flying[user]
        self._reads.update({"miss": len(own)})
        try:
            if own:
                self._fetch(own, began)
            return [flying[user].result() for user in user_ids]
        finally:  # an error knows where it was raised, and would hold what holds it
            del own, flying

    def forget(self, users: Collection[str]) -> None:
        """These users' states are others now."""
        with self._lock:
            self._turns += 1
            for user in users:
                self._kept.pop(user, None)
                self._flying.pop(user, None)
                self._forgotten[user] = self._turns

    @property
    def bytes(self) -> int:
        """What the states take."""
        with self._lock:
            return int(self._kept.currsize)

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def _fetch(self, own: dict[str, Future[UserState | None]], began: int) -> None:
        try:
            states = dict(zip(own, self.store.read(list(own)), strict=True))
            kept = {user: _Kept(state, size_of(state)) for user, state in states.items()}
        except BaseException as error:
            with self._lock:
                self._land(own)
            for future in own.values():
                future.set_exception(error)
            del own, future
            raise
        with self._lock:
            self._land(own)
            for user, entry in kept.items():
                if self._forgotten.get(user, 0) <= began and entry.size <= self._most:
                    self._kept[user] = entry
        for user, future in own.items():
            future.set_result(states[user])

    def _land(self, own: dict[str, Future[UserState | None]]) -> None:
        for user, future in own.items():
            if self._flying.get(user) is future:
                del self._flying[user]


def size_of(state: UserState | None) -> int:
    """Bytes that a state takes in a cache: an estimate, whose constants are what `tracemalloc` says of such parts."""
    if state is None:
        return 400
    return (
        1_300
        + 92 * len(state.daily)
        + _together(state.events[:: max(1, len(state.events) // SAMPLED)], len(state.events), _event_size)
        + _together(state.engaged, len(state.engaged), lambda item: 58 + sys.getsizeof(item))
        + _together(state.hidden, len(state.hidden), lambda item: 58 + sys.getsizeof(item))
        + _together(state.shown, len(state.shown), lambda item: 69 + 32 * len(state.shown[item]) + sys.getsizeof(item))
        + _together(state.habits, len(state.habits), lambda item: 190 + sys.getsizeof(item))
        + sum(map(_value_size, state.profile.values()))
    )


def _together(entries: Collection[Any], count: int, size: Callable[[Any], int]) -> int:
    """Of so many entries, by the sizes of the first."""
    some = list(islice(entries, SAMPLED))
    return count * sum(map(size, some)) // len(some) if some else 0


def _event_size(event: Event) -> int:
    texts = sum(map(sys.getsizeof, (event.item_id, event.event_id, event.event_type)))
    return 195 + texts


def _value_size(value: object) -> int:
    if isinstance(value, list | tuple):
        return sys.getsizeof(value) + len(value) * (sys.getsizeof(value[0]) if value else 0)
    return sys.getsizeof(value)
