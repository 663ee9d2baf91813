"""The ranker as it is served: the same from fewer products."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from souk.models.inputs import read_transformed
from souk.models.rank_scoring import list_logits, new_ranker
from souk.models.ranker import Ranker
from souk.models.towers import TowerShape
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    return Ranked(tmp_path_factory.mktemp("ranked"), *cycle_market(users=60))


def products(model, catalogue, batch) -> int:
    """How many products of matrices there are in the graph of a ranker."""
    graph = tf.function(lambda: list_logits(model, catalogue, batch, with_body=True, training=False))
    return sum(node.type == "MatMul" for node in graph.get_concrete_function().graph.get_operations())


@pytest.mark.parametrize("hidden", [(16,), (8, 4)], ids=["at once", "deeper ones one by one"])
def test_fewer_products_give_the_same(ranked, hidden):
    examples, changed = ranked.examples(), CONFIG.model_copy(update={"hidden": hidden, "experts": 3})
    keras.utils.set_random_seed(3)
    shape = TowerShape(read_transformed(ranked.folder), ranked.spec.history_length)
    model = new_ranker(Ranker(shape, changed, ranked.spec.objectives.given), examples, ranked.catalogue)
    for variable in model.weights:
        if variable.path.rpartition("/")[2] not in ("knots", "mean", "deviation"):
            variable.assign(keras.random.normal(variable.shape) / 4)
    batch = ranked.lists(model, examples).batch(np.arange(3))
    plain = list_logits(model, ranked.catalogue, batch, with_body=True, training=False)
    with model.settled():
        settled = list_logits(model, ranked.catalogue, batch, with_body=True, training=False)
        few = products(model, ranked.catalogue, batch)
    many = products(model, ranked.catalogue, batch)
    assert few < many if len(hidden) == 1 else few != many, "of deeper experts the straight path alone is another"
    straight = list_logits(model, ranked.catalogue, batch, with_body=False, training=False)
    for head, logits in plain.items():
        np.testing.assert_allclose(settled[head], logits, rtol=1e-4, atol=1e-5)
        assert np.abs(logits - straight[head]).max() > 0.01, "the body has a say"
    again = list_logits(model, ranked.catalogue, batch, with_body=True, training=False)
    assert all((again[head].numpy() == plain[head].numpy()).all() for head in plain), "afterwards as it was"
