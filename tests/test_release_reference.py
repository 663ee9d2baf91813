"""The requests of the drift reference: moments of the test window, each knowing what was before it and nothing else."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.monitored import KIND, REFERENCE, TOP, item_scores, slate_scores
from souk.release.moments import asked_moments
from souk.release.reference import REQUESTS, reference_requests, write_reference
from souk.spec import FeatureSpec
from souk.state import features_at

DAY = 86_400_000
START = 100 * DAY
SPEC = FeatureSpec(
    dataset="shop",
    columns=Columns(events={"device": "categorical"}, users={"age": "numeric"}),
    objectives=Objectives(engaged=Objective(events=("click",)), satisfied=Objective(events=("click",))),
    repeat=Repeat(rule="always"),
    build=BuildFeatures(history_length=4),
)
# Of three users; n is the hour after START - 1 day, and each clicks once every third hour.
EVENTS = [
    {
        "event_id": f"e{n:02d}",
        "user_id": f"u{n % 3}",
        "item_id": f"i{n}",
        "event_type": "impression" if n % 10 == 9 else "click",
        "timestamp": START - DAY + n * 3_600_000,
        "device": "mobile" if n % 2 else None,
    }
    for n in range(48)
]
MOMENTS = [e for e in EVENTS if e["event_type"] == "click" and e["timestamp"] >= START]


@pytest.fixture
def folders(tmp_path):
    tables, features = tmp_path / "tables", tmp_path / "features"
    tables.mkdir()
    features.mkdir()
    pq.write_table(pa.Table.from_pylist(EVENTS), tables / "events.parquet")
    users = [{"user_id": "u0", "age": 20.0}, {"user_id": "u1", "age": None}]  # u2 has no row
    pq.write_table(pa.Table.from_pylist(users), tables / "users.parquet")
    examples = [
        {"event_id": e["event_id"], "user_id": e["user_id"], "timestamp": e["timestamp"], "context_device": e["device"]}
        for e in EVENTS
        if e["event_type"] == "click"
    ]
    pq.write_table(pa.Table.from_pylist(examples), features / "examples.parquet")
    (features / "windows.json").write_text(json.dumps({"validation_start": 0, "test_start": START, "end": 10**15}))
    return tables, features


def asked(tables, features, k, count=REQUESTS, skip=0):
    return reference_requests(asked_moments(tables, features, SPEC), tables, SPEC, k, count, skip)


def test_each_moment_of_the_window_knows_the_events_before_it(folders):
    found = asked(*folders, k=7)
    assert sorted(r.timestamp for r in found) == [e["timestamp"] for e in MOMENTS]
    for request in found:
        past = [e for e in EVENTS if e["user_id"] == request.user_id and e["timestamp"] < request.timestamp]
        clicks = [e for e in past if e["event_type"] == "click"]
        assert request.k == 7
        assert request.state.count == len(clicks)
        assert request.state.events[-1].event_id == clicks[-1]["event_id"]
        own = next(e for e in EVENTS if e["timestamp"] == request.timestamp)
        assert request.context == ({"device": "mobile"} if own["device"] else {})
        features = features_at(request.state, request.timestamp, SPEC, request.context)
        assert features.query["query_since_last"] == (request.timestamp - clicks[-1]["timestamp"]) / 1000
        assert (features.user["user_age"] == 20.0) == (request.user_id == "u0")


def test_the_draw_is_the_same_every_time_and_what_is_skipped_is_the_rest(folders):
    whole = [r.timestamp for r in asked(*folders, k=5)]
    first, rest = ([r.timestamp for r in asked(*folders, 5, 6, skip)] for skip in (0, 6))
    assert [first, rest] == [whole[:6], whole[6:12]]
    assert whole != sorted(whole), "drawn, not the first ones of the window"


def test_a_window_without_moments_gives_an_empty_reference_that_can_be_read(folders, tmp_path):
    tables, features = folders
    (features / "windows.json").write_text(json.dumps({"validation_start": 0, "test_start": 10**14, "end": 10**15}))
    assert asked(tables, features, k=5) == []
    write_reference(tmp_path, SPEC, [], [], "visits")
    found = pq.read_table(tmp_path / REFERENCE)
    assert found.num_rows == 0 and found.schema.metadata[KIND] == b"visits"


def test_the_scores_are_means_over_the_first_places(folders, tmp_path):
    requests = asked(*folders, k=7, count=1)
    items = [{"item_id": str(n), "score": 1.0 / (n + 1), "scores": {"engaged": 0.1 * n}} for n in range(7)]
    write_reference(tmp_path, SPEC, requests, [{"items": items, "degraded": []}], "requests")
    [row] = pq.read_table(tmp_path / REFERENCE).to_pylist()
    assert row["slate_score"] == pytest.approx(sum(1 / n for n in range(1, TOP + 1)) / TOP)
    assert row["slate_engaged"] == pytest.approx(0.2)
    assert math.isnan(row["slate_satisfied"]), "no place has it"
    assert "user_id" not in row and {"user_age", "query_hour", "context_device"} <= row.keys()


def test_places_without_a_probability_do_not_count():
    items = [{"score": 0.5, "scores": {"engaged": 0.4}}, {"score": 0.0, "scores": {}}]
    assert slate_scores(item_scores(items, SPEC), SPEC)["slate_engaged"] == 0.4
    assert slate_scores(item_scores(items, SPEC), SPEC)["slate_score"] == 0.25
    assert math.isnan(slate_scores(item_scores([], SPEC), SPEC)["slate_score"])
