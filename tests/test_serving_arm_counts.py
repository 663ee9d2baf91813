"""Slates and units by arm."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from souk.serving.experiments.counts import ArmMetrics
from souk.serving.model import Checked, SoukModel
from souk.serving.protocol.tracing import opened
from souk.serving.recommender import Recommender
from tests.arms_fixtures import arms_of, beside, write
from tests.serving_fixtures import NOW, write_workspace
from tests.test_serving_arms import TEXT, ask, of

REFUSED = "souk_experiments_file_refused"


@pytest.fixture
def workspace(tmp_path):
    root = write_workspace(tmp_path / "workspace")
    beside(root, "shop-2")
    return root


def answered(arms, requests):
    """As by a server: the slates of one call."""
    log = SimpleNamespace(record=lambda slates: None)
    metrics = SimpleNamespace(count=lambda slates: None, stages=lambda seconds: None)
    model = SoukModel(arms, [log], metrics, lambda: NOW, lambda: "r", opened({}))
    return asyncio.run(model.predict(Checked(requests, None)))[0]


def test_units_and_slates_are_counted_by_arm_and_a_new_definition_counts_anew(workspace):
    arms = arms_of(workspace, TEXT)
    requests = [ask(f"u{n}", n) for n in range(300)]
    for start in range(0, 300, 50):
        answered(arms, requests[start : start + 50])
    answered(arms, requests[:50])
    experiment, units = arms.counts.units()["weight"]
    assert experiment == arms.now.plan.experiments["weight"]
    treated = [arms.now.treated(request)[1].treatment.arm for request in requests]
    assert units == {arm: sum(f"weight={arm}" in t for t in treated) for arm in ("control", "squared")}
    told = sum(n for (name, _), n in arms.counts.slates.items() if name == "weight")
    assert units.total() == sum("weight=" in t for t in treated) and told > units.total()
    write(workspace, TEXT.replace("weights: {engaged: 2}", "weights: {engaged: 3}"))
    arms.look()
    answered(arms, requests[:50])
    assert arms.counts.units()["weight"][1].total() < 50 < units.total()
    before = arms.now
    write(workspace, "")
    arms.look()
    answered(arms, [replace(request, bound=before) for request in requests[:50]])
    assert arms.counts.units() == {} == arms.counts.slates, "what is no more is forgotten, whoever was still on the way"


def refused_by(arms):
    return {metric.name: metric.samples for metric in ArmMetrics(arms).collect()}[REFUSED][0].value


def test_that_the_file_is_refused_is_told_for_as_long_as_it_is(workspace):
    """Of a server that starts with it, too: an alert on the count of refusals would see no increase, ever."""
    arms = arms_of(workspace, TEXT)
    assert refused_by(arms) == 0
    for text, refused in (("experiments: 1", 1), (TEXT, 0), ("- ", 1), ("", 0)):
        write(workspace, text)
        arms.look()
        arms.look()
        assert refused_by(arms) == refused, text
    arms = arms_of(workspace, "experiments: 1")
    assert refused_by(arms) == 1 and not arms.now.plan.experiments


def test_a_release_that_the_experiments_do_not_fit_refuses_the_file_until_one_comes_that_they_do(workspace):
    arms = arms_of(workspace, TEXT)
    main = arms.now.main
    fewer = replace(main.bundle, settings=replace(main.bundle.settings, objectives={"satisfied": 1.0}))
    for bundle, refused in ((fewer, 1), (main.bundle, 0)):
        arms.follow_release(replace(main, bundle=bundle))
        arms.look()
        arms.look()
        assert refused_by(arms) == refused and bool(arms.now.plan.experiments) != refused
    assert arms.refused == 1


def test_what_is_answered_again_after_a_failure_counts_once(workspace, monkeypatch):
    """Of a call with requests of before a change of the file those of after it fail, or of a large one the rest."""
    arms = arms_of(workspace, TEXT)
    user, before, recommend = of(), arms.now, Recommender.recommend

    def failing(recommender, requests):
        if len(requests) < 10:
            raise ArithmeticError
        return recommend(recommender, requests)

    monkeypatch.setattr(Recommender, "recommend", failing)
    assert len(answered(arms, [ask(user, n) for n in range(20)])) == 20
    assert arms.counts.slates[("weight", "control")] == 20
    write(workspace, TEXT.replace("diversity: 0.9", "diversity: 0.8"))
    assert arms.look()
    mixed = [replace(ask(user, n), bound=before if n < 10 else arms.now) for n in range(15)]
    assert {slate.arm for slate in answered(arms, mixed)} == {"next=control,weight=control"}
    assert arms.counts.slates[("weight", "control")] == 35
