"""How often items were engaged with before a time: against a sum by hand."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.counts import ItemCounts, engagements, lately
from souk.schema import DAY_MS, FOREVER

ITEMS, START, HALF = 4, 1_000 * DAY_MS, 2 * DAY_MS


def table(events, until=START, half=HALF):
    """The counters of one boundary, by hand."""
    items, times = (np.array(column, np.int64) for column in zip(*events, strict=True)) if events else ([], [])
    before = [(item, time) for item, time in zip(items, times, strict=True) if time < until]
    return pa.table(
        {
            "item_id": [f"i{n}" for n in range(ITEMS)],
            "events": [sum(item == n for item, _ in before) for n in range(ITEMS)],
            "lately": [by_hand(before, n, until, half)[1] for n in range(ITEMS)],
            "until": [until] * ITEMS,
            "half_life_days": [half / DAY_MS] * ITEMS,
        }
    )


def by_hand(events, item, time, half=HALF):
    """What is expected: events strictly before, each worth half after every half-life."""
    own = [then for what, then in events if what == item and then < time]
    return len(own), math.fsum(0.5 ** ((time - then) / half) for then in own)


def rows(events):
    items, times = zip(*events, strict=True) if events else ((), ())
    return np.array(items, np.int64), np.array(times, np.int64)


events_of = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(START - 40 * DAY_MS, START + 40 * DAY_MS)))


@given(events_of, st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(START, START + 50 * DAY_MS)), min_size=1))
def test_what_came_since_counts_from_its_time_on(events, asked):
    counts = ItemCounts.of(table(events)).followed(*rows(events))
    positions, times = rows(asked)
    found = np.stack(counts.at(positions, times), axis=1)
    np.testing.assert_allclose(found, [by_hand(events, item, time) for item, time in asked], rtol=1e-9, atol=1e-12)


def test_an_engagement_is_not_known_at_its_own_time():
    events = [(1, START + 5), (1, START + 5), (2, START + 5), (1, START + 9)]
    counts = ItemCounts.of(table([])).followed(*rows(events))
    ever, _ = counts.at(np.ones(4, np.int64), START + np.array([5, 6, 9, 10]))
    assert ever.tolist() == [0, 2, 2, 3]
    assert [each.tolist() for each in counts.at(np.array([0, 3]), np.full(2, START + 20))] == [[0, 0], [0, 0]]


@given(events_of, st.randoms(use_true_random=False))
def test_a_server_that_was_told_of_all_knows_the_same_in_whatever_order(events, random):
    end = START + 60 * DAY_MS
    told, others = ItemCounts.of(table(events)), list(events)
    random.shuffle(others)
    for event in others:
        told.add(*rows([event]))
    every, now = np.arange(ITEMS), np.full(ITEMS, end)
    known = ItemCounts.of(table(events)).followed(*rows(events))
    np.testing.assert_allclose(told.at(every, now), known.at(every, now), rtol=1e-9, atol=1e-12)


def test_what_a_release_was_made_of_is_not_counted_twice():
    events = [(0, START - DAY_MS), (0, START - 1)]
    told = ItemCounts.of(table(events))
    told.add(*rows([*events, (0, START)]))
    assert told.at(np.array([0]), np.array([START + 1]))[0].tolist() == [3]


def test_a_release_that_serves_for_years_does_not_overflow():
    told = ItemCounts.of(table([(0, START - 1)], half=DAY_MS / 24))
    late = START + 3_000 * DAY_MS
    told.add(*rows([(0, late)] * 3))
    ever, now = told.at(np.array([0, 1]), np.full(2, late))
    assert ever.tolist() == [4, 0]
    np.testing.assert_allclose(now, [3, 0], rtol=1e-9)


def test_a_past_time_is_told_no_more_than_there_was():
    """A server that cannot look back does not make more of what it knows."""
    told = ItemCounts.of(table([]))
    told.add(*rows([(0, START + 30 * DAY_MS)] * 2))
    assert [each.tolist() for each in told.at(np.array([0]), np.array([START]))] == [[2], [2]]


@given(events_of, st.integers(-40, 90))
def test_a_past_time_is_told_what_is_known_at_that_of_the_newest(events, day):
    told, asked = ItemCounts.of(table(events)), np.full(ITEMS, START + day * DAY_MS)
    told.add(*rows(events))
    newest = np.array([max([START, *(time for _, time in events)])] * ITEMS)
    for found, known in zip(
        told.at(np.arange(ITEMS), asked), told.at(np.arange(ITEMS), np.maximum(asked, newest)), strict=True
    ):
        assert found.tolist() == known.tolist()
    ItemCounts.of(table([])).at(np.array([0]), np.array([START - 3_000 * DAY_MS]))  # warnings are errors


def test_new_items_have_room_and_no_events():
    told = ItemCounts.of(table([(0, START - 1)]))
    assert told.grown(6) is told and told.grown(2) is told
    told.add(*rows([(5, START + 1)]))
    assert [each.tolist() for each in told.at(np.arange(6), np.full(6, START + 2))] == [
        [1, 0, 0, 0, 0, 1],
        pytest.approx([1, 0, 0, 0, 0, 1], abs=1e-6),
    ]


def test_where_nothing_fades_lately_is_ever():
    counts = ItemCounts.of(table([(0, START - 9 * DAY_MS)], half=float("inf"))).followed(*rows([(0, START + 1)]))
    ever, now = counts.at(np.array([0, 1]), np.full(2, START + 99 * DAY_MS))
    assert ever.tolist() == [2, 0] and now.tolist() == pytest.approx([2, 0])


def test_a_release_of_before_stays_what_it_was_at_its_boundary():
    old = pa.table({"item_id": ["a", "b"], "events": [9, 2], "events_30d": [4, 0]})
    counts = ItemCounts.of(old)
    assert counts.since == FOREVER
    told = counts.followed(*rows([(0, START)]))
    told.add(*rows([(0, START)]))
    ever, recent = told.at(np.array([0, 1]), np.array([START, 5]))
    assert ever.tolist() == [9, 2] and recent.tolist() == pytest.approx([4, 0])


def test_counters_without_items_are_counts_of_nothing():
    assert ItemCounts.of(table([]).slice(0, 0)).at(np.zeros(0, np.int64), np.zeros(0))[0].tolist() == []


def test_the_sum_at_a_boundary_is_of_what_was_before_it():
    events = [(0, START - 2 * DAY_MS), (0, START - 4 * DAY_MS), (1, START), (3, START - 1)]
    found = lately(*rows(events), ITEMS, START, HALF)
    assert found.tolist() == pytest.approx([0.75, 0, 0, 1.0])


def test_engagements_are_read_from_a_time_on(tmp_path):
    columns = {"item_id": ["a", "b", "gone", "b"], "timestamp": [4, 5, 6, 7]}
    pq.write_table(pa.table(columns), tmp_path / "examples.parquet")
    positions, times = engagements(tmp_path, 5, {"a": 0, "b": 1})
    assert positions.tolist() == [1, -1, 1] and times.tolist() == [5, 6, 7]
