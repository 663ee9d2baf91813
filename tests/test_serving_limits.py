"""Limits of a body, and that the event loop stays free while a large one is read and a long answer is written."""

import asyncio
import math
import threading
import time
from types import SimpleNamespace

import pytest
from kserve import InferInput, InferRequest
from kserve.errors import InvalidInput
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from souk.errors import SoukError
from souk.serving.line import Overloaded
from souk.serving.model import SMALL_BYTES, SMALL_ITEMS, SMALL_VALUES, SoukModel, is_small
from souk.serving.protocol import tensors
from souk.serving.protocol.tracing import opened
from souk.serving.request import MAX_BODY_EVENTS, MAX_BODY_ITEMS, MAX_EVENTS, MAX_INSTANCES, RequestParser
from souk.serving.slate import Slate, SlateItem
from tests.serving_bodies import packed
from tests.serving_fixtures import NOW, SPEC

CLICK = {"item_id": "a", "event_type": "click"}
PARSER = RequestParser(SPEC, 20, 200)


def instances(count, **fields):
    return [{"user_id": f"u{n}", **fields} for n in range(count)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (instances(MAX_INSTANCES + 1), "at most 256 entries"),
        (instances(1, events=[CLICK] * (MAX_EVENTS + 1)), "at most 500 entries"),
        (instances(MAX_BODY_EVENTS // MAX_EVENTS + 1, events=[CLICK] * MAX_EVENTS), "8000 events in all"),
        (instances(MAX_BODY_ITEMS // 200 + 1, k=200), "12800 items in all"),
        (instances(1, k=201), "from 1 to 200"),
        (instances(1, exclude=["x"] * 10_001), "at most 10000 entries"),
        (instances(1, candidates=["x"] * 2_001), "at most 2000 entries"),
    ],
)
def test_what_is_more_is_refused_and_says_the_limit(given, said):
    with pytest.raises(Exception, match=said):
        PARSER.parse_all(given, NOW, lambda: "r")


def test_what_is_as_much_is_taken():
    assert len(PARSER.parse_all(instances(16, events=[CLICK] * MAX_EVENTS), NOW, lambda: "r")) == 16
    assert len(PARSER.parse_all(instances(MAX_BODY_ITEMS // 200, k=200), NOW, lambda: "r")) == 64


class Watching(RequestParser):
    """Notes the thread that checks, once it may."""

    go, waits = threading.Event(), threading.Event()

    def parse_all(self, *args, **kwargs):
        self.thread = threading.current_thread().name
        self.waits.set()
        assert self.go.wait(30)
        return super().parse_all(*args, **kwargs)


@pytest.fixture
def model():
    parser = Watching(SPEC, 20, 200, 20_000)
    parser.go.set()
    parser.waits.clear()
    log = SimpleNamespace(record=lambda slates: None)
    metrics = SimpleNamespace(count=lambda slates: None, stages=lambda seconds: None)
    now = SimpleNamespace(main=SimpleNamespace(parser=parser))
    arms = SimpleNamespace(now=now, recommend=lambda requests: [], safe=lambda requests: [])
    return SoukModel(arms, [log], metrics, lambda: NOW, lambda: "r", opened({})), parser


@pytest.mark.parametrize(
    ("length", "thread"),
    [("100", "MainThread"), (str(SMALL_BYTES + 1), "parse_0"), (None, "parse_0"), ("²", "parse_0")],
)
def test_a_large_body_is_checked_beside_the_event_loop(model, length, thread):
    made, parser = model
    headers = {} if length is None else {"content-length": length}
    checked = asyncio.run(made.preprocess({"instances": instances(2)}, headers))
    assert [request.user_id for request in checked.requests] == ["u0", "u1"] and parser.thread == thread
    with pytest.raises(InvalidInput, match="Expected"):
        asyncio.run(made.preprocess({"instances": [{}]}, headers))


def test_tensors_of_grpc_that_hold_json_are_checked_there_too():
    user, events = InferInput("user_id", [1], "BYTES", ["a"]), InferInput("events", [1], "BYTES", ["[]"])
    assert is_small(InferRequest("souk", [user], from_grpc=True), {})
    assert not is_small(InferRequest("souk", [user, events], from_grpc=True), {})


def test_the_wait_for_the_parser_is_part_of_a_calls_time(model):
    """One body holds the parser; the next one's deadline is from when it came, not from its turn."""
    made, parser = model
    parser.go.clear()

    async def scene():
        first = asyncio.create_task(made.preprocess({"instances": instances(1)}, {}))
        await asyncio.to_thread(parser.waits.wait, 30)
        second = asyncio.create_task(made.preprocess({"instances": instances(2)}, {}))
        await asyncio.sleep(0)
        came = time.monotonic()
        await asyncio.sleep(0.05)
        parser.go.set()
        await first
        return came, [request.deadline for request in (await second).requests]

    came, deadlines = asyncio.run(scene())
    assert max(deadlines) <= came + 20.02


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        ({"instances": instances(3)}, {"x-souk-timeout-ms": "70"}),
        ({"instances": instances(3)}, {"x-souk-timeout-ms": "90"}),
        (InferRequest("souk", [InferInput("events", [3], "BYTES", ["[]"] * 3)], from_grpc=True), {}),
    ],
)
def test_who_cannot_wait_for_the_parser_is_told_at_once(model, payload, headers):
    made, _ = model
    told = {}

    async def run(function, *args, left):
        told["left"] = left
        raise Overloaded(1.0)

    made.parsing.run = run
    with pytest.raises(Overloaded):
        asyncio.run(made.preprocess(payload, headers))
    assert told["left"] == (int(headers["x-souk-timeout-ms"]) / 1000 if headers else 20.04)


def test_a_shape_claims_no_more_time_than_a_body_may_have(model):
    """It is read before the body is checked: of 10^400 rows the time was no number, and the answer a 500."""
    made, _ = model
    for rows, said in (([10**400], "at most 256 rows"), ([10**9], "at most 256 rows")):
        request = InferRequest("souk", [InferInput("user_id", rows, "BYTES", ["a"])])
        with pytest.raises(InvalidInput, match=said):
            asyncio.run(made.preprocess(request, {}))


def test_names_are_quoted_by_their_beginning():
    for tensor in (InferInput("n" * 100_000, [1], "BYTES", ["a"]), InferInput("user_id", [1], "B" * 100_000, ["a"])):
        with pytest.raises(SoukError) as told:
            tensors.instances_of(InferRequest("souk", [tensor], from_grpc=True))
        assert len(str(told.value)) < 400


def test_an_id_has_no_white_space_around_it():
    """Files and events have none: a user of the shop's " ann" was unknown for ever."""
    body = {"user_id": " ann ", "exclude": ["a ", "\tb"], "events": [{"item_id": " c", "event_type": "click"}]}
    (request,) = PARSER.parse_all([body], NOW, lambda: "")
    assert (request.user_id, request.exclude, request.events[0].item_id) == ("ann", {"a", "b"}, "c")
    with pytest.raises(SoukError, match="user_id to be a text of 1 to 512 characters"):
        PARSER.parse_all([{"user_id": "  "}], NOW, lambda: "")


@pytest.mark.parametrize("form", ["data", "raw"])
def test_tensors_of_many_values_are_too_whatever_their_shape_says(form):
    def small(count):
        request = pb.ModelInferRequest(model_name="souk")
        tensor = request.inputs.add(name="user_id", datatype="BYTES", shape=[1])
        if form == "raw":
            request.raw_input_contents.append(packed(*[b""] * count))
        else:
            tensor.contents.bytes_contents.extend([b"a"] * count)
        return is_small(InferRequest.from_grpc(request), {})

    assert small(SMALL_VALUES) and not small(SMALL_VALUES + 1)


class Untouchable(list):
    """Tells of itself how long it is, and nothing more."""

    def __iter__(self):
        raise AssertionError("it was looked at")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([InferInput("user_id", [340_000], "BYTES", Untouchable([b"a"] * 340_000))], "at most 256 rows"),
        ([InferInput(f"i{n}", [1], "BYTES", Untouchable(["a"])) for n in range(18_000)], "at most 11 inputs"),
        ([InferInput("user_id", [2], "BYTES", [["a"] * 3, Untouchable(["a"])])], "2 values.*more"),
    ],
)
def test_tensors_of_more_rows_are_refused_before_they_are_read(inputs, said):
    with pytest.raises(SoukError, match=said):
        tensors.instances_of(InferRequest("souk", inputs, from_grpc=True))


@pytest.mark.parametrize("count", [1, SMALL_ITEMS // 10 + 1])
def test_an_answer_is_the_same_however_long_it_is(model, count):
    items = tuple(SlateItem(f"i{n}", "", 1.0, {}, "fresh", n) for n in range(10))
    slates = [Slate(f"r{n}", "u", NOW, "shop-0", "", items, ()) for n in range(count)]
    answer = asyncio.run(model[0].postprocess((slates, None)))
    assert answer == {"predictions": [slate.to_json() for slate in slates]}
    assert math.isfinite(answer["predictions"][-1]["items"][-1]["score"])
