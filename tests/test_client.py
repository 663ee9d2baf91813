"""The client: what it sends, when it asks again, and that it never does so beyond its time."""

import math
import subprocess
import sys

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from souk.client import Client, ClientError, Event, Item, Overloaded, Refused, Request, Slate, Unavailable
from souk.client.exchange import A_DAY, Calls, Send, Wait, after
from souk.client.http import TIMEOUT
from souk.serving.protocol.refusals import again_after
from tests.client_server import BOTH, BUSY, DISK, GOOD, WRONG, saying, slates_of


@BOTH
def test_a_slate_has_types_and_passes_over_what_is_new(kind):
    with saying(GOOD) as (url, script):
        found = slates_of(kind, url, Request(user_id="ann", k=5, events=[Event("b", "click", value=1.0)]), 30)
    assert found == Slate("r1", "ann", "shop-0", "", (Item("a", "A", 0.5, {"engaged": 0.5}, "two_tower", 0, 0.25),), ())
    ((path, headers, body),) = script.calls
    own = {"user_id": "ann", "k": 5, "events": [{"item_id": "b", "event_type": "click", "value": 1.0}]}
    assert (path, body) == ("/v1/models/souk:predict", {"instances": [own]})
    assert 20_000 < int(headers["x-souk-timeout-ms"]) <= 27_000 and "authorization" not in headers


@BOTH
def test_events_may_be_as_the_body_has_them(kind):
    with saying(GOOD) as (url, script):
        slates_of(kind, url, Request(events=[{"item_id": "b", "event_type": "click"}, Event("c", "cart")]), 30)
        with pytest.raises(ClientError, match="JSON"):
            slates_of(kind, url, Request(events=[object()]), 30)
    ((_, _, body),) = script.calls
    sent = [{"item_id": "b", "event_type": "click"}, {"item_id": "c", "event_type": "cart"}]
    assert body == {"instances": [{"events": sent}]}


@BOTH
@pytest.mark.parametrize("timeout", [math.inf, 1e300])
def test_a_timeout_may_be_none_at_all(kind, timeout):
    with saying(DISK, GOOD) as (url, script):
        assert slates_of(kind, url, Request(item_id="a"), timeout).items[0].item_id == "a"
    assert [headers["x-souk-timeout-ms"] for _, headers, _ in script.calls] == ["60000"] * 2


@BOTH
@pytest.mark.parametrize("timeout", [math.nan, -math.inf, 0])
def test_a_timeout_that_is_no_time_is_a_client_error(kind, timeout):
    with pytest.raises(ClientError):
        slates_of(kind, "http://127.0.0.1:9", Request(item_id="a"), timeout)


@BOTH
@pytest.mark.parametrize("fault", [BUSY, DISK, None, (502, b"<html>bad gateway</html>", {})], ids=str)
def test_what_passes_is_asked_again(kind, fault):
    with saying(fault, fault, GOOD) as (url, script):
        assert slates_of(kind, url, Request(item_id="a"), 60).items[0].item_id == "a"
    assert len(script.calls) == 3


@BOTH
@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_is_wrong_is_not(kind, status):
    with saying((status, WRONG[1], {})) as (url, script), pytest.raises(Refused, match=r"instances\[0\]\.k") as error:
        slates_of(kind, url, Request(user_id="ann"), 60)
    assert error.value.status == status and len(script.calls) == 1


@BOTH
def test_a_server_that_hangs_or_is_not_there_is_unavailable(kind):
    with saying("hang") as (url, script), pytest.raises(Unavailable, match="within the time"):
        slates_of(kind, url, Request(user_id="ann"), 1)
    assert len(script.calls) <= 1  # on a busy machine the time may be over before the call is read
    with pytest.raises(Unavailable, match="no answer of"):
        slates_of(kind, url, Request(user_id="ann"), 0.3)


@BOTH
@pytest.mark.parametrize(
    "answer",
    [(200, b"<html>welcome</html>", {}), (200, {}, {}), (200, {"predictions": [{"items": 5}]}, {}), (200, [], {})],
    ids=str,
)
def test_an_answer_of_something_else_is_no_answer(kind, answer):
    with saying(answer) as (url, script), pytest.raises(Unavailable, match="none of souk's"):
        slates_of(kind, url, Request(user_id="ann"), 60)
    assert len(script.calls) == 1


@BOTH
def test_what_httpx_cannot_send_or_read_is_a_client_error(kind):
    with saying((200, b"no gzip", {"content-encoding": "gzip"})) as (url, script):
        with pytest.raises(ClientError, match="DecodingError"):
            slates_of(kind, url, Request(user_id="ann"), 60)
        for request, more in ((Request(user_id=object()), {}), (Request(user_id="ann"), {"token": "tökén"})):
            with pytest.raises(ClientError, match="the call failed"):
                slates_of(kind, url, request, 60, **more)
    assert len(script.calls) == 1


@BOTH
def test_what_no_retry_would_send_is_told_at_once(kind):
    deep = {}
    for _ in range(5000):
        deep = {"more": deep}
    with saying(GOOD) as (url, script):
        for own, request, more in (
            (url, Request(user_id="ann"), {"token": "one\ntwo"}),
            (url.removeprefix("http://"), Request(user_id="ann"), {}),
            (url, Request(user_id="ann", context=deep), {}),
        ):
            with pytest.raises(ClientError, match="the call failed") as told:
                slates_of(kind, own, request, 60, **more)
            assert type(told.value) is ClientError, "nothing that another time would pass"
    assert not script.calls


@BOTH
def test_a_server_that_fails_is_unavailable_and_not_asked_again(kind):
    with saying((500, {"error": "Expected no bug."}, {})) as (url, script), pytest.raises(Unavailable, match="no bug"):
        slates_of(kind, url, Request(user_id="ann"), 60)
    assert len(script.calls) == 1


@BOTH
def test_within_the_default_time_a_429_is_asked_again_after_the_servers_milliseconds(kind):
    with saying((429, BUSY[1], again_after(0.02)), GOOD) as (url, script):
        slates_of(kind, url, Request(user_id="ann"), TIMEOUT)
    assert len(script.calls) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (again_after(0.0201), 0.021),
        (again_after(2.5), 2.5),
        ({"retry-after": "2"}, 2),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after-ms": "-5"}, 0),
        ({"retry-after-ms": "inf"}, 0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0),
        ({}, 0),
    ],
    ids=str,
)
def test_how_long_a_server_wants_to_be_left_alone(headers, seconds):
    assert after(httpx.Response(429, headers=headers)) == pytest.approx(seconds)


def test_who_was_sent_away_together_does_not_come_back_together():
    busy, waits = httpx.Response(429, headers=again_after(0.1), json={"error": "busy"}), []
    for draw in (0.0, 0.5):
        exchange = Calls("http://souk", None, 10, lambda: 0.0, lambda draw=draw: draw).exchange("/", {}, None)
        next(exchange)
        waits.append(exchange.send(busy).seconds)
    assert waits == pytest.approx([0.11, 0.115])  # what the server says, and ten to twenty milliseconds by chance


def test_no_wait_is_longer_than_a_system_can_wait():
    never = httpx.Response(429, headers={"retry-after": "1e300"}, json={"error": "busy"})
    exchange = Calls("http://souk", None, math.inf, lambda: 0.0, lambda: 0.0).exchange("/", {}, None)
    assert next(exchange).seconds == exchange.send(never).seconds == A_DAY


def test_no_time_for_retry_after_is_overloaded_at_once():
    with (
        saying((429, BUSY[1], {"retry-after": "1000"})) as (url, script),
        pytest.raises(Overloaded, match="less to do"),
    ):
        slates_of(Client, url, Request(user_id="ann"), 60)
    assert len(script.calls) == 1


def test_a_token_is_sent_as_it_is_at_that_moment():
    tokens = iter(["old", "new"])
    with saying(DISK, GOOD) as (url, script):
        slates_of(Client, url, Request(user_id="ann"), 60, token=lambda: next(tokens))
    assert [headers["authorization"] for _, headers, _ in script.calls] == ["Bearer old", "Bearer new"]


def test_rows_say_what_became_of_them():
    answer = {"accepted": 1, "duplicates": 1, "pending": 0, "refused": [{"row": 2, "reason": "x"}], "release": "r"}
    with saying((200, answer, {})) as (url, script), Client(url, timeout=30) as souk:
        taken = souk.send_events([{"event_id": "e1"}])
        assert (taken.accepted, taken.duplicates, taken.refused[0]["row"]) == (1, 1, 2)
        souk.upsert_items([{"item_id": "i"}])
    assert [call[0] for call in script.calls] == ["/v1/events", "/v1/items:upsert"]


OUTCOMES = st.sampled_from(
    [
        httpx.Response(429, json={"error": "x"}, headers={"retry-after": "2"}),
        httpx.Response(429, json={"error": "x"}, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        httpx.Response(503, text="x"),
        httpx.ConnectError("x"),
        httpx.ReadTimeout("x"),
        httpx.RemoteProtocolError("x"),
    ]
)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(OUTCOMES, st.floats(0, 0.5)), min_size=1, max_size=5), st.floats(0.01, 20), st.floats(0, 0.99)
)
def test_nothing_is_begun_after_the_deadline(outcomes, timeout, draw):
    """With a clock of the test's own: each attempt takes its time, and each wait is as long as it says."""
    now = [100.0]
    exchange = Calls("http://x", None, timeout, lambda: now[0], lambda: draw).exchange("/", {}, None)
    assert taken_apart(exchange, outcomes, now, 100 + timeout) >= 1


def taken_apart(exchange, outcomes, now, end):
    """How often it sends until it fails."""
    sent, outcome = 0, None
    while True:
        try:
            step = exchange.send(outcome)
        except (Overloaded, Unavailable):
            return sent
        outcome = None
        assert now[0] <= end + 1e-6
        if isinstance(step, Wait):
            assert step.seconds >= 0
            now[0] += step.seconds
        else:
            assert isinstance(step, Send) and step.seconds <= max(0.001, end - now[0]) + 1e-6
            assert int(step.headers["x-souk-timeout-ms"]) <= max(1, 1000 * (end - now[0]))
            outcome, takes = outcomes[sent % len(outcomes)]
            now[0] += min(max(takes, 0.001), step.seconds)
            sent += 1


def test_it_imports_nothing_heavy():
    code = (
        "import sys, souk.client; print(sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1].split(','))))"
    )
    heavy = "numpy,pandas,pyarrow,pydantic,kserve,tensorflow,feast,fastapi,yaml"
    found = subprocess.run([sys.executable, "-c", code, heavy], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
