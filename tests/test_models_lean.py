"""New items lean as far as known ones can afford."""

import numpy as np
import pytest

from souk.models import lean, retrieve, towers
from souk.models.draw import draw_examples
from souk.models.fit_towers import TowerFit
from souk.models.judge import RetrievalJudge
from souk.models.lean import LEANS, choose_lean
from souk.models.retrieve import item_vectors
from souk.models.towers import as_new
from souk.models.weights import load_weights, save_weights
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import CONFIG, Market

FREE = CONFIG.model_copy(update={"consistency": 0, "new_item_lean": "auto"})


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return Market(tmp_path_factory.mktemp("market"), *cycle_market())


@pytest.fixture(scope="module")
def fitted(market):
    """Towers that lean by the default, and how often each item was a target."""
    start = market.windows["validation_start"]
    market.fit(model := market.towers(FREE), start, 2, FREE)
    return model, market.sequences.trained(start).frequency


class Figures:
    """A judge that says what known items have by the lean of the towers, and remembers what it was asked."""

    def __init__(self, model, **figures):
        self.tower, self.figures, self.asked = model.item_tower, figures, []

    def queries(self, model):
        return {}

    def figure(self, queries, vectors, counts):
        lean, length = self.tower.leaning
        kept = np.any(self.tower.known_vectors.value, axis=1).sum()
        self.asked.append((round(lean, 4), round(length, 4), len(vectors), int(kept), int(counts.sum())))
        return self.figures[f"at_{round(100 * lean)}"]


def test_the_items_that_stand_in_as_new_go_through_the_tower_in_parts(market, fitted, monkeypatch):
    """Each of them is compared with thousands of known ones."""
    model, taken = fitted
    monkeypatch.setattr(retrieve, "ITEMS", 2)
    monkeypatch.setattr(lean, "SHARE", 0.9)
    sizes, call = [], towers.ItemTower._leaning
    told = lambda self, content: sizes.append(len(content)) or call(self, content)  # noqa: E731
    monkeypatch.setattr(towers.ItemTower, "_leaning", told)
    choose_lean(model, market.catalogue, taken, Figures(model, at_0=0.5, at_100=0.5), 0, print)
    assert len(sizes) > 4 and max(sizes) <= 2


@pytest.mark.parametrize(
    ("figures", "chosen", "asked"),
    [
        ({"at_0": 0.5, "at_100": 0.49}, 1, [0, 1]),
        ({"at_0": 0.5, "at_100": 0.489, "at_20": 0.6}, 0.2, [0, 1, 0.2]),
        ({"at_0": 0.5, "at_100": 0.3, "at_20": 0.4, "at_10": 0.48, "at_5": 0.49}, 0.05, [0, 1, 0.2, 0.1, 0.05]),
        ({"at_0": 0.5, "at_100": 0.3, "at_20": 0.4, "at_10": 0.48, "at_5": 0.48}, 0, [0, 1, 0.2, 0.1, 0.05]),
        ({"at_0": 0.0, "at_100": 0.0}, 1, [0, 1]),
    ],
)
def test_the_most_that_costs_known_items_at_most_two_in_a_hundred(market, fitted, figures, chosen, asked):
    model, taken = fitted
    before = {name: getattr(model.item_tower, name).numpy() for name in ("known_content", "known_vectors")}
    judge, told = Figures(model, **figures), []
    choose_lean(model, market.catalogue, taken, judge, 0, told.append)
    assert model.item_tower.leaning == pytest.approx((chosen, length := 0.94 if chosen == 1 else 1))
    assert f" by {chosen:g} " in told[0] and f" {length:g} long" in told[0]
    assert [each[:2] for each in judge.asked] == [(lean, 0.94 if lean == 1 else 1) for lean in asked]
    known = np.count_nonzero(taken)
    again = max(1, round(0.1 * known))
    assert {each[2:] for each in judge.asked} == {(len(taken) + again, known - again, known)}
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(model.item_tower, name), values, "as after the fit")


def test_a_fit_with_a_judge_chooses_once_and_what_is_made_of_it_keeps_that(market, tmp_path, monkeypatch):
    start, end = market.windows["validation_start"], market.windows["test_start"]
    judge = RetrievalJudge(
        market.folder, draw_examples(market.folder, start, end, 0), market.catalogue, market.sequences, 0
    )
    figure, leans = RetrievalJudge.figure, []

    def dear(self, queries, vectors, counts=None):
        """As if known items could not afford any."""
        found = figure(self, queries, vectors, counts)
        if counts is None:
            return found
        leans.append(float(model.item_tower.lean.value))
        return 1.0 - leans[-1]

    monkeypatch.setattr(RetrievalJudge, "figure", dear)
    model = market.towers(FREE)
    fit, told = TowerFit(model, market.sequences, market.catalogue, FREE), []
    fit.fit(start, 2, told.append, judge)
    assert leans == pytest.approx([0, *(lean for lean, _ in LEANS[:-1])]) and float(model.item_tower.lean.value) == 0
    assert sum("new items lean by 0 " in line for line in told) == 1
    fit.refresh(end, 2, told.append)
    assert len(leans) == len(LEANS) and float(model.item_tower.lean.value) == 0
    save_weights(tmp_path / "weights.npz", model)
    load_weights(tmp_path / "weights.npz", other := market.towers(FREE))
    rows = np.arange(len(market.catalogue.ids))
    alone = as_new(market.catalogue.features, rows)
    np.testing.assert_array_equal(other.item_tower(alone), model.item_tower(alone))


def test_what_known_items_have_is_of_known_items_alone(market):
    start, end = market.windows["validation_start"], market.windows["test_start"]
    examples = draw_examples(market.folder, start, end, 0)
    judge = RetrievalJudge(market.folder, examples, market.catalogue, market.sequences, 0)
    model = market.towers()
    queries, vectors = judge.queries(model), item_vectors(model, market.catalogue)
    every = np.ones(len(vectors), bool)
    assert judge.figure(queries, vectors) == judge.figure(queries, vectors, every) == judge.score(model) > 0
    assert judge.figure(queries, vectors, ~every) == 0
    halves = [judge.figure(queries, vectors, np.arange(len(vectors)) % 2 == half) for half in (0, 1)]
    assert min(halves) > 0
