"""What re-ranking costs, told by candidates and rules whose effect is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from souk.evaluation.observed import Observed
from souk.evaluation.protocol import TOP
from souk.evaluation.queries import rolling_queries
from souk.evaluation.reranking import Alternatives
from souk.evaluation.stages import attribution
from tests.evaluation_fixtures import DAY, START, shop_setting
from tests.rerank_fixtures import reranker, shop

NEW = {"new_items": {"share": 0.25}}
SCORES = np.log(np.linspace(0.9, 0.5, 20))


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return shop_setting(tmp_path_factory.mktemp("shop"))


def served(items, rules, candidates):
    """A reranker of the shop's items, and the ranking of one request whose ranker keeps the order of `candidates`."""
    made, scores = reranker(items, rules), SCORES[: len(candidates)]
    ranked = np.arange(len(candidates))
    order = made.order(candidates, scores, START, TOP)
    return made, SimpleNamespace(
        candidates=SimpleNamespace(positions=candidates), ranked=ranked, log_scores=scores, order=order
    )


def queries_of(setting):
    return rolling_queries(setting.window, setting.catalogue, setting.spec, 20)


def test_each_control_is_priced_alone_and_with_the_others(setting):
    """i03 and i05 are taken by ten users each, i19 by five; it is new, and i00 sells most."""
    items = shop(np.eye(20), events=[500] + [0] * 19, ages=[400] * 19 + [1], now=START)
    rules = {"popularity": 5.0, "new_items": {"share": 0.1}}
    made, ranking = served(items, rules, np.array([0, 3, *range(6, 14), 5, 19]))
    alternatives, queries = Alternatives.of(made, TOP), queries_of(setting)
    assert list(alternatives.rerankers) == ["none", "new_items", "popularity", "all"]
    for _ in queries:
        alternatives.add(ranking, START, np.array([0, 3, *range(6, 14), 5, 19]))
    told = alternatives.price(queries, setting.catalogue, setting.content, 100)
    ndcg = {name: values["ndcg@10"]["mean"] for name, values in told.items()}
    users = len(queries)
    at = {place: 1 / np.log2(1 + place) for place in (1, 2, 10)}
    assert ndcg["none"] == pytest.approx(10 * at[2] / users)
    assert ndcg["new_items"] == pytest.approx((10 * at[2] + 5 * at[10]) / users)
    assert ndcg["popularity"] == pytest.approx((10 * at[1] + 10 * at[10]) / users)
    assert ndcg["all"] == pytest.approx((10 * at[1] + 5 * at[10]) / users)
    assert told["all"]["difference"]["mean"] == pytest.approx(ndcg["all"] - ndcg["none"])
    assert [told[name]["new_share@10"] for name in told] == pytest.approx([0, 0.1, 0, 0.1])
    popular = [told[name]["top1_share@10"]["mean"] for name in told]
    assert popular == pytest.approx([0.1, 0.1, 0.0, 0.0])
    assert told["none"]["coverage@10"] == told["all"]["coverage@10"] == 0.5


def test_the_first_ten_are_those_of_the_slate_that_is_served():
    """A quarter of the places is for new items, which stand behind the others: two of ten, and three of twelve."""
    made, ranking = served(shop(np.eye(20), ages=[400] * 10 + [1] * 10, now=START), NEW, np.arange(20))
    first = {}
    for size in (TOP, 12):
        alternatives = Alternatives.of(made, size)
        alternatives.add(ranking, START, np.arange(20))
        first[size] = alternatives.tops["new_items"][0].tolist(), alternatives.new["new_items"]
    assert first[TOP][0] == [*range(8), 10, 11] and first[TOP][1][0].mean() == 0.2
    assert first[12][0] == [*range(9), 10] and first[12][1][0].mean() == 0.1


def test_a_shorter_slate_is_priced_by_what_it_shows(setting):
    """Of five places the most sold item has the first; to the power of six, it stands behind them."""
    items = shop(np.eye(20), events=[500] + [0] * 19, ages=[400] * 19 + [1], now=START)
    made, ranking = served(items, {"popularity": 5.0, "new_items": {"share": 0.4}}, np.array([*range(10), 19]))
    alternatives, queries = Alternatives.of(made, 5), queries_of(setting)
    for _ in queries:
        alternatives.add(ranking, START, np.array([*range(10), 19]))
    told = alternatives.price(queries, setting.catalogue, setting.content, 100, 5)
    popular = {name: values["top1_share@5"]["mean"] for name, values in told.items()}
    assert popular == pytest.approx({"none": 0.2, "new_items": 0.2, "popularity": 0.0, "all": 0.0})
    assert [told[name]["new_share@5"] for name in told] == pytest.approx([0, 0.2, 0, 0.2]), "there is but one"
    assert told["none"]["coverage@5"] == 0.25


def test_the_places_of_new_items_are_a_users_mean_and_then_the_users(setting):
    """One user asks when the item is new and once more when it is not, another only then."""
    made, ranking = served(shop(np.eye(20), ages=[400] * 10 + [1] * 10, now=START), NEW, np.arange(20))
    alternatives, queries = Alternatives.of(made, TOP), queries_of(setting)
    for time in (START, START + 1000 * DAY, START + 1000 * DAY):
        alternatives.add(ranking, time, np.arange(20))
    queries = [queries[0], replace(queries[1], user_id=queries[0].user_id), queries[2]]
    told = alternatives.price(queries, setting.catalogue, setting.content, 100)
    assert told["new_items"]["new_share@10"] == pytest.approx((0.2 / 2 + 0) / 2)


def test_nothing_is_told_where_nothing_is_re_ranked(setting):
    made, ranking = served(shop(np.eye(20)), {}, np.arange(12))
    alternatives = Alternatives.of(made, TOP)
    alternatives.add(ranking, START, np.arange(12))
    assert alternatives.price(queries_of(setting), setting.catalogue, setting.content, 100) == {}


def test_what_re_ranking_moves_out_is_lost_there(setting):
    """The most sold item is the first by the ranker, and the last of the slate."""
    items = shop(np.eye(20), events=[500 if n == 3 else 0 for n in range(20)])
    _, ranking = served(items, {"popularity": 5.0}, np.array([3, *range(6, 18)]))
    observed, queries, ranks = Observed(), queries_of(setting), []
    for query in queries:
        heads = {"engaged": np.exp(ranking.log_scores)}
        observed.add(query, ranking.candidates.positions, ranking.ranked, heads)
        shown = ranking.candidates.positions[ranking.order].tolist()
        ranks.append(np.array([shown.index(t) + 1.0 if t in shown else np.inf for t in query.targets]))
    told = attribution(ranks, observed.found, [found <= TOP for found in observed.ranked], {})
    assert told["shares"]["reranking"] == pytest.approx(10 / len(queries))
    assert told["shares"]["retrieval"] == pytest.approx(15 / len(queries))
