"""The value of another policy, of logs in which it is known: by construction, by hand, and by many draws."""

import numpy as np
import pyarrow as pa
import pytest

from souk.errors import SoukError
from souk.evaluation.off_policy import policy_value

CHANCES = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8])
SHOWN = np.repeat(np.arange(4), (16 * CHANCES).astype(int))  # each item just as often as it says
WORTH = np.array([1.0, 0.0, 3.0, 5.0])


@pytest.mark.parametrize("target", [CHANCES, [0, 0, 0, 1], [0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25]])
def test_of_a_log_that_shows_each_item_as_often_as_it_says_the_value_is_exact(target):
    wanted = np.asarray(target, float)
    found = policy_value(WORTH[SHOWN], CHANCES[SHOWN], wanted[SHOWN])
    assert found.ips.value == pytest.approx(wanted @ WORTH) and found.snips.value == pytest.approx(wanted @ WORTH)
    assert found.mean_weight == pytest.approx(1) and found.largest_weight == pytest.approx((wanted / CHANCES).max())
    assert found.effective_rows == pytest.approx(16 / (wanted**2 / CHANCES).sum())


def test_of_one_user_the_interval_is_endless_and_of_few_no_weight_is_in_doubt():
    """Rows of a right log, all of one user: their deviations from the mean cancel out, whatever they are."""
    random = np.random.default_rng(0)
    rewards, logged = random.random(200) < 0.3, np.full(200, 0.5)
    target = np.where(random.random(200) < 0.5, 1.0, 0.0)
    alone = policy_value(rewards, logged, target, users=["a"] * 200)
    assert (alone.ips.low, alone.ips.high, alone.snips.high) == (-np.inf, np.inf, np.inf)
    for users in (["a"] * 200, ["a"] * 100 + ["b"] * 100):
        found = policy_value(rewards, logged, target, users=users)
        assert "a few of them decide" in found.doubts[0] and not any("propensities" in each for each in found.doubts)
    each, halves = 2 * target * rewards, (slice(100), slice(100, 200))
    apart = [float((each[half] - each.mean()).sum()) for half in halves]
    assert found.ips.high - found.ips.value == pytest.approx(1.96 * np.sqrt(2 * sum(a**2 for a in apart)) / 200)


def test_two_places_by_hand():
    """Row by row and place by place, as one would with a pencil."""
    rewards, logged = [[1, 0], [0, 2], [1, 1]], [[0.5, 0.2], [0.25, 0.4], [0.5, 0.5]]
    target = [[0.25, 0.1], [0.5, 0.4], [0.25, 0.0]]
    found = policy_value(rewards, logged, target)
    weights = [[0.5, 0.5], [2.0, 1.0], [0.5, 0.0]]
    each = [0.5 + 0.0, 0.0 + 2.0, 0.5 + 0.0]
    assert found.ips.value == pytest.approx(sum(each) / 3)
    first, second = (0.5 + 0.5) / 3.0, 2.0 / 1.5
    assert found.snips.value == pytest.approx(first + second)
    spread = np.std([sum(w * (r - v) / m for w, r, v, m in zip(a, b, (first, second), (1.0, 0.5), strict=True))
                     for a, b in zip(weights, rewards, strict=True)], ddof=1)  # fmt: skip
    assert found.snips.high - found.snips.value == pytest.approx(1.96 * spread / 3**0.5)
    assert found.ips.value - found.ips.low == pytest.approx(1.96 * np.std(each, ddof=1) / 3**0.5)
    assert found.effective_rows == pytest.approx(1.5**2 / 1.25), "at the second place, and 9 / 4.5 at the first"
    assert found.effective_rewarded == pytest.approx(3.0**2 / 4.5)


def test_95_of_100_intervals_have_the_truth():
    """Clicks by chance, of an item by its worth; the target turns the log's preference round."""
    chances, clicks = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.5])
    target, rng = chances[::-1], np.random.default_rng(4)
    true, hits = target @ clicks, np.zeros(2)
    for _ in range(400):
        items = rng.choice(3, 2000, p=chances)
        found = policy_value(rng.random(2000) < clicks[items], chances[items], target[items])
        hits += [each.low <= true <= each.high for each in (found.ips, found.snips)]
        assert not found.doubts
    assert (hits / 400 == pytest.approx(0.95, abs=0.03)) and not np.isclose(true, chances @ clicks, atol=0.05)


def test_one_row_that_was_next_to_impossible_is_told_and_cut():
    """A thousand impressions at 1/10, of which every fifth was clicked, and one at a millionth."""
    rewards, logged = np.append(np.arange(1000) % 5 == 0, False), np.append(np.full(1000, 0.1), 1e-6)
    found = policy_value(rewards, logged, np.full(1001, 0.1))
    assert found.largest_weight == pytest.approx(1e5) and found.effective_rows < 1.03 and found.clipped == 0
    assert found.doubts == ("the weights are worth 1 rows of 1,001: a few rows decide",)
    assert found.ips.value == pytest.approx(0.2, abs=0.001) and found.snips.value < 0.002
    cut = policy_value(rewards, logged, np.full(1001, 0.1), most=10)
    assert cut.clipped == pytest.approx(1 / 1001) and cut.largest_weight == pytest.approx(1e5) and not cut.doubts
    assert cut.snips.value == pytest.approx(0.2, abs=0.002) and cut.effective_rows > 900


def test_a_weight_that_is_cut_counts_as_the_largest_that_is_allowed():
    """Weights of 10, 1, 1 and 1, cut to 4; what came of the first two is 1."""
    found = policy_value([1, 1, 0, 0], [0.1, 0.5, 0.5, 0.5], [1, 0.5, 0.5, 0.5], most=4)
    assert (found.ips.value, found.snips.value) == pytest.approx(((4 + 1) / 4, (4 + 1) / 7))
    assert (found.largest_weight, found.clipped) == (10, 1 / 4)


def test_few_clicks_are_told_however_many_rows():
    found = policy_value(np.arange(10_000) < 40, np.full(10_000, 0.5), np.full(10_000, 0.5))
    assert found.effective_rows == pytest.approx(10_000) and found.effective_rewarded == pytest.approx(40)
    assert found.doubts == ("what came of it is worth 40 rows with something alone: the intervals are too narrow",)


@pytest.mark.parametrize("wrong", ["another log's", "what is never shown"])
def test_propensities_that_cannot_be_are_told(wrong):
    logged = np.roll(CHANCES, 1) if wrong == "another log's" else CHANCES / CHANCES[:3].sum()
    shown = np.repeat(SHOWN if wrong == "another log's" else SHOWN[SHOWN < 3], 200)
    target = CHANCES if wrong == "another log's" else np.array([0.1, 0.1, 0.1, 0.7])
    found = policy_value(WORTH[shown] + 1, logged[shown], target[shown])
    assert "and not 1: the propensities are not those of this log" in found.doubts[-1]


def test_lists_of_a_log_are_places_and_a_short_slate_is_told_how_to_give():
    lists = {
        "reward": [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]],
        "logged": [[1.0, 0.5], [1.0, 0.25], [1.0, 0.5]],
        "target": [[1.0, 0.5], [1.0, 0.5], [1.0, 1.0]],
    }
    log = pa.table(lists).to_pandas()
    wanted = policy_value(*lists.values())
    assert policy_value(log.reward, log.logged, log.target) == wanted
    assert policy_value(*map(np.array, lists.values())) == wanted
    ragged = {name: [rows[0], rows[1], rows[2][:1]] for name, rows in lists.items()}
    for given in (ragged, pa.table(ragged).to_pandas()):
        with pytest.raises(SoukError, match=r"Received: 1 to 2\. Give 1 as logged and target, and 0 as reward"):
            policy_value(*(given[name] for name in lists))
    filled = [[*rows[:2], [*rows[2], more]] for rows, more in zip(ragged.values(), (0, 1, 1), strict=True)]
    assert policy_value(*filled).mean_weight == pytest.approx((1 + 2 + 1) / 3)


def test_a_policy_that_shows_nothing_of_the_log_has_no_value():
    found = policy_value([1, 1], [0.5, 0.5], [0, 0])
    assert (found.ips.value, found.snips.value, found.effective_rows, found.effective_rewarded) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("rewards", "logged", "target", "most", "match"),
    [
        ([1, 0], [0.5], [0.5, 0.5], 9, "one shape"),
        ([], [], [], 9, "with a row"),
        (["a", "b"], [0.5, 0.5], [0.5, 0.5], 9, "to be numbers|Expected numbers"),
        ([1, np.nan], [0.5, 0.5], [0.5, 0.5], 9, "finite rewards"),
        ([1, 0], [0.5, 0.0], [0.5, 0.5], 9, "above 0 and up to 1. Received: 0 to 0.5"),
        ([1, 0], [0.5, 50], [0.5, 0.5], 9, "Received: 0.5 to 50"),
        ([1, 0], [0.5, np.nan], [0.5, 0.5], 9, "up to 1"),
        ([1, 0], [0.5, 0.5], [-0.5, 0.5], 9, "from 0 to 1"),
        ([1, 0], [0.5, 0.5], [0.5, 0.5], 0, "most above 0"),
    ],
)
def test_what_is_no_log_is_refused(rewards, logged, target, most, match):
    with pytest.raises(SoukError, match=match):
        policy_value(rewards, logged, target, most)


def test_rows_of_one_user_tell_no_more_than_the_user():
    """A log whose rows stand in it a hundred times has the interval of the rows once, where it says whose they are."""
    rng = np.random.default_rng(4)
    rewards, target = rng.random(300) < 0.5, np.where(rng.random(300) < 0.5, 0.9, 0.1)
    log = (rewards, np.full(300, 0.5), target)
    once, often = policy_value(*log), [np.repeat(each, 100) for each in log]
    by_user = policy_value(*often, users=np.repeat(np.arange(300), 100).tolist())
    for name in ("ips", "snips"):
        alone, theirs, taken = (getattr(found, name) for found in (once, by_user, policy_value(*often)))
        assert (theirs.low, theirs.high) == pytest.approx((alone.low, alone.high))
        assert taken.high - taken.low == pytest.approx((alone.high - alone.low) / 10, rel=0.002)
    assert not by_user.doubts
    few = policy_value(*often, users=[f"u{row % 20}" for row in range(30_000)])
    assert few.doubts[0] == "the rows are of 20 users: a few of them decide"
    with pytest.raises(SoukError, match="a user for each of 30,000 rows"):
        policy_value(*often, users=["u"])
