"""Two passes a step, and what their disagreement weighs."""

import numpy as np
import pytest

from souk.config import TrainTwoTower
from souk.models import fit_towers
from souk.models.fit_towers import CONSISTENCY, SHORT, TowerFit, consistency_for
from souk.models.losses import disagreement
from souk.models.retrieve import item_vectors
from souk.models.seen import mark_seen
from souk.schema import FOREVER
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import CONFIG, Market, arrays

WITH_DROPOUT = CONFIG.model_copy(update={"dropout": 0.3, "user_dropout": 0.5})


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return Market(tmp_path_factory.mktemp("market"), *cycle_market())


def fitted(market, config, epochs):
    fit = TowerFit(market.towers(config), market.sequences, market.catalogue, config)
    return fit, fit.fit(market.windows["validation_start"], epochs, lambda _: None)


def apart(market, model):
    """How far two passes with dropout are from each other over the whole catalogue, at a temperature of .1."""
    batch = next(iter(market.sequences.batches(64, 0, FOREVER)))
    vectors = item_vectors(model, market.catalogue)

    def logits():
        queries = model.query_tower(batch["user"], batch["token"], batch["query"], batch["visible"], training=True)
        return queries.numpy()[batch["counts"].numpy()] @ vectors.T / 0.1

    return float(np.mean([disagreement(logits(), logits()) for _ in range(5)]))


@pytest.mark.parametrize(
    ("said", "targets", "passes", "found"),
    [
        ("auto", SHORT // 20, 20, CONSISTENCY),
        ("auto", SHORT // 20 + 1, 20, 0),
        ("auto", SHORT, 1, CONSISTENCY),
        (0.25, SHORT, 20, 0.25),
        (0, 1, 1, 0),
    ],
)
def test_a_short_fit_is_worth_two_passes_a_step(said, targets, passes, found):
    assert consistency_for(TrainTwoTower(consistency=said), targets, passes) == found


@pytest.mark.parametrize("dropped", [{"id_dropout": 0.5}, {"user_dropout": 0.5}])
def test_both_passes_count_and_each_drops_of_both_towers(market, monkeypatch, dropped):
    """What is dropped of items alone, or of users alone, makes two passes differ."""
    config = CONFIG.model_copy(update={"id_dropout": 0.0, "user_dropout": 0.0} | dropped)
    fit = TowerFit(market.towers(config), market.sequences, market.catalogue, config)
    mark_seen(fit.model, market.catalogue, market.sequences, market.sequences.trained(FOREVER))
    fit._known.assign(range(len(market.catalogue.ids)))
    fit._consistency, losses, seen = 0.25, iter([1.0, 3.0]), []
    monkeypatch.setattr(fit_towers, "cross_entropy", lambda logits, own: next(losses))
    monkeypatch.setattr(fit_towers, "disagreement", lambda one, other: seen.append((one, other)) or 8.0)
    assert fit._loss(next(iter(market.sequences.batches(16, 0, FOREVER)))) == 2.0 + 0.25 * 8.0
    [(one, other)] = seen
    assert one.shape == other.shape
    assert np.abs(one.numpy() - other.numpy()).max() > 0.1


@pytest.mark.slow
def test_towers_agree_more_with_themselves_where_it_weighs(market):
    alone, _ = fitted(market, WITH_DROPOUT, 6)
    weighed, _ = fitted(market, WITH_DROPOUT.model_copy(update={"consistency": 2.0}), 6)
    assert apart(market, weighed.model) < 0.8 * apart(market, alone.model)


@pytest.mark.slow
def test_where_nothing_is_dropped_two_passes_are_one(market):
    """The loss of the first pass over the rows is the same, since there is nothing to disagree about."""
    config = CONFIG.model_copy(update={"id_dropout": 0.0, "user_dropout": 0.0})
    (_, one), (_, two) = (fitted(market, config.model_copy(update={"consistency": c}), 1) for c in (0.0, 5.0))
    assert one[0]["loss"] == pytest.approx(two[0]["loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("refresh_epochs", ["auto", 1])
def test_a_refresh_does_as_a_whole_fit_would(market, monkeypatch, refresh_epochs):
    """It has fewer passes: the data tell by those of the whole."""
    targets = int(market.sequences.trained(market.windows["end"]).frequency.sum())
    monkeypatch.setattr(fit_towers, "SHORT", 4 * targets)
    config = WITH_DROPOUT.model_copy(update={"consistency": "auto", "refresh_epochs": refresh_epochs})
    fit, _ = fitted(market, config, 1)
    before = arrays(fit.model)
    assert fit._consistency == CONSISTENCY
    history = fit.refresh(market.windows["end"], 8, lambda _: None)
    assert len(history) == (2 if refresh_epochs == "auto" else 1)
    assert fit._consistency == 0
    assert any((arrays(fit.model)[name] != values).any() for name, values in before.items())
