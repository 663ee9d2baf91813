"""What the weight of satisfaction may cost, by hand: the bound, and what is held against it."""

from dataclasses import replace

import numpy as np
import pytest

from souk.models.rank_quality import quality, tune_weight
from tests.test_models_rank_quality import examples

PLACES = 1 / np.log2(np.arange(2, 12))
NEVER = [1e-9] * 9


def all_alike(rows, taken, **chances):
    """Examples of users who all have the same candidates and take the one at `taken`, and log chances by head."""
    found, _, _ = examples(rows=rows)
    chosen = np.zeros_like(found.chosen)
    chosen[:, taken] = True
    found = replace(found, chosen=chosen, pleased={"satisfied": chosen}, taken=np.ones(rows, int))
    return found, {head: np.log(np.tile(own, (rows, 1))) for head, own in chances.items()}


def test_what_is_expected_to_satisfy_is_first_expected_to_be_taken():
    found, chances = all_alike(30, 0, engaged=[0.3, 0.2, 0.1, *NEVER], satisfied=[0.2, 0.9, 0.5, *NEVER])
    _, front = tune_weight(chances, {}, found, np.arange(30), 0.01)
    assert front[0]["expected_satisfied_ndcg@10"] == pytest.approx(PLACES[:3] @ [0.3 * 0.2, 0.2 * 0.9, 0.1 * 0.5])
    assert front[-1]["expected_satisfied_ndcg@10"] == pytest.approx(PLACES[:3] @ [0.2 * 0.9, 0.1 * 0.5, 0.3 * 0.2])


def test_the_loss_counts_from_the_order_without_satisfaction():
    """A further head spoils the clicks of that order. On the way to what satisfies most one has more clicks than
    either; what satisfies most has more than the order without."""
    kept = [np.exp(-3.5) / 0.3, np.exp(-5.0) / 0.2, np.exp(-3.0) / 0.1, *NEVER]
    found, chances = all_alike(30, 1, engaged=[0.3, 0.2, 0.1, *NEVER], satisfied=[0.3, 0.9, 0.01, *NEVER], kept=kept)
    weight, front = tune_weight(chances, {"kept": 1.0}, found, np.arange(30), 0.01)
    clicks = {point["weight"]: point["expected_ndcg@10"] for point in front}
    assert clicks[0.0] == pytest.approx(PLACES[:3] @ [0.1, 0.3, 0.2])
    assert max(clicks.values()) == clicks[1.0] == pytest.approx(PLACES[:3] @ [0.3, 0.2, 0.1])
    assert clicks[weight] == pytest.approx(PLACES[:3] @ [0.2, 0.3, 0.1])


@pytest.mark.parametrize(("before", "allowed"), [(1, True), (2, False)])
def test_what_users_took_may_cost_a_share_of_it_and_no_more(before, allowed):
    """What all take stands third, worth .5; satisfaction puts so many before it: that costs .069 or .113, and a fifth
    of .5 is allowed."""
    liking = np.full(12, 0.2)
    liking[[0, 1, *range(3, 3 + before)]] = 0.9
    found, chances = all_alike(60, 2, engaged=np.full(12, 1 / 12), satisfied=liking)
    weight, front = tune_weight(chances, {}, found, np.arange(60), 0.2)
    assert front[-1]["ndcg@10"] == pytest.approx(PLACES[2 + before])
    assert (weight > 0) == allowed


def test_moments_of_which_nothing_pleased_are_in_no_figure_of_what_pleased():
    found, engaged, satisfied = examples()
    chances, half = {"engaged": engaged, "satisfied": satisfied}, np.arange(400) % 2 == 0
    liked = {"satisfied": half.astype(np.int64)}
    some = replace(found, liked=liked, pleased={"satisfied": found.pleased["satisfied"] & half[:, None]})
    told = quality(chances, some, np.arange(400), 0.01, {"satisfied": 1.0}).metrics
    alone = {name: own[half] for name, own in chances.items()}
    only = quality(alone, some, np.flatnonzero(half), 0.01, {"satisfied": 1.0}).metrics
    assert told["slate_satisfied_ndcg@10"] == pytest.approx(only["slate_satisfied_ndcg@10"], abs=0.01)
    assert only["slate_satisfied_ndcg@10"] > 0.9
