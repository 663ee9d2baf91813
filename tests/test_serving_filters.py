"""Filters of a request: what they mean, what is refused, and never fewer items than there are."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve import InferInput, InferRequest

from souk.config import Columns
from souk.errors import SoukError
from souk.index.hnsw import HnswIndex, build
from souk.ingest import cells
from souk.readers.json_lines import json_batch
from souk.serving.filters import Filters
from souk.serving.protocol import tensors
from souk.serving.recommender import Recommender
from souk.serving.request import Request, RequestParser
from tests.recommender_fixtures import CANDIDATES, KNOWN
from tests.serving_fixtures import HIDDEN, IDS, NOW, PRICES, SPEC, vectors, write_shop

CATEGORIES = {}
PARSER = RequestParser(SPEC, 20, 200)


@pytest.fixture(scope="module")
def recommenders(tmp_path_factory):
    """Over exact search, and over a graph that is always walked through."""
    bundle = write_shop(tmp_path_factory.mktemp("bundle") / "shop", CANDIDATES)
    CATEGORIES.update(zip(bundle.item_ids, bundle.items["item_category"].to_pylist(), strict=True))
    exact = Recommender.load(bundle, None, None)
    graph = HnswIndex(build(vectors()), vectors(), bundle.available, always=True)
    return exact, exact.connected(graph, None)


def asked(filter, **more):
    return PARSER.parse({"user_id": "ann", "timestamp": NOW, "filter": filter, **more}, NOW)


def matches(item, filter):
    """By the plain way, one item at a time."""
    bounds, wanted = filter.get("price", {}), filter.get("category")
    wanted = [wanted] if isinstance(wanted, str) else wanted
    return bounds.get("min", -1) <= PRICES[item] <= bounds.get("max", 1e9) and (
        wanted is None or any(word in CATEGORIES[item] for word in wanted)
    )


def slate(recommender, request, wanted):
    answer = recommender.recommend([Request(**{**vars(request), "state": KNOWN["ann"]})])[0]
    none = not any(matches(item, wanted) for item in IDS if item not in HIDDEN)
    why = "filter_matches_nothing" if none else "all_kept_out"
    assert answer.degraded == (() if answer.items else (why,))
    return [item.item_id for item in answer.items]


@settings(max_examples=25)
@given(st.data())
def test_never_fewer_than_there_are_and_none_that_does_not_match(recommenders, data):
    words = sorted({word for own in CATEGORIES.values() for word in own})
    wanted = {}
    if data.draw(st.booleans()):
        wanted["category"] = data.draw(st.lists(st.sampled_from([*words, "nowhere"]), min_size=1, max_size=3))
    if data.draw(st.booleans()):
        low = data.draw(st.integers(0, 100))
        wanted["price"] = {"min": low, "max": low + data.draw(st.integers(0, 60))}
    k = data.draw(st.sampled_from([1, 5, len(IDS)]))
    out = data.draw(st.sets(st.sampled_from(IDS), max_size=40))
    request = asked(wanted, k=k, exclude=sorted(out))
    owned = {event.item_id for event in KNOWN["ann"].events}
    there = {item for item in IDS if item not in HIDDEN | owned | out and matches(item, wanted)}
    for recommender in recommenders:
        found = slate(recommender, request, wanted)
        assert len(found) == len(set(found)) == min(k, len(there)) and set(found) <= there
        safe = recommender.safe([request])[0].items
        assert all(matches(item.item_id, wanted) for item in safe)


def test_the_models_rank_what_a_filter_leaves(recommenders):
    """Not fill: the towers' own search is done among what matches."""
    (answer,) = recommenders[1].recommend(
        [Request("ann", 5, NOW, state=KNOWN["ann"], filter=asked({"category": "nowhere"}).filter)]
    )
    assert (answer.items, answer.degraded) == ((), ("filter_matches_nothing",))
    far = next(word for word in CATEGORIES["g3-00"] if word not in CATEGORIES["g1-00"])
    request = Request("ann", 5, NOW, state=KNOWN["ann"], filter=asked({"category": far}).filter)
    (answer,) = recommenders[1].recommend([request])
    assert len(answer.items) == 5 and all(item.scores and "two_tower" in item.source for item in answer.items)


@pytest.mark.parametrize("who", [{"user_id": "ann"}, {"item_id": "g0-03"}, {"events": []}, {"user_id": "nobody"}])
def test_a_filter_that_nothing_matches_is_told(recommenders, who):
    """And one that matches is not, where something else empties the slate."""
    for recommender in recommenders:
        for wanted, told in (("no > such", True), (CATEGORIES["g0-00"][0], False)):
            body = {"timestamp": NOW, "filter": {"category": wanted}, **who}
            request = PARSER.parse(body, NOW)
            for slates in (recommender.recommend([request]), recommender.safe([request])):
                assert ("filter_matches_nothing" in slates[0].degraded) == told
                assert bool(slates[0].items) != told
    there = PARSER.parse({"filter": {"category": CATEGORIES["g0-00"][0]}, "exclude": list(IDS), **who}, NOW)
    (empty,) = recommenders[0].recommend([there])
    assert empty.items == () and "filter_matches_nothing" not in empty.degraded and "all_kept_out" in empty.degraded


def test_a_filter_that_none_of_the_candidates_matches_is_told(recommenders):
    """Also where other items match; and where no candidate is to be had, the filter is not to blame."""
    far = next(word for word in CATEGORIES["g3-00"] if word not in CATEGORIES["g1-00"])
    for names, told in ((["g1-00"], "filter_matches_nothing"), (sorted(HIDDEN), "no_candidate_available")):
        body = {"user_id": "ann", "timestamp": NOW, "filter": {"category": far}, "candidates": names}
        (answer,) = recommenders[0].recommend([PARSER.parse(body, NOW)])
        told_of = {"filter_matches_nothing", "no_candidate_available"} & set(answer.degraded)
        assert (answer.items, told_of) == ((), {told})


def test_a_range_holds_its_ends(recommenders):
    price, place = PRICES["g0-03"], IDS.index("g0-03")
    for own in ({"min": price}, {"max": price}, {"min": price, "max": price}):
        assert recommenders[0].catalogue.matching(asked({"price": own}).filter, NOW)[place]
    for other in ({"min": price + 0.01}, {"max": price - 0.01}):
        assert not recommenders[0].catalogue.matching(asked({"price": other}).filter, NOW)[place]


def test_an_item_of_another_word_or_a_little_dearer_is_found_by_what_it_is_now(recommenders):
    words, place = ["toys", *CATEGORIES["g0-03"][1:]], IDS.index("g0-03")
    row = {"item_id": "g0-03", "item_category": words, "item_price": PRICES["g0-03"] + 1, "item_title": ["a"]}
    row |= {"title": "A", "available": True, "created_at": NOW}
    changed = recommenders[0].with_items(pa.Table.from_pylist([row]), vectors()[:1]).catalogue
    assert changed.matching(asked({"category": "toys"}).filter, NOW)[place]
    assert not changed.matching(asked({"category": CATEGORIES["g0-03"][0]}).filter, NOW)[place]
    assert not changed.matching(asked({"price": {"max": PRICES["g0-03"]}}).filter, NOW)[place]


def test_an_upsert_is_seen_and_masks_are_kept_for_a_catalogue(recommenders):
    recommender, wanted = recommenders[0], asked({"price": {"min": 1000}}).filter
    assert not recommender.catalogue.matching(wanted, NOW).any()
    again = asked({"price": {"min": 1000.0}}).filter
    assert recommender.catalogue.matching(again, NOW) is recommender.catalogue.matching(wanted, NOW)
    rows = {"item_id": ["g0-03", "new"], "item_category": [["toys"], []], "item_price": [2000.0, None]}
    rows |= {"item_title": [["a"], []], "title": ["A", ""], "available": [True, True], "created_at": [NOW, NOW]}
    many = asked({"category": [f"c{number}" for number in range(51)]}).filter
    catalogue = recommender.catalogue
    assert catalogue.matching(many, NOW) is not catalogue.matching(many, NOW), "a key of so many words takes more"
    changed = recommender.with_items(pa.table(rows), vectors()[:2])
    assert np.flatnonzero(changed.catalogue.matching(wanted, NOW)).tolist() == [IDS.index("g0-03")]
    for category, there in (("toys", True), (CATEGORIES["g0-03"][0], False)):
        mask = changed.catalogue.matching(asked({"category": category}).filter, NOW)
        assert mask[IDS.index("g0-03")] == there and not mask[len(IDS)]
    assert not recommender.catalogue.matching(wanted, NOW).any()


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        ([], r"instance\.filter to be an object"),
        ({"prise": {}}, r"'prise'\. Did you mean 'price'"),
        ({"title": "x"}, "a column of items to filter by"),
        ({"item_id": "x"}, "a column of items to filter by"),
        (
            {"category": {"min": 4}},
            r"filter\.category to be a text, or a list of texts\. Received: \{'min': 4\}\. A range is",
        ),
        ({"price": 5}, r"instance\.filter\.price to be an object with min or max"),
        ({"price": {"mim": 5}}, r"'mim'\. Did you mean 'min'"),
        ({"price": {"min": "5"}}, r"instance\.filter\.price\.min to be a number"),
        ({"price": {"min": float("nan")}}, "NaN"),
        (
            {"price": {"min": 60, "max": 10}},
            r"filter\.price: a min that is not above its max\. Received: min 60, max 10\. Exchange",
        ),
        ({"category": 5}, r"instance\.filter\.category"),
        ({"category": {"min": 5}}, r"instance\.filter\.category"),
        ({"category": []}, r"instance\.filter\.category to be a text, or a list of 1 to 100"),
        ({"category": ["a", None]}, r"instance\.filter\.category\[1\]"),
    ],
)
def test_a_filter_that_is_wrong_is_refused(filter, said):
    with pytest.raises(SoukError, match=said):
        asked(filter)


def test_what_is_left_out_or_written_otherwise_is_the_same_filter():
    assert asked({}).filter == asked({"price": None, "category": None}).filter == asked(None).filter == ()
    one, other = (
        {"category": ["b / c", "a"], "price": {"min": 1}},
        {"price": {"min": 1.0, "max": None}, "category": ["a", "b/c"]},
    )
    assert asked(one).filter == asked(other).filter and hash(asked(one).filter) == hash(asked(other).filter)


def test_truth_values_are_the_texts_that_files_and_upserts_make_of_them():
    stored = cells.parse_text(pa.array([True, False]))[0].to_pylist()
    lines = json_batch("items", [b'{"explicit": true}', b'{"explicit": false}'], 1).table["explicit"].to_pylist()
    (asked_for,) = asked({"category": [True, False]}).filter
    assert stored == lines == sorted(asked_for.words, reverse=True) == ["true", "false"]
    assert cells.parse_list(pa.array(["[true, false]"]))[0].to_pylist() == [stored]
    with pytest.raises(SoukError, match=r'instance\.user_id .* Received: false\. Write "false", in quotes'):
        PARSER.parse({"user_id": False}, NOW)


def test_a_tensor_carries_filters():
    texts = ['{"price": {"max": 9}}', ""]
    inputs = [InferInput("user_id", [2], "BYTES", ["a", "b"]), InferInput("filter", [2], "BYTES", texts)]
    first, second = tensors.instances_of(InferRequest("souk", inputs))
    assert first["filter"] == {"price": {"max": 9}} and "filter" not in second


@pytest.mark.parametrize("column", ["category", "genre"])
def test_a_class_of_ones_own_finds_by_a_word_what_a_filter_does(column):
    spec = replace(SPEC, columns=Columns(items={"category": "path", "genre": "categorical"}))
    items = {"item_category": [["a", "a/b"], ["a"]], "item_genre": ["a / b", "a/b"]}
    filters = Filters.of(items, 2, spec)
    wanted = RequestParser(spec, 20, 200).parse({"user_id": "ann", "filter": {column: "a / b"}}, NOW).filter
    assert filters.having(column, "a / b").tolist() == filters.mask(wanted).tolist() == [True, False]
