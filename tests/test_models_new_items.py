"""Items that training never saw: what their vectors lean to."""

import numpy as np
import pytest
import tensorflow as tf

from souk.declared import item_features
from souk.models import towers
from souk.models.draw import draw_examples
from souk.models.export import ServedItemTower
from souk.models.fit_towers import TowerFit
from souk.models.inputs import UNKNOWN
from souk.models.judge import RetrievalJudge
from souk.models.retrieve import item_vectors
from souk.serving.inputs import item_inputs
from souk.serving.signatures import ItemTower
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import CONFIG, Market


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return Market(tmp_path_factory.mktemp("market"), *cycle_market())


def unknown(market):
    """The features of all items, were none of them known."""
    ids = tf.fill([len(market.catalogue.ids)], tf.constant(UNKNOWN, tf.int64))
    return market.catalogue.features | {"item_id": ids}


def test_new_items_lean_to_known_ones_of_their_content_and_these_stay(market):
    """The same training with and without: known items' vectors are equal, that of an unknown one is moved towards the
    mean of the known ones whose content is nearest."""
    start = market.windows["validation_start"]
    found, vectors = {}, {}
    for lean in (0.0, 0.5):
        model = market.towers(config := CONFIG.model_copy(update={"new_item_lean": lean}))
        market.fit(model, start, 1, config)
        found[lean] = model.item_tower(unknown(market)).numpy()
        vectors[lean] = item_vectors(model, market.catalogue)
    trained = market.sequences.trained(start)
    seen = np.array([item in trained.items for item in market.catalogue.ids])
    assert seen.sum() > 0
    np.testing.assert_array_equal(vectors[0.0][seen], vectors[0.5][seen])
    known = trained.frequency > 0
    near = np.exp((found[0.0] @ found[0.0][known].T - 1) / towers.BREADTH)
    neighbours = near @ vectors[0.0][known]
    leant = found[0.0] + 0.5 * neighbours / np.linalg.norm(neighbours, axis=1, keepdims=True)
    np.testing.assert_allclose(found[0.5], leant / np.linalg.norm(leant, axis=1, keepdims=True), atol=1e-5)
    assert (np.abs(found[0.5] - found[0.0]).max(axis=1) > 1e-3).all()
    model.item_tower.lean_by(0.5, 0.94)
    np.testing.assert_allclose(model.item_tower(unknown(market)), 0.94 * found[0.5], atol=1e-6)
    np.testing.assert_array_equal(item_vectors(model, market.catalogue)[seen], vectors[0.5][seen])


def test_they_lean_to_the_most_taken_ones(market, monkeypatch):
    monkeypatch.setattr(towers, "AMONG", 3)
    model, start = market.towers(), market.windows["validation_start"]
    market.fit(model, start, 1)
    taken = market.sequences.trained(start).frequency
    most = np.argsort(-taken, kind="stable")[:3]
    assert taken[most].min() > np.delete(taken, most).min()
    np.testing.assert_allclose(model.item_tower.known_vectors, item_vectors(model, market.catalogue)[most], atol=1e-6)


def test_a_judge_of_the_first_fit_does_not_pay_for_it_and_no_lean_has_no_weights(market, monkeypatch):
    leaned = []
    lean = towers.ItemTower._leaning
    monkeypatch.setattr(towers.ItemTower, "_leaning", lambda self, content: leaned.append(1) or lean(self, content))
    start, end = market.windows["validation_start"], market.windows["test_start"]
    parts = market.folder, draw_examples(market.folder, start, end, 0), market.catalogue, market.sequences, 0
    for strength in (0.5, 0.0):
        model = market.towers(config := CONFIG.model_copy(update={"new_item_lean": strength}))
        leaned.clear()
        TowerFit(model, market.sequences, market.catalogue, config).fit(start, 2, print, RetrievalJudge(*parts))
        assert not leaned
        assert any("known_" in v.path for v in model.variables) == (strength > 0)
        found = model.item_tower(unknown(market)).numpy()
        assert bool(leaned) == (strength > 0) and np.isfinite(found).all()


def test_rows_have_the_same_vectors_together_in_parts_and_by_lists(market, monkeypatch, tmp_path):
    model = market.towers()
    market.fit(model, market.windows["validation_start"], 1)
    ServedItemTower(model, market.transforms, market.spec).save(tmp_path / "item")
    rows = [*cycle_market()[1].to_dict("records"), {"item_id": "new", "category": "shelf/1", "price": 4.0}]
    raw = [item_features(row, market.spec) for row in rows]
    inputs = item_inputs({name: [row[name] for row in raw] for name in raw[0]}, market.spec)
    tower = ItemTower(tmp_path / "item")
    together = tower.vectors(inputs)
    monkeypatch.setattr("souk.serving.signatures.ITEMS", 2)
    np.testing.assert_allclose(tower.vectors(inputs), together, atol=1e-6)
    own = {name: values[tf.newaxis] for name, values in unknown(market).items()}
    listed = model.item_tower(own).numpy()
    np.testing.assert_allclose(listed[0], model.item_tower(unknown(market)).numpy(), atol=1e-6)
