"""How much is kept of what the ranker says of its candidates: a shop of many users must not run out of memory."""

from types import SimpleNamespace

import numpy as np
import pytest

from souk.evaluation import observed as module
from souk.evaluation.baselines import Popularity
from souk.evaluation.measure import measure_models
from souk.evaluation.observed import Observed, draw
from tests.evaluation_fixtures import FixedSlates, shop_setting


@pytest.fixture
def setting(tmp_path):
    return shop_setting(tmp_path)


def measured(setting, slates):
    return measure_models(setting, slates, [Popularity(setting.catalogue)])[0]


def slates_of(setting, name="slate"):
    return FixedSlates(setting.catalogue, ["i03", "i05", "i06"], {"i03": 0.9, "i05": 0.5}, name)


def test_candidates_stay_as_small_as_the_ranker_tells_them():
    observed = Observed()
    for item in range(3):
        query = SimpleNamespace(targets=np.array([item]), target_events=(f"e{item}",), user_id="ann")
        observed.add(query, np.arange(4), np.arange(4), {"engaged": np.full(4, 0.25, np.float32)})
    predicted, chosen = observed._pairs({})["engaged"]
    assert (predicted.dtype, chosen.dtype, len(chosen), chosen.sum()) == (np.float32, bool, 12, 3)
    assert [values.dtype for values in Observed()._pairs({})["engaged"]] == [np.float32, bool]


def test_only_the_queries_that_figures_are_of_are_kept(setting):
    """Not those of the frozen protocol, which come after."""
    slates = slates_of(setting)
    metrics = measured(setting, [slates])
    assert len(slates.observed.users) == metrics["protocols"]["rolling"]["queries"] == 25
    assert metrics["protocols"]["frozen"]["queries"] == 25


def test_of_many_queries_both_models_are_judged_by_the_candidates_of_the_same_ones(setting, monkeypatch):
    monkeypatch.setattr(module, "QUERIES", 10)
    slates = [slates_of(setting, name) for name in ("slate", "champion")]
    metrics = measured(setting, slates)
    told = [metrics["ranker"][name]["heads"]["engaged"] for name in ("slate", "champion")]
    assert told[0] == told[1] and told[0]["examples"] == 30
    assert len(draw(25)) == 10 and draw(25) == draw(25) != frozenset(range(10))
    assert metrics["ranker"]["slate"]["ndcg@10"]["engaged"]["queries"] == 20, "orders are of all queries"
    assert metrics["ranker"]["slate"]["heads"]["satisfied"]["examples"] == 20
