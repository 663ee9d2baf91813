"""Slates without a user: items like an item, and sessions."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve import InferInput, InferRequest

from souk.config import Rerank
from souk.errors import SoukError
from souk.index.hnsw import HnswIndex, build
from souk.release.bundle import Bundle
from souk.rerank import Reranker
from souk.serving.lifetimes import Lifetimes
from souk.serving.protocol import tensors
from souk.serving.recommender import Recommender
from souk.serving.request import Request, RequestParser
from souk.serving.similar import Similar
from souk.serving.subjects import check_explained, check_subjects
from souk.sources.rows import SparseRows
from souk.state import Event, UserState, kept_events
from souk.store.memory import MemoryStore
from tests.recommender_fixtures import CANDIDATES, Failing
from tests.serving_fixtures import HIDDEN, IDS, NOW, PRICES, SPEC, STATES, vectors, write_shop

PARSER = RequestParser(SPEC, 10, 60)
FOLLOWS = {"g0-00": {"g3-01": 5.0, "g0-01": 4.0, "g3-07": 3.0, "g2-02": 1.0}}  # g3-07 is hidden


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "shop"
    write_shop(folder, CANDIDATES)
    rows = [(IDS.index(item), IDS.index(other), w) for item, own in FOLLOWS.items() for other, w in own.items()]
    owner, items, weights = (np.array(column) for column in zip(*rows, strict=True))
    SparseRows.strongest(owner, items, weights, len(IDS), 99).save(folder / "co_visitation.npz")
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    return Recommender.load(Bundle.load(folder), None, store)


def asked(**fields):
    return PARSER.parse({"timestamp": NOW, **fields}, NOW)


def test_a_popular_item_that_is_the_nearest_stays_near(recommender, monkeypatch):
    """Scores are sums of reciprocal ranks, of which a power would leave nothing to the popular ones."""
    first = ids(slate(recommender, item_id="g1-00", k=5))
    reranker = replace(recommender.reranker, rules=Rerank(popularity=0.4))
    monkeypatch.setattr(recommender, "reranker", reranker)
    monkeypatch.setattr(Reranker, "popular", lambda self, positions: positions == IDS.index(first[0]))
    assert ids(slate(recommender, item_id="g1-00", k=5)) == first
    monkeypatch.setattr(Reranker, "popular", lambda self, positions: positions == IDS.index(first[-1]))
    assert ids(slate(recommender, item_id="g1-00", k=5)) != first


def slate(recommender, **fields):
    (answer,) = recommender.recommend([asked(**fields)])
    return answer


def ids(answer):
    return [item.item_id for item in answer.items]


def by_the_plain_way(item, k, out=()):
    """Reciprocal ranks of the nearest vectors and of what follows, one item at a time."""
    there = [other for other in IDS if other not in HIDDEN | {item} | set(out)]
    near = sorted(there, key=lambda i: -float(vectors()[IDS.index(i)] @ vectors()[IDS.index(item)]))[:CANDIDATES]
    own = FOLLOWS.get(item, {})
    after = sorted((i for i in own if i in there), key=lambda i: -own[i])
    score = {i: sum(1 / (61 + own.index(i)) for own in (near, after) if i in own) for i in {*near, *after}}
    return sorted(score, key=lambda i: (-score[i], (near.index(i) if i in near else 99)))[:k]


@pytest.mark.parametrize("item", ["g0-00", "g2-03", "g1-07"])  # with followers, without, and one that is not for sale
def test_items_like_an_item_are_those_of_the_plain_way(recommender, item):
    answer = slate(recommender, item_id=item, k=6)
    assert set(ids(answer)) == set(by_the_plain_way(item, 6)) and ids(answer)[0] == by_the_plain_way(item, 6)[0]
    assert item not in ids(answer) and answer.degraded == () and answer.user_id == ""
    scores = [entry.score for entry in answer.items]
    assert scores == sorted(scores, reverse=True) and all(not entry.scores for entry in answer.items)


def test_what_two_lists_bring_stands_first_and_says_so(recommender):
    first = slate(recommender, item_id="g0-00", k=10).items[0]
    assert (first.item_id, first.source) == ("g0-01", "two_tower+co_visitation")
    sources = {entry.item_id: entry.source for entry in slate(recommender, item_id="g0-00", k=10).items}
    assert sources["g3-01"] == "co_visitation" and "g3-07" not in sources


@settings(max_examples=40)
@given(st.data())
def test_never_fewer_than_there_are_nor_what_may_not_be(recommender, data):
    item, k = data.draw(st.sampled_from([*IDS, "elsewhere"])), data.draw(st.sampled_from([1, 7, 60]))
    out, low = data.draw(st.sets(st.sampled_from(IDS), max_size=50)), data.draw(st.integers(0, 100))
    fields = {"item_id": item, "k": k, "exclude": sorted(out)}
    there = {i for i in IDS if i not in HIDDEN | out | {item}}
    if data.draw(st.booleans()):
        fields["filter"], there = {"price": {"min": low}}, {i for i in there if PRICES[i] >= low}
    if data.draw(st.booleans()):
        fields["candidates"] = sorted(data.draw(st.sets(st.sampled_from(IDS), min_size=1)))
        there &= set(fields["candidates"])
    found = ids(slate(recommender, **fields))
    assert len(found) == len(set(found)) == min(k, len(there)) and set(found) <= there


@pytest.mark.parametrize("index", [None, "graph"])
@pytest.mark.parametrize("asked_for", [{}, {"candidates": ["g0-01", "g0-02", "g3-01", "g2-02"]}], ids=["all", "named"])
def test_at_a_stated_time_are_the_items_that_were_there_then(recommender, index, asked_for):
    """g0-02 ends, g3-01, which follows, comes, and g2-02, which follows too, comes and ends, in hours after NOW."""
    hour, lives = 3_600_000, {"g0-02": (-9, 1), "g3-01": (2, 9), "g2-02": (1, 2)}
    born, until = np.zeros(len(IDS)), np.full(len(IDS), np.inf)
    for item, (first, last) in lives.items():
        born[IDS.index(item)], until[IDS.index(item)] = NOW + first * hour, NOW + last * hour
    graph = HnswIndex(build(vectors()), vectors(), recommender.catalogue.available) if index else None
    shop = recommender.connected(graph, None)
    shop.catalogue = replace(shop.catalogue, lifetimes=Lifetimes(born, until, np.zeros(len(IDS), bool)))
    shop.slates = replace(shop.slates, catalogue=shop.catalogue)
    for hours in (-9, 0, 1, 1.5, 2, 2.5, 3):
        now = NOW + int(hours * hour)
        gone = {item for item, (first, last) in lives.items() if not first <= hours <= last}
        (answer,) = shop.recommend([asked(item_id="g0-00", k=60, timestamp=now, **asked_for)])
        there = {i for i in asked_for.get("candidates", IDS) if i not in HIDDEN | gone | {"g0-00"}}
        assert set(ids(answer)) == there, hours
        if not asked_for:
            assert ids(answer)[0] == by_the_plain_way("g0-00", 1, gone)[0]


def test_an_unknown_item_gets_what_is_popular(recommender):
    answer = slate(recommender, item_id="elsewhere", k=4)
    assert answer.degraded == ("unknown_item",) and {entry.source for entry in answer.items} == {"popular"}


def test_no_model_and_no_store_is_asked(recommender):
    alone = recommender.connected(None, Failing(RuntimeError("asked")))
    alone.query_tower = alone.ranker = Failing(RuntimeError("asked"))
    assert ids(slate(alone, item_id="g0-00")) == ids(slate(recommender, item_id="g0-00"))


def test_an_index_that_is_down_is_named_and_changes_nothing(recommender):
    down = recommender.connected(Failing(RuntimeError("down")), None)
    answer = slate(down, item_id="g2-03")
    assert answer.degraded == ("index_unavailable",) and ids(answer) == ids(slate(recommender, item_id="g2-03"))


def test_all_kinds_in_one_batch(recommender):
    kinds = {"item_id": "g0-00"}, {"user_id": "ann"}, {"events": []}, {"item_id": "g2-03"}, {"user_id": "bob"}
    together = recommender.recommend([asked(**kind) for kind in kinds])
    assert [ids(answer) for answer in together] == [ids(slate(recommender, **kind)) for kind in kinds]


def test_similar_items_of_a_batch_may_take_half_of_the_time_of_whoever_has_least(recommender, monkeypatch):
    began, rank, given = time.monotonic(), Similar.rank, []
    monkeypatch.setattr(Similar, "rank", lambda self, own: given.append(own[0].deadline - began) or rank(self, own))
    asking = {60: asked(item_id="g0-00"), 30: asked(user_id="ann")}
    slates = recommender.recommend([replace(each, deadline=began + left) for left, each in asking.items()])
    assert given == [pytest.approx(15, abs=2)] and [answer.degraded for answer in slates] == [(), ()]


def clicks(*items):
    return [{"item_id": item, "event_type": "click", "timestamp": NOW - 1000 + n} for n, item in enumerate(items)]


def test_a_session_is_a_user_of_whom_its_events_are_known(recommender):
    answer = slate(recommender, events=clicks("g3-00", "g3-01"), k=8)
    known = UserState("", 0)
    events = tuple(Event(e["item_id"], "click", e["timestamp"]) for e in clicks("g3-00", "g3-01"))
    assert ids(answer) == ids(recommender.recommend([Request("", 8, NOW, events=events, state=known)])[0])
    assert answer.degraded == () and answer.to_json()["user_id"] is None
    assert not {"g3-00", "g3-01"} & set(ids(answer))
    assert ids(slate(recommender, events=clicks("g1-00"), k=8)) != ids(answer)


def test_a_session_asks_no_store_and_no_other_user(recommender):
    broken = recommender.connected(None, Failing(RuntimeError("down")))
    assert slate(broken, events=clicks("g3-00")).degraded == ()
    assert slate(recommender, events=[]).degraded == (), "a visitor who did nothing yet"


def test_of_a_long_history_the_newest_count(recommender):
    items = [IDS[n % 8] for n in range(400)]
    own = clicks(*items)
    long, short = slate(recommender, events=own, k=5), slate(recommender, events=own[-kept_events(SPEC) :], k=5)
    both = [answer.features for answer in (long, short)]
    assert both[0]["query_events"] == 400 and both[1]["query_events"] == kept_events(SPEC)
    assert [entry.score for entry in long.items] == [entry.score for entry in short.items]


@pytest.mark.parametrize("beside", [{"user_id": "ann"}, {"events": clicks("g0-00")}])
def test_an_item_beside_a_user_or_session_belongs_to_explanations(beside):
    request = asked(item_id="g0-01", **beside)
    check_explained([request])
    with pytest.raises(SoukError, match=r"instances\[0\] without item_id.*'g0-01'.*:explain"):
        check_subjects([request])


def test_an_item_is_explained_to_a_visitor_who_did_nothing_yet_and_has_items_like_it(recommender):
    check_explained([asked(item_id="g0-01", events=[])])
    check_subjects([asked(item_id="g0-01", events=[])])
    both = [slate(recommender, item_id="g0-01", **fields) for fields in ({}, {"events": []})]
    assert ids(both[0]) == ids(both[1]) and "g0-01" not in ids(both[1])


def test_an_explanation_needs_someone_to_explain_to():
    check_subjects([asked(item_id="g0-01")])
    with pytest.raises(SoukError, match=r"instances\[1\]\.user_id, or events"):
        check_explained([asked(user_id="ann"), asked(item_id="g0-01")])
    with pytest.raises(SoukError, match=r"instances\[0\]\.user_id, or events"):
        check_explained([asked(item_id="g0-01", events=None)])


def test_tensors_carry_all_three():
    inputs = [
        InferInput("item_id", [3], "BYTES", ["g0-00", "", ""]),
        InferInput("user_id", [3], "BYTES", ["", "ann", ""]),
        InferInput("events", [3], "BYTES", ["", "", "[]"]),
    ]
    rows = tensors.instances_of(InferRequest("souk", inputs))
    assert rows == [{"item_id": "g0-00"}, {"user_id": "ann"}, {"events": []}]
    assert [PARSER.parse(row, NOW).similar for row in rows] == [True, False, False]
    with pytest.raises(SoukError, match="an input user_id, item_id or events"):
        tensors.instances_of(InferRequest("souk", [InferInput("k", [1], "INT32", [1])]))


def test_a_new_item_is_like_those_of_its_content(recommender):
    import pyarrow as pa

    rows = {"item_id": ["new"], "item_category": [[]], "item_price": [20.0], "item_title": [["a"]]}
    rows |= {"title": ["New"], "available": [True], "created_at": [NOW]}
    changed = recommender.with_items(pa.table(rows), vectors()[[IDS.index("g2-03")]])
    assert ids(slate(changed, item_id="new", k=1)) == ["g2-03"]
    assert ids(slate(changed, item_id="g2-03", k=1)) == ["new"]
    shorter = recommender.with_items(pa.table(rows), 0.9 * vectors()[[IDS.index("g2-03")]])
    assert ids(slate(shorter, item_id="g2-03", k=1)) == ["new"], "by the angle, whatever the length"
    named = slate(shorter, item_id="g2-03", k=2, candidates=["g2-04", "new"])
    assert ids(named)[0] == "new"
    assert replace(asked(item_id="new"), user_id="ann").similar is False
