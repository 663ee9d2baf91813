"""What slates show of a catalogue, against values that are counted by hand."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from souk.evaluation import exposure
from souk.evaluation.content import diversity
from souk.evaluation.protocol import Ranking, Users
from souk.evaluation.queries import rolling_queries
from souk.evaluation.summary import differences, summarise
from souk.schema import FOREVER
from tests.evaluation_fixtures import content_of, reader, spec_of


@pytest.fixture
def known(tmp_path):
    """Queries of ann (two) and eve (one); engagements before the window: a 1, b 2, c 1."""
    spec = spec_of("always")
    window, catalogue = reader(tmp_path)(spec)
    return rolling_queries(window, catalogue, spec, most=20), catalogue


def shown(*rows):
    return np.array([[*row, *[-1] * (10 - len(row))] for row in rows])


def test_values_of_a_slate_by_hand(known):
    _, catalogue = known
    content = content_of(catalogue, {"a": [1], "b": [1], "c": [2]})
    found = exposure.by_query(shown([0, 1], [3], []), catalogue, content)
    assert found["popularity@10"].tolist() == [1.5, 0, 0]
    assert found["novelty@10"] == pytest.approx([(2 + 1) / 2, 2, 0])  # shares 1/4, 1/2; none counts as one of four
    assert found["diversity@10"][0] == pytest.approx(0.0)
    assert np.isnan(found["diversity@10"][1:]).all()
    assert found["top1_share@10"].tolist() == [0.5, 0, 0]  # of five available items the first is b


def test_diversity_is_the_mean_over_pairs(known):
    _, catalogue = known
    values = {"a": [1, 2], "b": [2, 3, 4], "c": [5], "d": [1, 2], "new": []}
    found = diversity(shown([0, 1, 2, 3, 5], [0, 3]), content_of(catalogue, values))
    sets = [{1, 2}, {2, 3, 4}, {5}, {1, 2}]  # what has no value is left out
    pairs = [1 - len(x & y) / math.sqrt(len(x) * len(y)) for x, y in combinations(sets, 2)]
    assert found == pytest.approx([np.mean(pairs), 0.0])


def test_diversity_is_unknown_without_content(known):
    _, catalogue = known
    assert np.isnan(diversity(shown([0, 1, 2]), content_of(catalogue))).all()


def test_a_user_of_many_queries_weighs_as_much_as_one_of_few(known):
    queries, catalogue = known
    users = Users.of(queries)
    assert users.weights.tolist() == [0.25, 0.25, 0.5]
    found = exposure.exposure(shown([0], [0], [1]), users.weights, len(catalogue.ids))
    assert found.tolist() == [0.5, 0.5, 0, 0, 0, 0]
    figures = exposure.of_catalogue(shown([0], [0], [1]), users, catalogue)
    assert figures["coverage@10"] == 2 / 5
    assert figures["gini@10"] == pytest.approx(0.6)  # two of five items share everything equally
    until = np.where(np.arange(6) < 3, FOREVER, catalogue.start - 1)
    assert catalogue.available[:3].all()
    fewer = exposure.of_catalogue(shown([0], [0], [1]), users, replace(catalogue, until=until))
    assert fewer["coverage@10"] == 2 / 3, "what ended before the window is none of them"


def test_popularity_curve_of_models_beside_the_data(known):
    queries, catalogue = known
    ids = tuple(f"i{n:03d}" for n in range(200))
    there = {"available": np.ones(200, bool), "born": np.zeros(200, np.int64), "until": np.full(200, FOREVER)}
    catalogue = replace(catalogue, ids=ids, popularity=np.arange(200, 0, -1), **there)
    queries = [replace(query, targets=np.array([n * 20])) for n, query in enumerate(queries)]  # places 0, 20, 40
    ranking = Ranking("x", [], [], shown([0, 1], [0, 1], [10, 30]))
    curve = exposure.popularity_curve([ranking], queries, Users.of(queries), catalogue)
    at = dict(zip(curve["percent"], zip(curve["models"]["x"], curve["data"], strict=True), strict=True))
    assert at[1] == (0.5, 0.25)  # two items: both of ann's slates, and the target of one of ann's queries
    assert at[10] == pytest.approx((0.75, 0.25))
    assert at[20] == pytest.approx((1.0, 0.5))
    assert at[100] == pytest.approx((1.0, 1.0))
    queries[0] = replace(queries[0], targets=np.array([0, 100, 150]))  # a third of a quarter each
    assert exposure.popularity_curve([ranking], queries, Users.of(queries), catalogue)["data"][-2] == pytest.approx(
        1 / 12 + 0.75
    ), "a moment of three counts as much as one of one"


def test_models_have_intervals_and_their_differences_are_paired(known):
    queries, catalogue = known
    right, wrong = ([np.full(len(query.targets), rank) for query in queries] for rank in (1.0, 40.0))
    rankings = [
        Ranking("slate", right, right, shown([0], [0], [1])),
        Ranking("popularity", wrong, wrong, shown([1], [1], [1])),
    ]
    content = content_of(catalogue)
    models, per_user = summarise(rankings, queries, catalogue, content, ["mrr"], samples=100)
    assert models["slate"]["mrr"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert "diversity@10" not in models["slate"]  # nothing is known of the items
    assert {"popularity@10", "novelty@10", "top1_share@10"} <= set(per_user)
    found = differences(per_user, "slate", samples=100)
    assert list(found) == ["popularity"]
    assert found["popularity"]["mrr"]["mean"] == pytest.approx(1 - 1 / 40)
    assert found["popularity"]["popularity@10"]["mean"] == pytest.approx((1 + 2) / 2 - 2)


def test_a_difference_is_that_of_each_user_in_whatever_order_they_come():
    """The slate has .25 more for everybody; what users have differs much more, and in another order."""
    names, values = [f"u{n:02d}" for n in range(40)], np.random.default_rng(0).random(40)
    ours = pd.DataFrame({"user_id": names, "model": "slate", "mrr": values + 0.25})
    theirs = pd.DataFrame({"user_id": names, "model": "popularity", "mrr": values})[::-1]
    found = differences(pd.concat([ours, theirs]), "slate", samples=50)["popularity"]["mrr"]
    assert [found[name] for name in ("low", "mean", "high")] == pytest.approx([0.25] * 3)
