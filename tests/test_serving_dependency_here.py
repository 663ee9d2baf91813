"""Calls that end within a limit: made in the caller's thread, and counted by the breaker all the same."""

import threading
import time

import numpy as np
import pytest

from benchmarks.serving.looping import FOR_GOOD, looping
from souk.graphs import Graph
from souk.limits import limit
from souk.serving.dependency import CLOSED, FAILURES, OPEN, TOGETHER, Dependency, Unavailable
from tests.test_serving_dependency import broken, clock, dependency, settled  # noqa: F401

ROWS = {"x": np.zeros((3, 2), np.float32)}


def test_what_ends_by_itself_is_called_in_the_callers_thread(dependency, clock):  # noqa: F811
    assert dependency.call(threading.get_ident, 1.0, here=True) == threading.get_ident()
    with pytest.raises(Unavailable, match="redis: ConnectionError: refused"):
        dependency.call(broken, 1.0, here=True)
    with pytest.raises(Unavailable, match="no time"):
        dependency.call(broken, 0.0, here=True)
    for _ in range(FAILURES - 1):
        with pytest.raises(Unavailable):
            dependency.call(broken, 1.0, here=True)
    assert dependency.state == OPEN
    asked = []
    with pytest.raises(Unavailable, match="left alone"):
        dependency.call(lambda: asked.append(1), 1.0, here=True)
    assert not asked
    clock.now += 2.0
    with pytest.raises(Unavailable, match="asked again, and not waited for"):
        dependency.call(lambda: asked.append(threading.get_ident()), 1.0, here=True)
    settled(dependency, CLOSED)
    assert asked[0] != threading.get_ident(), "nobody waits for a probe"


def test_what_is_broken_off_has_failed_if_it_had_all_of_the_patience(dependency, clock):  # noqa: F811
    def ends_late():
        until.append(limit().until - time.monotonic())
        clock.now += 5.0
        raise TimeoutError("broken off")

    until = []
    for _ in range(FAILURES):
        with pytest.raises(Unavailable, match="redis: TimeoutError: broken off"):
            dependency.call(ends_late, 60.0, here=True)
    assert dependency.state == OPEN and len(until) == FAILURES and max(until) <= 5.0


@pytest.mark.parametrize(("well", "state"), [(True, CLOSED), (False, OPEN)])
def test_what_had_less_time_is_made_again_and_counts_then(dependency, well, state):  # noqa: F811
    """Or a model that hangs would be waited for by every request of little time, for good."""
    callers, again = threading.get_ident(), []

    def ends_late():
        if threading.get_ident() == callers:
            raise TimeoutError("broken off")
        again.append(limit().until - time.monotonic())
        if not well:
            raise TimeoutError("broken off")

    for turn in range(FAILURES):
        with pytest.raises(Unavailable, match="redis: TimeoutError: broken off"):
            dependency.call(ends_late, 0.02, here=True)
        settled(dependency, state if turn == FAILURES - 1 else CLOSED)
    assert len(again) == FAILURES and min(again) > 4.0, "with all of the patience"


def test_one_is_made_again_at_a_time(dependency):  # noqa: F811
    callers, release, again = threading.get_ident(), threading.Event(), []

    def ends_late():
        if threading.get_ident() == callers:
            raise TimeoutError("broken off")
        again.append(1)
        release.wait(60)

    for _ in range(TOGETHER + 2):
        with pytest.raises(Unavailable, match="broken off"):
            dependency.call(ends_late, 0.02, here=True)
    release.set()
    settled(dependency, CLOSED)
    assert again == [1]
    assert dependency._again is None, "it would hold its release"


def test_others_that_ask_meanwhile_do_not_keep_one_from_being_made_again():
    dependency, graph, until = Dependency("query_tower", 0.1), Graph(looping(FOR_GOOD)), time.monotonic() + 60  # noqa: F811

    def ask():
        while dependency.state == CLOSED and time.monotonic() < until:
            with pytest.raises(Unavailable):
                dependency.call(lambda: graph(ROWS), 0.045, here=True)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() < until
    dependency.close()


def fails(dependency):  # noqa: F811
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            dependency.call(broken, 1.0, here=True)


@pytest.mark.parametrize("meanwhile", [fails, Dependency.close], ids=["left alone", "closed"])
def test_what_is_left_alone_or_closed_meanwhile_is_not_made_again(dependency, meanwhile):  # noqa: F811
    def ends_late():
        meanwhile(dependency)
        raise TimeoutError("broken off")

    with pytest.raises(Unavailable, match="broken off"):
        dependency.call(ends_late, 0.02, here=True)
    assert dependency._threads == 0, "none was begun for it"


@pytest.mark.parametrize("timeout", [0.06, 0.2, 0.5])
def test_a_graph_that_hangs_is_left_alone_whatever_time_its_callers_have(timeout):
    """The query tower has half of what is left of a request, which is less than the patience."""
    dependency, graph = Dependency("query_tower", 0.1), Graph(looping(FOR_GOOD))  # noqa: F811
    for _ in range(200):
        with pytest.raises(Unavailable):
            dependency.call(lambda: graph(ROWS), 0.45 * timeout, here=True)
        if dependency.state != CLOSED:
            break
    assert dependency.state != CLOSED
    dependency.close()


def test_a_slow_answer_is_one_and_counts_as_none(dependency, clock):  # noqa: F811
    def slow():
        clock.now += 5.1
        return 7

    for _ in range(FAILURES):
        assert dependency.call(slow, 60.0, here=True) == 7
    assert dependency.state == OPEN


def test_a_probe_ends_within_the_patience():
    dependency, graph = Dependency("ranker", 0.05, retry_seconds=0.0), Graph(looping(FOR_GOOD))  # noqa: F811
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            dependency.call(lambda: graph(ROWS), 60.0, here=True)
    with pytest.raises(Unavailable, match="asked again"):
        dependency.call(lambda: graph(ROWS), 60.0, here=True)
    settled(dependency, OPEN)
