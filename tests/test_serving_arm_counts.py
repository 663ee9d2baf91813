"""Slates and units by arm."""

from dataclasses import replace

import pytest

from tests.arms_fixtures import arms_of, beside, write
from tests.serving_fixtures import write_workspace
from tests.test_serving_arms import TEXT, ask


@pytest.fixture
def workspace(tmp_path):
    root = write_workspace(tmp_path / "workspace")
    beside(root, "shop-2")
    return root


def test_units_and_slates_are_counted_by_arm_and_a_new_definition_counts_anew(workspace):
    arms = arms_of(workspace, TEXT)
    requests = [ask(f"u{n}", n) for n in range(300)]
    for start in range(0, 300, 50):
        arms.recommend(requests[start : start + 50])
    arms.recommend(requests[:50])
    experiment, units = arms.counts.units()["weight"]
    assert experiment == arms.now.plan.experiments["weight"]
    treated = [arms.now.treated(request)[1].treatment.arm for request in requests]
    assert units == {arm: sum(f"weight={arm}" in t for t in treated) for arm in ("control", "squared")}
    told = sum(n for (name, _), n in arms.counts.slates.items() if name == "weight")
    assert units.total() == sum("weight=" in t for t in treated) and told > units.total()
    write(workspace, TEXT.replace("weights: {engaged: 2}", "weights: {engaged: 3}"))
    arms.look()
    arms.recommend(requests[:50])
    assert arms.counts.units()["weight"][1].total() < 50 < units.total()
    before = arms.now
    write(workspace, "")
    arms.look()
    arms.recommend([replace(request, bound=before) for request in requests[:50]])
    assert arms.counts.units() == {} == arms.counts.slates, "what is no more is forgotten, whoever was still on the way"
