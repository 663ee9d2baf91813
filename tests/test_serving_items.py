"""Items that come while a release serves: what is refused, what changes, what stays, and what a disk may do."""

import asyncio
import copy
import dataclasses
import json
import threading
from types import SimpleNamespace
from unittest.mock import AsyncMock

import numpy as np
import pyarrow as pa
import pytest

from souk.config import Rerank
from souk.index.exact import ExactIndex
from souk.ingest.live import ItemCheck
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import PAIR_FEATURES, pair_features
from souk.rerank import Reranker
from souk.schema import Kind
from souk.serving.beside import Ended
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.items.outcomes import Replayed, Retired
from souk.serving.items.route import ItemsRoute
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.sources.rows import SparseRows
from tests.serving_fixtures import DIM, IDS, NOW, PRICES, SPEC, STATES, vectors, write_shop

ANN, BOB = STATES[0], STATES[1]  # of group 1 in the north, where dear items come first; of group 2 in the south
DEAR = {"item_id": "new", "category": "all/g1", "price": 99.5, "title": "Gilded boots"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    bundle = write_shop(tmp_path_factory.mktemp("items") / "shop")
    return bundle, Recommender.load(bundle, ExactIndex(vectors(), bundle.available), None)


@pytest.fixture
def live(shop, tmp_path):
    bundle, recommender = shop
    return LiveItems(recommender, bundle, ItemLog(tmp_path / "log"), lambda: NOW - 1000)


def slate(recommender, state, **asked):
    (answer,) = recommender.recommend([Request(state.user_id, 5, NOW, state=state, **asked)])
    return {item.item_id: item for item in answer.items}


def test_a_new_item_is_found_ranked_and_shown_at_once(live, shop):
    before = slate(live.current, ANN)
    outcome = live.upsert([DEAR])
    assert (outcome.accepted, outcome.created, outcome.refused) == (1, 1, ())
    first = next(iter(slate(live.current, ANN).values()))
    assert (first.item_id, first.title, first.source) == ("new", "Gilded boots", "two_tower+fresh+matched")
    assert first.scores == pytest.approx({"engaged": 0.995, "satisfied": 0.5})
    cheap = slate(live.current, BOB, candidates=("new", "g2-01"))  # south: the ranker reads its price
    assert list(cheap)[-1] == "new"
    assert list(slate(shop[1], ANN)) == list(before)  # what a request in flight holds is what it was
    assert "new" not in shop[1].catalogue.positions and "new" not in slate(live.current, ANN, exclude=("new",))


def test_a_row_changes_what_it_speaks_of_and_leaves_the_rest(live):
    best = next(iter(slate(live.current, ANN)))
    live.upsert([{"item_id": best, "available": False}])
    assert best not in slate(live.current, ANN)
    live.upsert([{"item_id": best, "available": None}])  # cleared: as in a table without the column
    back = slate(live.current, ANN)
    assert next(iter(back)) == best and back[best].title == f"Item {best}"
    assert back[best].scores["engaged"] == pytest.approx(PRICES[best] / 100)
    live.upsert([{"item_id": best, "price": 0.5, "category": "all/g1"}])
    assert best not in slate(live.current, ANN)
    live.upsert([DEAR, {"item_id": "new", "title": "Boots"}, {"item_id": "new", "available": False}])
    assert "new" not in slate(live.current, ANN)
    live.upsert([{"item_id": "new", "available": True}])
    assert slate(live.current, ANN)["new"].title == "Boots"


def test_bad_rows_are_refused_each_with_its_reason_and_the_others_taken(live):
    rows = [
        {"item_id": "a", "price": "cheap"},
        {"item_id": None, "price": 3},
        {"item_id": "b", "price": -1},
        {"item_id": "c", "titel": "x"},
        ["d"],
        {"item_id": "x" * 513},
        {"item_id": "f", "category": "all/g0", "created_at": "27.11.2026"},
        {"item_id": "e", "category": "all/g0", "price": 7},
    ]
    outcome = live.upsert(rows)
    assert outcome.accepted == 1 and "e" in live.current.catalogue.positions and len(live._log.read().rows) == 1
    assert [each.item_id for each in outcome.refused][:5] == ["a", "", "b", "c", ""]
    reasons = {each.row: each.reason for each in outcome.refused}
    parts = {
        0: "price to be of type double. Received: 'cheap'",
        1: "a value for item_id, which is required. Received: null",
        2: "price of at least 0",
        3: "Did you mean 'title'?",
        4: "a JSON object for each item. Received: ['d']",
        5: "1 to 512 characters",
        6: "Expected created_at to be UTC epoch milliseconds (int64). Received: '27.11.2026'",
    }
    assert reasons.keys() == parts.keys()
    for row, part in parts.items():
        assert part in reasons[row]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"available": True},
        {"available_until": None},
        {"available": False, "title": " "},
        {"title": None, "price": None},
    ],
)
def test_an_id_without_content_makes_no_item(live, said):
    """A mistyped one stood in slates without a title."""
    mistyped, known = {"item_id": "g1-O5", **said}, {"item_id": IDS[0], **said}
    outcome = live.upsert([mistyped, known, {**mistyped, "title": "Item g1-O5", "category": "all/g1"}, mistyped])
    assert (outcome.accepted, outcome.created) == (3, 1), "an id that is known by then is no mistyped one"
    [refused] = outcome.refused
    assert refused.row == 0 and "an item that is known, or a row with its content" in refused.reason


NO_ROWS = [
    {"item_id": "E1", "title": None},
    {"item_id": "E2", "title": ""},
    {"item_id": "E3", "price": None, "title": None, "category": None},
    {"item_id": "E4", "available": False, "title": None},
    {"item_id": "E5", "available_until": None},
]


def test_the_route_makes_no_item_of_rows_without_a_value(live):
    """They were recommended, as `fresh`."""
    served = SimpleNamespace(now=SimpleNamespace(bundle=SimpleNamespace(name="shop-1")), upsert=live.upsert)
    route = ItemsRoute(served, SimpleNamespace(items=lambda accepted, refused: None))
    body = AsyncMock(return_value=json.dumps({"items": [*NO_ROWS, DEAR]}).encode())
    answer = json.loads(asyncio.run(route.upsert(SimpleNamespace(body=body, headers={}))).body)
    assert (answer["accepted"], answer["created"]) == (1, 1)
    assert [row["item_id"] for row in answer["refused"]] == [row["item_id"] for row in NO_ROWS]
    assert all("Look for a typing error." in row["reason"] for row in answer["refused"])


def test_content_that_the_tower_cannot_take_is_refused_alone(live):
    outcome = live.upsert(
        [{"item_id": "odd", "title": "of no group"}, {"item_id": "e", "category": "all/g0", "price": 7}]
    )
    assert outcome.accepted == 1 and "odd" not in live.current.catalogue.positions
    [refused] = outcome.refused
    assert (refused.row, refused.item_id) == (0, "odd") and "item tower" in refused.reason


SCHEMA = """
feature { name: "brand" type: BYTES presence { min_fraction: 1 } domain: "brand" }
feature { name: "shape" type: FLOAT }
feature { name: "price" type: FLOAT float_domain { max: 10 } }
string_domain { name: "brand" value: "acme" }
"""


def test_rows_meet_the_schema_of_the_release():
    check = ItemCheck({"brand": Kind.CATEGORICAL, "shape": Kind.VECTOR}, {"shape": 2}, SCHEMA)
    rows = [
        {"item_id": "1", "brand": "acme", "price": 9, "shape": [1, 2]},
        {"item_id": "2", "brand": "other"},
        {"item_id": "3", "brand": "acme", "price": 11},
        {"item_id": "4"},
        {"item_id": "5", "price": 1},
        {"item_id": "6", "brand": "acme", "shape": [1]},
    ]
    _, refused = check.check(rows, known={"5"})  # a known item keeps the brand that it has
    assert sorted(refused) == [1, 2, 3, 5]
    assert "Expected brand to be one of acme. Received: 'other'." in refused[1] and "a value for brand" in refused[3]


def test_a_log_gives_back_what_it_took(shop, live):
    live.upsert([{"item_id": IDS[1], "title": "Older than the release"}, DEAR])
    bundle, recommender = dataclasses.replace(shop[0], items_as_of=NOW), shop[1]
    first = LiveItems(recommender, bundle, live._log, lambda: NOW).load()
    first.upsert([{"item_id": "bad", "price": "x"}, {"item_id": IDS[0], "title": "Renamed"}])
    first.upsert([{"item_id": "new", "price": 98.0}])
    again = LiveItems(recommender, bundle, live._log, lambda: NOW + 9).load()
    assert again.replayed == Replayed(taken=3, older=1)
    assert again.current.catalogue.ids == first.current.catalogue.ids
    assert again.current.catalogue.titles[:2] == ("Renamed", "Item g0-01")
    np.testing.assert_array_equal(again.current.parts[0].created_at, first.current.parts[0].created_at)
    assert slate(again.current, ANN)["new"].scores["engaged"] == pytest.approx(0.98)


def test_nothing_changes_where_the_disk_refuses(live, monkeypatch):
    live.upsert([DEAR])
    before = live.current
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        live.upsert([{"item_id": "other", "category": "all/g1"}])
    assert live.current is before and [row["item_id"] for row in live._log.read().rows] == ["new"]


def test_an_item_table_with_rows_replaced_is_that_of_the_whole_catalogue(shop):
    bundle, _ = shop
    rows = bundle.items.to_pylist()
    changed = [
        {**rows[3], "item_category": ["all"], "created_at": 7},
        {**rows[8], "item_category": ["all", "all/g9", "all/g9/x"]},
        {**rows[0], "item_id": "new-1", "item_category": []},
        {**rows[1], "item_id": "new-2"},
    ]
    fresh = np.random.default_rng(0).normal(size=(4, DIM)).astype(np.float32)
    old = ItemTable.of(bundle.items, bundle.counters, vectors(), SPEC)
    table = old.with_items(pa.Table.from_pylist(changed, bundle.items.schema), fresh, SPEC)
    whole = [changed[0] if n == 3 else changed[1] if n == 8 else row for n, row in enumerate(rows)] + changed[2:]
    counters = bundle.counters.to_pylist()
    unseen = [{**counters[0], "item_id": item, "events": 0.0, "lately": 0.0} for item in ("new-1", "new-2")]
    expected = ItemTable.of(
        pa.Table.from_pylist(whole, bundle.items.schema), pa.Table.from_pylist(counters + unseen),
        np.concatenate([vectors()[:3], fresh[:1], vectors()[4:8], fresh[1:2], vectors()[9:], fresh[2:]]), SPEC,
        SparseRows.empty(len(whole)),
    )  # fmt: skip
    assert table.position == expected.position and len(table.rules) == len(whole)
    np.testing.assert_array_equal(table.value_start, expected.value_start)
    told = {"token_event_type": ["rating"] * 3, "token_value": [5.0, 1.0, 4.0], "token_dwell": [9.0] * 3}
    tokens = told | {"token_item_id": ["new-2", IDS[8], IDS[3]], "token_gap": [0.0, 5.0, 5.0]}
    query = PairQuery.of(NOW, tokens, 9.0, table)
    every = np.arange(len(whole))
    given = [query], np.zeros(len(every), np.int64), every, (table.vectors @ fresh[0]).astype(np.float32)
    found, same = (pair_features(each, *given) for each in (table, expected))
    affinity = len(PAIR_FEATURES)  # what everyone takes of each value is as of the training: tests/test_affinity.py
    np.testing.assert_allclose(found[:, :affinity], same[:, :affinity], atol=1e-6)


def test_caps_count_new_items_with_the_known_ones(shop):
    """At most two of one category's top level: `all` has every known item, and a new one may be the third."""
    bundle, recommender = shop
    rules = Rerank(caps={"category": 2}, slate=4)
    capped = copy.copy(recommender)
    capped.reranker = Reranker.of(rules, recommender.parts[0], bundle.items, SPEC)
    row = {**bundle.items.to_pylist()[0], "created_at": None}
    rows = [{**row, "item_id": "n1", "item_category": ["all"]}, {**row, "item_id": "n2", "item_category": ["own"]}]
    later = capped.with_items(pa.Table.from_pylist(rows, bundle.items.schema), np.eye(2, DIM, dtype=np.float32))
    places = np.array([0, 1, 60, 61])
    assert later.reranker.chosen(places, np.log([4, 3, 2, 1.0]), NOW, 4) == [0, 1, 3, 2]


def test_a_request_during_upserts_sees_all_of_one_or_nothing(live):
    """Two dear items of which each call takes one away and brings the other back."""
    pair = ("x", "y")
    live.upsert([{**DEAR, "item_id": "x"}, {**DEAR, "item_id": "y", "available": False}])

    def turn():
        for n in range(20):
            live.upsert([{"item_id": item, "available": n % 2 == at} for at, item in enumerate(pair)])

    thread = threading.Thread(target=turn)
    thread.start()
    seen = []
    while thread.is_alive() or not seen:
        shown = slate(live.current, ANN)
        seen.append([item for item in pair if item in shown])
    thread.join()
    assert all(len(found) == 1 for found in seen)


def test_a_tower_that_does_not_answer_refuses_no_row(live, monkeypatch):
    """Nor is it asked again for each row of the call: what is wrong is none of theirs."""
    asked = []

    def ended(rows):
        asked.append(len(rows))
        raise Ended("nothing")

    monkeypatch.setattr(live._tower, "_computed", ended)
    with pytest.raises(Ended):
        live.upsert([DEAR, {**DEAR, "item_id": "other"}])
    assert asked == [2] and "new" not in slate(live.current, ANN)
    live.warm()
    monkeypatch.undo()
    assert live.upsert([DEAR]).accepted == 1 and "new" in slate(live.current, ANN)


def test_what_has_handed_over_takes_nothing_more(live, tmp_path):
    """Neither what it is told, which would be in no answer of the next release, nor what others wrote."""
    before = live.current
    with live.handing_over():
        pass
    ItemLog(tmp_path / "log").append([DEAR], [True], NOW)
    live.follow()
    for told in (lambda: live.upsert([DEAR]), lambda: live.sell({"g1-05": NOW})):
        with pytest.raises(Retired):
            told()
    assert live.current is before and len(live._log.read().rows) == 1
