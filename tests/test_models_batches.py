"""Batches of training rows: what is read of them, and what is computed of them."""

import numpy as np

from tests.models_fixtures import cycle_market
from tests.towers_fixtures import Market


def test_what_counts_has_the_vectors_that_all_have(tmp_path):
    """Rows of several lengths, in windows that leave out targets of either side, and queries that see nothing."""
    market = Market(tmp_path, *cycle_market())
    tower, end = market.towers().query_tower, market.windows["test_start"]
    left = blank = 0
    for start in (0, market.windows["validation_start"]):
        for batch in market.sequences.batches(5, start, end):
            counts = batch["counts"].numpy()
            every = tower(batch["user"], batch["token"], batch["query"], batch["visible"]).numpy()
            np.testing.assert_allclose(tower.of_counted(batch).numpy(), every[counts], atol=1e-6)
            left += (~counts).sum()
            blank += (batch["visible"].numpy()[counts] == 0).sum()
    assert left and blank


def test_no_pass_waits_for_a_thread_that_tunes_it(tmp_path):
    """Its end would wait until that thread looks again, in the worst case for a minute."""
    market = Market(tmp_path, *cycle_market())
    for seed in (None, 3):
        assert market.sequences.batches(5, 0, market.windows["test_start"], seed).options().autotune.enabled is False
