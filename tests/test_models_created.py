"""Since when items are there, and until when: what towers are fitted to knows of none before or after."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from souk.models.draw import draw_examples
from souk.models.fit_towers import TowerFit
from souk.models.judge import RetrievalJudge
from souk.models.retrieve import item_vectors, query_vectors
from souk.schema import FOREVER
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
    until = np.full(len(market.catalogue.ids), FOREVER)
    until[:2] = 4, 8
    ends = replace(market.catalogue, available_until=until)
    fit = TowerFit(market.towers(), market.sequences, ends, CONFIG)
    assert fit._absent(sample, times).numpy().tolist() == [[False] * 3, [True, False, False], [True, False, True]]
    both = replace(ends, created_at=created)
    fit = TowerFit(market.towers(), market.sequences, both, CONFIG)
    assert fit._absent(sample, times).numpy().tolist() == [
        [False, True, True],
        [True, True, False],
        [True, False, True],
    ]
    assert both.absent(5).tolist()[:4] == [True, False, True, False]


def test_the_loss_of_a_batch_leaves_out_what_was_not_there(market):
    batch = next(iter(market.sequences.batches(4, 0, FOREVER)))
    times = batch["time"].numpy()[batch["counts"].numpy()]
    losses = []
    items = len(market.catalogue.ids)
    for created, until in ((0, FOREVER), (int(times.max()) + 1, FOREVER), (0, int(times.min()) - 1)):
        tf.keras.utils.set_random_seed(1)
        dates = {"created_at": np.full(items, created), "available_until": np.full(items, until)}
        catalogue = replace(market.catalogue, **dates)
        fit = TowerFit(market.towers(), market.sequences, catalogue, CONFIG)
        fit._known.assign(np.arange(len(catalogue.ids)))
        losses.append(float(fit._loss(batch)))
    assert losses[0] > 0.5 and losses[1:] == [0, 0], "each target is alone where nothing else was there"


def test_what_was_taken_after_its_end_is_no_target_of_the_judge(market):
    """Each second item ended before the window, in which all are taken."""
    start, end = market.windows["validation_start"], market.windows["test_start"]
    examples, towers = draw_examples(market.folder, start, end, seed=1), market.towers()
    left = np.arange(len(market.catalogue.ids)) % 2 == 0
    vectors, queries = item_vectors(towers, market.catalogue), query_vectors(towers, market.sequences, start, end)
    expected = []
    for event, item in zip(examples["event_id"].to_pylist(), examples["item_id"].to_pylist(), strict=True):
        place = market.catalogue.ids.index(item)
        scores = vectors @ queries[event]
        if left[place]:
            expected.append(1 / np.log2(2 + (scores[left] > scores[place]).sum()))
    assert 0 < len(expected) < len(examples) and left.sum() < 10

    def judged(until):
        ended = replace(market.catalogue, available_until=until)
        return RetrievalJudge(market.folder, examples, ended, market.sequences, seed=1).score(towers)

    assert judged(np.where(left, FOREVER, start - 1)) == pytest.approx(np.mean(expected), abs=1e-6)
    assert judged(np.full(len(left), start - 1)) == 0, "there is nothing to be judged by"


def test_what_repeat_keeps_out_and_what_is_not_to_be_had_takes_no_place_and_is_no_target_of_the_judge(market):
    start, end = market.windows["validation_start"], market.windows["test_start"]
    examples, ids = draw_examples(market.folder, start, end, seed=1), market.catalogue.ids
    judge = RetrievalJudge(market.folder, examples, market.catalogue, market.sequences, seed=1)
    moment, size = judge._moments[0], len(ids)
    own = ids.index(moment.items[0])
    one, other = [place for place in range(size) if place != own][:2]

    def ranks(out, hidden):
        judge._excluded, judge._hidden = lambda asked: np.array(out, np.int64), np.isin(np.arange(size), hidden)
        return judge._ranks(moment, np.where(np.arange(size) == own, 0.0, 1.0)).tolist()  # the last of all

    assert (ranks([], []), ranks([one], []), ranks([], [one]), ranks([one], [other])) == (
        [size],
        [size - 1],
        [size - 1],
        [size - 2],
    )
    assert ranks([own], []) == ranks([], [own]) == []


def test_what_was_taken_before_its_date_of_creation_was_there(tmp_path):
    events, items, users = cycle_market(users=6)
    first = events.groupby("item_id")["timestamp"].min()
    items["created_at"] = [None, int(first.iloc[1]) - 5, *(int(first.iloc[n]) + 5 for n in range(2, len(items)))]
    found = Market(tmp_path, events, items, users).catalogue.created_at
    assert found.tolist() == [0, first.iloc[1] - 5, *first.iloc[2:]]


def test_what_has_ended_was_available_until_then(tmp_path):
    events, items, users = cycle_market(users=6)
    end = int(events["timestamp"].max()) + 1
    items["available_until"] = [None, 5, end - 1, end, *[None] * (len(items) - 4)]
    items["available"] = [False] * 4 + [True] * (len(items) - 4)
    found = Market(tmp_path, events, items, users).catalogue
    assert found.available_until.tolist() == [FOREVER, 5, end - 1, end, *[FOREVER] * (len(items) - 4)]
    assert found.available.tolist() == [False, True, True, False, *[True] * (len(items) - 4)], (
        "the fourth is to end yet"
    )
    assert found.absent(5).tolist() == [False] * len(items) and found.absent(6).tolist()[:2] == [False, True]
