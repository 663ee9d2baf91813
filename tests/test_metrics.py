"""Every metric against a plain reference that reads the ranked list item by item."""

import math
import tracemalloc

import numpy as np
import pytest

from souk.errors import SoukError
from souk.metrics import (
    auc,
    bootstrap,
    bootstrap_columns,
    calibration_error,
    coverage,
    gini,
    log_loss,
    mean_by_user,
    predicted_over_observed,
    query_metric,
    reliability,
    target_ranks,
    top,
)


def plain_order(scores):
    """Items by score, highest first, ties by position, without those at -inf."""
    return sorted((i for i, s in enumerate(scores) if s != -math.inf), key=lambda i: (-scores[i], i))


def plain_metric(name, order, targets):
    kind, _, k = name.partition("@")
    places = [place for place, item in enumerate(order, start=1) if item in targets]
    if kind == "mrr":
        return 1 / places[0] if places else 0.0
    first = [place for place in places if place <= int(k)]
    if kind == "hr":
        return 1.0 if first else 0.0
    if kind == "recall":
        return len(first) / len(targets)
    gain = sum(1 / math.log2(place + 1) for place in first)
    return gain / sum(1 / math.log2(place + 1) for place in range(1, min(int(k), len(targets)) + 1))


@pytest.mark.parametrize("name", ["hr@1", "hr@10", "ndcg@1", "ndcg@10", "recall@3", "recall@100", "mrr"])
@pytest.mark.parametrize("most_targets", [1, 4])
def test_metric_equals_plain_reference(name, most_targets):
    rng = np.random.default_rng(3)
    ranks, expected = [], []
    for _ in range(200):
        scores = rng.integers(0, 12, size=40).astype(float)  # many ties
        scores[rng.choice(40, 5, replace=False)] = -np.inf
        targets = rng.choice(40, rng.integers(1, most_targets + 1), replace=False)
        ranks.append(target_ranks(scores, targets))
        expected.append(plain_metric(name, plain_order(scores), set(targets.tolist())))
    assert query_metric(name, ranks) == pytest.approx(expected)


@pytest.mark.parametrize("targets", [1, 32, 33, 200])
def test_ranks_of_many_targets_are_those_of_the_order_read_item_by_item(targets):
    rng = np.random.default_rng(5)
    for _ in range(20):
        scores = rng.integers(0, 30, size=300).astype(np.float32)  # many ties
        scores[rng.choice(300, 60, replace=False)] = -np.inf
        wanted = rng.permutation(300)[:targets]
        place = {item: rank for rank, item in enumerate(plain_order(scores), start=1)}
        assert target_ranks(scores, wanted).tolist() == [place.get(item, math.inf) for item in wanted.tolist()]
    assert np.isinf(target_ranks(np.full(300, -np.inf), np.arange(targets))).all()


def test_many_targets_are_not_each_held_beside_every_item():
    """20,000 targets of 40,000 items: a cell for each pair would be 800 MB."""
    tracemalloc.start()
    ranks = target_ranks(np.arange(40_000, dtype=np.float32)[::-1], np.arange(0, 40_000, 2))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ranks.tolist() == list(range(1, 40_000, 2))
    assert most < 10_000_000


def test_values_known_by_hand():
    ranks = [np.array([1.0]), np.array([3.0, 20.0]), np.array([np.inf])]
    assert query_metric("hr@10", ranks).tolist() == [1, 1, 0]
    assert query_metric("recall@10", ranks).tolist() == [1, 0.5, 0]
    assert query_metric("mrr", ranks) == pytest.approx([1, 1 / 3, 0])
    assert query_metric("ndcg@10", ranks) == pytest.approx([1, 0.5 / (1 + 1 / math.log2(3)), 0])


def test_best_ranking_of_many_targets_has_ndcg_one():
    assert query_metric("ndcg@10", [np.arange(1.0, 31.0)]) == pytest.approx([1.0])


@pytest.mark.parametrize("name", ["map@10", "hr", "hr@0", "ndcg@ten"])
def test_unknown_metric_is_refused(name):
    with pytest.raises(SoukError, match="a metric to be one of"):
        query_metric(name, [np.array([1.0])])


def test_query_without_target_is_refused():
    with pytest.raises(SoukError, match="every query to have a target"):
        query_metric("mrr", [np.array([1.0]), np.zeros(0)])


def test_no_queries_give_no_values():
    assert query_metric("ndcg@10", []).shape == (0,)


def test_mean_by_user_weighs_users_not_queries():
    means = mean_by_user(np.array([1.0, 1, 1, 0]), np.array([0, 0, 0, 2]), 3)
    assert means[[0, 2]].tolist() == [1, 0]
    assert np.isnan(means[1])
    assert np.nanmean(means) == 0.5


def test_coverage_counts_distinct_items():
    assert coverage(np.array([[1, 2], [2, 3]]), 12) == 0.25


def test_reliability_of_known_probabilities():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0, 1, 20_000)
    found = reliability(predicted, rng.uniform(0, 1, 20_000) < predicted)
    assert [part["count"] for part in found] == [2000] * 10
    assert all(abs(part["predicted"] - part["observed"]) < 0.04 for part in found)
    assert [part["predicted"] for part in found] == sorted(part["predicted"] for part in found)
    wrong = reliability(predicted, rng.uniform(0, 1, 20_000) < predicted / 2)
    assert wrong[-1]["predicted"] - wrong[-1]["observed"] > 0.4


def test_predicted_over_observed_of_the_bins_that_tell():
    bins = [(0.1, 0.2, 900), (0.3, 0.25, 800), (0.55, 0.5, 1000), (0.8, 0.9, 223)]  # 180, 200, 500 and 200.7 positives
    bins = [dict(zip(("predicted", "observed", "count"), row, strict=True)) for row in bins]
    assert predicted_over_observed(bins) == pytest.approx((0.8 / 0.9, 0.3 / 0.25))
    assert np.isnan(predicted_over_observed(bins[:1])).all() and np.isnan(predicted_over_observed([])).all()


def test_of_one_prediction_for_all_the_order_of_the_examples_says_nothing():
    """A head that was not learned says one chance; users come one after another."""
    for labels in (np.r_[np.ones(500), np.zeros(500)], np.r_[np.zeros(500), np.ones(500)]):
        bins = reliability(np.full(1000, 0.5), labels)
        assert [part["observed"] for part in bins] == pytest.approx([0.5] * 10) and calibration_error(bins) == 0
    mixed = reliability(np.array([0.2, 0.4, 0.4, 0.4]), np.array([0, 1, 0, 0]), bins=2)
    assert [part["observed"] for part in mixed] == pytest.approx([1 / 6, 1 / 3])


def test_reliability_of_few_examples():
    assert reliability(np.array([0.5]), np.array([1.0])) == [{"predicted": 0.5, "observed": 1.0, "count": 1}]
    assert reliability(np.zeros(0), np.zeros(0)) == []


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        found = bootstrap(rng.normal(0.3, 1, size=120), samples=200, seed=trial)
        covered += found.low <= 0.3 <= found.high
    assert 180 <= covered <= 198  # 95% of 200, give or take three standard errors


def test_bootstrap_is_paired():
    """Two models that differ by little on users that differ by much: only the paired interval sees it."""
    rng = np.random.default_rng(1)
    users = rng.uniform(0, 1, 300)
    better = users + rng.normal(0.02, 0.05, 300)
    assert bootstrap(better - users, 500, seed=0).low > 0
    assert bootstrap(better, 500, seed=0).low < bootstrap(users, 500, seed=0).high


def test_bootstrap_is_seeded():
    values = np.random.default_rng(2).normal(size=50)
    assert bootstrap(values, 100, seed=4) == bootstrap(values, 100, seed=4)
    assert bootstrap(values, 100, seed=4) != bootstrap(values, 100, seed=5)


def test_bootstrap_without_users_is_nan():
    assert math.isnan(bootstrap(np.zeros(0), 100, seed=0).mean)


def test_top_is_the_start_of_the_whole_order():
    rng = np.random.default_rng(6)
    for size in (1, 63, 700, 5000):
        scores = rng.integers(0, size, size).astype(np.float32)  # ties
        scores[rng.uniform(size=size) < 0.3] = -np.inf
        assert top(scores, 10).tolist() == plain_order(scores)[:10]
    apart = np.zeros(6400, np.float32)
    apart[np.arange(10) * 640] = np.arange(10, 0, -1)  # each the best of its block
    assert top(apart, 10).tolist() == [place * 640 for place in range(10)]
    few = np.full(5000, -np.inf, np.float32)
    few[[4000, 7]] = 1.0
    assert top(few, 10).tolist() == [7, 4000]


def test_gini_of_known_shares():
    assert gini(np.full(50, 3.0)) == pytest.approx(0.0)
    assert gini(np.eye(1, 50).ravel()) == pytest.approx(49 / 50)
    values = np.random.default_rng(0).uniform(size=30)
    pairs = np.abs(values[:, None] - values[None, :]).sum()
    assert gini(values) == pytest.approx(pairs / (2 * 30 * values.sum()))
    assert math.isnan(gini(np.zeros(3)))


def test_auc_is_the_share_of_pairs_in_order():
    scores, labels = np.array([0.1, 0.4, 0.4, 0.8, 0.2]), np.array([0, 1, 0, 1, 0])
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert np.isnan(auc(scores, np.ones(5)))


def test_log_loss_by_hand():
    assert log_loss(np.array([0.5, 0.8]), np.array([1, 0])) == pytest.approx(-(math.log(0.5) + math.log(0.2)) / 2)
    assert math.isnan(log_loss(np.zeros(0), np.zeros(0)))
    assert math.isfinite(log_loss(np.array([0.0]), np.array([1])))
    rare = log_loss(np.array([0.001, 0.999, 0.0005]), np.array([1, 0, 0]))
    assert rare == pytest.approx(-(2 * math.log(0.001) + math.log(0.9995)) / 3)


def test_calibration_error_weighs_bins_by_their_examples():
    bins = [
        {"predicted": 0.1, "observed": 0.3, "count": 30},
        {"predicted": 0.8, "observed": 0.7, "count": 10},
    ]
    assert calibration_error(bins) == pytest.approx((30 * 0.2 + 10 * 0.1) / 40)
    assert math.isnan(calibration_error([]))
    told = reliability(np.array([0.1, 0.1, 0.8, 0.8]), np.array([0, 1, 1, 1]), bins=2)
    assert calibration_error(told) == pytest.approx((0.4 + 0.2) / 2)
    assert math.isnan(calibration_error(reliability(np.zeros(0), np.zeros(0))))


def test_columns_share_their_resamplings():
    values = np.random.default_rng(3).normal(size=(40, 2))
    both = bootstrap_columns(np.column_stack([values, values[:, 0] - values[:, 1]]), 300, seed=1)
    assert vars(both[0]) == pytest.approx(vars(bootstrap(values[:, 0], 300, seed=1)))
    assert both[2].low == pytest.approx(bootstrap(values[:, 0] - values[:, 1], 300, seed=1).low)


def test_bootstrap_in_blocks_is_the_same(monkeypatch):
    values = np.random.default_rng(2).normal(size=50)
    whole = bootstrap(values, 100, seed=4)
    monkeypatch.setattr("souk.metrics.CELLS", 130)
    assert vars(bootstrap(values, 100, seed=4)) == pytest.approx(vars(whole))


@pytest.mark.parametrize("users", [20, 23, 50, 100])
def test_the_mean_of_users_who_all_have_the_same_lies_in_its_interval(users):
    """A launch that all take: rounding put the mean beside its bounds, and no bar can be drawn of that."""
    constants = np.concatenate([1 / np.arange(2, 11), 1 / np.log2(np.arange(3, 12)), [-1 / 3]])
    for constant, found in zip(constants, bootstrap_columns(np.tile(constants, (users, 1)), 300, seed=1), strict=True):
        assert found.low <= found.mean <= found.high
        assert vars(found) == pytest.approx({"mean": constant, "low": constant, "high": constant}, abs=1e-12)
