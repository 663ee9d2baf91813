"""What is in memory for good is no work for the collector of garbage."""

import gc
import time
import weakref

import pytest

from souk.release.bundle import Bundle
from souk.serving.memory import seldom_walked, settled
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.served import open_index, open_store
from souk.serving.user_cache import UserCaches
from tests.serving_fixtures import NOW, write_workspace


class Round:
    """Is its own."""

    def __init__(self):
        self.own = self


def test_what_is_there_is_left_out_of_collections_and_what_is_garbage_is_gone():
    kept, garbage = Round(), Round()
    gone = weakref.ref(garbage)
    gc.disable()
    try:
        del garbage
        assert gone() is not None
        settled()
        assert gone() is None
        assert gc.get_freeze_count() > 1000 and not any(thing is kept for thing in gc.get_objects())
        settled()
        again = weakref.ref(kept)
        del kept
        settled()
        assert again() is None, "what was left out before, too"
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.fixture
def recommender(tmp_path):
    workspace = write_workspace(tmp_path)
    bundle = Bundle.load(workspace.served_folder())
    index, store = open_index(workspace, bundle, "", print), open_store(workspace, bundle)
    return Recommender.load(bundle, None, None).connected(index, store)


def test_what_grows_old_is_seldom_walked_through_and_what_is_garbage_early_is_found():
    walks, thresholds = [], gc.get_threshold()
    looked = lambda phase, told: walks.append(told["generation"]) if phase == "start" else None  # noqa: E731
    gc.freeze()  # the whole test run: a walk waits until what is new is a quarter of what an earlier one left
    gc.collect()
    gc.callbacks.append(looked)
    try:
        seldom_walked()
        gone = weakref.ref(Round())
        kept = [[number] for number in range(200_000)]
        assert gone() is None and len(kept) == 200_000
        assert walks.count(1) > 20 and 2 not in walks, "by default it is walked through twice"
        old = [[Round() for _ in range(100_000)] for _ in range(2)]
        gone = weakref.ref(old[0][0])
        del old[0]
        kept += [[number] for number in range(1_000_000)]
        assert gone() is None and 2 in walks, "but it is, before garbage fills the memory"
    finally:
        gc.callbacks.remove(looked)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


class Away:
    """A store that is away."""

    def read(self, users):
        raise ConnectionError(f"no {users}")


@pytest.mark.parametrize(
    "away", [None, Away(), UserCaches(60.0).of(Away())], ids=["all is well", "the store is away", "behind a cache"]
)
def test_answers_leave_no_garbage_that_a_walk_would_have_to_find(recommender, away, monkeypatch):
    if away is not None:
        monkeypatch.setattr(recommender, "store", away)
        monkeypatch.setattr("souk.serving.dependency.FAILURES", 1000)  # each request finds out
    users = ("ann", "bob", "nobody", "")
    asked = [Request(user, 10, NOW, f"r-{user}", deadline=time.monotonic() + 60) for user in users for _ in range(5)]
    for request in asked:  # what the first ones make is kept
        recommender.recommend([request])
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for request in asked:
            (slate,) = recommender.recommend([request])
            assert slate.items and ("features_unavailable" in slate.degraded) == (away is not None)
        gc.collect()
        assert [type(thing) for thing in gc.garbage] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
