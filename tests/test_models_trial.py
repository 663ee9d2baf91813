"""Who measures a trial, and by which order."""

import numpy as np
import pytest

from souk.models.calibration import Calibration
from souk.models.rank_quality import gains
from souk.models.trial import MEASURED, measuring, slate_gains
from tests.test_models_rank_quality import examples


def test_a_fifth_of_the_users_measures_whatever_the_order_of_their_rows():
    users = np.repeat([f"u{number}" for number in range(50)], 3)
    others, measured = measuring(users)
    assert len(np.unique(users[measured])) == MEASURED * 50
    assert not set(users[others]) & set(users[measured])
    assert len(others) + len(measured) == len(users)
    shuffled = np.random.default_rng(1).permutation(users)
    assert set(shuffled[measuring(shuffled)[1]]) == set(users[measured])
    assert set(users[measured]) != set(np.unique(users)[:10])  # by no order of the ids


@pytest.mark.parametrize(("users", "sizes"), [(["a", "a"], (2, 2)), (["a", "b", "b"], (1, 2))])
def test_as_few_users_as_there_are(users, sizes):
    others, measured = measuring(np.array(users))
    assert sorted((len(others), len(measured))) == sorted(sizes)


def test_slates_are_in_the_order_of_the_weights():
    """The heads know what was taken and what was not; the curve of one is twice as steep."""
    found, engaged, _ = examples(rows=50)
    rows = np.arange(len(found))
    against = np.where(found.chosen, -2.0, 2.0)
    logits, curves = {"engaged": engaged, "satisfied": against}, {"engaged": (0.0, 1.0), "satisfied": (0.0, 2.0)}
    curves = {head: Calibration(offset, (), (slope,)) for head, (offset, slope) in curves.items()}
    chances = {head: -np.log1p(np.exp(-curves[head].slopes[0] * logits[head])) for head in logits}
    for one, other in ((1.0, 0.0), (0.0, 1.0), (1.0, 0.3), (2.0, 1.0)):
        expected = gains(one * chances["engaged"] + other * chances["satisfied"], found, rows, found.chosen)
        told = slate_gains(logits, curves, {"engaged": one, "satisfied": other}, found, rows)
        np.testing.assert_allclose(told, expected)
    best, worst = (slate_gains(logits, curves, {head: 1.0}, found, rows).mean() for head in logits)
    assert best > 0.95 > 0.3 > worst
