"""The towers on a market whose best next item is known."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
import tensorflow as tf

from souk.declared import item_features
from souk.errors import SoukError
from souk.models.draw import draw_examples
from souk.models.export import ServedItemTower, ServedQueryTower
from souk.models.fit_towers import TowerFit
from souk.models.inputs import UNKNOWN
from souk.models.judge import RetrievalJudge
from souk.models.retrieve import item_vectors, query_vectors
from souk.models.seen import mark_seen
from souk.models.sequences import Sequences, column_tensor
from souk.models.weights import load_weights, save_weights
from souk.schema import FOREVER
from souk.spec import Entity
from souk.state import Event, features_at, state_of
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import CONFIG, Market, arrays, served_inputs


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return Market(tmp_path_factory.mktemp("market"), *cycle_market())


@pytest.fixture(scope="module")
def fitted(market):
    model = market.towers()
    history = market.fit(model, market.windows["validation_start"], CONFIG.epochs)
    assert history[-1]["loss"] < history[0]["loss"]
    return model


@pytest.mark.slow
def test_the_best_next_item_is_found(market, fitted):
    start, end = market.windows["validation_start"], market.windows["test_start"]
    vectors, queries = item_vectors(fitted, market.catalogue), query_vectors(fitted, market.sequences, start, end)
    wanted = market.events.set_index("event_id")["item_id"]
    best = {event: market.catalogue.ids[int(np.argmax(vectors @ query))] for event, query in queries.items()}
    assert len(best) == ((market.events["timestamp"] >= start) & (market.events["timestamp"] < end)).sum()
    assert np.mean([best[event] == wanted[event] for event in best]) > 0.95


def test_users_are_marked_as_seen_a_part_at_a_time(market, monkeypatch):
    """A transform makes all features of them: of all users at once these may be more than memory has."""
    asked, transform = [], market.sequences.transforms["user"]

    def counted(raw):
        asked.append(len(raw["user_id"]))
        return transform(raw)

    trained = market.sequences.trained(market.windows["validation_start"])
    whole, parts = market.towers(), market.towers()
    mark_seen(whole, market.catalogue, market.sequences, trained)
    monkeypatch.setattr("souk.models.seen.USERS", 7)
    counting = replace(market.sequences, transforms={**market.sequences.transforms, "user": counted})
    mark_seen(parts, market.catalogue, counting, trained)
    assert max(asked) == 7 and sum(asked) == len(trained.users)
    found, wanted = (model.query_tower.users.seen.numpy() for model in (parts, whole))
    assert wanted.sum() > 7 and found.tolist() == wanted.tolist()


def test_a_long_pass_is_told_of_on_its_way(market, monkeypatch):
    """Every step takes longer than a word is waited for; the first one, which is compiled, is told of before."""
    monkeypatch.setattr("souk.progress.WORD_SECONDS", 0.0)
    lines, end = [], market.windows["validation_start"]
    fit = TowerFit(market.towers(), market.sequences, market.catalogue, CONFIG)
    fit.fit(end, 2, lines.append)
    steps = market.sequences.steps(market.sequences.trained(end), CONFIG.batch_rows)
    assert lines.pop(0) == f"fit: 2 epochs of {steps} steps; the first takes longest"
    for epoch, told in ((1, lines[: steps + 1]), (2, lines[steps + 1 :])):
        begun = [line.split(", loss")[0] for line in told[:-1]]
        assert begun == [f"epoch {epoch}/2: step {n} of {steps}" for n in range(1, steps + 1)]
        assert told[-1].split(",")[0] == f"epoch {epoch}/2: loss " + told[-2].split("loss ")[1]


@pytest.mark.slow
def test_the_judge_is_the_plain_ndcg_of_the_window(market, fitted):
    start, end = market.windows["validation_start"], market.windows["test_start"]
    examples = draw_examples(market.folder, start, end, seed=1)
    vectors, queries = item_vectors(fitted, market.catalogue), query_vectors(fitted, market.sequences, start, end)
    position = {item: place for place, item in enumerate(market.catalogue.ids)}
    plain = []
    for event, item in zip(examples["event_id"].to_pylist(), examples["item_id"].to_pylist(), strict=True):
        scores = vectors @ queries[event]
        rank = 1 + (scores > scores[position[item]]).sum()
        plain.append(1 / np.log2(1 + rank) if rank <= 10 else 0.0)
    judge = RetrievalJudge(market.folder, examples, market.catalogue, market.sequences, seed=1)
    assert judge.score(fitted) == pytest.approx(np.mean(plain), abs=1e-6)
    assert judge.score(market.towers()) < judge.score(fitted)
    few = RetrievalJudge(market.folder, examples, market.catalogue, market.sequences, seed=1, count=3)
    assert 0 <= few.score(fitted) <= 1
    one = examples.filter(pc.equal(examples["item_id"], examples["item_id"][0]))
    ends = np.where(np.isin(market.catalogue.ids, one["item_id"].to_pylist()), FOREVER, start - 1)
    ended = replace(market.catalogue, available_until=ends)
    alone = RetrievalJudge(market.folder, one, ended, market.sequences, seed=1)
    assert alone.score(market.towers()) == 1, "what has ended takes no place"


@pytest.mark.slow
def test_a_pass_has_the_batches_that_the_learning_rate_counts_on(market):
    end = market.windows["validation_start"]
    trained = market.sequences.trained(end)
    for rows in (1, 3, 16):
        batches = list(market.sequences.batches(rows, 0, end, seed=1))
        assert len(batches) == market.sequences.steps(trained, rows)
        assert sum(int(batch["counts"].numpy().sum()) for batch in batches) == trained.frequency.sum()


class Told:
    """A judge that says what it was told to, and remembers the towers that it saw."""

    name = "ndcg@10"

    def __init__(self, *scores):
        self.scores, self.seen = list(scores), []

    def score(self, model):
        self.seen.append(arrays(model))
        return self.scores[len(self.seen) - 1]


@pytest.mark.slow
def test_the_epoch_that_the_judge_finds_best_is_kept(market):
    config = CONFIG.model_copy(update={"new_item_lean": 0.35})
    model, judge = market.towers(config), Told(0.2, 0.4, 0.3)
    fit = TowerFit(model, market.sequences, market.catalogue, config)
    history = fit.fit(market.windows["validation_start"], 5, lambda _: None, judge)
    assert [epoch.get("ndcg@10") for epoch in history] == [None, None, 0.2, 0.4, 0.3]  # the second half
    kept, last = arrays(model), judge.seen[2]
    known = [name for name in kept if name.endswith(("/known_content", "/known_vectors"))]
    assert len(known) == 2
    assert all(np.any(kept.pop(name)) for name in known), "what new items lean to follows from what is kept"
    for name in kept:
        np.testing.assert_array_equal(kept[name], judge.seen[1][name])
    assert any(np.any(kept[name] != last[name]) for name in kept)


@pytest.mark.slow
def test_the_served_query_is_the_trained_one(market, fitted, tmp_path):
    ServedQueryTower(fitted, market.transforms, market.spec).save(tmp_path / "query")
    serve = tf.saved_model.load(str(tmp_path / "query")).signatures["serve"]
    trained = query_vectors(fitted, market.sequences, 0, 2**62)
    user, people = "u005", market.users.set_index("user_id")
    history = market.events[market.events["user_id"] == user]
    events = [Event(r.item_id, r.event_type, r.timestamp, r.value, r.event_id) for r in history.itertuples()]
    for count in (0, 1, 3, 4, 7, 8, 11, 12, 23):  # at, before and after the hops of the window
        at = events[count]
        state = state_of(user, events[:count], market.spec, people.loc[user].to_dict())
        features = features_at(state, at.timestamp, market.spec)
        vector = serve(**served_inputs(market, events, features))["vector"].numpy()[0]
        np.testing.assert_allclose(vector, trained[at.event_id], atol=1e-5)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_the_served_item_is_the_trained_one_and_an_unseen_one_is_its_content(market, fitted, tmp_path):
    ServedItemTower(fitted, market.transforms, market.spec).save(tmp_path / "item")
    serve = tf.saved_model.load(str(tmp_path / "item")).signatures["serve"]

    def vectors(rows):
        raw = [item_features(row, market.spec) for row in rows]
        inputs = {f.name: column_tensor([row[f.name] for row in raw], f) for f in market.spec.of(Entity.ITEM)}
        return serve(**inputs)["vector"].numpy()

    rows = cycle_market()[1].to_dict("records")
    np.testing.assert_allclose(vectors(rows), item_vectors(fitted, market.catalogue), atol=1e-5)
    new = {"item_id": "never seen", "category": "shelf/1", "price": 4.0}
    others = ({"item_id": "nor this"}, {"category": "shelf/2"}, {"look": [0.5, -0.5, 1.0]})
    first, second, other, seen = vectors([new, *(new | change for change in others)])
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first - seen).max() > 1e-3
    assert np.abs(first - vectors([new | {"item_id": "i04"}])[0]).max() > 1e-3


@pytest.mark.slow
def test_names_that_the_fit_did_not_see_are_unknown_to_both_towers(tmp_path):
    events, items, users = cycle_market(users=10)
    late = events["timestamp"] >= events["timestamp"].quantile(0.85)
    events.loc[late & (events["user_id"] == "u001"), "item_id"] = "i99"
    events = events[late | (events["user_id"] != "u002")]
    items = pd.concat([items, items.tail(1).assign(item_id="i99")])
    market = Market(tmp_path, events, items, users)
    model = market.towers()
    before = market.sequences.trained(market.windows["validation_start"])
    mark_seen(model, market.catalogue, market.sequences, before)
    place = int(market.transforms["item"].tables["item_id"].lookup(tf.constant("i99")).numpy())
    assert model.items.seen.numpy()[place] == 0 and model.items.seen.numpy()[2] == 1
    assert "u002" not in before.users and "i99" not in before.items
    row = market.catalogue.features
    alone = {name: tf.gather(value, [len(market.catalogue.ids) - 1]) for name, value in row.items()}
    unknown = alone | {"item_id": tf.constant([UNKNOWN], tf.int64)}
    np.testing.assert_array_equal(model.item_tower(alone), model.item_tower(unknown))
    user = model.query_tower.users
    known = market.transforms["user"].tables["user_id"].lookup(tf.constant(["u002", "u003"]))
    stranger = user(tf.constant([UNKNOWN], tf.int64)).numpy()[0]
    np.testing.assert_array_equal(user(known).numpy()[0], stranger)
    assert np.abs(user(known).numpy()[1] - stranger).max() > 0
    mark_seen(model, market.catalogue, market.sequences, market.sequences.trained(market.windows["end"]))
    assert model.items.seen.numpy()[place] == 1
    assert np.abs(user(known).numpy()[0] - stranger).max() > 0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_nothing_after_the_end_matters(market, tmp_path):
    """The future of another world: from the end of the fit on, every target is another item."""
    tf.config.experimental.enable_op_determinism()
    end = market.windows["validation_start"]
    events, items, users = cycle_market()
    events.loc[events["timestamp"] >= end, ["item_id", "value"]] = ("i00", 1.0)
    other = Market(tmp_path, events, items, users)
    assert other.windows == market.windows
    models = [market.towers(), market.towers(), other.towers(), market.towers(CONFIG.model_copy(update={"seed": 1}))]
    for world, model in zip((market, market, other, market), models, strict=True):
        world.fit(model, end, 1)
    first, again, elsewhere, seeded = (arrays(model) for model in models)
    assert first.keys() == again.keys() == elsewhere.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)
        np.testing.assert_array_equal(values, elsewhere[name], err_msg=name)
    assert any((first[name] != seeded[name]).any() for name in first)


@pytest.mark.slow
def test_weights_come_back_and_foreign_ones_are_refused(market, fitted, tmp_path):
    save_weights(tmp_path / "weights.npz", fitted)
    model = market.towers(CONFIG.model_copy(update={"seed": 99}))
    load_weights(tmp_path / "weights.npz", model)
    for name, values in arrays(fitted).items():
        np.testing.assert_array_equal(values, arrays(model)[name])
    with pytest.raises(SoukError, match="of shape"):
        load_weights(tmp_path / "weights.npz", market.towers(CONFIG.model_copy(update={"dim": 8})))


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_the_step_and_the_last_good_epoch(market, tmp_path):
    model, end = market.towers(), market.windows["end"]
    fit = TowerFit(model, market.sequences, market.catalogue, CONFIG, tmp_path)
    fit.fit(end, 1, lambda _: None)
    model.items.table.assign(model.items.table * float("nan"))
    with pytest.raises(SoukError, match=r"train_two_tower at epoch 1, step 1.*last good pass is in .*stage_1\.npz"):
        fit.fit(end, 1, lambda _: None)
    with np.load(tmp_path / "stage_1.npz", allow_pickle=False) as kept:
        numbers = [kept[name] for name in kept.files if kept[name].dtype.kind == "f"]
    assert numbers and all(np.isfinite(array).all() for array in numbers)


@pytest.mark.parametrize(
    ("losses", "weights", "found"),
    [
        ((0.5, np.nan, 0.5), 1.0, "nan in train_two_tower at epoch 3, step 2. "),
        ((0.5, np.inf, 0.5), 1.0, "inf in train_two_tower at epoch 3, step 2. "),
        ((0.5, 0.5, 0.5), np.inf, "weights that are no finite numbers in train_two_tower at epoch 3, step 3. "),
    ],
)
def test_the_first_step_without_a_number_ends_a_pass_and_weights_that_are_none_do(market, losses, weights, found):
    fit = TowerFit(market.towers(), market.sequences, market.catalogue, CONFIG)
    fit._step = lambda loss: loss  # a batch is its own
    fit.model.items.table.assign(fit.model.items.table * weights)
    with pytest.raises(SoukError, match=found):
        fit._epoch(losses, itertools.repeat(1e-3), 3, lambda *_: None)


def test_no_sequences_is_an_error(market, tmp_path):
    shutil.copytree(market.folder, tmp_path / "f", ignore=shutil.ignore_patterns("*.tfrecord"))
    with pytest.raises(SoukError, match="tfrecord"):
        Sequences.open(tmp_path / "f", market.spec, market.transforms, market.catalogue.ids)
