"""The slates of the shop by the plain way, and parts that are down."""

import numpy as np

from tests.serving_fixtures import HIDDEN, IDS, PRICES, STATES, vectors

SHOWN = [n for n, item in enumerate(IDS) if item not in HIDDEN]
KNOWN = {state.user_id: state for state in STATES}
POPULAR = {"north": SHOWN[:5], "south": SHOWN[::-1][:30]}
CANDIDATES = 20


def score(item, north):
    return 0.5 * (PRICES[item] / 100 if north else 1 - PRICES[item] / 100)


def expected(user, k, exclude=()):
    """The slate by the plain way: nearest CANDIDATES that may appear, then by the ranker's known rule."""
    state, item = KNOWN[user], vectors()
    query = item[[IDS.index(e.item_id) for e in state.events[-7:]]].sum(axis=0)
    owned = {event.item_id for event in state.events}
    eligible = [n for n, name in enumerate(IDS) if name not in HIDDEN | owned | set(exclude)]
    nearest = sorted(eligible, key=lambda n: -float(item[n] @ query))[:CANDIDATES]
    popular = [n for n in POPULAR[state.profile["region"]] if n in eligible][: CANDIDATES // 10]
    places = {n: (10.0 * (r + 1), 1) for r, n in enumerate(popular)}
    places |= {n: min((r + 1.0, 0), places.get(n, (np.inf, 1))) for r, n in enumerate(nearest)}
    chosen = sorted(places, key=lambda n: places[n])[:CANDIDATES]
    return sorted((IDS[n] for n in chosen), key=lambda i: -score(i, state.profile["region"] == "north"))[:k]


class Failing:
    """Stands for a dependency that is down."""

    ends = False  # as a model
    remote, available = True, np.True_  # as an index, of items that are all available

    def __init__(self, error):
        self.error = error
        self.calls = 0

    def _fail(self, *args, **kwargs):
        self.calls += 1
        raise self.error

    read = search = vectors = probabilities = _fail


class Hanging:
    """Stands for a dependency that neither answers nor fails until the test ends."""

    ends = False  # as a model
    remote, available = True, np.True_  # as an index, of items that are all available

    def __init__(self, release):
        self.release, self.calls = release, 0

    def _hang(self, *args, **kwargs):
        self.calls += 1
        self.release.wait(60)
        raise RuntimeError("the test is over")

    read = search = vectors = probabilities = _hang
