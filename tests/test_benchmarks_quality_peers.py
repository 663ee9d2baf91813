"""The peers that need numpy alone: scores that are counted by hand, and a slower plain way for the closed form."""

import numpy as np
import pytest

from benchmarks.quality.ease import Ease
from benchmarks.quality.interactions import NONE, Decay, History
from benchmarks.quality.neighbours import ItemKnn, SequentialRules
from benchmarks.quality.peers import PEERS
from benchmarks.quality.popularity import PersonalFrequency, Popularity, RecentPopularity
from benchmarks.quality.sparse import Weights
from benchmarks.quality.tifu_knn import TifuKnn
from tests.quality_fixtures import DAY, END, asked, old_and_new, past_of

HALF = Decay("days", "exponential", rate=float(np.log(2)))


@pytest.mark.parametrize(
    ("decay", "weights"),
    [
        (NONE, [1, 1, 1, 1]),
        (Decay("events", rate=1.0), [1 / 4, 1 / 3, 1 / 2, 1]),
        (Decay("moments", rate=1.0), [1 / 3, 1 / 2, 1 / 2, 1]),
        (Decay("moments", "exponential", rate=1.0), [np.exp(-2), np.exp(-1), np.exp(-1), 1]),
        (Decay("days", rate=1.0), [1 / 9, 1 / 5, 1 / 5, 1 / 2]),
        (Decay("events", rate=0.0, longest=2), [0, 0, 1, 1]),
    ],
)
def test_recency_by_hand(decay, weights):
    times = END - DAY * np.array([8, 4, 4, 1])
    assert decay.of_history(History(np.arange(4), times, END)).tolist() == pytest.approx(weights)


def test_an_empty_history_has_no_weights():
    for unit in ("events", "moments", "days"):
        assert len(Decay(unit).of_history(History(np.zeros(0, np.int64), np.zeros(0, np.int64), END))) == 0


def test_popularity_and_its_half_life():
    past = past_of([("a", 0, 20), ("b", 0, 20), ("c", 0, 20), ("a", 1, 10), ("b", 2, 0)], size=4)
    queries, histories = asked([], [(3, 1)])
    assert Popularity(past, histories).score(queries).tolist() == [[3, 1, 1, 0]] * 2
    assert RecentPopularity(past, histories, half_life=10).score(queries)[0].tolist() == pytest.approx(
        [0.75, 0.5, 1, 0]
    )


def test_personal_frequency_counts_the_user_first_and_fades():
    past = past_of([("a", 3, 1)] * 1 + [("b", 2, 1)] * 3, size=4)
    queries, histories = asked([(0, 2), (0, 1), (1, 0)])
    assert PersonalFrequency(past, histories).score(queries)[0].argsort()[::-1].tolist() == [0, 1, 2, 3]
    faded = PersonalFrequency(past, histories, half_life=1).score(queries)[0]
    assert faded[[0, 1]].tolist() == pytest.approx([0.75, 1.0], abs=1e-5)


def test_pairs_add_up_whatever_the_parts(monkeypatch):
    rng = np.random.default_rng(0)
    rows, columns, values = rng.integers(0, 7, 500), rng.integers(0, 7, 500), rng.random(500)
    whole = np.zeros((7, 7))
    np.add.at(whole, (rows, columns), values)
    parts = [(rows[a : a + 90], columns[a : a + 90], values[a : a + 90]) for a in range(0, 500, 90)]
    for dense in (0, 100):
        monkeypatch.setattr("benchmarks.quality.sparse.DENSE", dense)
        monkeypatch.setattr("benchmarks.quality.sparse.HELD", 150)
        found = Weights.gather(parts, 7)
        assert found.summed(np.array([2, 5]), np.array([1.0, 0.5])) == pytest.approx(
            whole[2] + 0.5 * whole[5], rel=1e-5
        )
        assert (found.dense() is None) == (dense == 0)


RULED = [("a", 0, 5), ("a", 1, 4), ("a", 2, 3), ("b", 0, 9), ("b", 2, 8)]


def test_rules_count_pairs_by_distance_in_their_direction():
    past = past_of(RULED, size=4)
    queries, histories = asked([(0, 3)], [(2, 1)], [(1, 4), (0, 2)])
    rules = SequentialRules(past, histories, distance=Decay(rate=1.0), recency=Decay(rate=1.0))
    scores = rules.score(queries)
    assert scores[0] == pytest.approx([0, 1, 1 / 2 + 1, 0], abs=1e-4)
    assert scores[1] == pytest.approx([0, 0, 0, 0], abs=1e-4)
    assert scores[2] == pytest.approx([0, 1, 1.5 + 1 / 2, 0], abs=1e-4)  # the earlier item votes half


def test_rules_both_ways_bounded_and_normalised():
    past = past_of(RULED, size=4)
    queries, histories = asked([(2, 1)], [(0, 1)])
    both = SequentialRules(past, histories, distance=Decay(rate=1.0), recency=NONE, back=0.5).score(queries)
    assert both[0] == pytest.approx([(0.5 + 1) / 2, 0.5, 0, 0], abs=1e-4)
    near = SequentialRules(past, histories, distance=Decay(longest=1), recency=NONE).score(queries)
    assert near[1] == pytest.approx([0, 1, 1, 0], abs=1e-4)  # a's 0 and 2 are two apart
    scaled = SequentialRules(past, histories, distance=NONE, recency=NONE, popularity=1.0, support=1.0).score(queries)
    assert scaled[1] == pytest.approx([0, 1 / (2 * 1), 2 / (2 * 2), 0], abs=1e-4)


def test_what_is_bought_together_votes_both_ways():
    past = past_of([("a", 0, 5), ("a", 1, 5), ("a", 2, 1)], size=3)
    queries, histories = asked([(1, 1)])
    rules = SequentialRules(past, histories, distance=Decay("moments", rate=1.0), recency=NONE, together=0.5)
    assert rules.score(queries)[0] == pytest.approx([0.5, 0, 1], abs=1e-4)
    without = SequentialRules(past, histories, distance=Decay("moments", rate=1.0), recency=NONE, together=0.0)
    assert without.score(queries)[0] == pytest.approx([0, 0, 1], abs=1e-4)


def test_rows_that_are_summed_and_a_matrix_give_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    past = past_of([(f"u{n % 9}", int(rng.integers(12)), 200 - n) for n in range(150)], size=12)
    queries, histories = asked([(3, 5), (1, 4), (3, 2)], [])
    whole = SequentialRules(past, histories).score(queries)
    monkeypatch.setattr("benchmarks.quality.sparse.DENSE", 0)
    assert SequentialRules(past, histories).score(queries) == pytest.approx(whole, rel=1e-5)


def test_item_knn_is_the_cosine():
    events = [("a", 0, 3), ("a", 1, 2), ("a", 1, 1), ("b", 0, 3), ("b", 1, 1), ("c", 0, 1), ("c", 2, 2)]
    queries, histories = asked([(0, 1)])
    knn = ItemKnn(past_of(events, size=4), histories, shrinkage=2.0)
    expected = [0, 2 / (np.sqrt(3 * 2) + 2), 1 / (np.sqrt(3) + 2), 0]
    assert knn.score(queries)[0] == pytest.approx(expected, abs=1e-4)  # the second 1 of a is the same user's


def test_ease_is_steck_s_closed_form():
    rng = np.random.default_rng(3)
    matrix = (rng.random((40, 6)) < 0.4).astype(float)
    events = [(f"u{user:02d}", int(item), 1) for user, item in np.argwhere(matrix)]
    queries, histories = asked([(1, 2), (4, 1)])
    inverse = np.linalg.inv(matrix.T @ matrix + 5.0 * np.eye(6))
    weights = np.eye(6) - inverse / np.diag(inverse)  # equation 8
    np.fill_diagonal(weights, 0)
    ease = Ease(past_of(events, size=6), histories, l2=5.0)
    assert ease.score(queries)[0] == pytest.approx(weights[1] + weights[4], abs=1e-4)
    recent = Ease(past_of(events, size=6), histories, l2=5.0, recency=HALF)
    assert recent.score(queries)[0] == pytest.approx(weights[1] / 4 + weights[4] / 2, abs=1e-4)


@pytest.mark.parametrize("name", ["sequential_rules", "item_knn_recency", "ease_recency"])
def test_some_setting_of_a_peer_with_recency_sees_how_old_its_data_is(name):
    past, lamp, old, new = old_and_new()
    queries, histories = asked([(lamp, 0.1)])
    [peer] = [peer for peer in PEERS if peer.name == name]
    [first] = peer.trials(1, seed=0)
    ages = peer.space["age"]
    scores = [peer.load()(past, histories, **{**first, "age": age}).score(queries)[0] for age in ages]
    assert first["age"] == ages[0] == NONE and scores[0][old] > scores[0][new] > 0
    assert any(each[new] > each[old] for each in scores)


def test_a_pair_has_the_age_of_its_later_event():
    past = past_of([("a", 0, 5), ("a", 1, 3), ("b", 0, 2), ("b", 1, 1)], size=2)
    queries, histories = asked([(0, 1)])
    rules = SequentialRules(past, histories, distance=NONE, recency=NONE, age=HALF)
    assert rules.score(queries)[0] == pytest.approx([0, 1 / 8 + 1 / 2], abs=1e-5)
    knn = ItemKnn(past, histories, shrinkage=0.0, age=HALF)
    assert knn.score(queries)[0] == pytest.approx([0, (1 / 8 + 1 / 2) / 2], abs=1e-5)


def test_ease_with_age_is_that_of_a_matrix_that_fades():
    rng = np.random.default_rng(4)
    matrix = (rng.random((40, 6)) < 0.4) * 0.5 ** np.arange(6)
    events = [(f"u{user:02d}", int(item), int(item)) for user, item in np.argwhere(matrix)]  # item n is n days old
    queries, histories = asked([(1, 2)])
    inverse = np.linalg.inv(matrix.T @ matrix + 5.0 * np.eye(6))
    weights = np.eye(6) - inverse / np.diag(inverse)
    ease = Ease(past_of(events, size=6), histories, l2=5.0, age=HALF)
    assert ease.score(queries)[0] == pytest.approx(np.where(np.arange(6) == 1, 0, weights[1]), abs=1e-4)


def test_ease_of_a_large_catalogue_leaves_the_rest_to_popularity():
    events = [(f"u{n}", item, 1) for n in range(5) for item in (0, 1)] + [("u0", 3, 1), ("u1", 3, 1), ("u0", 2, 1)]
    queries, histories = asked([(0, 1)], [(3, 1)])
    scores = Ease(past_of(events, size=4), histories, l2=1.0, most=2).score(queries)
    assert scores[0].argmax() == 1
    assert scores[0, 3] > scores[0, 2] > 0  # by popularity
    assert scores[1].tolist() == sorted(scores[1].tolist(), reverse=True) or scores[1].argmax() in (0, 1)


def test_tifu_vector_by_hand():
    """Two groups of two baskets; item 0 in the last basket, 1 in the one before, 0 again three back."""
    events = [("a", 0, 4), ("a", 2, 3), ("a", 1, 2), ("a", 0, 1), ("a", 0, 1)]
    queries, histories = asked([(item, days) for _, item, days in events])
    tifu = TifuKnn(past_of(events, size=3), histories, group=2, within=0.5, across=0.1, own=1.0)
    last, before = 1.0 / 2 / 2, 0.1 / 2 / 2
    expected = [last + 0.5 * before, 0.5 * last, before]
    assert tifu.score(queries)[0] == pytest.approx(expected, abs=1e-5)


def test_tifu_hears_the_nearest_user_and_not_itself():
    events = [("q0", 0, 1), ("near", 0, 2), ("near", 1, 2), ("far", 2, 3)]
    queries, histories = asked([(0, 1)])
    tifu = TifuKnn(past_of(events, size=3), histories, neighbours=1, own=0.6)
    assert tifu.score(queries)[0] == pytest.approx([0.6 + 0.4, 0.4, 0], abs=1e-5)
