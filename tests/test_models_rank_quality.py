"""The weight of satisfaction and the weights of what is rare, with known answers."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from souk.models.calibration import DOUBTED
from souk.models.held_out import CHOOSING, judging
from souk.models.rank_examples import RankExamples
from souk.models.rank_lists import balance_weights
from souk.models.rank_quality import WEIGHTS, cross_fitted, gains, ndcg, quality, tune_weight, user_errors


def examples(rows: int = 400, width: int = 12, seed: int = 0) -> tuple[RankExamples, np.ndarray, np.ndarray]:
    """Moments in which two items were taken, the first of which pleased, and log-probabilities that tell which.

    Both taken items are as likely to be engaged with, and more than the rest; one of them satisfies.
    """
    random = np.random.default_rng(seed)
    columns = np.argsort(random.random((rows, width)), axis=1)
    chosen, pleased = np.zeros((2, rows, width), bool)
    np.put_along_axis(chosen, columns[:, :2], True, axis=1)
    np.put_along_axis(pleased, columns[:, :1], True, axis=1)
    engaged = np.where(chosen, -1.0, -3.0) + random.normal(0, 0.3, (rows, width))
    satisfied = np.where(pleased, -0.1, -1.5) + random.normal(0, 0.1, (rows, width))
    shape = (rows, width)
    found = RankExamples(
        user={"user_id": np.arange(rows)},
        query={},
        positions=np.tile(np.arange(width), (rows, 1)),
        pair=np.zeros((*shape, 1), np.float32),
        own=columns[:, 0],
        candidate=np.ones(shape, bool),
        chosen=chosen,
        first=np.ones(rows, bool),
        labels={"satisfied": np.ones(rows, np.int64)},
        users=np.arange(rows),
        times=np.zeros(rows, np.int64),
        pleased={"satisfied": pleased},
        taken=np.full(rows, 2),
        liked={"satisfied": np.ones(rows, np.int64)},
        place=np.zeros(shape, np.int16),
        also=np.zeros(shape, bool),
        newcomer=np.zeros(rows, bool),
    )
    return found, engaged, satisfied


def test_gains_by_hand():
    found, _, _ = examples(rows=1)
    [taken] = [np.flatnonzero(found.chosen[0])]
    scores = np.zeros((1, 12))
    scores[0, taken[0]] = 1
    ideal = 1 + 1 / np.log2(3)
    before = taken[1] + (taken[1] < taken[0])  # ties keep the order of retrieval
    expected = (1 + (1 / np.log2(before + 2) if before < 10 else 0)) / ideal
    assert gains(scores, found, np.arange(1), found.chosen, found.taken)[0] == pytest.approx(expected)


def test_satisfaction_is_weighted_as_far_as_clicks_allow():
    found, engaged, satisfied = examples()
    rows = np.arange(len(found))
    chances = {"engaged": engaged, "satisfied": satisfied}
    weight, front = tune_weight(chances, {}, found, rows, max_click_loss=0.01)
    assert [point["weight"] for point in front] == list(WEIGHTS)
    assert [point["chosen"] for point in front].count(1.0) == 1
    at = {point["weight"]: point for point in front}
    assert weight > 0
    assert at[weight]["expected_ndcg@10"] >= 0.99 * at[0.0]["expected_ndcg@10"]
    assert at[weight]["satisfied_ndcg@10"] > 1.1 * at[0.0]["satisfied_ndcg@10"]
    strict, _ = tune_weight(chances, {}, found, rows, max_click_loss=0.0)
    assert strict <= weight


def test_what_pleased_in_the_first_places_is_an_ndcg_of_one_however_much_else_was_taken():
    """Of two taken items one pleased. In every second moment, then, retrieval missed it: half is found."""
    found, engaged, satisfied = examples()
    chances, rows = {"engaged": engaged, "satisfied": 10 * satisfied}, np.arange(len(found))
    _, front = tune_weight(chances, {}, found, rows, 0.01)
    assert front[-1]["satisfied_ndcg@10"] == pytest.approx(1, abs=1e-6)
    pleased = found.pleased["satisfied"] & (np.arange(len(found)) % 2 == 0)[:, None]
    _, half = tune_weight(chances, {}, replace(found, pleased={"satisfied": pleased}), rows, 0.01)
    assert half[-1]["satisfied_ndcg@10"] == pytest.approx(0.5, abs=1e-6)


def test_satisfaction_that_is_the_same_for_all_gets_no_weight():
    found, engaged, _ = examples()
    chances = {"engaged": engaged, "satisfied": np.full(engaged.shape, -0.5)}
    assert tune_weight(chances, {}, found, np.arange(len(found)), 0.01)[0] == 0
    assert tune_weight({name: each[:0] for name, each in chances.items()}, {}, found, np.arange(0), 0.01)[0] == 0


def test_a_worse_click_order_is_never_chosen_beyond_the_bound():
    """Satisfaction that contradicts clicks: the other ten items are said to satisfy more."""
    found, engaged, satisfied = examples()
    contrary = np.where(found.chosen & ~found.pleased["satisfied"], -20.0, satisfied)
    weight, front = tune_weight({"engaged": engaged, "satisfied": contrary}, {}, found, np.arange(len(found)), 0.01)
    at = {point["weight"]: point for point in front}
    assert at[6.0]["ndcg@10"] < 0.9 * at[0.0]["ndcg@10"]
    assert at[weight]["ndcg@10"] >= 0.99 * at[0.0]["ndcg@10"]


def test_a_few_users_who_lost_nothing_by_chance_do_not_buy_a_weight():
    """Three candidates are to be taken with a chance of .3, .2 and .1; all three users happened to take the last."""
    found, _, _ = examples(rows=3)
    chances = np.log(np.tile([0.3, 0.2, 0.1, *[1e-6] * 9], (3, 1)))
    liking = np.log(np.tile([0.2, 0.5, 0.9, *[1e-6] * 9], (3, 1)))
    last = np.zeros((3, 12), bool)
    last[:, 2] = True
    found = replace(found, chosen=last, pleased={"satisfied": last}, taken=np.ones(3, int))
    log = {"engaged": chances, "satisfied": liking}
    weight, front = tune_weight(log, {}, found, np.arange(3), 0.01)
    assert front[-1]["ndcg@10"] == 1 > front[0]["ndcg@10"], "to them the largest weight is the best"
    assert weight == 0, "smaller ones change no order, and .5 swaps the first two, for a thirteenth of the clicks"
    assert tune_weight(log, {}, found, np.arange(3), 0.1)[0] == 0.5
    places = 1 / np.log2([2, 3, 4])
    first, swapped = (float(np.dot(places, order)) for order in ([0.3, 0.2, 0.1], [0.2, 0.3, 0.1]))
    at = {point["weight"]: point["expected_ndcg@10"] for point in front}
    assert at[0.35] == pytest.approx(first, abs=1e-4) and at[0.5] == pytest.approx(swapped, abs=1e-4)


def test_what_users_took_forbids_a_weight_that_the_chances_call_free():
    """All have the same chance, so no order is expected to cost clicks; users take what satisfaction puts last."""
    found, _, satisfied = examples()
    rows, worst = np.arange(len(found)), np.argsort(satisfied, axis=1)[:, :1]
    taken = np.zeros_like(found.chosen)
    np.put_along_axis(taken, worst, True, axis=1)
    chances = {"engaged": np.full(satisfied.shape, np.log(1 / 12)), "satisfied": satisfied}
    assert tune_weight(chances, {}, found, rows, 0.01)[0] > 0
    assert tune_weight(chances, {}, replace(found, chosen=taken, taken=np.ones(len(found), int)), rows, 0.01)[0] == 0


@pytest.mark.parametrize(("tens", "weight"), [(1, 0.1), (2, 0.1), (5, 0.0), (100, 0.0)])
def test_a_loss_of_clicks_within_a_standard_error_of_few_users_forbids_nothing(tens, weight):
    """Satisfaction swaps the first two of equal chances. Of ten users six take the one and four the other: they lose
    .074 ± .12, fifty .074 ± .054, and a thousand .074 ± .012."""
    found, _, _ = examples(rows=10 * tens)
    first = np.tile([True] * 6 + [False] * 4, tens)
    chosen = np.zeros_like(found.chosen)
    chosen[:, 0], chosen[:, 1] = first, ~first
    liking = np.tile([-1.5, -0.1, *[-1.5] * 10], (10 * tens, 1))
    chances = {"engaged": np.full(liking.shape, np.log(1 / 12)), "satisfied": liking}
    found = replace(found, chosen=chosen, taken=np.ones(len(found), int))
    assert tune_weight(chances, {}, found, np.arange(len(found)), 0.01)[0] == weight


def test_users_are_drawn_and_not_their_rows():
    values = np.random.default_rng(3).normal(size=(2, 60))
    alone = user_errors(values, np.arange(60))
    assert alone == pytest.approx(values.std(axis=1, ddof=1) / np.sqrt(60))
    twice = user_errors(np.repeat(values, 2, axis=1), np.repeat(np.arange(60), 2))
    assert twice == pytest.approx(alone), "a copy of each row adds no users"
    assert np.isinf(user_errors(values, np.zeros(60))).all()


def test_quality_tells_every_objective():
    found, engaged, satisfied = examples()
    told = quality({"engaged": engaged, "satisfied": satisfied}, found, np.arange(len(found)), 0.01, {})
    for head in ("engaged", "satisfied"):
        assert {f"{head}_{name}" for name in ("auc", "log_loss", "ece")} <= set(told.metrics)
    assert told.metrics["engaged_auc"] > 0.99
    assert told.metrics["engaged_ece"] < 0.05
    assert told.metrics["slate_satisfied_ndcg@10"] >= told.metrics["satisfied_ndcg@10"]


def test_a_label_that_is_not_known_yet_is_in_no_figure():
    """Of what is known, one with the larger score was not satisfied; all that is not known has a larger one still."""
    found, engaged, satisfied = examples()
    labels = np.tile([1, 0, -1, -1, 0, 1, -1, -1], 50)
    satisfied[np.arange(400), found.own] = np.tile([1.0, 1.0, 5.0, 5.0, -1.0, 1.0, 5.0, 5.0], 50)
    found, known = replace(found, labels={"satisfied": labels}), np.flatnonzero(labels >= 0)
    told = quality({"engaged": engaged, "satisfied": satisfied}, found, np.arange(400), 0.01, {})
    alone = quality({"engaged": engaged[known], "satisfied": satisfied[known]}, found, known, 0.01, {})
    assert told.metrics["satisfied_auc"] == pytest.approx(0.75)
    for name in ("satisfied_auc", "satisfied_log_loss", "satisfied_ece"):
        assert told.metrics[name] == pytest.approx(alone.metrics[name]), name
    assert told.calibration["satisfied"] == alone.calibration["satisfied"]


def test_a_moment_of_several_examples_is_asked_once():
    """Each second row is of the moment before it; its order would be the wrong way round."""
    found, _, satisfied = examples()
    rows, first = np.repeat(np.arange(400), 2), np.tile([True, False], 400)
    found = replace(found.take(rows), first=first)
    engaged = np.where(found.chosen, 1.0, -1.0) * np.where(first, 1, -1)[:, None]
    told = quality({"engaged": engaged, "satisfied": satisfied[rows]}, found, np.arange(800), 0.01, {})
    once = quality({"engaged": engaged[first], "satisfied": satisfied}, found, np.flatnonzero(first), 0.01, {})
    assert told.metrics["engaged_auc"] == told.metrics["ndcg@10"] == 1
    for name in ("engaged_log_loss", "engaged_ece"):
        assert told.metrics[name] == pytest.approx(once.metrics[name]), name


def test_what_retrieval_missed_is_a_place_that_is_lost():
    """The best place is that of one taken item; the other, of the second moment alone, is no candidate."""
    found, _, _ = examples(rows=2)
    chosen = np.zeros_like(found.chosen)
    chosen[:, 0] = True
    found = replace(found, chosen=chosen, taken=np.array([1, 2]))
    expected = (1 + 1 / (1 + 1 / np.log2(3))) / 2
    assert ndcg(chosen.astype(float), found, np.arange(2)) == pytest.approx(expected)


def test_a_weight_that_is_fixed_makes_the_slates_and_what_would_have_been_chosen_stands_beside_it():
    found, engaged, satisfied = examples()
    logits, rows = {"engaged": engaged, "satisfied": satisfied}, np.arange(len(found))
    free, fixed = (quality(logits, found, rows, 0.01, given) for given in ({}, {"satisfied": 0.1}))
    assert free.tuned == free.weights["satisfied"] > 0.1
    assert (fixed.weights["satisfied"], fixed.tuned) == (0.1, free.tuned)
    for told in (free, fixed):
        [chosen] = [point for point in told.front if point["chosen"]]
        assert chosen["weight"] == told.weights["satisfied"]
        assert told.metrics["slate_ndcg@10"] == pytest.approx(chosen["ndcg@10"])
        assert told.metrics["slate_satisfied_ndcg@10"] == pytest.approx(chosen["satisfied_ndcg@10"])
    assert [point["ndcg@10"] for point in fixed.front] == [point["ndcg@10"] for point in free.front]
    assert fixed.metrics["slate_satisfied_ndcg@10"] < free.metrics["slate_satisfied_ndcg@10"]


def test_where_engaged_has_no_weight_the_slates_are_by_satisfaction_alone():
    found, engaged, satisfied = examples()
    logits, rows = {"engaged": engaged, "satisfied": satisfied}, np.arange(len(found))
    told = quality(logits, found, rows, 0.01, {"engaged": 0.0, "satisfied": 1.0})
    assert told.weights == {"engaged": 0.0, "satisfied": 1.0}
    expected = ndcg(told.calibration["satisfied"].probability(satisfied), found, rows)
    assert told.metrics["slate_ndcg@10"] == pytest.approx(expected)
    assert not any(point["chosen"] for point in told.front), "the front is beside 1 for engaged"
    beside = quality(logits, found, rows, 0.01, {"satisfied": 1.0})
    assert beside.metrics["slate_ndcg@10"] > expected + 0.05
    assert (beside.tuned, beside.metrics["ndcg@10"]) == (told.tuned, told.metrics["ndcg@10"])


def test_rare_items_and_rare_values_count_more():
    found, _, _ = examples()
    events = np.where(np.arange(12) < 6, 99.0, 0.0)
    even = balance_weights(found, {}, events, 0.0, {})
    assert (even == 1).all()
    tail = balance_weights(found, {}, events, 0.5, {})
    assert tail[0, 11] / tail[0, 0] == pytest.approx(10)
    assert tail[found.chosen].mean() == pytest.approx(1, abs=0.05)
    colour = {"item_colour": np.where(np.arange(12) < 9, 2, 3)}
    rare = balance_weights(found, colour, events, 0.0, {"item_colour": 1.0})
    share = (found.positions[found.chosen] < 9).mean()
    assert rare[0, 11] / rare[0, 0] == pytest.approx(share / (1 - share), rel=1e-4)
    bare = {"item_colour": np.where(np.arange(12) < 9, 2, 0)}
    lacking = balance_weights(found, bare, events, 0.0, {"item_colour": 1.0})
    assert lacking[0, 11] / lacking[0, 0] == pytest.approx(share, rel=1e-4), "no value is no rare value"
    genres = {"item_genres": np.array([[2, 3] if item < 3 else [2, 0] for item in range(12)])}
    listed = balance_weights(found, genres, events, 0.0, {"item_genres": 1.0})
    share = (found.positions[found.chosen] < 3).mean()
    assert listed[0, 0] / listed[0, 11] == pytest.approx(1 / share, rel=1e-4), "by its rarest value; padding has none"
    country = replace(found, user={"user_country": np.where(np.arange(len(found)) < 100, 2, 3)})
    abroad = balance_weights(country, {}, events, 0.0, {"user_country": 0.5})
    assert abroad[0, 0] / abroad[-1, 0] == pytest.approx(3**0.5, rel=1e-4)


def test_rare_values_of_long_lists_take_no_memory_for_each_candidate():
    found, _, _ = examples(rows=2000)
    genres = {"item_genres": np.tile(np.arange(50), (12, 1))}
    tracemalloc.start()
    weights = balance_weights(found, genres, np.ones(12), 0.0, {"item_genres": 1.0})
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 30 * weights.nbytes  # with a list for each candidate 300


def test_calibration_is_measured_on_users_that_it_was_not_fitted_to():
    """One half of the users satisfied by everything, the other by nothing: no curve of one half foretells the other.

    A user has two moments, which are in the same half.
    """
    found, engaged, satisfied = examples()
    users = np.arange(len(found)) // 2
    logits = {"engaged": engaged, "satisfied": np.zeros_like(satisfied)}
    told = quality(
        logits, replace(found, labels={"satisfied": users % 2}, users=users), np.arange(len(found)), 0.01, {}
    )
    whole = len(found) / 2 / (len(found) / 2 + DOUBTED)  # of a curve of one half; the rest is the head's own word, .5
    expected = 0.5 + 0.5 * whole
    assert told.metrics["satisfied_ece"] == pytest.approx(expected), "on its own rows the mean of all would be right"
    assert told.metrics["satisfied_log_loss"] == pytest.approx(-np.log(1 - expected))
    assert told.calibration["satisfied"].probability(np.zeros(1)) == pytest.approx(0.5, abs=0.01), "served: of all rows"


def test_one_half_alone_is_its_own_measure():
    assert cross_fitted(np.zeros(4), np.array([1, 1, 0, 0]), np.zeros(4, int)) == pytest.approx(0.5)
    assert len(cross_fitted(np.zeros(0), np.zeros(0), np.zeros(0, int))) == 0


def test_epochs_are_judged_by_a_draw_of_the_whole_window():
    held_out = np.arange(0, 20 * CHOOSING, 2)
    drawn = judging(held_out, 1)
    assert len(np.unique(drawn)) == CHOOSING and np.isin(drawn, held_out).all()
    assert abs(drawn.mean() / held_out.mean() - 1) < 0.05, "not the first"
    assert not np.array_equal(drawn, judging(held_out, 2))
    np.testing.assert_array_equal(judging(held_out[:50], 1), held_out[:50])
