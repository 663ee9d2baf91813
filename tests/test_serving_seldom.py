"""What fails at every request is a line now and then, which says how many were left out."""

import asyncio
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from souk.serving.events.route import EventsRoute
from souk.serving.items.route import ItemsRoute
from souk.serving.items.vectors import ItemVectors
from souk.serving.logs import JsonLines
from souk.serving.seldom import Seldom

FAILS = "index unavailable: %s: %s"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def seldom():
    return Seldom(logging.getLogger("souk.of-this-test"), Clock())


def test_a_line_in_ten_seconds_and_how_many_were_left_out(seldom, caplog):
    for tenth in range(251):
        seldom._clock.now = tenth / 10
        seldom.warning(FAILS, "Unavailable", f"no answer in {tenth} ms")
    assert caplog.messages == [
        "index unavailable: Unavailable: no answer in 0 ms",
        "index unavailable: Unavailable: no answer in 100 ms (99 more like it in 10 s before)",
        "index unavailable: Unavailable: no answer in 200 ms (99 more like it in 10 s before)",
    ]
    seldom._clock.now = 1000.0
    seldom.warning(FAILS, "Unavailable", "once more")
    assert caplog.messages[-1].endswith("once more (50 more like it in 980 s before)")


def test_what_is_not_alike_is_told(seldom, caplog):
    for _ in range(2):
        seldom.warning(FAILS, "Unavailable", "a")
        seldom.warning(FAILS, "TypeError", "a")
        seldom.warning("the %s gave numbers that are none", "ranker")
    assert len(caplog.messages) == 3
    assert {record.filename for record in caplog.records} == {"test_serving_seldom.py"}, "who said it"


def test_calls_that_a_full_disk_refuses_are_a_line(caplog):
    """As are rows that an item tower cannot take."""

    def full(*_):
        raise OSError(28, "No space left on device", "/srv/log")

    async def calls():
        call = SimpleNamespace(body=body, headers={})
        answers = [await take(call) for take in (events.take, items.upsert) for _ in range(5)]
        assert all(b"No space left" in answer.body and b"/srv" not in answer.body for answer in answers)
        return [answer.status_code for answer in answers]

    async def body():
        return b'{"items": [{"item_id": "new"}]}'

    releases, live = SimpleNamespace(upsert=full, now=None), SimpleNamespace(submit=full)
    events, items = EventsRoute(live, releases, None, Clock()), ItemsRoute(releases, None)
    events._checked = lambda *_: ([], False, [], {})
    assert asyncio.run(calls()) == [503] * 10
    tower = ItemVectors(SimpleNamespace(vectors=lambda inputs: 1 / 0), SimpleNamespace(of=lambda entity: []), 4)
    assert np.isnan(tower.of([{}] * 5)).all()
    said = [
        f"{name} not taken: OSError: [Errno 28] No space left on device: '/srv/log'" for name in ("events", "items")
    ]
    assert caplog.messages == [*said, "item tower: ZeroDivisionError: division by zero"]


def test_a_traceback_is_told_as_seldom(seldom, caplog):
    for _ in range(3):
        for error in (KeyError("ann"), ZeroDivisionError()):
            seldom.exception("answering without the models", error)
    assert caplog.messages == [f"answering without the models: {name}" for name in ("KeyError", "ZeroDivisionError")]
    assert [record.exc_info[0] for record in caplog.records] == [KeyError, ZeroDivisionError]


def test_as_json_an_error_is_told_as_ever(seldom, caplog):
    for at in (0.0, 1.0, 11.0):
        seldom._clock.now = at
        seldom.warning(FAILS, "OSError", OSError("its own words"))
        seldom.warning(FAILS, "ValueError", ValueError("the colour of ann"))
    lines = [JsonLines().format(record) for record in caplog.records]
    assert len(lines) == 4 and "its own words (1 more" in lines[2] and "ValueError (1 more" in lines[3]
    assert not any("colour" in line for line in lines)
