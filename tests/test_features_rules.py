"""What follows what, how fast taste moves and what is popular with whom: answers by hand and by a slower way."""

import math

import numpy as np
import pytest

from souk.features import rules as module
from souk.features.rules import BACK, BLOCK, DISTANCE, FOLLOWERS, SUPPORT, VOTES, packed, pair_sums, rules, unpacked
from souk.features.trends import half_life, in_words, trends
from souk.schema import DAY_MS

ENDS = np.array([100, 200, 300])
FOREVER = float("inf")


def made(events, size, ends=ENDS, half=FOREVER, trend=None, first=0, count=None):
    """W at each boundary, dense, of (user, item, time, may be voted for) in order."""
    users, items, times, votes = (np.array(column) for column in zip(*events, strict=True))
    keys, sums = pair_sums(users, items, times, votes.astype(bool), ends, size, half)
    steady = np.ones((len(ends), size), np.float32) if trend is None else trend
    found = []
    for rows in rules(keys, sums, steady, ends, half, first, size if count is None else count):
        dense = np.zeros((len(rows), size))
        row, item, weight = rows.gather(np.arange(len(rows)))
        dense[row, item] = weight
        found.append(dense)
    return found


def test_an_event_votes_for_those_after_it_and_less_for_those_before():
    events = [(0, 0, 10, 1), (0, 1, 20, 1), (0, 2, 30, 1), (1, 0, 10, 1), (1, 2, 20, 1)]
    weights = made(events, 3)[0]
    assert weights[0] == pytest.approx([0, 1 / math.sqrt(2 + SUPPORT), 1.5 / math.sqrt(2 + SUPPORT)])
    assert weights[1] == pytest.approx([BACK / math.sqrt(1 + SUPPORT), 0, 1 / math.sqrt(1 + SUPPORT)])
    assert weights[2] == pytest.approx([1.5 * BACK / math.sqrt(2 + SUPPORT), BACK / math.sqrt(2 + SUPPORT), 0])


def test_events_of_one_time_have_no_order_and_an_item_does_not_follow_itself():
    weights = made([(0, 0, 10, 1), (0, 1, 10, 1), (0, 1, 20, 1)], 2)[0]
    assert weights[0, 1] == pytest.approx(1.5 / math.sqrt(1 + SUPPORT))
    assert weights[1, 0] == pytest.approx((1 + BACK / 2) / math.sqrt(2 + SUPPORT))
    assert weights[0, 0] == weights[1, 1] == 0


def test_only_what_engages_is_voted_for_and_users_do_not_mix():
    events = [(0, 0, 10, 1), (0, 1, 20, 0), (1, 2, 30, 1)]
    weights = made(events, 3)[0]
    assert weights[1, 0] > 0 and weights[0, 1] == 0, "a click leads to a purchase, and is none"
    assert not weights[2].any() and not weights[:, 2].any()


def test_each_boundary_sees_what_is_before_it_and_nothing_more():
    events = [(0, 0, 10, 1), (0, 1, 20, 1), (1, 0, 150, 1), (1, 1, 199, 1), (2, 0, 200, 1), (2, 2, 299, 1)]
    late = [(3, 0, 300, 1), (3, 2, 301, 1), (3, 1, 302, 1)]
    known, planted = made(events, 3), made(events + late, 3)
    for before, after in zip(known, planted, strict=True):
        np.testing.assert_array_equal(before, after)
    first, second, third = known
    assert first[0] == pytest.approx([0, 1 / math.sqrt(1 + SUPPORT), 0])
    assert second[0] == pytest.approx([0, 2 / math.sqrt(2 + SUPPORT), 0])
    assert third[0] == pytest.approx(np.array([0, 2, 1]) / math.sqrt(3 + SUPPORT))


def test_votes_lose_half_of_their_weight_in_a_half_life():
    weights = made([(0, 0, 40, 1), (0, 1, 50, 1)], 2, half=50.0)
    assert [w[0, 1] * math.sqrt(1 + SUPPORT) for w in weights] == pytest.approx([0.5, 0.125, 0.03125], rel=1e-6)


def test_trends_lift_what_is_followed():
    trend = np.array([[1, 3, 1]] * 3, np.float32)
    plain, lifted = (made([(0, 0, 10, 1), (0, 1, 20, 1), (0, 2, 30, 1)], 3, trend=t)[0] for t in (None, trend))
    assert lifted[:, 1] == pytest.approx(3 * plain[:, 1]) and lifted[:, [0, 2]] == pytest.approx(plain[:, [0, 2]])


def test_shards_and_blocks_give_what_the_whole_gives():
    random = np.random.default_rng(3)
    events = sorted(
        (int(user), int(random.integers(9)), int(random.integers(300)), int(random.random() < 0.8))
        for user in random.integers(0, 6, 200)
    )
    events.sort(key=lambda e: (e[0], e[2]))
    whole = made(events, 9, half=80.0)
    halves = [[e for e in events if e[0] % 2 == part] for part in (0, 1)]
    sums = [
        pair_sums(*(np.array(column) for column in zip(*part, strict=True)), ENDS, 9, 80.0)
        for part in [[(u, i, t, bool(v)) for u, i, t, v in half] for half in halves]
    ]
    keys, totals = module.collapsed([k for k, _ in sums], [s for _, s in sums])
    for start, count in ((0, 5), (5, 4)):
        inside = (keys // 3 // 9 >= start) & (keys // 3 // 9 < start + count)
        steady = np.ones((3, 9), np.float32)
        for rows, dense in zip(
            rules(keys[inside], totals[inside], steady, ENDS, 80.0, start, count), whole, strict=True
        ):
            row, item, weight = rows.gather(np.arange(count))
            np.testing.assert_allclose(dense[start + row, item], weight, rtol=1e-5)
            assert len(weight) == np.count_nonzero(dense[start : start + count])


def test_the_work_of_a_long_history_is_bounded():
    """Every event of a user of many has DISTANCE neighbours on each side, and each item at most FOLLOWERS followers."""
    count = 5_000
    items = np.arange(count)
    arrays = (np.zeros(count, int), items, items, np.ones(count, bool), np.array([count]), count, FOREVER)
    keys, _ = pair_sums(*arrays)
    assert len(keys) <= count * (2 * DISTANCE + 1)
    hub = [(user, item, 2 * user + place, 1) for user in range(300) for place, item in enumerate((0, user + 1))]
    found = made(hub, 301, ends=np.array([1000]))[0]
    assert np.count_nonzero(found[0]) == FOLLOWERS


def test_a_user_who_repeats_a_pair_does_not_own_the_rules_of_its_item(monkeypatch):
    """Ten thousand times A then B of one, against A then C of twenty: also where its votes are summed in pieces."""
    bot = [(0, n % 2, n, 1) for n in range(20_000)]
    people = [(user, item, 10 * user + item, 1) for user in range(1, 21) for item in (0, 2)]
    ends = np.array([30_000])
    weights = made(bot + people, 3, ends=ends)[0]
    assert weights[0] == pytest.approx(np.array([0, VOTES, 20]) / math.sqrt(20 + VOTES + SUPPORT))
    monkeypatch.setattr(module, "PENDING", 1_000)
    np.testing.assert_array_equal(made(bot + people, 3, ends=ends)[0], weights)


def test_sums_travel_in_blocks_of_ten_bytes_a_pair():
    random = np.random.default_rng(5)
    size = 2 * BLOCK + 7
    keys = np.unique(random.integers(0, size * size * 3, 400))
    sums = random.integers(1, 9, len(keys)) / 4
    parts = list(packed(keys, sums, size, 3))
    assert [block for block, _ in parts][:2] == [0, 1]
    assert sum(len(part) for _, part in parts) == 10 * len(keys)
    found = [unpacked(block, [part, part], size, 3) for block, part in parts]
    np.testing.assert_array_equal(np.concatenate([k for k, _ in found]), keys)
    np.testing.assert_array_equal(np.concatenate([s for _, s in found]), 2 * sums)


def test_a_market_that_moves_has_a_short_half_life_and_one_that_stands_none():
    random = np.random.default_rng(1)
    times = np.sort(random.integers(0, 1000 * DAY_MS, 20_000))
    moving = (times // (50 * DAY_MS) + random.integers(0, 3, len(times))) % 40
    assert half_life(moving, times, 40) <= 64 * DAY_MS
    standing = random.choice(40, len(times), p=np.arange(1, 41) / 820)
    assert half_life(standing, times, 40) > 200 * DAY_MS
    assert half_life(times[:0], times[:0], 40) == half_life(moving[:1], times[:1], 40) == FOREVER
    assert half_life(moving[:5], np.full(5, 7), 40) == FOREVER


def test_a_half_life_is_told_in_days_and_none_as_none():
    assert in_words(1_500.0 * DAY_MS) == "1,500.0 days" and in_words(0.25 * DAY_MS) == "0.2 days"
    assert in_words(FOREVER) == "none, nothing fades"


def test_a_trend_is_the_recent_share_over_that_of_all_time():
    times = np.array([0] * 100 + [1000] * 100)
    items = np.array([0] * 100 + [1] * 100)
    found = trends(np.append(items, 1), np.append(times, 2000), 3, 2000, 1000.0)
    recent = np.array([25.0, 50.0, 0.0])
    level = 75 / 200
    assert found == pytest.approx((recent + 10 * level) / (level * (np.array([100, 100, 0]) + 10)))
    assert found[1] > 1 > found[0] and found[2] == pytest.approx(1)
    assert trends(items, times, 3, 2000, FOREVER) == pytest.approx(np.ones(3))
    assert trends(items, times, 3, 0, 1000.0).tolist() == [1, 1, 1]


def test_nothing_at_all_gives_empty_rules():
    nothing = np.zeros(0, np.int64)
    keys, sums = pair_sums(nothing, nothing, nothing, nothing.astype(bool), ENDS, 4, FOREVER)
    assert [len(rows.items) for rows in rules(keys, sums, np.ones((3, 4), np.float32), ENDS, FOREVER, 0, 4)] == [0] * 3
