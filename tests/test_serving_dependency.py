"""The breaker around a dependency: when it lets calls through, and that nobody waits for one that is down."""

import contextlib
import gc
import math
import threading
import weakref
from functools import partial

import pytest

from souk.serving.dependency import CLOSED, FAILURES, HALF_OPEN, OPEN, THREADS, TOGETHER, Dependency, Unavailable


class Clock:
    """Monotonic seconds that a test moves."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dependency(clock):
    return Dependency("redis", 5.0, clock, retry_seconds=2.0)


def broken():
    raise ConnectionError("refused")


def failed(dependency, times, function=broken):
    for _ in range(times):
        with pytest.raises(Unavailable, match=r"^redis"):
            dependency.call(function, 1.0 if function is broken else 0.001)


def settled(dependency, state):
    """Waits for threads that have answered to have counted it."""
    for _ in range(10_000):
        if dependency.state == state and not dependency._busy:
            return
        threading.Event().wait(0.001)
    raise AssertionError(f"{dependency.state}, {dependency._busy} busy")


def test_an_answer_is_handed_on_and_an_error_told(dependency):
    assert dependency.call(lambda: 7, 1.0) == 7
    with pytest.raises(Unavailable, match="redis: ConnectionError: refused"):
        dependency.call(broken, 1.0)


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
def test_what_would_end_a_thread_ends_none_of_its_callers(dependency, error):
    def exits():
        raise error

    for _ in range(FAILURES):
        with pytest.raises(Unavailable, match=error.__name__):
            dependency.call(exits, 1.0)
    assert dependency.state == OPEN


def test_failures_in_a_row_open_it_and_others_do_not(dependency, clock):
    failed(dependency, FAILURES - 1)
    dependency.call(lambda: 1, 1.0)
    assert dependency.state == CLOSED
    failed(dependency, FAILURES)
    assert dependency.state == OPEN
    asked = []
    failed(dependency, 5, lambda: asked.append(1))
    assert not asked, "it is left alone"


def test_a_probe_that_nobody_waits_for_closes_it(dependency, clock):
    failed(dependency, FAILURES)
    assert dependency.state == OPEN
    clock.now += 2.0
    release, asked = threading.Event(), []
    failed(dependency, 1, lambda: (asked.append(1), release.wait(60)))
    assert dependency.state == HALF_OPEN
    failed(dependency, 3, lambda: asked.append(2))
    release.set()
    settled(dependency, CLOSED)
    assert asked == [1], "one probe at a time"
    assert dependency.call(lambda: 3, 1.0) == 3


def test_a_probe_that_fails_waits_for_the_next_time(dependency, clock):
    failed(dependency, FAILURES)
    assert dependency.state == OPEN
    clock.now += 2.0
    failed(dependency, 1)
    settled(dependency, OPEN)
    asked = []
    clock.now += 1.9
    failed(dependency, 1, lambda: asked.append(1))
    clock.now += 0.1
    failed(dependency, 1, lambda: asked.append(2))
    settled(dependency, CLOSED)
    assert asked == [2]


@pytest.mark.parametrize("good", [True, False])
def test_what_was_asked_before_a_probe_says_nothing_while_it_is_on_its_way(dependency, clock, good):
    late, probe = threading.Event(), threading.Event()

    def answers():
        late.wait(60)
        return None if good else broken()

    early = dependency.start(answers)
    failed(dependency, FAILURES)
    clock.now += 2.0
    failed(dependency, 1, lambda: probe.wait(60))
    late.set()
    with contextlib.suppress(Unavailable):
        early.result(60)
    assert dependency.state == HALF_OPEN
    probe.set()
    settled(dependency, CLOSED)


def test_calls_that_nobody_could_wait_for_stop_none_who_can_until_too_many_are_on_their_way(dependency):
    release, asked = threading.Event(), []
    for _ in range(TOGETHER):
        assert dependency.call(lambda: 1, 60.0) == 1, "there is a thread for whoever comes"
        with pytest.raises(Unavailable, match="no answer in"):
            dependency.call(lambda: release.wait(60), 0.001)
    with pytest.raises(Unavailable, match=f"{TOGETHER} calls are on their way"):
        dependency.call(lambda: asked.append(1), math.nextafter(math.inf, 0))
    assert not asked
    release.set()
    settled(dependency, CLOSED)
    assert dependency.call(lambda: 4, 1.0) == 4


def test_a_hang_is_a_failure_once_it_has_had_all_the_patience_whoever_waited(dependency, clock):
    release = threading.Event()
    failed(dependency, FAILURES, lambda: release.wait(60))  # each waited for no time at all
    assert dependency.state == CLOSED
    clock.now += 5.1
    assert dependency.state == OPEN
    for lost in range(FAILURES + 1, THREADS + 1):  # probes that hang too
        clock.now += 2.1
        failed(dependency, 1, lambda: release.wait(60))
        assert dependency.state == HALF_OPEN
        clock.now += 5.1
        assert dependency.state == OPEN and dependency._busy == lost
    clock.now += 2.1
    failed(dependency, 1, lambda: release.wait(60))
    assert dependency._busy == dependency._threads == THREADS, "no more than these"
    release.set()
    settled(dependency, OPEN)
    failed(dependency, 1, lambda: 1)  # a probe
    settled(dependency, CLOSED)


def test_answers_that_take_longer_than_its_patience_open_it(dependency, clock):
    def slow():
        clock.now += 5.1
        return 1

    for _ in range(FAILURES):
        call = dependency.start(slow)
        assert call.landed(60) and call.answer == 1
    assert dependency.state == OPEN


def test_a_caller_with_all_the_time_calls_in_its_own_thread_and_sees_the_error(dependency):
    assert dependency.call(threading.get_ident, math.inf) == threading.get_ident()
    with pytest.raises(ConnectionError):
        dependency.call(broken, math.inf)


def test_closed_it_takes_no_more_calls_and_its_threads_end_after_theirs(dependency):
    before, over, going = set(threading.enumerate()), threading.Event(), dependency.start(lambda: 1)
    assert going.landed(60)
    slow = dependency.start(lambda: over.wait(60))
    threads = set(threading.enumerate()) - before
    dependency.close()
    failed(dependency, 1, lambda: 1)
    over.set()
    assert slow.landed(60) and slow.answer is True, "what was on its way is answered"
    for thread in threads:
        thread.join(60)
    assert threads and not any(thread.is_alive() for thread in threads)


def test_threads_that_the_system_has_no_room_for_take_no_place(dependency, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_room)
        for _ in range(THREADS):
            with pytest.raises(RuntimeError, match="new thread"):
                dependency.call(lambda: 1, 1.0)
    assert dependency.state == CLOSED and dependency.call(lambda: 1, 60.0) == 1


def no_room(thread):
    raise RuntimeError("can't start new thread")


def test_a_thread_that_waits_holds_nothing_of_the_error_that_it_told(dependency):
    def read(of):
        raise ConnectionError(of)

    what = set()
    alive = weakref.ref(what)
    with pytest.raises(Unavailable):
        dependency.call(partial(read, what), 60.0)
    del what
    for _ in range(100):
        gc.collect()
        if alive() is None:
            return
        threading.Event().wait(0.01)
    raise AssertionError("it is held")
