"""What the parser takes, and what it refuses and how it says so."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.errors import SoukError
from souk.serving.fields import number, range_end
from souk.serving.model import timeout_of
from souk.serving.request import (
    MAX_CANDIDATES,
    MAX_EVENTS,
    MAX_INSTANCES,
    MORE_MS,
    Request,
    RequestParser,
)
from souk.serving.users import with_events
from souk.spec import LIST_LENGTH, FeatureSpec
from souk.state import Event, state_of

NOW = 1_700_000_000_000
SPEC = FeatureSpec(
    dataset="shop",
    columns=Columns(
        events={"device": "categorical", "basket": "numeric", "tags": "list"}, users={"region": "categorical"}
    ),
    objectives=Objectives(engaged=Objective(events=("click",)), satisfied=Objective(events=("click",))),
    repeat=Repeat(),
    build=BuildFeatures(history_length=8),
)
PARSER = RequestParser(SPEC, slate_size=10, max_slate_size=50)


def parse(**fields):
    return PARSER.parse(fields, NOW)


def test_defaults():
    assert parse(user_id="ann") == Request("ann", 10, NOW)


def test_null_is_absent():
    nothing = dict.fromkeys(["k", "context", "profile", "events", "exclude", "candidates", "timestamp"])
    assert parse(user_id="ann", **nothing) == Request("ann", 10, NOW)


def test_every_field():
    request = parse(
        user_id="ann",
        k=3,
        timestamp=5,
        context={"device": "mobile", "basket": 2, "tags": ["a"]},
        profile={"region": "north"},
        events=[
            {"item_id": "b", "event_type": "click"},
            {"item_id": "a", "event_type": "rating", "timestamp": 1, "value": 4},
        ],
        exclude=["x", "x"],
        candidates=["c", "d", "c"],
    )
    assert (request.k, request.timestamp, request.candidates) == (3, 5, ("c", "d"))
    assert request.context == {"device": "mobile", "basket": 2, "tags": ["a"]}
    assert request.profile == {"region": "north"}
    assert [(e.item_id, e.timestamp) for e in request.events] == [("a", 1), ("b", 4)]
    assert request.events[0].value == 4 and math.isnan(request.events[1].value)
    assert request.exclude == {"x"} and request.degraded == ()


@pytest.mark.parametrize(
    ("context", "degraded"),
    [
        ({"device": 5}, ("malformed_feature:device",)),
        ({"device": ["mobile"]}, ("malformed_feature:device",)),
        ({"device": "\ud800"}, ("malformed_feature:device",)),
        ({"basket": "2"}, ("malformed_feature:basket",)),
        ({"basket": True}, ("malformed_feature:basket",)),
        ({"basket": math.nan}, ("malformed_feature:basket",)),
        ({"basket": 10**400}, ("malformed_feature:basket",)),
        ({"tags": "a"}, ("malformed_feature:tags",)),
        ({"tags": [1], "device": {}}, ("malformed_feature:tags", "malformed_feature:device")),
        ({"device": None}, ()),
        ({}, ()),
    ],
)
def test_a_wrong_feature_takes_its_default_and_is_named(context, degraded):
    request = parse(user_id="ann", context=context)
    assert request.context == {} and request.degraded == degraded


@pytest.mark.parametrize(
    ("fields", "degraded"),
    [
        ({"context": {"device": "mobile", "tags": ["gift", "sale"]}, "profile": {"region": "north"}}, []),
        ({"context": {"device": "Mobile"}}, ["unknown_value:device"]),
        ({"context": {"device": "", "tags": []}}, []),
        ({"context": {"device": " mobile ", "tags": [" ", "gift "]}, "profile": {"home": " Asia/Japan"}}, []),
        ({"context": {"tags": ["gift", "new"]}}, ["unknown_value:tags"]),
        ({"context": {"tags": ["gift"] * LIST_LENGTH + ["new"]}}, []),
        ({"context": {"device": 5}}, ["malformed_feature:device"]),
        ({"context": {"basket": -5}}, []),
        ({"profile": {"region": "east", "home": "Asia/Japan"}}, ["unknown_value:region"]),
        ({"profile": {"home": "Asia/China"}}, ["unknown_value:home"]),
        ({"profile": {"job": "any, since this release does not say which it knows"}}, []),
        ({"events": [{"item_id": "a", "event_type": "click", "context": {"device": "Mobile"}}]}, []),
    ],
)
def test_a_value_that_the_models_never_saw_is_named_and_counts_as_it_is(fields, degraded):
    words = {
        "context_device": {"mobile", "desktop"},
        "context_tags": {"gift", "sale"},
        "user_region": {"north"},
        "user_home": {"Asia", "Asia/Japan"},
    }
    users = {"region": "categorical", "home": "path", "job": "categorical"}
    spec = replace(SPEC, columns=Columns(events=SPEC.columns.events, users=users))
    request = RequestParser(spec, 10, 50, words=words).parse({"user_id": "ann", **fields}, NOW)
    assert list(request.degraded) == degraded
    if not any(reason.startswith("malformed") for reason in degraded):
        assert (request.context, request.profile) == (fields.get("context", {}), fields.get("profile", {}))


def test_a_wrong_feature_of_an_event_is_named_once():
    click = {"item_id": "a", "event_type": "click", "context": {"device": 1}}
    assert parse(user_id="ann", context={"device": 2}, events=[click, click]).degraded == ("malformed_feature:device",)


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({}, ["instance.user_id, or item_id, or events", "none of them"]),
        ({"user_id": 5}, ["instance.user_id to be a text", "5", 'Write "5"']),
        ({"user_id": ""}, ["instance.user_id to be a text of 1 to 512"]),
        ({"user_id": "u" * 513}, ["instance.user_id"]),
        ({"user_id": "\udc00"}, ["instance.user_id"]),
        ({"user": "ann"}, ["'user'", "Did you mean 'user_id'?"]),
        ({"user_id": "ann", "contxt": {}}, ["'contxt'", "Did you mean 'context'?"]),
        (
            {"user_id": "ann", "k": 51},
            ["instance.k to be a whole number from 1 to 50", "51", "Send a number within these bounds"],
        ),
        ({"user_id": "ann", "k": 0}, ["instance.k", "from 1 to 50"]),
        ({"user_id": "ann", "k": 2.5}, ["instance.k", "2.5"]),
        ({"user_id": "ann", "k": True}, ["instance.k", "true"]),
        ({"user_id": "ann", "k": "5"}, ["instance.k", "'5'"]),
        ({"user_id": "ann", "timestamp": -1}, ["instance.timestamp to be UTC epoch milliseconds"]),
        ({"user_id": "ann", "timestamp": 10**18}, ["instance.timestamp"]),
        ({"user_id": "ann", "timestamp": math.nan}, ["instance.timestamp to be UTC epoch milliseconds"]),
        ({"user_id": "ann", "timestamp": 1_700_000_000.5}, ["looks like seconds. Send 1700000000000"]),
        (
            {"user_id": "ann", "timestamp": 1_700_000_000},
            ["instance.timestamp to be UTC epoch milliseconds", "1700000000, which looks like seconds. Send 17000000"],
        ),
        (
            {"user_id": "ann", "events": [{"item_id": "a", "event_type": "click", "timestamp": 1_700_000_000}]},
            ["instance.events[0].timestamp to be UTC epoch milliseconds", "looks like seconds"],
        ),
        ({"user_id": "ann", "context": []}, ["instance.context to be an object"]),
        ({"user_id": "ann", "context": {"devise": "m"}}, ["'devise'", "Did you mean 'device'?"]),
        ({"user_id": "ann", "profile": "north"}, ["instance.profile to be an object"]),
        ({"user_id": "ann", "profile": {"regoin": "north"}}, ["'regoin'", "Did you mean 'region'?"]),
        ({"profile": {"region": "north"}}, ["instance.user_id, or item_id, or events", "none of them"]),
        ({"user_id": "ann", "exclude": "x"}, ["instance.exclude to be a list"]),
        ({"user_id": "ann", "exclude": ["x", 1]}, ["instance.exclude[1]"]),
        ({"user_id": "ann", "candidates": []}, ["instance.candidates to name at least one item"]),
        ({"user_id": "ann", "candidates": ["c"] * (MAX_CANDIDATES + 1)}, [f"at most {MAX_CANDIDATES} entries"]),
        ({"user_id": "ann", "events": {}}, ["instance.events to be a list"]),
        ({"user_id": "ann", "events": [3]}, ["instance.events[0] to be an object"]),
        ({"user_id": "ann", "events": [{"item_id": "a"}]}, ["instance.events[0].event_type"]),
        ({"user_id": "ann", "events": [{"item_id": "a", "event_type": "clik"}]}, ["'clik'", "Did you mean 'click'?"]),
        (
            {"user_id": "ann", "events": [{"item_id": "a", "event_type": "view"}]},
            ["to be one of cart, click", "This release's histories are made of click"],
        ),
        ({"user_id": "ann", "events": [{"item_id": "a", "event_type": ["click"]}]}, ["event_type"]),
        ({"user_id": "ann", "events": [{"item_id": "a", "event_type": "click", "valu": 1}]}, ["Did you mean 'value'?"]),
        ({"user_id": "ann", "events": [{"item_id": "a", "event_type": "click", "value": "5"}]}, ["events[0].value"]),
        ({"user_id": "ann", "events": [{}] * (MAX_EVENTS + 1)}, [f"at most {MAX_EVENTS} entries"]),
    ],
)
def test_a_wrong_field_is_refused(fields, texts):
    with pytest.raises(SoukError) as error:
        parse(**fields)
    assert all(text in str(error.value) for text in ("Expected", "Received", *texts)), str(error.value)


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("listing_view", "Send click: the config maps listing_view to it."),
        ("ad_view_3", "Send purchase: the config maps ad_view_3 to it."),  # by the longest that fits it
        ("ad_clik", "Send rating: the config maps ad_clik to it."),
        ("xyz", "Send cart: the config maps xyz to it."),
        ("clik", "Did you mean 'click'?"),  # which "*" fits, as any word
    ],
)
def test_a_type_of_the_files_is_told_what_to_send(word, remedy):
    types = {"listing_view": "click", "ad_view*": "purchase", "ad*": "rating", "*": "cart"}
    parser = RequestParser(SPEC, 10, 50, types=types)
    with pytest.raises(SoukError, match=re.escape(remedy)):
        parser.parse({"user_id": "ann", "events": [{"item_id": "a", "event_type": word}]}, NOW)


def test_one_bad_instance_refuses_all_and_is_named():
    with pytest.raises(SoukError, match=r"instances\[2\]\.k"):
        PARSER.parse_all([{"user_id": "a"}, {"user_id": "b"}, {"user_id": "c", "k": -1}], NOW, lambda: "id")


@pytest.mark.parametrize("instances", [None, {}, "x", [], [[]], [None], [{"user_id": "a"}] * (MAX_INSTANCES + 1)])
def test_instances_of_the_wrong_form_are_refused(instances):
    with pytest.raises(SoukError, match="instances"):
        PARSER.parse_all(instances, NOW, lambda: "id")


def test_request_events_follow_the_stored_ones():
    stored = [Event("a", "click", 100, event_id="1"), Event("b", "click", 200, event_id="2")]
    state = state_of("ann", stored, SPEC, {})
    known, new, shown = Event("b", "click", 200), Event("c", "click", 300), Event("d", "impression", 400)
    assert [e.item_id for e in with_events(state, [new, known, shown], NOW, SPEC).events] == ["a", "b", "c"]
    assert with_events(state, [new], NOW, SPEC) == state_of("ann", [*stored, new], SPEC, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELD = dict.fromkeys(("k", "timestamp", "context", "exclude", "candidates"), JSON) | {
    "events": JSON | st.lists(st.fixed_dictionaries({"item_id": JSON, "event_type": JSON | st.just("click")}))
}


@settings(max_examples=300)
@given(JSON | st.fixed_dictionaries({"user_id": JSON | st.just("ann")}, optional=FIELD))
def test_whatever_comes_is_a_request_or_a_refusal(instance):
    try:
        request = PARSER.parse(instance, NOW)
    except SoukError as refused:
        str(refused).encode()
        return
    assert 1 <= request.k <= 50
    request.user_id.encode()
    with_events(state_of("ann", [], SPEC, {}), request.events, NOW, SPEC)


def test_a_timeout_makes_a_deadline_and_more_instances_have_more_time_unless_they_say():
    parser, user = RequestParser(SPEC, 10, 50, timeout_ms=200, clock=lambda: 5.0), {"user_id": "u"}

    def deadlines(*instances, **more):
        return [request.deadline for request in parser.parse_all(list(instances), 0, lambda: "", **more)]

    assert deadlines(user) == [5.2]
    assert deadlines(user, user | {"timeout_ms": 30}) == [5.2 + MORE_MS / 1000, 5.03]
    assert deadlines(user, user, timeout_ms=50) == [5.05, 5.05]
    assert PARSER.parse(user, 0).deadline == math.inf, "a command has all the time"


@pytest.mark.parametrize("bad", [0, -1, 60_001, 1.5, "50", True])
def test_a_timeout_is_a_whole_number_of_milliseconds(bad):
    with pytest.raises(SoukError, match=r"timeout_ms to be a whole number from 1 to 60000"):
        PARSER.parse({"user_id": "u", "timeout_ms": bad}, 0)


@pytest.mark.parametrize(("text", "found"), [("1", 1), ("60000", 60_000), (None, None)])
def test_a_call_may_say_its_timeout_in_a_header(text, found):
    assert timeout_of({} if text is None else {"x-souk-timeout-ms": text}) == found


@pytest.mark.parametrize("text", ["", "0", "60001", "-5", "1.5", "²", "9" * 400])
def test_a_header_of_another_form_is_refused(text):
    with pytest.raises(SoukError, match=r"x-souk-timeout-ms: a whole number from 1 to 60000"):
        timeout_of({"x-souk-timeout-ms": text})


def test_time_counts_from_when_a_call_came_not_from_when_it_was_looked_at():
    parser = RequestParser(SPEC, 10, 50, timeout_ms=200, clock=lambda: 9.5)
    body = [{"user_id": "ann", "timeout_ms": 100}, {"user_id": "ann"}]
    deadlines = [each.deadline for each in parser.parse_all(body, NOW, lambda: "", 300, arrived=9.0)]
    assert deadlines == pytest.approx([9.1, 9.3])
    assert [each.deadline for each in parser.parse_all(body[:1], NOW, lambda: "")] == pytest.approx([9.6])


def test_a_number_that_float32_sums_would_overflow_by_is_none():
    with pytest.raises(SoukError, match=r"to be a number within ±1e\+18"):
        number("value", 1e18)
    assert number("value", 9.9e17) == 9.9e17 and range_end("max", 2**63 - 1) == 2**63
