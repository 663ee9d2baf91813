"""What of a request and its answer says something of the release: scores that its own models and weights gave."""

from __future__ import annotations

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
    assert ([row.key for row in rows], others) == ([f"r{n}" for n in range(400)], 0)
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


@pytest.mark.parametrize("arm", [None, 7, ["a=b"], {}])
def test_an_arm_that_is_no_text_is_no_error(release: Path, arm: Any) -> None:
    [row], _ = reader(release).response({"predictions": [slate(traffic(1, 5)[0], 0) | {"arm": arm}]}, "k", 0)
    assert row.kind == "response"
