"""Never fewer than k while the catalogue has k eligible items: the whole request path, over each index, at any share of
the catalogue that a filter leaves, with whatever else keeps items out, beside one item at a time by the plain way."""

import contextlib
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.serving.enlarge import tables
from souk.config import Repeat
from souk.index import hnsw, ivf
from souk.index.hnsw import HnswIndex
from souk.index.ivf import IvfIndex
from souk.index.milvus import open_or_build
from souk.release.bundle import Bundle
from souk.schema import DAY_MS
from souk.serving.recommender import Recommender
from souk.serving.request import RequestParser
from souk.state import Event, state_of
from tests.serving_fixtures import NOW, SPEC, write_shop

ITEMS, CANDIDATES = 4_000, 100
SHARES = (0.001, 0.002, 0.01, 0.1, 0.5, 0.97, 1.0)  # .97: what is left out is sent to Milvus along with the search
RULES = {"rule": "never", "fatigue": {"shown": 2, "days": 3}}
SHOP = replace(SPEC, repeat=Repeat.model_validate(RULES))
FATES = ("hidden", "taken", "tired", "excluded", "sold", "unavailable")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The shop with thousands of items, the nth at the price n, of which some are unavailable and some were sold."""
    folder = tmp_path_factory.mktemp("eligible") / "shop"
    write_shop(folder, CANDIDATES)
    tables(folder, ITEMS)
    random, items = np.random.default_rng(5), pq.read_table(folder / "items.parquet")
    columns = {
        "item_price": np.arange(ITEMS, dtype=np.float32),
        "available": random.random(ITEMS) < 0.9,
        "available_until": np.where(random.random(ITEMS) < 0.1, NOW - DAY_MS, NOW + DAY_MS),
    }
    for name, values in columns.items():
        items = items.drop_columns([name] if name in items.column_names else []).append_column(name, pa.array(values))
    pq.write_table(items, folder / "items.parquet")
    (folder / "spec.json").write_text(SHOP.to_json())
    told = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(told | {"spec_hash": SHOP.hash}))
    return Bundle.load(folder)


@pytest.fixture(scope="module", params=["numpy", "lists", "all lists", "walk", "lite"])
def recommender(request, bundle, tmp_path_factory):
    """Over exact search, lists, and lists and a graph that always answer, and Milvus Lite."""
    with contextlib.ExitStack() as stack:
        index, kind = None, request.param
        if kind in ("lists", "all lists"):
            index = IvfIndex(ivf.build(bundle.vectors), bundle.vectors, bundle.available, always=kind == "all lists")
        elif kind == "walk":
            index = HnswIndex(hnsw.build(bundle.vectors), bundle.vectors, bundle.available, always=True)
        elif kind == "lite":
            path = tmp_path_factory.mktemp("lite") / "items.db"
            index = open_or_build(str(path), "items_test", bundle.vectors, bundle.indexed)
            index.timeout = 60.0
            stack.callback(index.close)
        yield Recommender.load(bundle, None, None).connected(index, None)


class Drawn:
    """A store of one user's state."""

    def __init__(self, state):
        self._state = state

    def read(self, user_ids):
        """It is everybody's."""
        return [self._state for _ in user_ids]


def events_of(fates):
    """What the user did, an event a minute, and was shown two days ago."""
    kinds = {"hidden": ["hide"], "taken": ["click"], "tired": ["impression", "impression"]}
    acts = [(item, kind) for item, fate in fates.items() for kind in kinds.get(fate, [])]
    return [
        Event(item, kind, NOW - 2 * DAY_MS + 60_000 * n, event_id=f"e{n:05d}") for n, (item, kind) in enumerate(acts)
    ]


def upserted(recommender, bundle, fates):
    """As `souk items upsert` would: some are sold, some not available any more."""
    rows = {row["item_id"]: row for row in bundle.items.to_pylist()}
    sold = {item: {"available_until": NOW - 1} for item, fate in fates.items() if fate == "sold"}
    gone = {item: {"available": False} for item, fate in fates.items() if fate == "unavailable"}
    if not (changed := sold | gone):
        return recommender
    own = [{**rows[item], **more} for item, more in changed.items()]
    where = [recommender.catalogue.positions[item] for item in changed]
    return recommender.with_items(pa.Table.from_pylist(own, bundle.items.schema), bundle.vectors[where])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_never_fewer_than_there_are_at_any_share_of_the_catalogue(recommender, bundle, data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = round(ITEMS * data.draw(st.sampled_from(SHARES)))
    first = int(random.integers(ITEMS - size + 1))
    category = data.draw(st.sampled_from([None, None, "all/g1", ["all/g0", "all/g2"]]))
    k = data.draw(st.sampled_from([1, 3, 10, 50]))
    odds = data.draw(st.sampled_from([0.0, 0.3, 0.9]))
    inside = [bundle.item_ids[n] for n in random.permutation(np.arange(first, first + size))[:60]]
    fates = {item: FATES[random.integers(len(FATES))] for item in inside if random.random() < odds}

    wanted = {"price": {"min": first, "max": first + size - 1}} if size < ITEMS else {}
    body = {"user_id": "ann", "k": k, "timestamp": NOW, "filter": wanted | ({"category": category} if category else {})}
    body["exclude"] = [item for item, fate in fates.items() if fate == "excluded"]
    drawn = Drawn(state_of("ann", events_of(fates), SHOP, {"region": "north"}))
    served = upserted(recommender, bundle, fates)
    served = served.connected(served.retrieval.index, drawn)
    (slate,) = served.recommend([RequestParser(SHOP, 20, 200).parse(body, NOW)])

    groups = [category] if isinstance(category, str) else category
    there = {
        row["item_id"]
        for n, row in enumerate(bundle.items.to_pylist())
        if first <= n < first + size
        and row["available"]
        and row["available_until"] >= NOW
        and fates.get(row["item_id"]) not in ("sold", "unavailable")
        and (groups is None or any(group in row["item_category"] for group in groups))
    }
    eligible = {item for item in there if fates.get(item, "tired") == "tired"}
    tired = {item for item in eligible if item in fates}
    shown = [item.item_id for item in slate.items]
    why = "all_kept_out" if there else "filter_matches_nothing"
    assert slate.degraded == (() if eligible else (why,))
    assert len(shown) == len(set(shown)) == min(k, len(eligible)) and set(shown) <= eligible
    last = [item.item_id in tired for item in slate.items]
    assert last == sorted(last) and sum(not late for late in last) == min(k, len(eligible - tired)), "tired ones last"
    assert all(item.scores for item in slate.items if item.item_id not in tired), "found and ranked, not filled in"
