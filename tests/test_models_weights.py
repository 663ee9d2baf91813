"""The weights of a model: all that it learns is among them, whatever its columns are called."""

import numpy as np
import pytest

from souk.config import Columns
from souk.models.weights import load_weights, named_weights, save_weights
from souk.schema import Kind
from tests.models_fixtures import cycle_market, cycle_spec
from tests.ranker_fixtures import Ranked
from tests.towers_fixtures import CONFIG, Market

NAMES = {"events": "is_random", "items": "random_tag", "users": "seed_generator"}


def market():
    """Tables with a column each that tells of chance, as logs of randomised slates have them."""
    tables = dict(zip(NAMES, cycle_market(), strict=True))
    for table, name in NAMES.items():
        tables[table][name] = ["ab"[row % 2] for row in range(len(tables[table]))]
    return tables.values()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Makers of models by name."""
    columns = Columns.model_validate({table: {name: Kind.CATEGORICAL} for table, name in NAMES.items()})
    towers = Market(tmp_path_factory.mktemp("towers"), *market(), cycle_spec(columns=columns))
    ranked = Ranked(tmp_path_factory.mktemp("ranked"), *market(), columns=columns)
    examples = ranked.examples()
    drops = CONFIG.model_copy(update={"dropout": 0.1})
    return {"towers": lambda: towers.towers(drops), "ranker": lambda: ranked.ranker(examples)}


@pytest.mark.parametrize("name", ["towers", "ranker"])
def test_every_weight_has_a_name_and_comes_back(models, name, tmp_path):
    model, again = models[name](), models[name]()
    assert list(named_weights(model)) == sorted(v.path for v in model.weights)
    assert all(any(column in path for path in named_weights(model)) for column in NAMES.values())
    for number, variable in enumerate(model.weights):
        variable.assign(np.full(variable.shape, number))
    save_weights(tmp_path / "weights.npz", model)
    load_weights(tmp_path / "weights.npz", again)
    for number, variable in enumerate(again.weights):
        assert (variable.numpy() == number).all(), variable.path


def test_the_state_of_a_random_generator_is_no_weight(models):
    towers = models["towers"]()
    others = [v for v in towers.variables if v.path not in named_weights(towers)]
    assert {v.name for v in others} == {"seed_generator_state"}
