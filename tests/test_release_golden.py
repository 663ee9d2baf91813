"""Golden requests: complete, the same every time, and strict but for ties."""

import json

import pyarrow.parquet as pq
import pytest

from souk.errors import SoukError
from souk.release.golden import NAME, differs, golden_requests, read_golden, replay_golden, write_golden
from souk.release.reference import write_reference
from tests.release_fixtures import SPEC, write_features


def answer(*items, degraded=()):
    return {
        "items": [{"item_id": name, "score": score, "scores": {"engaged": score}} for name, score in items],
        "degraded": list(degraded),
    }


def scored(requests):
    """A recommender: the last event's item, and a score out of the request alone."""
    return [
        answer((r.state.events[-1].item_id if r.state.events else "i00", (r.timestamp % 997) / 997)) for r in requests
    ]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("golden") / "features", users=30)


@pytest.fixture
def release(features, tmp_path):
    (tmp_path / "spec.json").write_text(SPEC.to_json())
    requests = golden_requests(features, SPEC)
    write_golden(tmp_path, requests, scored(requests))
    return tmp_path


def test_requests_are_the_same_every_time_and_one_user_is_unknown(features):
    requests = golden_requests(features, SPEC)
    assert str(requests) == str(golden_requests(features, SPEC))  # NaN is not equal to itself, its text is
    assert len(requests) == len({r.user_id for r in requests}) == 20
    assert [r.user_id for r in requests if not r.state.count] == ["nobody"]
    assert all(r.timestamp > r.state.events[-1].timestamp for r in requests if r.state.count)


def test_one_request_is_of_nobody(features):
    assert [request.user_id for request in golden_requests(features, SPEC, 1)] == ["nobody"]


def test_what_is_read_is_what_was_written(features, release):
    for wanted, (found, _) in zip(golden_requests(features, SPEC), read_golden(release), strict=True):
        assert str(found) == str(wanted)


def test_lines_are_strict_json(release):
    for line in (release / NAME).read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_replay_counts_and_refuses(release):
    assert replay_golden(release, scored) == 20
    with pytest.raises(SoukError, match="score"):
        replay_golden(release, lambda requests: [answer(("i00", 2.0))] * len(requests))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (answer(("a", 0.9), ("b", 0.5), ("c", 0.5)), ""),
        (answer(("a", 0.9009), ("b", 0.5), ("c", 0.5)), ""),
        (answer(("a", 0.902), ("b", 0.5), ("c", 0.5)), "score"),
        (answer(("a", 0.9), ("c", 0.5), ("b", 0.5)), ""),
        (answer(("a", 0.9), ("c", 0.5), ("d", 0.5)), ""),
        (answer(("d", 0.9), ("b", 0.5), ("c", 0.5)), "'a' is missing"),
        (answer(("b", 0.9), ("a", 0.5), ("c", 0.5)), "of item 'a'"),
        (answer(("a", 0.9), ("b", 0.5)), "2 items instead of 3"),
        (answer(("a", 0.9), ("b", 0.5), ("b", 0.5)), "twice"),
        (answer(("a", 0.9), ("b", 0.5), ("c", 0.5), degraded=["index_unavailable"]), "index_unavailable"),
    ],
)
def test_ties_are_free_and_nothing_else(found, reason):
    difference = differs(answer(("a", 0.9), ("b", 0.5), ("c", 0.5)), found)
    assert reason in difference
    assert bool(reason) == bool(difference)


def test_small_scores_are_compared_by_their_size():
    assert not differs(answer(("a", 0.0100)), answer(("a", 0.01005)))
    assert "score" in differs(answer(("a", 0.0100)), answer(("a", 0.0103)))
    assert not differs(answer(("a", 0.0)), answer(("a", 1e-6)))


def test_an_objective_that_differs_is_named():
    wanted, found = answer(("a", 0.5)), answer(("a", 0.5))
    found["items"][0]["scores"] = {"engaged": 0.6}
    assert differs(wanted, found) == "engaged 0.60000 of item 'a' instead of 0.50000"
    found["items"][0]["scores"] = {}
    assert "instead of ['engaged', 'score']" in differs(wanted, found)


def test_the_drift_reference_has_features_and_scores_but_no_user(features, tmp_path):
    requests = golden_requests(features, SPEC, 25)
    write_reference(tmp_path, SPEC, requests, scored(requests), "requests")
    table = pq.read_table(tmp_path / "drift_reference.parquet")
    assert len(table) == 25
    assert "user_id" not in table.column_names
    assert {"user_country", "user_age", "query_hour", "slate_score", "slate_engaged"} <= set(table.column_names)
    row = table.slice(0, 1).to_pylist()[0]
    assert row["user_country"] in ("ma", "tr")
    assert row["slate_score"] == pytest.approx((requests[0].timestamp % 997) / 997)
