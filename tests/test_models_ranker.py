"""The ranker: its losses by hand, its examples, and a market in which it can beat the order of retrieval."""

import copy
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from souk.errors import SoukError
from souk.items import ItemTable
from souk.models import rank_examples
from souk.models.export import ServedRanker
from souk.models.fit_ranker import fit_ranker
from souk.models.held_out import judging, split_users
from souk.models.rank_examples import read_rank_examples
from souk.models.rank_quality import ndcg, quality, retrieval_order
from souk.models.rank_scoring import scoring
from souk.models.ranker import PLACES, SCORE, PositionTower, given_loss, listwise_loss, order_loss
from souk.models.sequences import column_tensor
from souk.models.weights import named_weights
from souk.pairs import PAIR_FEATURES
from souk.spec import Entity
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    return Ranked(tmp_path_factory.mktemp("ranked"), *cycle_market(users=60))


def test_the_listwise_loss_sets_each_positive_against_the_negatives_alone():
    logits = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 0.1], [9.0, 9.0, 9.0]], np.float32)
    positive = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], np.float32)
    allowed = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1]], bool)
    first = -np.log(np.exp(1) / (np.exp(1) + np.exp(0)))
    second = [-np.log(np.exp(x) / (np.exp(x) + np.exp(0.1))) for x in (0.5, 2.0)]
    expected = (first + np.mean(second)) / 2
    assert float(listwise_loss(logits, positive, allowed)) == pytest.approx(expected, rel=1e-5)
    assert float(listwise_loss(logits, np.zeros((3, 3), np.float32), allowed)) == 0


def test_the_order_of_what_is_new_counts_as_much_as_that_of_all():
    logits = np.array([[2.0, 1.0, 0.0, -1.0], [2.0, 1.0, 0.0, -1.0]], np.float32)
    positive = np.array([[1, 0, 1, 0], [1, 0, 0, 0]], np.float32)
    allowed, fresh = np.ones((2, 4), bool), np.array([[0, 0, 1, 1], [0, 0, 1, 1]], bool)
    behind = np.log(np.exp(1) + np.exp(-1))
    first = np.mean([np.log1p(np.exp(behind - 2)), np.log1p(np.exp(behind - 0))])
    second = np.log1p(np.exp(np.log(np.exp(1) + 1 + np.exp(-1)) - 2))  # nothing new was taken: the whole list alone
    expected = (np.mean([first, second]) + np.log1p(np.exp(-1 - 0))) / 2
    assert float(order_loss(logits, positive, allowed, fresh)) == pytest.approx(expected, rel=1e-5)
    whole = float(listwise_loss(logits, positive, allowed))
    assert float(order_loss(logits, positive, allowed, np.ones((2, 4), bool))) == pytest.approx(whole, rel=1e-6)


def test_what_the_user_took_before_is_not_new(ranked):
    examples = ranked.examples()
    lists = ranked.lists(ranked.ranker(examples), examples)
    rows = lists.lists(np.arange(len(examples)))
    for batch in (lists.batch(rows), lists.batch(rows, 4, np.random.default_rng(0))):
        lately, ever = (
            batch["pair"].numpy()[..., PAIR_FEATURES.index(n)] > 0 for n in ("window_events", "past_events")
        )
        assert lately.any() and not ever.all() and (ever & ~lately).any(), "habits tell of what is no event any more"
        np.testing.assert_array_equal(batch["fresh"].numpy(), ~(lately | ever))


def test_a_place_adds_its_share_and_what_no_slate_showed_nothing():
    places, moment = tf.constant([[0, 1, 2, PLACES, PLACES + 9]], tf.int64), tf.constant([[2.0]])
    tower = PositionTower("position")
    assert not tower(places, moment).numpy().any(), "before training"
    tower.place.assign(-tf.range(1.0, 1.0 + PLACES))
    tower.slope.kernel.assign([[0.5]])
    shares = [-1.0, -2 + np.log(2), -PLACES + np.log(PLACES), -PLACES + np.log(PLACES + 9)]
    assert tower(places, moment).numpy()[0] == pytest.approx([0, *shares], rel=1e-5)


def test_satisfaction_that_is_not_known_yet_is_not_learned():
    logits, labels = tf.constant([0.3, -1.0, 50.0]), tf.constant([1, 0, -1], tf.int64)
    expected = [-np.log(1 / (1 + np.exp(-0.3))), -np.log(1 - 1 / (1 + np.exp(1.0)))]
    assert float(given_loss(logits, labels)) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(given_loss(logits, tf.constant([-1, -1, -1], tf.int64))) == 0


def test_examples_hold_candidates_in_order_and_the_item_that_retrieval_missed(ranked):
    examples = ranked.examples(count=1)
    table = pq.read_table(ranked.folder / "examples.parquet").to_pylist()
    table = [row for row in table if ranked.window[0] <= row["timestamp"] < ranked.window[1]]
    found = pq.read_table(ranked.folder / "candidates.parquet").to_pylist()
    assert len(examples) == len(table) == len(found)
    assert 0 < examples.retrieved.mean() < 1
    for row, (example, candidates) in enumerate(zip(table, found, strict=True)):
        names = [ranked.catalogue.ids[p] for p in examples.positions[row][examples.candidate[row]]]
        assert names == candidates["items"][:1]
        assert ranked.catalogue.ids[examples.positions[row, examples.own[row]]] == example["item_id"]
        assert examples.retrieved[row] == (example["item_id"] in names)
        assert examples.pair[row, examples.own[row], SCORE] == pytest.approx(candidates["own_score"], abs=1e-6)
    assert examples.labels["satisfied"].tolist() == [row["satisfied"] for row in table]


def test_candidates_alone_share_the_chances_of_a_request(ranked):
    """An untrained level leaves a softmax: the item that retrieval missed has no part in it, as in a server."""
    examples = ranked.examples(count=1)
    model = ranked.ranker(examples)
    rows = np.flatnonzero(~examples.retrieved)[:5]
    chances = np.exp(scoring(model, ranked.catalogue, False)(ranked.lists(model, examples), rows)["engaged"])
    assert len(rows) and chances[examples.candidate[rows]] == pytest.approx(np.ones(len(rows)), rel=1e-5)


def test_a_vector_of_a_user_comes_whole_and_a_missing_one_as_zeros(ranked):
    examples = ranked.examples()
    taste = ranked.users.set_index("user_id")["taste"]
    expected = [[0, 0] if taste[user] is None else taste[user] for user in examples.users]
    assert [0, 0] in expected and len({tuple(row) for row in expected}) > 10
    np.testing.assert_allclose(examples.user["user_taste"], expected, rtol=1e-6)


def test_a_label_that_is_known_only_after_the_window_is_not_known(ranked, tmp_path):
    shutil.copytree(ranked.folder, tmp_path / "late")
    table = pq.read_table(ranked.folder / "candidates.parquet").to_pandas()
    table.assign(satisfied_at=ranked.window[1]).to_parquet(tmp_path / "late" / "candidates.parquet", index=False)
    late = copy.copy(ranked)
    late.folder = tmp_path / "late"
    assert (late.examples().labels["satisfied"] == -1).all()
    assert (ranked.examples().labels["satisfied"] >= 0).all()


def test_it_says_how_far_the_features_are(ranked, monkeypatch):
    monkeypatch.setattr(rank_examples, "CHUNK", 1)
    monkeypatch.setattr(rank_examples, "TOLD", 2)
    items, said = ItemTable.load(ranked.folder, "validation_start", ranked.vectors), []
    path = ranked.folder / "candidates.parquet"
    read_rank_examples(path, ranked.sequences, items, ranked.window, 12, report=said.append)
    count = len(ranked.examples())
    assert count > 4 and said[0] == f"features of 2 of {count} examples and their candidates"
    assert len(said) == (count - 1) // 2


def test_candidates_of_another_window_are_refused(ranked):
    items = ItemTable.load(ranked.folder, "validation_start", ranked.vectors)
    path = ranked.folder / "candidates.parquet"
    with pytest.raises(SoukError, match="candidates of examples from"):
        read_rank_examples(path, ranked.sequences, items, (0, ranked.window[0]), 12)


def test_held_out_users_are_others():
    users = np.repeat([f"u{i}" for i in range(20)], 3)
    fitted, held_out = split_users(users, 0)
    assert len(np.unique(users[held_out])) == 4
    assert not set(users[fitted]) & set(users[held_out])
    assert len(fitted) + len(held_out) == 60


def test_ndcg_by_hand(ranked):
    examples, rows = ranked.examples(), np.arange(3)
    scores = np.zeros((3, examples.positions.shape[1]))
    scores[0, examples.own[0]] = 1  # first
    scores[1] = 1
    scores[1, examples.own[1]] = 0.5  # last of twelve
    scores[2] = -np.arange(scores.shape[1])
    place = examples.own[2]
    expected = [1, 0, 1 / np.log2(place + 2) if place < 10 else 0]
    assert ndcg(scores, examples, rows) == pytest.approx(np.mean(expected))


@pytest.mark.slow
def test_an_epoch_is_judged_by_the_draw_of_the_held_out_rows(ranked, monkeypatch):
    monkeypatch.setattr("souk.models.held_out.CHOOSING", 9)
    asked = []
    monkeypatch.setattr(
        "souk.models.fit_ranker.quality",
        lambda *given: asked.append((len(given[0]["order"]), given[2])) or quality(*given),
    )
    examples = ranked.examples()
    model = ranked.ranker(examples)
    short = CONFIG.model_copy(update={"straight_epochs": 1, "epochs": 0})
    fit = fit_ranker(model, ranked.lists(model, examples), ranked.catalogue, short, lambda text: None)
    held_out = split_users(examples.users, CONFIG.seed)[1]
    [(scored, rows)] = asked
    assert rows.tolist() == held_out.tolist() and scored == len(held_out), "curves and weights are of users held out"
    drawn = judging(held_out, CONFIG.seed)
    figures = [ndcg(examples.pair[rows, :, SCORE], examples, rows) for rows in (drawn, held_out[:9], held_out)]
    assert fit.history[0]["ndcg@10"] == pytest.approx(figures[0]) != pytest.approx(figures[1])
    assert figures[0] != pytest.approx(figures[2])


@pytest.mark.slow
@pytest.mark.parametrize("body", [False, True])
def test_untrained_it_keeps_the_order_of_the_score_and_trained_it_beats_retrieval(ranked, tmp_path, body):
    """The next item of the circle is never among the last events, and the even items satisfy."""
    config = CONFIG.model_copy(update={"body_examples": 50 if body else 10_000})
    examples = ranked.examples()
    lines = []
    model = ranked.ranker(examples)
    fit = fit_ranker(model, ranked.lists(model, examples), ranked.catalogue, config, lines.append)
    held_out = split_users(examples.users, CONFIG.seed)[1]
    order = retrieval_order(examples, held_out)
    assert fit.metrics["retrieval_ndcg@10"] == pytest.approx(ndcg(order, examples, held_out))
    assert fit.history[0]["ndcg@10"] == pytest.approx(ndcg(examples.pair[held_out, :, SCORE], examples, held_out))
    assert fit.with_body == body
    assert fit.metrics["ndcg@10"] > fit.metrics["retrieval_ndcg@10"] + 0.1
    assert fit.metrics["satisfied_auc"] > 0.95
    assert fit.quality.roc["engaged"]["tpr"][-1] == 1
    served = served_probabilities(ranked, model, fit, examples, tmp_path)
    chosen = examples.chosen[:, :-1]
    assert served["engaged"].mean() == pytest.approx(chosen.mean(), abs=0.02)
    again = ranked.ranker(examples)
    fit_ranker(again, ranked.lists(again, examples), ranked.catalogue, config, lines.append)
    for name, variable in named_weights(model).items():
        np.testing.assert_array_equal(variable.numpy(), named_weights(again)[name].numpy(), err_msg=name)


def test_an_order_that_held_out_users_like_less_is_given_up(ranked, monkeypatch):
    """Uphill, where the loss that chooses epochs says that each is better than the one before."""
    losses = iter(range(100, 0, -1))
    monkeypatch.setattr("souk.models.fit_ranker.held_out_losses", lambda *given: (next(losses), {}))
    monkeypatch.setattr("souk.models.fit_ranker.STRAIGHT_RATE", -0.3)
    examples, lines = ranked.examples(), []
    model = ranked.ranker(examples)
    short = CONFIG.model_copy(update={"epochs": 0})
    fit = fit_ranker(model, ranked.lists(model, examples), ranked.catalogue, short, lines.append)
    first, *later = (judged["ndcg@10"] for judged in fit.history)
    assert max(later) < first == fit.metrics["ndcg@10"] and fit.metrics["judgement"] == 0
    assert float(model.pass_through) == 1 and not model.straight["engaged"].kernel.numpy().any()
    assert any("the order stays what it was" in line for line in lines)


@pytest.mark.slow
def test_a_ranker_of_before_is_measured_apart_from_the_order_of_retrieval(ranked):
    examples, lines = ranked.examples(), []
    model = ranked.ranker(examples)
    data = ranked.lists(model, examples)
    first = fit_ranker(model, data, ranked.catalogue, CONFIG, lines.append)
    assert "previous_ndcg@10" not in first.metrics
    second = fit_ranker(model, data, ranked.catalogue, CONFIG, lines.append, continued=True)
    retrieval, before = second.metrics["retrieval_ndcg@10"], second.metrics["previous_ndcg@10"]
    assert retrieval == first.metrics["retrieval_ndcg@10"]
    assert before == second.history[0]["ndcg@10"] == first.metrics["ndcg@10"] > retrieval + 0.1
    assert min(h["held_out_loss"] for h in second.history) <= second.history[0]["held_out_loss"]


def test_a_fit_that_diverges_names_the_step_and_the_last_good_pass(ranked, tmp_path):
    examples = ranked.examples()
    model, config = ranked.ranker(examples), CONFIG.model_copy(update={"learning_rate": 1e38, "body_examples": 0})
    with pytest.raises(SoukError, match=r"with the body, epoch 1, step 2.*last good pass is in .*stage_1\.npz"):
        fit_ranker(
            model, ranked.lists(model, examples), ranked.catalogue, config, lambda line: None, checkpoints=tmp_path
        )
    with np.load(tmp_path / "stage_1.npz", allow_pickle=False) as kept:
        numbers = [kept[name] for name in kept.files if kept[name].dtype.kind == "f"]
    assert numbers and all(np.isfinite(array).all() for array in numbers)


def served_probabilities(ranked, model, fit, examples, folder):
    """All examples through the SavedModel at once, checked against the first one alone."""
    ServedRanker(model, ranked.transforms, ranked.spec, fit.quality.calibration, fit.with_body).save(folder / "ranker")
    signatures = tf.saved_model.load(str(folder / "ranker")).signatures
    table = pq.read_table(ranked.folder / "examples.parquet").to_pandas()
    table = table[(table["timestamp"] >= ranked.window[0]) & (table["timestamp"] < ranked.window[1])]
    items = pq.read_table(ranked.folder / "items.parquet").to_pandas()
    width = 12

    def ask(count):
        flat = examples.positions[:count, :width].reshape(-1)
        raw = {f.name: table[f.name].to_numpy()[:count] for f in ranked.spec.of(Entity.QUERY)}
        users = table["user_id"].to_numpy()[:count]
        profiles = ranked.users.set_index("user_id").loc[users].reset_index()
        raw |= {f.name: [() if v is None else v for v in profiles[f.source]] for f in ranked.spec.of(Entity.USER)}
        asked = (Entity.USER, Entity.QUERY)
        inputs = {f.name: column_tensor(list(raw[f.name]), f) for e in asked for f in ranked.spec.of(e)}
        item = {f.name: column_tensor(list(items.iloc[flat][f.name]), f) for f in ranked.spec.of(Entity.ITEM)}
        inputs |= signatures["goods"](**item)
        inputs["pair"] = tf.constant(examples.pair[:count, :width].reshape(len(flat), -1))
        inputs["request"] = tf.constant(np.repeat(np.arange(count), width))
        return {head: values.numpy() for head, values in signatures["serve"](**inputs).items()}

    together, alone = ask(len(examples)), ask(1)
    for head, values in alone.items():
        np.testing.assert_allclose(values, together[head][:width], rtol=1e-5, atol=1e-12)
        assert ((values >= 0) & (values <= 1)).all(), "float32 has no chance as small as this market knows to give"
    return together


def test_a_copy_of_some_examples_keeps_every_field(ranked):
    examples = ranked.examples()
    for name, value in examples.take(np.array([2, 5])).__dict__.items():
        whole = getattr(examples, name)
        pairs = [(value[key], whole[key]) for key in whole] if isinstance(whole, dict) else [(value, whole)]
        for mine, own in pairs:
            np.testing.assert_array_equal(mine, own[[2, 5]])
