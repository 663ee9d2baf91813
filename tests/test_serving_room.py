"""Room for calls beside the slates: so many wait, more are sent away, and each gives its place back."""

import asyncio
import contextlib
import threading
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from kserve.errors import InvalidInput

from souk.serving.events import route as events_route
from souk.serving.items import route as items_route
from souk.serving.line import Overloaded
from souk.serving.room import LATELY, Room


def together(*calls):
    async def all_of_them():
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_of_them())


def test_one_more_than_fit_is_sent_away_and_there_is_room_again():
    held, room = threading.Event(), Room("items", 3)

    async def scene():
        inside = [asyncio.create_task(room.run(held.wait, 60)) for _ in range(3)]
        await asyncio.sleep(0)
        assert room.waiting == 3
        with pytest.raises(Overloaded):
            await room.run(lambda: 1)
        assert room.waiting == 3
        held.set()
        assert await asyncio.gather(*inside) == [True] * 3
        return await room.run(lambda: 2)

    assert asyncio.run(scene()) == 2
    assert room.waiting == 0


def test_an_error_is_the_callers_and_gives_the_place_back():
    room = Room("items", 1)
    assert [type(error) for error in together(room.run(lambda: 1 / 0))] == [ZeroDivisionError]
    assert together(room.run(lambda: 3)) == [3]


def test_a_system_without_room_for_a_thread_fills_no_room(monkeypatch):
    room = Room("items", 1)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: 1 / 0)
    assert together(room.run(lambda: 1)) == [1] == together(room.run(lambda: 1))


def test_a_first_call_that_waited_for_a_start_sends_nobody_away_who_has_time_for_the_others():
    now, held = [0.0], threading.Event()
    room = Room("explain", 16, lambda: now[0])

    def takes(seconds):
        now[0] += seconds

    async def scene():
        for seconds in (20.0, 0.2, 0.4):
            await room.run(takes, seconds)
        inside = asyncio.create_task(room.run(held.wait, 60))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as told:
            await room.run(takes, 0.2, left=0.29)
        assert told.value.seconds == pytest.approx(0.3)
        waiting = asyncio.create_task(room.run(takes, 0.2, left=0.31))
        await asyncio.sleep(0)
        held.set()
        await asyncio.gather(inside, waiting)

    asyncio.run(scene())


def test_a_first_call_alone_sends_nobody_away():
    now, held = [0.0], threading.Event()
    room = Room("explain", 16, lambda: now[0])

    async def scene():
        await room.run(lambda: now.append(now.pop() + 20.0))
        inside = [asyncio.create_task(room.run(held.wait, 60, left=5.0)) for _ in range(3)]
        await asyncio.sleep(0)
        assert room.waiting == 3
        held.set()
        return await asyncio.gather(*inside)

    assert asyncio.run(scene()) == [True] * 3


def test_calls_whose_time_was_over_say_nothing_of_what_a_call_takes():
    now, held = [0.0], threading.Event()
    room = Room("items", 16, lambda: now[0])

    def slow():
        now[0] += 4.0

    def over():
        raise Overloaded(1.0)

    def wrong():
        slow()
        raise ValueError

    async def scene():
        for call in (slow, wrong, *[over] * LATELY):
            with contextlib.suppress(Overloaded, ValueError):
                await room.run(call)
        inside = asyncio.create_task(room.run(held.wait, 60))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as told:
            await room.run(slow, left=3.9)
        held.set()
        await inside
        return told.value.seconds

    assert asyncio.run(scene()) == 4.0, "what failed after work says it, too"


def test_a_caller_who_goes_away_keeps_the_place_until_his_turn_is_over():
    held, room = threading.Event(), Room("items", 2)

    async def scene():
        first = asyncio.create_task(room.run(held.wait, 60))
        second = asyncio.create_task(room.run(held.wait, 60))
        await asyncio.sleep(0.01)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        assert room.waiting == 2, "its thread is still at it"
        second.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await second
        assert room.waiting == 1, "the other never began"
        held.set()
        return await room.run(lambda: 4)

    assert asyncio.run(scene()) == 4
    assert room.waiting == 0


def test_who_has_less_time_than_those_before_take_is_sent_away_and_never_from_an_empty_room():
    now, held = [0.0], threading.Event()
    room = Room("parse", 64, lambda: now[0])

    def slow():
        now[0] += 4.0

    async def scene():
        for _ in range(2):
            await room.run(slow)
        await room.run(lambda: None, left=0.1)
        cost = 2.0
        inside = [asyncio.create_task(room.run(held.wait, 60, left=0.1)) for _ in range(1)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as told:
            await room.run(held.wait, 60, left=cost - 0.001)
        assert told.value.seconds == cost and room.waiting == 1
        inside.append(asyncio.create_task(room.run(held.wait, 60, left=cost + 0.001)))
        await asyncio.sleep(0)
        held.set()
        return await asyncio.gather(*inside)

    assert asyncio.run(scene()) == [True, True]


def test_who_is_sent_away_is_told_when_to_come_by_what_calls_take():
    now, held = [0.0], threading.Event()
    room = Room("items", 2, lambda: now[0])

    def slow():
        now[0] += 4.0

    async def scene():
        for _ in range(2):
            await room.run(slow)
        inside = [asyncio.create_task(room.run(held.wait, 60)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as told:
            await room.run(slow)
        held.set()
        await asyncio.gather(*inside)
        return told.value.seconds

    assert asyncio.run(scene()) == 8.0


@pytest.mark.parametrize(("module", "route"), [(events_route, "take"), (items_route, "upsert")])
def test_rows_are_parsed_beside_the_event_loop(module, route, monkeypatch):
    where, parse = [], module.rows_of
    monkeypatch.setattr(module, "rows_of", lambda body: where.append(threading.current_thread()) or parse(body))
    given = {"live": None, "clock": lambda: 0} if module is events_route else {}
    made = {events_route: events_route.EventsRoute, items_route: items_route.ItemsRoute}[module](
        releases=SimpleNamespace(upsert=None), metrics=None, **given
    )
    with pytest.raises(InvalidInput, match="a JSON body"):
        asyncio.run(getattr(made, route)(SimpleNamespace(body=AsyncMock(return_value=b"{"), headers={})))
    assert len(where) == 1 and where[0] is not threading.current_thread()
