"""What of a request and its answer says something of the release: scores that its own models and weights gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from souk.drift.rows import Row
from souk.drift.windows import Monitor
from souk.monitored import score_columns
from tests.drift.shop import RELEASE, SPEC, monitor, reader, record, traffic

SCORES = score_columns(SPEC).keys()


def slate(request: dict[str, Any], number: int, arm: str = "") -> dict[str, Any]:
    """The answer whose one item has the scores of a request."""
    scores = {"engaged": request["slate_engaged"], "satisfied": request["slate_satisfied"]}
    items = [{"item_id": "i", "score": request["slate_score"], "scores": scores}]
    return {"request_id": f"r{number}", "user_id": "u", "release": RELEASE, "arm": arm, "items": items}


def unscored(number: int, items: int) -> dict[str, Any]:
    """An answer that no model was asked for: similar items, or popular ones, or none."""
    given = [{"item_id": f"i{n}", "score": 1 / (61 + n), "scores": {}} for n in range(items)]
    return {"request_id": f"s{number}", "user_id": None, "release": RELEASE, "arm": "", "items": given}


def drifted(watched: Monitor, rows: list[Row]) -> set[str]:
    """The columns that drifted in the one window that the rows fill."""
    [window] = watched.take(rows, {})
    return set(window.drifted)


@pytest.fixture
def watched(release: Path) -> Monitor:
    return monitor(release)


def test_calls_for_similar_items_have_no_row(release: Path) -> None:
    context = {"context": {"device": "mobile", "basket": 3}}
    asked = [
        {"item_id": "i"},
        {"user_id": None, "item_id": "i", "events": [], **context},
        {"user_id": "u", "item_id": "i", **context},
        {"item_id": "i", "events": [{"item_id": "j", "event_type": "click"}], **context},
        {"events": [], **context},
    ]
    rows = reader(release).request({"instances": asked}, "k", 0)
    assert [row.key for row in rows] == ["k/2", "k/3", "k/4"], "and the others keep their places"


def test_answers_that_no_model_scored_have_no_row(release: Path, watched: Monitor) -> None:
    requests = traffic(400, 5)
    pairs = [(slate(r, n), unscored(n, items=n % 12)) for n, r in enumerate(requests)]
    rows, others = reader(release).response({"predictions": [each for pair in pairs for each in pair]}, "k", 0)
    assert ([row.key for row in rows], others) == ([f"k/{2 * n}" for n in range(400)], 0)
    assert drifted(watched, rows) == set()


def test_a_record_that_no_model_scored_has_its_features_alone(release: Path) -> None:
    none = record(traffic(1, 5)[0], 0) | {"scores": [1.0, 0.5], "engaged": [None, None], "satisfied": []}
    nan = record(traffic(1, 5)[0], 1) | {"engaged": [float("nan")]}
    (without, broken), _ = reader(release).records([none, nan], 0)
    assert without.cells.keys() == broken.cells.keys() - SCORES
    assert broken.cells["slate_engaged"] is None, "a model that gives no number is one of missing values"


@pytest.mark.parametrize(("arm", "found"), [("weights=heavier,x=y", set()), ("holdout", {"slate_score"})])
def test_answers_of_an_arm_count_without_their_scores(
    release: Path, watched: Monitor, arm: str, found: set[str]
) -> None:
    requests = [r | {"slate_score": r["slate_score"] ** 2} if n % 2 else r for n, r in enumerate(traffic(400, 5))]
    slates = [slate(r, n, arm if n % 2 else "") for n, r in enumerate(requests)]
    rows, _ = reader(release).response({"predictions": slates}, "k", 0)
    assert len(rows) == 400, "so that it is seen that the release answers"
    assert drifted(watched, rows) == found


def some_narrowed(asked: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Requests of which 40% ask for a part of the catalogue, whose best are worse; and the calls."""
    requests = [
        r | {name: r[name] * (0.7 if n % 5 < 2 else 1) for name in SCORES} for n, r in enumerate(traffic(400, 5))
    ]
    return requests, [
        {"user_id": "u", "k": 5, "context": {"device": "mobile" if n % 10 < 7 else "desktop"}}
        | (asked if n % 5 < 2 else {})
        for n in range(400)
    ]


NARROW = [{"filter": {"item_category": ["shoes"]}}, {"candidates": ["i", "j"]}]


@pytest.mark.parametrize("asked", NARROW)
@pytest.mark.parametrize("form", [json.dumps, dict])
def test_a_record_of_a_part_of_the_catalogue_counts_without_its_scores(
    release: Path, watched: Monitor, asked: dict[str, Any], form: Callable[[Any], Any]
) -> None:
    pairs = enumerate(zip(*some_narrowed(asked), strict=True))
    rows, _ = reader(release).records([record(r, n) | {"request": form(call)} for n, (r, call) in pairs], 0)
    assert len(rows) == 400
    assert drifted(watched, rows) == set()


@pytest.mark.parametrize("asked", NARROW)
@pytest.mark.parametrize("first", ["request", "response"])
def test_an_answer_counts_without_its_scores_where_the_call_asked_for_a_part(
    release: Path, watched: Monitor, asked: dict[str, Any], first: str
) -> None:
    """The logger sends the two by themselves: nothing in an answer tells, and either may come first."""
    requests, calls = some_narrowed(asked)
    slates = [slate(request, n) for n, request in enumerate(requests)]
    answers, _ = reader(release).response({"predictions": slates}, "c", 0)
    rows = {"request": reader(release).request({"instances": calls}, "c", 0), "response": answers}
    assert watched.take(rows.pop(first)[:-1], {}) == [], "the last closes the window"
    assert not drifted(watched, *rows.values()) & SCORES


@pytest.mark.parametrize("call", [None, [], "[]", {"filter": {}, "candidates": []}])
def test_a_record_of_the_whole_catalogue_has_its_scores(release: Path, call: Any) -> None:
    [row], _ = reader(release).records([record(traffic(1, 5)[0], 0) | {"request": call}], 0)
    assert row.cells.keys() >= SCORES


@pytest.mark.parametrize(
    ("answered_at", "time", "malformed"),
    [(None, 9, 0), (5, 5, 0), (2**63, 9, 1), (1_700_000_000 * 10**9, 9, 1), (-1, 9, 1), (True, 9, 1), ("5", 9, 1)],
)
def test_a_time_that_is_none_is_that_of_its_arrival(release: Path, answered_at: Any, time: int, malformed: int) -> None:
    [row], _ = reader(release).records([record(traffic(1, 5)[0], 0) | {"answered_at": answered_at}], 9)
    assert (row.time, row.malformed) == (time, malformed)


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    inmost: list[Any] = []
    for _ in range(depth):
        inmost = [inmost]
    return inmost


def test_what_is_nested_too_deep_is_no_key_and_no_arm(release: Path) -> None:
    [request] = traffic(1, 5)
    deep = {"request_id": nested(2000), "arm": nested(2000)}
    [row], _ = reader(release).records([record(request, 0) | deep], 0)
    [answer], _ = reader(release).response({"predictions": [slate(request, 0) | deep]}, "k", 0)
    assert (row.key, answer.key) == ("", "k/0")
    [numbered], _ = reader(release).records([record(request, 0) | {"request_id": 7}], 0)
    assert numbered.key == "7"


@pytest.mark.parametrize("arm", [None, 7, ["a=b"], {}])
def test_an_arm_that_is_no_text_is_no_error(release: Path, arm: Any) -> None:
    [row], _ = reader(release).response({"predictions": [slate(traffic(1, 5)[0], 0) | {"arm": arm}]}, "k", 0)
    assert row.kind == "response"
