"""The marketplace is what it says: its known best wins where popularity, item-kNN and chance do not."""

import filecmp
import json
from collections import Counter

import numpy as np
import pytest

from souk.config import load_config
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.protocol import METRICS, rank
from souk.evaluation.queries import rolling_queries
from souk.evaluation.summary import summarise
from souk.evaluation.windows import read_window
from tests.evaluation_fixtures import content_of, market_artifacts, spec_of
from tests.marketplace import CONFIG, write_marketplace


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return write_marketplace(tmp_path_factory.mktemp("market"))


class KnownBest:
    """Ranks by `Marketplace.expected_best`."""

    name = "known_best"

    def __init__(self, market, catalogue):
        self._market, self._catalogue = market, catalogue

    def score(self, queries):
        scores = np.zeros((len(queries), len(self._catalogue.ids)), np.float32)
        for row, query in enumerate(queries):
            best = self._market.expected_best(query.state, query.context["device"])
            for place, item in enumerate(best):
                scores[row, self._catalogue.position[item]] = 2.0 - place
        return scores


class Chance:
    name = "chance"

    def score(self, queries):
        return np.random.default_rng(0).random((len(queries), 72), np.float32)


def test_config_is_valid(market):
    assert load_config(market.config).name == "marketplace"


def test_known_best_wins(market, tmp_path):
    spec = spec_of(CONFIG["repeat"])
    tables, features = market_artifacts(market, tmp_path)
    catalogue, window = read_window(tables, features, spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    scorers = [KnownBest(market, catalogue), Popularity(catalogue), ItemKnn(catalogue), Chance()]
    rankings = [rank(scorer, queries, catalogue) for scorer in scorers]
    models, _ = summarise(rankings, queries, catalogue, content_of(catalogue), METRICS, samples=100)
    ndcg = {name: values["ndcg@10"]["mean"] for name, values in models.items()}
    assert len(queries) > 400
    assert ndcg["known_best"] > 0.5
    assert max(ndcg["popularity"], ndcg["item_knn"], ndcg["chance"]) < 0.6 * ndcg["known_best"]


def test_clickbait_is_clicked_most_and_never_kept(market):
    rows = [json.loads(line) for line in (market.folder / "events.jsonl").read_text().splitlines()[: market.events]]
    counts = Counter((row["event_type"], row["product"]) for row in rows)
    bait = set(market.clickbait.values())
    clicks = Counter({item: n for (kind, item), n in counts.items() if kind == "click"})
    assert {item for item, _ in clicks.most_common(4)} == bait
    assert all(counts["return", item] == counts["purchase", item] > 0 for item in bait)
    assert not any(clicks[item] for item in market.cold.values())


def test_same_seed_same_files(market, tmp_path):
    again = write_marketplace(tmp_path / "again")
    names = ["events.jsonl", "items.csv", "users.parquet", "marketplace.yaml"]
    assert filecmp.cmpfiles(market.folder, again.folder, names, shallow=False)[0] == names
