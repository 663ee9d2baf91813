"""Slates of requests without a user, which many ask for alike: items like an item, for so many places, so filtered."""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from cachetools import TTLCache

from souk.serving.catalogue import Catalogue
from souk.serving.exploration import OFF
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.slate import Slate, size_of

BYTES = 32 << 20  # of one release, by `size_of`: some 7,000 slates of ten items
RELEASES = 4  # at a time
NAMED = 50  # items that a request excludes or chooses from: the key holds their ids, and a longer list is one's own


class SlateCache:
    """Keeps the slates of a recommender as long as it is the release's: another catalogue is another recommender.

    A slate is kept for its release, arm and what that changes, moment, context, profile, filter and `k`. Kept are none
    of a user or a session, none with drawn places, none that is degraded, and none of a request that names more than
    NAMED items. Those that are asked for together are computed once, and requests are answered by one thread: nobody
    computes what another one is at.

    Args:
        seconds: how long a slate is kept, and how far apart the moments of two requests may be, between which no item
            comes or ends; 0 keeps none.
        most: bytes of one release's slates, by `size_of`; a larger one is not kept.
        clock: seconds that only grow.
    """

    def __init__(self, seconds: float, most: int = BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._most, self._clock = seconds, most, clock
        self.reads: Counter[str] = Counter()  # hit, miss
        self._lock = threading.Lock()
        self._of: dict[str, tuple[weakref.ref[Recommender], TTLCache[Hashable, Slate]]] = {}

    def recommend(self, recommender: Recommender, requests: Sequence[Request]) -> list[Slate]:
        """A slate for each request, whose `bound` is None: what is kept holds no release."""
        keys = [self._key(request, recommender.catalogue) for request in requests] if self._seconds else []
        if not any(key is not None for key in keys):
            return recommender.recommend(requests)
        kept = self._kept(recommender)
        with self._lock, kept.timer:  # whose time stands still meanwhile
            known = {key: kept[key] for key in keys if key is not None and key in kept}
        rows = [row for row, key in enumerate(keys) if key is None or (key not in known and keys.index(key) == row)]
        made = recommender.recommend([requests[row] for row in rows]) if rows else []
        own = dict(zip(rows, made, strict=True))
        known |= {keys[row]: slate for row, slate in own.items() if keys[row] is not None}
        with self._lock:
            for row, slate in own.items():
                if (key := keys[row]) and not slate.degraded and size_of(slate) <= self._most:
                    kept[key] = slate
        asked = sum(key is not None for key in keys)
        computed = sum(keys[row] is not None for row in rows)
        self.reads.update({"hit": asked - computed, "miss": computed})
        return [own[row] if row in own else _again(known[keys[row]], requests[row]) for row in range(len(requests))]

    @property
    def bytes(self) -> int:
        """What the slates take, by `size_of`."""
        with self._lock:
            self._let_go()
            return sum(int(kept.currsize) for _, kept in self._of.values())

    def __len__(self) -> int:
        """Slates; those whose time is over are let go of, also where nobody asks any more but Prometheus."""
        with self._lock:
            self._let_go()
            return sum(len(kept) for _, kept in self._of.values())

    def _kept(self, recommender: Recommender) -> TTLCache[Hashable, Slate]:
        release = recommender.settings.release
        with self._lock:
            known = self._of.pop(release, None)
            if known is None or known[0]() is not recommender:
                self._let_go()
                known = weakref.ref(recommender), TTLCache(self._most, self._seconds, self._clock, size_of)
            self._of[release] = known  # the last one again
            while len(self._of) > RELEASES:
                del self._of[next(iter(self._of))]
            return known[1]

    def _let_go(self) -> None:
        """Of what no longer answers, and of slates whose time is over."""
        for release, (recommender, kept) in list(self._of.items()):
            kept.expire()
            if recommender() is None:
                del self._of[release]

    def _key(self, request: Request, catalogue: Catalogue) -> Hashable | None:
        """What the answer depends on; None where it is somebody's own."""
        treatment = request.treatment
        drawn = treatment.exploration != OFF and not request.similar  # nothing is drawn among similar items
        if request.user_id or request.events or request.degraded or drawn:
            return None
        if len(request.exclude) + len(request.candidates or ()) > NAMED:
            return None
        return (
            request.item_id,
            request.k,
            request.filter,
            request.exclude,
            request.candidates,
            treatment.arm,  # the answer says it; what goes by that name is another thing with another file
            tuple(sorted(treatment.weights.items())),
            treatment.rerank,
            repr((sorted(request.context.items()), sorted(request.profile.items()))),
            request.timestamp // max(1, int(1000 * self._seconds)),
            catalogue.lifetimes and catalogue.lifetimes.passed(request.timestamp),
        )


def _again(slate: Slate, request: Request) -> Slate:
    return replace(slate, request_id=request.request_id, timestamp=request.timestamp, request=request)
