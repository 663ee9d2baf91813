"""What is drawn of a list in one step of the body."""

from dataclasses import replace

import numpy as np
import pytest

from souk.models.rank_lists import POSITIVES, rank_lists
from souk.pairs import PAIR_FEATURES
from tests.test_models_rank_quality import examples

DRAWS, NEGATIVES = 2000, 100


@pytest.mark.parametrize(("width", "gone"), [(302, 0), (302, 120), (130, 50)])
def test_all_that_was_taken_is_drawn_and_the_rest_evenly(width, gone):
    """A list has two taken items, mostly fewer than POSITIVES; the last columns hold no candidates."""
    found = replace(examples(rows=1, width=width)[0], pair=np.zeros((1, width, len(PAIR_FEATURES)), np.float32))
    found.candidate[:, width - gone :] = found.chosen[:, width - gone :]
    spread, weights = (np.zeros((1, 1)),) * 2, np.ones(found.chosen.shape, np.float32)
    lists = rank_lists(found, spread, weights, debias=True)
    batch = lists.batch(np.zeros(DRAWS, int), NEGATIVES, np.random.default_rng(3))
    columns, counted = batch["positions"].numpy(), batch["allowed"].numpy()
    assert columns.shape[1] == NEGATIVES + POSITIVES
    times = np.bincount(columns[counted], minlength=width)
    taken, left = found.chosen[0], (found.candidate & ~found.chosen)[0]
    assert (times[taken] == DRAWS).all() and not times[~(taken | left)].any()
    assert (batch["positive"].numpy().sum(axis=1) == 2).all(), "each counts once"
    share = times[left] / DRAWS
    assert share.mean() >= min(1, NEGATIVES / left.sum())
    np.testing.assert_allclose(share, share.mean(), atol=5 * np.sqrt(share.mean() * (1 - share.mean()) / DRAWS))
