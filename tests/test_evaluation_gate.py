"""The gate on really different models: each user's metric comes from rankings that are better, equal or worse."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from souk.config import Evaluate
from souk.evaluation.gate import Champion, compare_identity, judge
from souk.metrics import query_metric

CONFIG = Evaluate(bootstrap=200)


def per_user(quality, users=150, seed=0):
    """One row a user and model; `quality` is the chance that a model ranks a user's target by its true score."""
    rng = np.random.default_rng(seed)
    random_ranks = rng.integers(1, 80, users)
    rows = []
    for model, chance in quality.items():
        right = np.random.default_rng(seed + 1).uniform(size=users) < chance  # the same luck for all models
        ranks = [np.array([1.0 if hit else float(rank)]) for hit, rank in zip(right, random_ranks, strict=True)]
        values = {name: query_metric(name, ranks) for name in ("ndcg@10", "hr@10")}
        rows.append(pd.DataFrame({"user_id": [f"u{i}" for i in range(users)], "model": model, **values}))
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(("slate", "outcome"), [(0.4, "promote"), (0.2, "reject"), (0.05, "reject")])
def test_first_release_must_beat_popularity(slate, outcome):
    verdict = judge(per_user({"slate": slate, "popularity": 0.2}), "", CONFIG)
    assert verdict.outcome == outcome
    assert [rule.name for rule in verdict.rules] == ["beats_popularity"]


@pytest.mark.parametrize(("slate", "outcome"), [(0.5, "promote"), (0.3, "reject"), (0.2, "reject")])
def test_later_releases_must_beat_the_champion(slate, outcome):
    models = {"slate": slate, "champion": 0.3, "popularity": 0.0}
    verdict = judge(per_user(models), "old", CONFIG)
    assert verdict.outcome == outcome
    assert [rule.name for rule in verdict.rules] == ["beats_champion"]


def test_a_lead_that_may_be_luck_is_rejected():
    """Better on average, on too few users to tell."""
    table = per_user({"slate": 0.35, "champion": 0.3}, users=30)
    means = table.groupby("model")["ndcg@10"].mean()
    assert means["slate"] > means["champion"]
    assert judge(table, "old", CONFIG).outcome == "reject"


def test_margin_asks_for_more_or_allows_an_equal_one():
    table = per_user({"slate": 0.5, "champion": 0.3})
    assert judge(table, "old", Evaluate(bootstrap=200, margin=0.5)).outcome == "reject"
    equal = per_user({"slate": 0.3, "champion": 0.3})
    assert judge(equal, "old", Evaluate(bootstrap=200, margin=-0.01)).outcome == "promote"


def test_primary_metric_decides():
    table = per_user({"slate": 0.5, "popularity": 0.2})
    table.loc[table["model"] == "slate", "hr@10"] = 0.0
    assert judge(table, "", Evaluate(bootstrap=200, primary="ndcg@10")).outcome == "promote"
    assert judge(table, "", Evaluate(bootstrap=200, primary="hr@10")).outcome == "reject"


def test_verdict_json_holds_the_numbers():
    verdict = json.loads(judge(per_user({"slate": 0.5, "champion": 0.3}), "old", CONFIG).to_json())
    numbers = verdict["rules"][0]["numbers"]
    assert verdict["verdict"] == "promote"
    assert numbers["low"] > numbers["margin"] == 0
    assert numbers["challenger"] - numbers["champion"] == pytest.approx(numbers["difference"])
    assert numbers["users"] == 150


def test_no_test_users_reject():
    empty = per_user({"slate": 0.5, "popularity": 0.2}, users=0)
    assert judge(empty, "", CONFIG).outcome == "reject"


def champion(**changes):
    known: dict[str, Any] = {
        "name": "old",
        "twin": Path("twin"),
        "twin_name": "aa",
        "dataset": "shop",
        "trained_until": 100,
        "inputs": "same",
    }
    return Champion(**(known | changes))


@pytest.mark.parametrize(
    ("served", "outcome"),
    [
        (Champion(), None),
        (champion(), None),
        (champion(trained_until=99), None),
        (champion(twin_name="bb"), "unchanged"),
        (champion(twin_name="bb", inputs="other"), "promote"),
        (champion(twin_name="bb", whole=False), "promote"),
        (champion(whole=False, trained_until=101), None),
        (champion(trained_until=101), "not_comparable"),
        (champion(twin=None, twin_name=""), "not_comparable"),
        (champion(dataset="films"), "not_comparable"),
    ],
)
def test_what_needs_no_evaluation(served, outcome):
    verdict = compare_identity(served, challenger="bb", inputs="same", dataset="shop", test_start=100)
    assert (verdict.outcome if verdict else None) == outcome


def test_not_comparable_says_what_to_do():
    verdict = compare_identity(champion(trained_until=101), "bb", "same", dataset="shop", test_start=100)
    assert verdict is not None
    assert "split.test" in verdict.rules[0].detail
