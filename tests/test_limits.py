"""Graphs that take too long are broken off, by a thread that looks now and then."""

import threading

import numpy as np
import pytest

from benchmarks.serving.looping import FOR_GOOD, looping
from souk import limits
from souk.graphs import Graph
from souk.limits import within

ROWS = {"x": np.zeros((3, 2), np.float32)}


@pytest.fixture(scope="module")
def endless():
    return Graph(looping(FOR_GOOD))


@pytest.fixture(scope="module")
def short():
    return Graph(looping(3))


def test_a_run_that_does_not_end_is_broken_off(endless):
    for _ in range(3):
        with pytest.raises(TimeoutError, match="time was over"), within(0.02):
            endless(ROWS)


def test_a_run_in_time_and_one_without_a_limit_are_whole(short):
    alone = short(ROWS)["y"]
    with within(60):
        assert (short(ROWS)["y"] == alone).all() and alone.shape == (3,)
    assert limits.limit() is None


def test_nothing_is_begun_when_time_is_over(short):
    with within(0.0):
        while not limits.limit().over:
            threading.Event().wait(0.001)
        with pytest.raises(TimeoutError):
            short(ROWS)
    short(ROWS)


def test_each_thread_has_its_own(endless, short):
    """One is broken off while the other goes on."""
    ended = []

    def run():
        try:
            with within(0.02):
                endless(ROWS)
        except TimeoutError:
            ended.append(True)

    with within(60):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)
        assert ended and not limits.limit().over
        short(ROWS)


def test_after_a_pause_it_looks_again(endless, monkeypatch):
    monkeypatch.setattr(limits, "QUIET", 1)
    ends = limits._Ends()
    monkeypatch.setattr(limits, "_ends", ends)
    for _ in range(3):
        with pytest.raises(TimeoutError), within(0.0):
            endless(ROWS)
        for _ in range(60_000):
            if not ends._awake.is_set():
                break
            threading.Event().wait(0.001)
        assert not ends._awake.is_set(), "nobody looks where nothing runs"


def test_an_error_of_a_graph_is_its_own(short):
    with pytest.raises(Exception, match="Invalid rank") as told, within(60):
        short({"x": np.zeros(3, np.float32)})
    assert not isinstance(told.value, TimeoutError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_where_the_one_that_looks_has_died_another_takes_its_place(endless):
    def fail():
        raise MemoryError

    with within(0.02):
        looking = limits._ends._thread
        with limits.limit().ending(fail):
            looking.join(10)
    assert not looking.is_alive()
    with within(0.1), pytest.raises(TimeoutError):
        endless(ROWS)
