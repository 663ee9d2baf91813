"""The feature specification: one list, a stable hash, and label rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from souk.config import Objective
from souk.spec import Entity, FeatureSpec, positive, read_spec
from tests.test_state import SPEC, spec_of


def test_names_are_unique_and_prefixed_by_their_entity():
    names = [feature.name for feature in SPEC.features]
    assert len(set(names)) == len(names)
    for feature in SPEC.features:
        prefixes = ("query_", "context_") if feature.entity is Entity.QUERY else (f"{feature.entity}_",)
        assert feature.name.startswith(prefixes)


def test_the_json_form_is_whole_and_the_hash_follows_the_content(tmp_path):
    (tmp_path / "spec.json").write_text(SPEC.to_json())
    assert read_spec(tmp_path / "spec.json") == SPEC
    assert FeatureSpec.from_json(SPEC.to_json()).hash == SPEC.hash
    assert spec_of("always").hash != SPEC.hash


def test_a_rule_that_nobody_asked_for_leaves_the_hash_of_releases_of_before():
    assert "any_item" not in SPEC.to_json() and "from_days" not in SPEC.to_json()
    rule = Objective(events=("click",), followed_by=("click",), any_item=True, from_days=0.25, within_days=7)
    visits = replace(SPEC, objectives=SPEC.objectives.model_copy(update={"satisfied": rule}))
    assert FeatureSpec.from_json(visits.to_json()) == visits and visits.hash != SPEC.hash


def test_without_times_of_day_no_model_looks_at_the_hour_and_states_are_as_with_them():
    dates = replace(SPEC, timed=False)
    lost = {feature.name for feature in SPEC.features} - {feature.name for feature in dates.features}
    assert lost == {"query_hour"} and "query_weekday" in {feature.name for feature in dates.of(Entity.QUERY)}
    assert FeatureSpec.from_json(dates.to_json()) == dates and dates.hash != SPEC.hash
    assert dates.of_states == SPEC.of_states == SPEC, "a server goes over from one to the other"
    assert "timed" not in SPEC.to_json(), "as it was before there were any without"


@pytest.mark.parametrize(
    ("rule", "value", "dwell", "expected"),
    [
        ({"min_value": 4}, 4.0, None, True),
        ({"min_value": 4}, 3.9, None, False),
        ({"min_value": 4}, None, None, False),
        ({"min_value": 4}, float("nan"), None, False),
        ({"min_dwell_seconds": 10}, None, 30.0, True),
        ({"min_dwell_seconds": 10}, None, None, False),
        ({"min_value": 4, "min_dwell_seconds": 10}, 5.0, 3.0, False),
        ({}, None, None, True),
    ],
)
def test_the_label_rule(rule, value, dwell, expected):
    assert positive(Objective.model_validate({"events": ["rating"], **rule}), value, dwell) is expected


def test_its_name_is_computed_once_since_each_read_of_a_state_asks_for_it(monkeypatch):
    asked, whole = [], FeatureSpec.to_json
    monkeypatch.setattr(FeatureSpec, "to_json", lambda spec: asked.append(spec) or whole(spec))
    spec = spec_of()
    assert spec.of_states.hash == spec.of_states.hash and spec.hash == spec.hash
    assert len(asked) == 2
