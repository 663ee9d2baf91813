"""Bounds that hold for many parts at once: how often equal models raise an alarm, and bounds by hand."""

import numpy as np
import pytest

from souk.evaluation.simultaneous import upper_bounds, widest_gap
from souk.metrics import Interval, bootstrap, flat_metric


def equal_models(random, users, slices):
    """The difference of two models of the same worth, by user, in overlapping parts of the users."""
    ranks = np.where(random.random((2, users)) < 0.15, random.integers(1, 10, (2, users)), 99.0)
    ours, theirs = (flat_metric("ndcg@10", own, np.ones(users, np.int64)) for own in ranks)
    member = random.random((users, slices)) < random.uniform(0.1, 0.5, slices)
    return np.where(member, (ours - theirs)[:, None], np.nan)


def test_twenty_slices_of_equal_models_seldom_raise_an_alarm():
    """At a threshold of zero, one gate in twenty may be stopped by chance; single intervals stop one in four."""
    random, trials, together, single = np.random.default_rng(0), 150, 0, 0
    for seed in range(trials):
        values = equal_models(random, users=400, slices=20)
        together += bool((upper_bounds(values, samples=200, seed=seed) < 0).any())
        errors = np.nanstd(values, axis=0) / np.isfinite(values).sum(axis=0) ** 0.5
        single += bool((np.nanmean(values, axis=0) + 1.96 * errors < 0).any())
    assert together / trials <= 0.08  # 0.05 ± 0.02
    assert single / trials >= 0.2


def test_the_bound_of_one_column_is_its_percentile():
    values = np.random.default_rng(3).normal(0.5, 1.0, 300)
    [high] = upper_bounds(values[:, None], samples=2000, seed=1)
    assert high == pytest.approx(bootstrap(values, 2000, seed=1, level=0.9).high)


def test_bounds_widen_with_the_number_of_columns_and_not_for_copies():
    values = np.random.default_rng(3).normal(size=(200, 30))
    one = upper_bounds(values[:, :1], 500, seed=1)[0]
    assert upper_bounds(np.repeat(values[:, :1], 30, axis=1), 500, seed=1)[0] == pytest.approx(one)
    assert upper_bounds(values, 500, seed=1)[0] > one + 0.05


def test_a_column_that_does_not_vary_is_its_own_bound():
    values = np.column_stack([np.full(60, -0.2), np.linspace(-1, 1, 60), np.full(60, np.nan)])
    found = upper_bounds(values, 100, seed=1)
    assert found[0] == pytest.approx(-0.2)
    assert found[1] > 0
    assert np.isnan(found[2])
    assert upper_bounds(values[:, :1], 100, seed=1) == pytest.approx([-0.2])


def test_the_widest_gap_is_the_most_certain_one():
    wide = Interval(0.9, -1.0, 2.8)  # of few users
    parts, users = [Interval(0.50, 0.48, 0.52), wide, Interval(0.40, 0.38, 0.42)], [10_000, 2, 10_000]
    high, low, bound = widest_gap(parts, users)
    assert (high, low) == (0, 2)
    error = 0.02 / 1.959964 * 2**0.5
    assert bound == pytest.approx(0.1 - 2.393980 * error, abs=1e-4)  # 1 - 0.05 / 6 of a normal
    assert widest_gap(parts[::2], users[::2])[2] > bound  # one pair: no correction but for its two signs


def test_a_part_of_which_nobody_was_served_is_no_more_certain_than_all_users_make_it():
    """Of 1,000 users 100 have 1; of 50 others nobody: had they been served alike, by chance one time in 200."""
    served = Interval(0.1, 0.1 - 1.959964 * (0.09 / 1000) ** 0.5, 0.1 + 1.959964 * (0.09 / 1000) ** 0.5)
    high, low, bound = widest_gap([served, Interval(0.0, 0.0, 0.0)], [1000, 50])
    share = 100 / 1050
    spread = share * (1 - share)  # of users of whom so many have 1
    assert (high, low) == (0, 1)
    assert bound == pytest.approx(0.1 - 1.959964 * (max(0.09, spread) / 1000 + spread / 50) ** 0.5, abs=1e-6)


def test_segments_that_are_served_alike_seldom_differ_where_few_users_are_served():
    """One large and eleven small ones, a twentieth of the users served: by their own intervals alone most differed."""
    random, trials, apart = np.random.default_rng(0), 100, 0
    sizes = [1000] + [60] * 11
    for seed in range(trials):
        ranks = [np.where(random.random(n) < 0.05, random.integers(1, 11, n), 99.0) for n in sizes]
        values = [flat_metric("ndcg@10", own, np.ones(len(own), np.int64)) for own in ranks]
        apart += widest_gap([bootstrap(own, 100, seed) for own in values], sizes)[2] > 0
    assert apart / trials <= 0.08  # 0.05 are promised


def test_segments_that_are_served_unlike_still_differ():
    random, trials, told = np.random.default_rng(1), 40, 0
    for seed in range(trials):
        values = [(random.random(1000) < share).astype(float) for share in (0.05, 0.2)]
        told += widest_gap([bootstrap(own, 100, seed) for own in values], [1000, 1000])[2] > 0.05
    assert told >= 0.95 * trials
