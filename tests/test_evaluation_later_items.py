"""What came to the shop after a champion was made: its twin is judged with it, as its server is told of it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import BuildFeatures, Columns, Evaluate
from souk.evaluation.gate import Champion
from souk.evaluation.later_items import later_items
from souk.evaluation.measure import measure
from souk.evaluation.queries import rolling_queries
from souk.evaluation.windows import read_window
from souk.features.tables import item_table
from souk.release.bundle import Bundle
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows
from tests import serving_fixtures as fixtures
from tests.evaluation_shop import Shop

pytestmark = pytest.mark.slow
KNOWN = 50  # of 60 items; the last ten of the last group came later
CHANGED, NEW = fixtures.IDS[3], fixtures.IDS[KNOWN:]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop")).write()


@pytest.fixture(scope="module")
def full(shop):
    return Bundle.load(shop.evaluate("good")[2] / "twin")


def earlier(bundle):
    """The bundle of before the last items came."""
    return replace(
        bundle,
        items=bundle.items.slice(0, KNOWN),
        counters=bundle.counters.slice(0, KNOWN),
        vectors=np.array(bundle.vectors[:KNOWN]),
        rules=SparseRows.empty(KNOWN),
        segments=Segments.empty(),
    )


def raw_items(**changes):
    """The items table, with columns in the place of its own; None takes one out."""
    table = {"item_id": fixtures.IDS, "price": [fixtures.PRICES[item] for item in fixtures.IDS]}
    table |= {"category": [f"all/{item[:2]}" for item in fixtures.IDS], "created_at": [0] * len(fixtures.IDS)}
    return pa.table({name: column for name, column in (table | changes).items() if column is not None})


def test_a_champion_finds_what_came_after_it(shop, full, tmp_path, monkeypatch):
    """It is the challenger's twin but for the items that it lacks, a sixth of what is taken: it is as good."""
    old = earlier(full)
    monkeypatch.setattr(Bundle, "load", lambda folder: old)
    metrics, _ = measure(Evaluate(bootstrap=100), full, Champion("old", tmp_path), shop.tables, shop.features)
    rolling = metrics["protocols"]["rolling"]
    slate, champion = (rolling["models"][name]["ndcg@10"]["mean"] for name in ("slate", "champion"))
    assert slate > 0.3 and champion == pytest.approx(slate, abs=0.01)
    taken_of_new = sum(event in NEW for event in pq.read_table(shop.tables / "events.parquet")["item_id"].to_pylist())
    assert taken_of_new > 50


def test_towers_and_slates_are_those_of_a_bundle_that_had_the_items(shop, full):
    from souk.evaluation.twins import Slates, Towers

    catalogue, window = read_window(shop.tables, shop.features, full.spec)
    queries = rolling_queries(window, catalogue, full.spec, 20)[::5]
    later = later_items(earlier(full), full.spec, shop.tables, shop.features)
    assert (later.new, later.unknown, later.rows["item_id"].to_pylist()) == (NEW, 0, list(NEW))
    whole = replace(full, rules=SparseRows.empty(len(fixtures.IDS)), segments=Segments.empty())
    found = []
    for bundle, rows in ((whole, None), (earlier(full), later)):
        towers = Towers("two_tower", bundle, catalogue, full.spec, rows).load()
        slates = Slates("slate", towers, shop.features).load()
        found.append((towers.score(queries), slates.score(queries)))
    for expected, scores in zip(*found, strict=True):
        assert scores == pytest.approx(expected, abs=1e-5)


def test_a_bundle_that_has_all_as_it_is_takes_nothing(shop, full):
    later = later_items(full, full.spec, shop.tables, shop.features)
    assert len(later.rows) == len(later.vectors) == len(later.new) == 0


def test_new_content_of_known_items_is_taken_and_what_is_available_is_the_evaluations_to_say(shop, full, tmp_path):
    table = raw_items().to_pylist()
    table[3] |= {"price": 1.0}
    table[4] |= {"available": False}
    pq.write_table(item_table(pa.Table.from_pylist(table), full.spec), tmp_path / "items.parquet")
    later = later_items(full, full.spec, shop.tables, tmp_path)
    assert [(row["item_id"], row["item_price"]) for row in later.rows.to_pylist()] == [(CHANGED, 1.0)]
    assert not later.new and later.vectors[0] == pytest.approx(fixtures.vectors()[3], abs=1e-6)


def test_an_item_that_was_put_up_again_keeps_its_vector(shop, full, monkeypatch):
    table = pq.read_table(shop.features / "items.parquet")
    created = pa.array([5 if item == CHANGED else 0 for item in fixtures.IDS])
    table = table.set_column(table.column_names.index("created_at"), "created_at", created)
    monkeypatch.setattr("souk.evaluation.later_items.ItemTower.vectors", None)
    monkeypatch.setattr("souk.evaluation.later_items.pq.read_table", lambda path: table)
    later = later_items(full, full.spec, shop.tables, shop.features)
    assert [(row["item_id"], row["created_at"]) for row in later.rows.to_pylist()] == [(CHANGED, 5)]
    assert later.vectors == pytest.approx(np.array(full.vectors)[[3]])


@pytest.mark.parametrize("gone", [None, pa.nulls(len(fixtures.IDS), pa.float64())])
def test_a_column_that_the_config_dropped_stays_what_it_was_of_known_items(full, tmp_path, gone):
    """The config of today has no price: neither has the table, or, of a column of the contract, no value of it."""
    columns = Columns(events=full.spec.columns.events, items={"category": "path"}, users=full.spec.columns.users)
    spec = replace(full.spec, columns=columns, build=BuildFeatures(history_length=8))
    rows = raw_items(price=gone, category=["all/g1" if item == CHANGED else f"all/{item[:2]}" for item in fixtures.IDS])
    pq.write_table(rows, tmp_path / "items.parquet")
    later = later_items(earlier(full), spec, tmp_path, tmp_path / "none")
    assert later.new == NEW and later.rows["item_id"].to_pylist() == [CHANGED, *NEW]
    prices = later.rows["item_price"].to_numpy()
    assert prices[0] == fixtures.PRICES[CHANGED] and np.isnan(prices[1:]).all()


def test_an_item_of_which_the_tower_has_no_vector_is_not_taken_and_counted(shop, full, monkeypatch):
    def vectors(self, inputs):
        rows = np.eye(1, fixtures.DIM, dtype=np.float32).repeat(len(inputs["item_id"]), axis=0)
        rows[0] = np.nan
        return rows

    monkeypatch.setattr("souk.evaluation.later_items.ItemTower.vectors", vectors)
    later = later_items(earlier(full), full.spec, shop.tables, shop.features)
    assert (later.new, later.unknown, len(later.vectors)) == (NEW[1:], 1, len(NEW) - 1)
    assert later.text == "9 items came after it was made, 1 more are left out: its tower has no vector of them"
