"""Whether a head tells more than chance: its interval by construction, and the sentences."""

import numpy as np
import pytest

from souk.evaluation.observed import Observed
from souk.evaluation.skill import auc_interval, base_log_loss, far_off, unmeasured, without_skill
from souk.metrics import auc


def drawn(users, each, shift, seed):
    """Labels of users, and scores that are `shift` higher where they are 1; half of a score is its user's own."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), each)
    labels = (draw.random(len(user)) < np.repeat(draw.uniform(0.1, 0.9, users), each)).astype(float)
    return draw.normal(size=len(user)) + np.repeat(draw.normal(size=users), each) + shift * labels, labels, user


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_interval_holds_the_auc_of_all_users_19_times_of_20(shift):
    whole = auc(*drawn(40_000, 5, shift, 0)[:2])
    found = [auc_interval(*drawn(60, 5, shift, seed)) for seed in range(1, 401)]
    held = np.mean([each.low <= whole <= each.high for each in found])
    assert 0.92 < held < 0.98


def test_examples_of_one_user_are_no_witnesses_of_each_other():
    scores, labels, users = drawn(30, 20, 0.3, 3)
    found, alone = auc_interval(scores, labels, users), auc_interval(scores, labels, np.arange(len(users)))
    assert found.mean == alone.mean == pytest.approx(auc(scores, labels))
    assert found.high - found.low > 1.3 * (alone.high - alone.low)


def test_the_interval_of_eight_users_by_hand():
    """Four times ann, whose two are right beside all of the other class, and bob, whose two are beside half of it."""
    scores, labels = np.tile([0.9, 0.1, 0.4, 0.6], 4), np.tile([1.0, 0.0, 1.0, 0.0], 4)
    found = auc_interval(scores, labels, np.repeat(np.arange(8), 2))
    sums = np.array([0.25 + 0.25, -0.25 - 0.25] * 4) / 8  # a class has eight examples
    assert found.mean == 0.75
    assert found.low == pytest.approx(0.75 - 1.96 * (8 / 7 * (sums**2).sum()) ** 0.5, abs=1e-4)


def test_what_has_no_interval_has_none():
    one = auc_interval(np.array([0.1, 0.2]), np.array([0.0, 1.0]), np.array(["a", "a"]))
    same = auc_interval(np.array([0.1, 0.2]), np.array([1.0, 1.0]), np.array(["a", "b"]))
    assert one.mean == 1 and np.isnan([one.low, one.high, same.mean, same.low]).all()
    assert np.isnan(base_log_loss(np.zeros(0))) and base_log_loss(np.ones(3)) == 0
    assert base_log_loss(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75))


def test_examples_are_of_who_asked():
    observed = Observed(users=["ann", "bob"], targets=[("e1", "e2"), ("e3", "e4", "e5")])
    observed.events, observed.given["satisfied"] = ["e2", "e1", "e3", "e4", "e5"], [0.9, 0.2, 0.3, 0.1, 0.25]
    observed.found = [np.ones(len(events), bool) for events in observed.targets]
    observed.ranked = observed.retrieved = [np.arange(1.0, len(events) + 1) for events in observed.targets]
    marks = {"e1": 0, "e2": 1, "e3": 0, "e4": 0, "e5": 1}
    head = observed.measure({"satisfied": marks}, samples=100)["heads"]["satisfied"]
    labels, owners = np.array([1.0, 0.0, 0.0, 0.0, 1.0]), np.array(["ann", "ann", "bob", "bob", "bob"])
    expected = auc_interval(np.array(observed.given["satisfied"]), labels, owners)
    assert (head["auc"], head["auc_low"], head["auc_high"]) == (expected.mean, expected.low, expected.high)
    assert 0 < expected.low < expected.mean == pytest.approx(5 / 6)
    assert head["base_log_loss"] == base_log_loss(labels)
    alone = observed.measure({"satisfied": {"e1": 0, "e2": 1}}, samples=100)["heads"]["satisfied"]
    assert "auc_low" not in alone, "of one user"


HEAD = {"examples": 1234, "auc": 0.61, "auc_low": 0.55, "auc_high": 0.67, "log_loss": 0.6, "base_log_loss": 0.65}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ""),
        ({"auc_low": 0.5}, "tells no better than a coin: AUC 0.610 (95% 0.500 to 0.670) of 1,234 labels of the test"),
        ({"log_loss": 0.65}, "foretells no better than one chance for all: log loss 0.6500, and 0.6500 of their share"),
    ],
)
def test_a_head_without_skill_is_told_with_what_helps(changed, told):
    heads = {"engaged": HEAD | {"auc_low": 0.1}, "satisfied": HEAD | changed, "kept": HEAD | changed}
    said = without_skill(heads, {})
    assert [sentence.split()[0] for sentence in said] == (["satisfied", "kept"] if told else [])
    if told:
        assert said[0].startswith(f"satisfied {told}") and said[1].startswith(f"kept {told}")
        assert said[0].endswith("else set objectives.satisfied.weight to 0.")
        assert said[1].endswith("else leave objectives.kept out.") and "More labels help" in said[1]
    assert without_skill(heads, {"satisfied", "kept"}) == []


def test_a_head_without_an_interval_says_nothing():
    assert without_skill({"kept": {"examples": 1, "auc": 0.5, "log_loss": 1.0, "base_log_loss": 0.5}}, {}) == []


@pytest.mark.parametrize(
    ("examples", "positives", "told"),
    [
        (0, 0, "no label of it is known in the test window; a larger split.test, more events or, where it has"),
        (1234, 0, "none of its 1,234 labels in the test window is positive; a larger split.test"),
        (1234, 1, ""),
    ],
)
def test_a_head_that_the_test_window_says_nothing_of_is_told(examples, positives, told):
    heads = {name: {"examples": examples, "positives": positives} for name in ("engaged", "kept")}
    assert [line[: 22 + len(told)] for line in unmeasured(heads)] == ([f"kept is not measured: {told}"] if told else [])


@pytest.mark.parametrize(
    ("ratio", "low", "high", "told"),
    [
        (3.1, 1.2, 5.0, "0.31 foretold, 0.1 came, 3.1 times (1.2 to 5 by tenth of the predictions): what"),
        (0.3, 0.2, 0.9, "0.03 foretold, 0.1 came, 0.3 times (0.2 to 0.9 by tenth of the predictions): what"),
        (3.0, 1.2, 5.0, ""),
        (0.34, 0.2, 0.9, ""),
        (3.1, 0.9, 5.0, ""),  # some tenths are too low
        (0.3, 0.2, 1.1, ""),
    ],
)
def test_a_head_that_is_far_from_what_came_is_told(ratio, low, high, told):
    bounds = {"predicted_over_observed_low": low, "predicted_over_observed_high": high}
    head = {"examples": 1000, "positives": 100, "predicted_over_observed": ratio, **bounds}
    said = far_off({"kept": head, "none": {"examples": 9, "positives": 0}})
    assert len(said) == bool(told) and all(
        line.startswith("kept is not to be taken as a chance: on 1,000") for line in said
    )
    assert all(told in line for line in said)


def test_a_head_of_few_positives_is_told_without_tenths():
    (said,) = far_off({"kept": {"examples": 99, "positives": 9, "predicted_over_observed": 4.0}})
    assert "0.0909 came, 4 times: what" in said and "95%" not in said
