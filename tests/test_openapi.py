"""The description of the routes: valid, made from the release, and what the server itself gives."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from souk.config import Columns
from souk.errors import SoukError
from souk.ingest.live import EventCheck
from souk.schema import EVENTS, EventType
from souk.serving.openapi.__main__ import described
from souk.serving.openapi.document import CALLS, EXAMPLES, document
from souk.serving.protocol.tensors import INPUTS
from souk.serving.request import RequestParser
from souk.serving.subjects import check_subjects
from souk.spec import FeatureSpec
from tests.serving_fixtures import NOW, SPEC

ROOT = Path(__file__).parents[1]
WIDE = FeatureSpec(
    dataset="wide",
    columns=Columns(
        events={"device": "categorical", "basket": "numeric", "tags": "list"},
        items={"category": "path", "price": "numeric", "title": "text", "labels": "list", "look": "vector"},
        users={"region": "categorical", "age": "numeric", "taste": "vector"},
        widths={"items.look": 3, "users.taste": 2},
    ),
    objectives=SPEC.objectives,
    repeat=SPEC.repeat,
    build=SPEC.build,
)
MADE = document(WIDE, 10, 50, "wide-0")
PARSER = RequestParser(WIDE, 10, 50)


def validator(name):
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": MADE["components"]})


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("spec", [SPEC, WIDE], ids=["shop", "wide"])
def test_the_document_is_valid(spec, secured):
    made = json.loads(json.dumps(document(spec, 10, 50, "shop-0", secured)))
    OpenAPIV31SpecValidator(made).validate()
    operations = [call["operationId"] for methods in made["paths"].values() for call in methods.values()]
    assert len(operations) == len(set(operations))
    for name, schema in made["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert f'"#/components/schemas/{name}"' in json.dumps(made), f"{name} is used"


def test_the_committed_one_is_what_a_server_of_that_config_says():
    """Else: `python -m souk.serving.openapi configs/movielens_100k.yaml > docs/openapi.json`; a change shows there."""
    assert (ROOT / "docs/openapi.json").read_text("utf-8") == described(str(ROOT / "configs/movielens_100k.yaml"))


def test_it_says_how_a_server_refuses_who_may_not_call():
    """Without tokens a page of another site, by a 403; souk.own_pages looks at all but GET."""
    for secured, told in ((False, "403"), (True, "401")):
        calls = document(WIDE, 10, 50, "wide-0", secured)["paths"].values()
        said = {(method, code) for each in calls for method, call in each.items() for code in call["responses"]}
        assert {(method, code) for method, code in said if code in ("401", "403")} == {("post", told)}
        posts = [each["post"]["responses"] for each in calls if "post" in each]
        assert len(posts) == len(CALLS) and all(told in answers for answers in posts)


def test_its_columns_are_those_of_the_release():
    schemas = MADE["components"]["schemas"]
    assert set(schemas["Context"]["properties"]) == {"device", "basket", "tags"}
    assert set(schemas["Profile"]["properties"]) == {"region", "age", "taste"}
    assert set(schemas["Filter"]["properties"]) == {"category", "price", "labels"}
    assert schemas["ItemRow"]["properties"]["look"]["maxItems"] == 3
    assert set(schemas["EventRow"]["properties"]) >= {column.name for column in EVENTS} | {"tags"}
    assert schemas["Event"]["properties"]["event_type"]["enum"] == [str(kind) for kind in EventType]
    assert schemas["Instance"]["properties"]["k"]["maximum"] == 50
    assert schemas["Tensor"]["properties"]["name"]["enum"] == list(INPUTS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_examples_are_of_its_schemas(name):
    validator(name).validate(EXAMPLES[name])


WORDS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["ann", "click", "hide", "price", "device"])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70) | st.floats(allow_nan=False) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["item_id", "event_type", "min", "max", "price", "category", "device", "region"]), inner
        )
    ),
    max_leaves=6,
)
NAMES = ("user_id", "item_id", "k", "timestamp", "timeout_ms", "exclude", "candidates", "filter", "context", "profile",
         "events")  # fmt: skip


@settings(max_examples=200)
@example({"events": [], "filter": {"item_id": None}})
@given(st.dictionaries(st.sampled_from(NAMES), VALUE))
def test_what_the_schema_refuses_the_parser_refuses_and_the_other_way(instance):
    said, request, why = validator("Instance").is_valid(instance), None, ""
    try:
        request = PARSER.parse(instance, NOW)
        check_subjects([request])
    except SoukError as refused:
        why = str(refused)
    beside = instance.get("item_id") and (instance.get("user_id") or instance.get("events"))
    missing = all(instance.get(name) is None for name in ("user_id", "item_id", "events"))
    if why:
        turned = "a min that is not above its max" in why  # no schema can say so
        assert not said or beside or missing or turned, f"the schema takes {instance}: {why}"
    else:
        assert said or request.degraded, f"the schema refuses {instance}"


def test_texts_of_events_are_as_long_as_the_server_takes_them():
    spec = replace(WIDE, columns=Columns(events={"page": "categorical"}))
    components = document(spec, 10, 50, "wide-0")["components"]
    row_of = components["schemas"]["EventRow"]["properties"]
    texts = {name for name, own in row_of.items() if "string" in own.get("type", "")} - {"event_type"}
    assert texts >= {"event_id", "session_id", "request_id", "surface", "release", "arm", "page"}
    said = Draft202012Validator({"$ref": "#/components/schemas/EventRow", "components": components})
    check = EventCheck(spec.columns.events, "")
    for name in texts:
        for length, good in ((512, True), (513, False)):
            row = {**EXAMPLES["EventsRequest"], name: "é" * length}
            assert said.is_valid(row) == good == (not check.check([row], NOW)[1]), (name, length)


@settings(max_examples=100)
@example({"value": 1.0000000000000001e18})
@example({"position": float(2**53)})
@given(st.dictionaries(st.sampled_from(["value", "device", "basket", "tags", "price", "position"]), VALUE))
def test_rows_of_events_too(more):
    row = {**EXAMPLES["EventsRequest"], **more}
    _, refused = EventCheck(WIDE.columns.events, "").check([row], NOW)
    if validator("EventsRequest").is_valid(row):
        assert not refused, refused
