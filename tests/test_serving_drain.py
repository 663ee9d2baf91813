"""Which signals a server waits after."""

import signal

import pytest

from souk.serving.protocol import drain


class Timer:
    """One that the test rings."""

    made = None

    def __init__(self, seconds, call, given):
        self.seconds, self.ring = seconds, lambda: call(*given)
        self.made.append(self)

    def start(self):
        """It is started by hand."""


@pytest.mark.parametrize(
    ("signals", "waits", "ended"),
    [
        ([signal.SIGTERM], [8.0], []),
        ([signal.SIGINT], [], [signal.SIGINT]),
        ([signal.SIGTERM, signal.SIGTERM], [8.0], [signal.SIGTERM]),
        ([signal.SIGTERM, signal.SIGINT], [8.0], [signal.SIGINT]),
    ],
)
def test_only_the_first_sigterm_waits(monkeypatch, signals, waits, ended):
    monkeypatch.setattr(drain.threading, "Timer", Timer)
    monkeypatch.setattr(Timer, "made", [])
    draining, done = drain.Drain(8.0), []
    handler = draining.handler(lambda number, frame: done.append(number))
    assert not draining.begun
    for number in signals:
        handler(number, None)
    assert draining.begun and [timer.seconds for timer in Timer.made] == waits and done == ended
    for timer in Timer.made:
        timer.ring()
    assert done == [*ended, *[signal.SIGTERM] * len(waits)]


def test_what_is_passed_on_and_comes_by_itself_too_is_one(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(drain.threading, "Timer", Timer)
    monkeypatch.setattr(Timer, "made", [])
    monkeypatch.setattr(drain.time, "monotonic", lambda: now[0])
    done = []
    handler = drain.Drain(8.0, passed_on=True).handler(lambda number, frame: done.append(number))
    handler(signal.SIGTERM, None)
    now[0] += drain.TOGETHER / 2
    handler(signal.SIGTERM, None)
    assert len(Timer.made) == 1 and done == []
    handler(signal.SIGINT, None)
    assert done == [signal.SIGINT], "which nobody passes on twice"
    now[0] += 2 * drain.TOGETHER
    handler(signal.SIGTERM, None)
    assert done == [signal.SIGINT, signal.SIGTERM]
