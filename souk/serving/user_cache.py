"""User states that were read a moment ago. A user's own events end what is known of the user; all else ends by time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from weakref import WeakSet

from cachetools import TTLCache

from souk.serving.users import Store
from souk.state import UserState

USERS = 20_000  # whose states one release keeps: 50 to 90 KB each, twice that with many habits
FORGOTTEN_SECONDS = 600.0  # longer than any read takes


class UserCaches:
    """The caches of a server, one for each release that it reads.

    Args:
        seconds: how long a state is kept; 0 keeps none.
        size: how many users of a release.
        clock: seconds that only grow.
    """

    def __init__(self, seconds: float, size: int = USERS, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.size, self.clock = seconds, size, clock
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

    def __len__(self) -> int:
        return sum(len(cache) for cache in self._all())

    def _all(self) -> list[UserCache]:
        with self._adding:  # a set that grows meanwhile cannot be gone through
            return list(self._caches)


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
        self._kept: TTLCache[str, UserState | None] = TTLCache(caches.size, caches.seconds, caches.clock)
        self._flying: dict[str, Future[UserState | None]] = {}
        self._turns = 0
        self._forgotten: TTLCache[str, int] = TTLCache(10 * caches.size, FORGOTTEN_SECONDS, caches.clock)

    def fresh(self, user_ids: Collection[str]) -> dict[str, UserState | None]:
        """What is kept of these users."""
        with self._lock, self._kept.timer:  # whose time stands still meanwhile
            found = {user: self._kept[user] for user in user_ids if user in self._kept}
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
        if own:
            self._fetch(own, began)
        return [flying[user].result() for user in user_ids]

    def forget(self, users: Collection[str]) -> None:
        """These users' states are others now."""
        with self._lock:
            self._turns += 1
            for user in users:
                self._kept.pop(user, None)
                self._flying.pop(user, None)
                self._forgotten[user] = self._turns

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def _fetch(self, own: dict[str, Future[UserState | None]], began: int) -> None:
        try:
            states = dict(zip(own, self.store.read(list(own)), strict=True))
        except BaseException as error:
            with self._lock:
                self._land(own)
            for future in own.values():
                future.set_exception(error)
            raise
        with self._lock:
            self._land(own)
            for user, state in states.items():
                if self._forgotten.get(user, 0) <= began:
                    self._kept[user] = state
        for user, future in own.items():
            future.set_result(states[user])

    def _land(self, own: dict[str, Future[UserState | None]]) -> None:
        for user, future in own.items():
            if self._flying.get(user) is future:
                del self._flying[user]
