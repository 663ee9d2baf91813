"""A third head, whose answer is known: who likes an item reads it for a second, who does not for ten.

So what satisfies is not read, and a head that learned the other's labels would be wrong about everything.
"""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from souk.config import Objective, Objectives
from souk.models.export import ServedRanker
from souk.models.fit_ranker import fit_ranker
from souk.models.inputs import missing_rows
from souk.models.rank_quality import quality
from souk.models.rank_scoring import list_logits, scoring, with_body_fixed
from souk.models.sequences import column_tensor
from souk.serving.signatures import Ranker
from souk.spec import Entity
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked
from tests.test_models_rank_quality import examples as two_taken

RATED = Objective(events=("rating",))
OBJECTIVES = Objectives.model_validate(
    {
        "engaged": RATED,
        "satisfied": RATED.model_copy(update={"min_value": 4}),
        "read": RATED.model_copy(update={"min_dwell_seconds": 5, "weight": 0.3}),
    }
)
HEADS = ("engaged", "satisfied", "read")


class Market:
    """A ranker with three heads, fitted, and served."""

    def __init__(self, folder):
        events, items, users = cycle_market(users=12)
        events["dwell_seconds"] = np.where(events["value"] >= 4, 1.0, 10.0)
        self.ranked = Ranked(folder, events, items, users, objectives=OBJECTIVES)
        self.examples = self.ranked.examples()
        self.model = self.ranked.ranker(self.examples)
        lists = self.ranked.lists(self.model, self.examples)
        short = CONFIG.model_copy(update={"straight_epochs": 1, "epochs": 0})
        fixed = {"read": 0.3}
        self.fit = fit_ranker(self.model, lists, self.ranked.catalogue, short, lambda _: None, fixed=fixed)
        curves = self.fit.quality.calibration
        served = ServedRanker(self.model, self.ranked.transforms, self.ranked.spec, curves, self.fit.with_body)
        served.save(folder / "ranker")
        self.served = Ranker(folder / "ranker", self.items()).load()

    def items(self):
        table = pq.read_table(self.ranked.folder / "items.parquet")
        return {f.name: column_tensor(table[f.name].to_pylist(), f).numpy() for f in self.ranked.spec.of(Entity.ITEM)}

    def asked(self):
        """Raw features of a user and a moment of which nothing is known."""
        spec = self.ranked.spec
        return {n: v.numpy() for e in (Entity.USER, Entity.QUERY) for n, v in missing_rows(spec.of(e), 1).items()}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr("souk.models.fit_ranker.LEAST_STEPS", 1)
    patch.setattr("souk.models.fit_level.STEPS", 1)
    yield Market(tmp_path_factory.mktemp("heads"))
    patch.undo()


def test_each_head_learns_its_own_label(market):
    labels = market.examples.labels
    assert [*labels] == ["satisfied", "read"]
    np.testing.assert_array_equal(labels["read"], 1 - labels["satisfied"])
    assert market.fit.metrics["satisfied_auc"] > 0.95 and market.fit.metrics["read_auc"] > 0.95
    assert market.fit.metrics["read_log_loss"] < 0.5 and market.fit.metrics["read_ece"] < 0.2


def test_what_is_served_has_every_head_and_explains_by_every_exponent(market):
    examples = market.examples
    pair, positions = (values[0][examples.candidate[0]] for values in (examples.pair, examples.positions))
    found = market.served.probabilities(market.asked(), positions, pair, np.zeros(len(pair), np.int64))
    assert {*found} == {*HEADS}
    likes = positions % 2 == 0
    assert found["satisfied"][likes].min() > found["satisfied"][~likes].max()
    assert found["read"][likes].max() < found["read"][~likes].min()
    weights = {"engaged": 1.0, "satisfied": 0.25, "read": 2.0}
    told = market.served.explain(
        market.asked(), int(positions[0]), pair[:1], (positions, pair), np.ones(1, np.float32), weights
    )
    expected = sum(weight * np.log(found[head][0]) for head, weight in weights.items())
    assert told["score"][0] == pytest.approx(expected, abs=1e-3)


def test_the_weight_of_satisfaction_is_tuned_beside_the_exponents_that_are_given():
    """What is read is the other of the two taken items: where that counts for more, satisfaction cannot come first."""
    found, engaged, satisfied = two_taken()
    other, odd = found.chosen & ~found.pleased["satisfied"], np.arange(len(found)) % 2
    found = replace(
        found,
        own=np.where(odd, other.argmax(axis=1), found.own),
        labels={"satisfied": 1 - odd, "read": odd},
        pleased=found.pleased | {"read": other},
        liked=found.liked | {"read": np.ones(len(found), np.int64)},
    )
    logits = {"engaged": engaged, "satisfied": satisfied, "read": np.where(other, 2.0, -2.0)}
    rows = np.arange(len(found))
    free, bound = (quality(logits, found, rows, 0.01, {"read": weight}) for weight in (0.0, 50.0))
    assert free.weights["satisfied"] > 0
    assert free.metrics["slate_satisfied_ndcg@10"] > bound.metrics["slate_satisfied_ndcg@10"] + 0.1
    assert bound.metrics["slate_read_ndcg@10"] > free.metrics["slate_read_ndcg@10"] + 0.1
    assert bound.metrics["read_ndcg@10"] < bound.metrics["slate_read_ndcg@10"], "without its exponent"
    assert bound.front[0]["satisfied_ndcg@10"] < free.front[0]["satisfied_ndcg@10"], "the front begins with them"


def test_a_body_that_stays_as_it_is_adds_the_same_without_being_asked(market):
    ranked, examples = market.ranked, market.examples
    model = ranked.ranker(examples)
    data, random = ranked.lists(model, examples), np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    scores = {body: scoring(model, ranked.catalogue, body) for body in (False, True)}
    every = np.arange(len(examples))[3::2]
    rows = np.intersect1d(data.lists(every), data.labelled(every))
    fixed = with_body_fixed(data, every, scores)
    found = list_logits(model, ranked.catalogue, fixed.batch(rows), with_body=False, training=False)
    whole, straight = scores[True](data, rows), scores[False](data, rows)
    assert len(rows) and {"order", "satisfied", "read"} == fixed.added.keys()
    for name in fixed.added:
        np.testing.assert_allclose(found[name], whole[name], atol=1e-4)
        assert np.abs(whole[name] - straight[name]).max() > 0.1
    own = list_logits(model, ranked.catalogue, fixed.taken(rows), with_body=False, training=False)["satisfied"]
    np.testing.assert_allclose(own[:, 0], whole["satisfied"][np.arange(len(rows)), examples.own[rows]], atol=1e-4)
