"""Since when items are there: what towers are fitted to knows of none before."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from souk.models.fit_towers import TowerFit
from souk.models.sequences import FOREVER
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import CONFIG, Market


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return Market(tmp_path_factory.mktemp("market"), *cycle_market())


def test_what_was_not_there_at_the_time_of_a_target_is_no_negative_of_it(market):
    sample, times = tf.constant([0, 2, 1], tf.int64), tf.constant([4, 5, 9], tf.int64)
    known = TowerFit(market.towers(), market.sequences, market.catalogue, CONFIG)
    assert known._absent(sample, times) is False, "nothing is known of any"
    created = np.zeros(len(market.catalogue.ids), np.int64)
    created[1:3] = 5, 9
    fit = TowerFit(market.towers(), market.sequences, replace(market.catalogue, created_at=created), CONFIG)
    assert fit._absent(sample, times).numpy().tolist() == [[False, True, True], [False, True, False], [False] * 3]


def test_the_loss_of_a_batch_leaves_out_what_was_not_there(market):
    batch = next(iter(market.sequences.batches(4, 0, FOREVER)))
    times = batch["time"].numpy()[batch["counts"].numpy()]
    losses = []
    for created in (0, int(times.max()) + 1):
        tf.keras.utils.set_random_seed(1)
        catalogue = replace(market.catalogue, created_at=np.full(len(market.catalogue.ids), created, np.int64))
        fit = TowerFit(market.towers(), market.sequences, catalogue, CONFIG)
        fit._known.assign(np.arange(len(catalogue.ids)))
        losses.append(float(fit._loss(batch)))
    assert losses[0] > 0.5 and losses[1] == 0, "each target is alone where nothing else was there"


def test_what_was_taken_before_its_date_of_creation_was_there(tmp_path):
    events, items, users = cycle_market(users=6)
    first = events.groupby("item_id")["timestamp"].min()
    items["created_at"] = [None, int(first.iloc[1]) - 5, *(int(first.iloc[n]) + 5 for n in range(2, len(items)))]
    found = Market(tmp_path, events, items, users).catalogue.created_at
    assert found.tolist() == [0, first.iloc[1] - 5, *first.iloc[2:]]
