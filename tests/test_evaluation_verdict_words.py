"""What a verdict and a report say: what is compared prints apart, a rejection says what it means, no range is 95%."""

import numpy as np
import pandas as pd
import pytest

from souk.config import Evaluate
from souk.evaluation.gate import beats
from souk.evaluation.guardrails import guardrails
from souk.evaluation.report import by_reason, tenths
from souk.evaluation.summary import differences
from souk.evaluation.verdict import CHALLENGER, CHAMPION, Rule, digits, fallen_short, skipped


def per_user(leads):
    """The lead of each user over a champion of 0."""
    rows = [(f"u{n}", model, m * lead) for n, lead in enumerate(leads) for model, m in ((CHALLENGER, 1), (CHAMPION, 0))]
    return pd.DataFrame(rows, columns=["user_id", "model", "ndcg@10"])


def test_a_bound_that_fails_by_little_does_not_print_like_the_margin():
    told = beats(per_user([-0.010017] * 30), CHAMPION, Evaluate(), -0.01)
    assert not told.passed
    assert "(95% -0.01002 to -0.01002), asked to lie above -0.01000" in told.detail
    plain = beats(per_user([-0.02] * 30), CHAMPION, Evaluate(), -0.01).detail
    assert "(95% -0.0200 to -0.0200), asked to lie above -0.0100" in plain


def test_a_lead_has_one_interval_in_verdict_and_report():
    users = per_user(np.random.default_rng(3).normal(size=50)).assign(mrr=0.5, novelty=[np.nan, *[1.0] * 99])
    numbers = beats(users, CHAMPION, Evaluate(), 0.0).numbers
    told = differences(users, CHALLENGER, Evaluate().bootstrap)[CHAMPION]["ndcg@10"]
    assert {"mean": numbers["difference"], "low": numbers["low"], "high": numbers["high"]} == pytest.approx(told)


def test_guardrails_print_what_they_compare_apart():
    """A coverage just below three quarters of the champion's, and an interval that ends just below what is allowed."""
    lead = {"mean": -0.02, "low": -0.03, "high": -0.01001}
    new = {"users": 50, "models": {CHALLENGER: {"ndcg@10": {"mean": 0.08}}, CHAMPION: {"ndcg@10": {"mean": 0.1}}}}
    signs = {"served": 40, "gain": 10, "lose": 30}
    rolling = {
        "models": {CHALLENGER: {"coverage@10": 0.29999}, CHAMPION: {"coverage@10": 0.4}},
        "stages": {CHALLENGER: {"k": 10}},
        "slices": {"new items": {**new, "differences": {CHAMPION: lead}, "signs": {CHAMPION: signs}}},
    }
    off = dict.fromkeys(("worst_slice", "popularity_bias", "calibration", "latency", "size"))
    found = guardrails({"primary": "ndcg@10", "protocols": {"rolling": rolling}}, Evaluate(**off))
    cold, coverage = (rule for rule in found if not rule.skipped)
    assert not cold.passed and "to -0.01001), may not lie wholly below -0.01000" in cold.detail
    assert not coverage.passed and coverage.detail.startswith("29.999% of the catalogue is shown beside 40.0%, asked")
    assert "to be at least 30.000% (" in coverage.detail


@pytest.mark.parametrize(("high", "told"), [(0.8652, "by tenth: 0.865"), (0.91, "by tenth: 0.865 to 0.910")])
def test_what_the_tenths_tell_is_no_interval(high, told):
    assert tenths({"predicted_over_observed_low": 0.8652, "predicted_over_observed_high": high}) == told


def test_rules_that_were_not_asked_for_one_reason_are_one_line():
    asked = Rule("beats_popularity", True, {}, "a lead"), Rule("parity", True, {}, "a lead")
    none = [skipped(name, "no champion") for name in ("coverage", "size")]
    told = by_reason([asked[0], none[0], skipped("latency", "null"), none[1], asked[1]])
    assert [(names, rule.detail) for names, rule in told] == [
        ("beats_popularity", "a lead"),
        ("coverage, size", "not asked: no champion"),
        ("latency", "not asked: null"),
        ("parity", "a lead"),
    ]


@pytest.mark.parametrize(
    ("value", "bound", "count"),
    [(0.2, 0.1, 4), (0.1, 0.1, 4), (0.10001, 0.1, 5), (-0.00004, 0.0, 5), (-1e-17, 0.0, 4)],
)
def test_digits_are_as_many_as_tell_two_numbers_apart(value, bound, count):
    assert digits(value, bound) == count


@pytest.mark.parametrize(
    ("margin", "high", "users", "words"),
    [
        (0.0, 0.007, 297, "not better than what it had to beat"),
        (-0.01, 0.007, 297, "may be worse than champion by more than 0.01 of ndcg@10"),
        (-0.01, -0.02, 297, "is worse than champion by more than 0.01 of ndcg@10"),
        (0.02, 0.05, 297, "not surely better than champion by more than 0.02 of ndcg@10"),
        (-0.01, 0.007, 19, "too few users to tell"),
    ],
)
def test_a_rejection_means_what_its_margin_asked(margin, high, users, words):
    numbers = {"metric": "ndcg@10", "low": -0.03, "high": high, "margin": margin, "users": users}
    assert fallen_short({"name": "beats_champion", "numbers": numbers}) == words
    assert fallen_short({}) == "not better than what it had to beat"
