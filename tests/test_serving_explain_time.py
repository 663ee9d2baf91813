"""A caller who says how long an explanation may take is answered by then."""

import asyncio
import math
import threading
import time
from types import SimpleNamespace

import pytest

from souk.errors import SoukError, Unanswered
from souk.serving.explain.gradients import Explainer
from souk.serving.explain.in_time import Late, as_long_as
from souk.serving.line import Overloaded
from souk.serving.model import TIMEOUT, SoukModel
from souk.serving.protocol.rest import REFUSED
from souk.serving.protocol.tracing import opened
from souk.serving.request import RequestParser
from tests.serving_fixtures import NOW, SPEC

ANN = {"user_id": "ann", "item_id": "a"}


class Explaining(SoukModel):
    """Explains once it may."""

    go, begun, calls = threading.Event(), threading.Event(), 0

    def _explain(self, payload):
        self.calls += 1
        self.begun.set()
        assert self.go.wait(60)
        return ["why"] * len(payload.requests)


@pytest.fixture
def model():
    metrics = SimpleNamespace(stages=lambda seconds: None)
    now = SimpleNamespace(main=SimpleNamespace(parser=RequestParser(SPEC, 20, 200, 1)))
    arms = SimpleNamespace(now=now, safe=lambda requests: [])
    made = Explaining(arms, [], metrics, lambda: NOW, lambda: "r", opened({}))
    made.go.clear()
    made.begun.clear()
    yield made
    made.go.set()


async def asked(model, *instances, headers=()):
    checked = await model.preprocess({"instances": list(instances)}, {"content-length": "99", **dict(headers)})
    return (await model.explain(checked))["explanations"]


def test_its_time_is_what_the_caller_states_and_nothing_else(model):
    """Of the server's own --timeout-ms, of a millisecond here, no explanation would ever come."""

    async def until(*instances, headers=()):
        began, given = time.monotonic(), {"content-length": "99", **dict(headers)}
        return (await model.preprocess({"instances": list(instances)}, given)).until - began

    assert asyncio.run(until(ANN, {**ANN, "timeout_ms": None})) == math.inf
    for own, headers, seconds in (({}, {TIMEOUT: "7000"}, 7), ({"timeout_ms": 5000}, {TIMEOUT: "7000"}, 5)):
        assert asyncio.run(until(ANN, {**ANN, **own}, headers=headers)) == pytest.approx(seconds, abs=1)
    model.go.set()
    assert asyncio.run(asked(model, ANN, {**ANN, "timeout_ms": 60_000})) == ["why"] * 2


@pytest.mark.parametrize(("own", "headers"), [({"timeout_ms": 50}, {}), ({}, {TIMEOUT: "50"})])
def test_who_waited_for_so_long_is_told_and_one_who_waits_behind_is_not_computed(model, own, headers):
    async def scene():
        first = asyncio.create_task(asked(model, ANN))
        await asyncio.to_thread(model.begun.wait, 60)
        began = time.monotonic()
        with pytest.raises(Late):
            await asked(model, ANN, {**ANN, **own}, headers=headers)
        assert 0.04 < time.monotonic() - began < 30
        model.go.set()
        return await first

    assert asyncio.run(scene()) == ["why"]
    assert asyncio.run(asked(model, ANN)) == ["why"] and model.calls == 2
    assert asyncio.run(REFUSED[Unanswered](None, Late())).status_code == 503


def test_who_cannot_wait_for_those_inside_is_sent_away_at_once(model):
    model.explaining._lately.extend([5.0, 5.0])

    async def scene():
        first = asyncio.create_task(asked(model, ANN))
        await asyncio.to_thread(model.begun.wait, 60)
        with pytest.raises(Overloaded):
            await asked(model, {**ANN, "timeout_ms": 4000})
        model.go.set()
        await first

    asyncio.run(scene())


def test_nothing_more_is_computed_when_the_time_is_over():
    now, run = [0.0], []
    called = as_long_as(1.0, lambda *call: run.append(call), lambda: now[0])
    called("model", "explain", {})
    now[0] = 1.0
    with pytest.raises(Late, match="within the timeout_ms of the call"):
        called("model", "explain", {})
    assert run == [("model", "explain", {})]


@pytest.mark.parametrize(
    ("item", "degraded", "error"),
    [
        ("a", ("ranker_unavailable",), Unanswered),
        ("", ("query_tower_unavailable",), Unanswered),
        ("", ("unknown_user",), SoukError),
    ],
)
def test_a_model_that_is_away_is_no_fault_of_the_caller(item, degraded, error):
    catalogue, settings = SimpleNamespace(positions={"a": 0}), SimpleNamespace(release="r")
    explainer = SimpleNamespace(_recommender=SimpleNamespace(catalogue=catalogue, settings=settings))
    ranking = SimpleNamespace(heads={}, positions=[0] if degraded != ("unknown_user",) else [], degraded=degraded)
    with pytest.raises(error, match=f"one without scores .{degraded[0]}"):
        Explainer._position(explainer, ranking, item)
