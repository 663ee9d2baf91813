"""The weights of the objectives in a bundle: the config's, or those that the ranker was tuned to."""

import json
from dataclasses import replace

import pytest

from souk.config import Objective, Objectives
from souk.release.bundle import write_bundle
from tests.release_fixtures import SPEC, write_features, write_models


@pytest.mark.parametrize(
    ("engaged", "given", "tuned", "expected"),
    [
        (1.0, "auto", 0.35, 0.35),
        (1.0, 2.0, 0.35, 2.0),
        (1.0, "auto", None, 1.0),
        (2.0, "auto", 0.35, 0.7),
        (2.0, 1.5, 0.35, 1.5),
    ],
)
def test_a_number_is_kept_and_auto_is_what_the_ranker_was_tuned_to(tmp_path, engaged, given, tuned, expected):
    """Beside an `engaged` of 1: another weight of it is one of satisfaction as many times as large."""
    rating = Objective(events=("rating",))
    satisfied = rating.model_copy(update={"min_value": 4, "weight": given})
    spec = replace(
        SPEC, objectives=Objectives(engaged=rating.model_copy(update={"weight": engaged}), satisfied=satisfied)
    )
    features = write_features(tmp_path / "features", spec)
    towers, ranker = write_models(tmp_path)
    if tuned is not None:
        told = {"candidates": 50, "objectives": {"engaged": 1.0, "satisfied": tuned}}
        (ranker / "training.json").write_text(json.dumps(told))
    bundle = write_bundle(tmp_path / "bundle", features, towers, ranker, "end", "items_x")
    assert bundle.settings.objectives == pytest.approx({"engaged": engaged, "satisfied": expected})
