"""The calls that docs/serving.md shows are taken by the server that it starts."""

import json
import re
from pathlib import Path

import pytest

from souk.config import load_config
from souk.ingest.live import EventCheck
from souk.schema import EventType
from souk.serving.request import RequestParser
from souk.serving.subjects import check_subjects
from souk.spec import FeatureSpec
from tests.serving_fixtures import NOW, SPEC

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "docs/serving.md").read_text("utf-8")
CALLS = re.findall(r"^curl http://127\.0\.0\.1:8080/v1/(\S+) -d '([^']+)'", TEXT, re.MULTILINE)
WHOLE = [(route, json.loads(body)) for route, body in CALLS if "…" not in body]
COLUMNS = load_config(REPOSITORY / "configs/movielens_100k.yaml").columns  # of the server of `make serve`
SHOP = FeatureSpec("shop", COLUMNS, SPEC.objectives, SPEC.repeat, SPEC.build)


@pytest.mark.parametrize("body", [body for route, body in WHOLE if route.startswith("models/souk:")], ids=str)
def test_requests_are(body):
    requests = [RequestParser(SHOP, 20, 200).parse(instance, NOW) for instance in body["instances"]]
    check_subjects([request for request in requests if not (request.user_id and request.item_id)])  # both: to explain
    assert not any(request.degraded for request in requests)


@pytest.mark.parametrize("body", [body for route, body in WHOLE if route == "events"], ids=str)
def test_events_are(body):
    rows, refused = EventCheck(COLUMNS.events, "").check([body], NOW)
    assert not refused and rows[0]["user_id"] == body["user_id"]


def test_a_hide_is_among_them():
    kinds = {body["event_type"] for route, body in WHOLE if route == "events"}
    assert EventType.HIDE in kinds and len(WHOLE) >= 7
