"""What the route of items takes for a batch, and for whom."""

import asyncio
import json
import threading
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from kserve.errors import InvalidInput

from souk.errors import SoukError
from souk.serving.items.outcomes import Outcome
from souk.serving.items.route import MAX_ROWS, ItemsRoute, rows_of
from souk.serving.line import Overloaded
from souk.serving.model import TIMEOUT


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "a JSON body"),
        (b"[]", "an object with items"),
        (json.dumps({"items": []}).encode(), f"1 to {MAX_ROWS} items in one call. Received: 0. Send one at least"),
        (
            json.dumps({"items": [{}] * (MAX_ROWS + 1)}).encode(),
            f"1 to {MAX_ROWS} items in one call. Received: 1001. Send several",
        ),
        (b'{"item": []}', "Did you mean 'items'"),
    ],
)
def test_a_body_that_is_no_batch(body, part):
    with pytest.raises(SoukError, match=part):
        rows_of(body)


class Served:
    """Takes a call once the test lets it."""

    now = SimpleNamespace(bundle=SimpleNamespace(name="shop-1"))

    def __init__(self):
        self.go_on, self.calls = threading.Event(), 0

    def upsert(self, rows):
        self.calls += 1
        assert self.go_on.wait(60)
        return Outcome(len(rows), 0, 0, ())


@pytest.fixture
def served():
    return Served()


def sent(route, **headers):
    body = AsyncMock(return_value=b'{"items": [{"item_id": "new"}]}')
    return route.upsert(SimpleNamespace(body=body, headers=headers))


def test_a_call_whose_time_is_over_when_its_turn_comes_changes_nothing(served):
    route = ItemsRoute(served, SimpleNamespace(items=lambda accepted, refused: None))

    async def scene():
        calls = [asyncio.create_task(sent(route, **headers)) for headers in ({}, {TIMEOUT: "50"}, {TIMEOUT: "60000"})]
        await asyncio.sleep(0.1)
        served.go_on.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    first, late, last = asyncio.run(scene())
    assert isinstance(late, Overloaded) and (first.status_code, last.status_code) == (200, 200)
    assert served.calls == 2


def test_a_time_that_is_none_is_refused(served):
    with pytest.raises(InvalidInput, match=TIMEOUT):
        asyncio.run(sent(ItemsRoute(served, None), **{TIMEOUT: "soon"}))
    assert not served.calls
