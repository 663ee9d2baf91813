"""What fails holds nothing in memory: an error knows the frames it was raised through, and none of them the error."""

import asyncio
import errno
import gc
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from kserve.errors import InvalidInput

from souk.plugs import Ranker
from souk.serving.line import Line
from souk.serving.protocol.rpc import CountedCalls, RefusingInterceptor
from souk.serving.protocol.tracing import Untraced
from souk.serving.request import Request
from souk.serving.room import Room
from tests.serving_fixtures import NOW, STATES, write_shop
from tests.test_plugs import loaded
from tests.test_serving_events import row, shop  # noqa: F401


class Row(dict):
    """Can be looked at without being held."""


class Asked(Request):
    """The same."""


class Held:
    """What is in the frames of a failure, each time."""

    def __init__(self):
        self.rows = []

    def fail(self, *_):
        own = Row()
        self.rows.append(weakref.ref(own))
        raise ValueError(f"{len(own)} in it")

    @property
    def left(self):
        return sum(ref() is not None for ref in self.rows)


@pytest.fixture
def held():
    gc.collect()
    gc.disable()
    yield Held()
    gc.enable()


def test_a_body_that_is_refused(held):
    room = Room("events", 2)

    async def scene():
        for _ in range(3):
            with pytest.raises(ValueError, match="0 in it"):
                await room.run(held.fail)

    asyncio.run(scene())
    assert len(held.rows) == 3 and not held.left


def test_slates_that_nobody_could_make(held, monkeypatch):
    monkeypatch.setattr("souk.serving.line.seldom.exception", lambda *_: None)
    line = Line(held.fail, held.fail)

    async def scene():
        request = Asked("ann", 1, NOW, deadline=time.monotonic() + 60)
        held.rows.append(weakref.ref(request))
        with pytest.raises(ValueError, match="0 in it"):
            await line.slates([request])

    asyncio.run(scene())
    assert len(held.rows) == 3
    end = time.monotonic() + 60
    while held.left and time.monotonic() < end:  # the thread lets go of what it told a moment later
        time.sleep(0.01)
    assert not held.left


def test_slates_that_no_model_could_make(held, monkeypatch):
    monkeypatch.setattr("souk.serving.line.seldom.exception", lambda *_: None)  # pytest keeps what is logged
    line = Line(held.fail, lambda requests: ["safe"] * len(requests))
    request = Request("ann", 1, NOW, deadline=time.monotonic() + 60)
    assert asyncio.run(line.slates([request])) == ["safe"]
    assert len(held.rows) == 1 and not held.left


@pytest.mark.parametrize("counted", ["ModelInfer", "ModelReady"])
def test_a_call_of_grpc_that_is_refused(held, counted):
    refused, metrics = [], SimpleNamespace(observe=lambda *_: None, refuse=lambda *_: None)

    async def wrong(request, context):
        own = Row()
        held.rows.append(weakref.ref(own))
        raise InvalidInput(f"{len(request)} bytes and {len(own)}")

    async def scene():
        server = grpc.aio.server(interceptors=[CountedCalls(metrics, Untraced()), RefusingInterceptor()])
        handler = grpc.unary_unary_rpc_method_handler(wrong, bytes, bytes)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference", {counted: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for _ in range(5):
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await channel.unary_unary(f"/inference/{counted}")(b"1" * 1000)
                refused.append(error.value.code())
        left = held.left
        await server.stop(None)
        return left

    assert asyncio.run(scene()) <= 1  # the last one, until the next
    assert refused == [grpc.StatusCode.INVALID_ARGUMENT] * 5 and len(held.rows) == 5


def test_events_that_a_full_disk_refuses(held, shop, monkeypatch):  # noqa: F811
    def full(rows):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shop.live._log, "append", full)
    for number in range(3):
        own = Row(row(number))
        held.rows.append(weakref.ref(own))
        assert shop.live.submit([own]).exception(60).errno == errno.ENOSPC
        del own
    shop.until(lambda: held.left <= 1)  # the last ones are those of the turn


class Picky(Ranker):
    """Fails at bob."""

    held = None

    def probabilities(self, features, items, positions, request, pair):
        if "bob" in features["user_id"]:
            self.held.fail()
        return {"engaged": positions / 100}


def test_a_request_that_a_ranker_fails_at(held, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(sys.modules, "test_serving_error_cycles", sys.modules[__name__])
    monkeypatch.setattr(Picky, "held", held)
    folder = write_shop(tmp_path / "shop").folder
    recommender = loaded(folder, ranker={"use": "test_serving_error_cycles:Picky", "options": {}})[1]
    deadline, states = time.monotonic() + 60, [STATES[0], STATES[1]]
    for _ in range(2):
        asked = [Request(s.user_id, 8, NOW, state=s, deadline=deadline) for s in states]
        assert ("ranker_unavailable",) in [slate.degraded for slate in recommender.recommend(asked)]
    assert len(held.rows) >= 2 and not held.left
