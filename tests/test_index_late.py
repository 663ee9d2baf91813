"""An index that could not be opened at the start: the searches that come later open it, one at a time."""

import threading

import numpy as np
import pytest

from souk.index.exact import ExactIndex
from souk.index.interface import IndexUnavailable
from souk.index.late import AGAIN_SECONDS, LateIndex
from tests.test_index_contract import catalogue

VECTORS, AVAILABLE = catalogue(50)


class Own(ExactIndex):
    """Exact search that counts how often it was closed."""

    closed = 0

    def close(self):
        self.closed += 1


class Place:
    """Where an index is opened, once it is up."""

    def __init__(self):
        self.now, self.up, self.attempts, self.made = 0.0, False, 0, Own(VECTORS, AVAILABLE)
        self.index = LateIndex(AVAILABLE, self.open, lambda: self.now)

    def open(self):
        self.attempts += 1
        if not self.up:
            raise IndexUnavailable("Milvus to answer", "nothing")
        return self.made

    def search(self):
        return self.index.search(VECTORS[:1], 5)[0][0].tolist()

    def fails(self, why):
        with pytest.raises(IndexUnavailable, match=why):
            self.search()


@pytest.fixture
def place():
    return Place()


def test_it_is_opened_some_seconds_after_the_last_attempt_and_then_searched(place):
    place.fails("a moment ago")
    place.now = AGAIN_SECONDS
    place.fails("Milvus to answer")
    place.up = True
    place.fails("a moment ago")
    assert place.attempts == 1
    place.now = 2 * AGAIN_SECONDS
    wanted = ExactIndex(VECTORS, AVAILABLE).search(VECTORS[:1], 5)[0][0].tolist()
    assert [place.search(), place.search()] == [wanted, wanted] and place.attempts == 2
    assert place.index.remote and len(place.index) == len(VECTORS)
    place.index.close()
    assert place.made.closed == 1
    place.fails("closed")


@pytest.mark.parametrize("closed", [False, True])
def test_one_search_opens_it_and_others_do_not_wait(place, closed):
    going, go_on, found = threading.Event(), threading.Event(), []

    def slow():
        going.set()
        assert go_on.wait(60)
        return place.made

    place.index = LateIndex(AVAILABLE, slow, lambda: place.now)
    place.now = AGAIN_SECONDS

    def search():
        try:
            found.append(place.search())
        except IndexUnavailable as error:
            found.append(str(error))

    first = threading.Thread(target=search)
    first.start()
    assert going.wait(60)
    place.fails("being opened")
    if closed:
        place.index.close()
        place.fails("closed")
    go_on.set()
    first.join(60)
    if closed:
        assert "closed meanwhile" in found[0] and place.made.closed == 1
    else:
        assert np.size(found[0]) == 5 and place.search() == found[0] and place.made.closed == 0
