"""Rungs of the ladder: what a request gets while one of the parts of its path is down, hangs, or has no time."""

import contextlib
import copy
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.serving.looping import FOR_GOOD, looping
from souk.candidates import SHARES, Sources
from souk.graphs import Graph
from souk.index.interface import IndexUnavailable
from souk.pairs import pair_features
from souk.serving import scoring
from souk.serving.budget import PATIENCE, Guards
from souk.serving.dependency import CLOSED, FAILURES, Dependency
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.retrieval import Retrieval
from souk.sources.rows import SparseRows
from souk.state import Event
from souk.store.interface import StoreError
from souk.store.memory import MemoryStore
from tests.recommender_fixtures import CANDIDATES, KNOWN, Failing, Hanging, expected
from tests.serving_fixtures import HIDDEN, IDS, NOW, SPEC, STATES, write_shop


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    return Recommender.load(write_shop(tmp_path_factory.mktemp("bundle") / "shop", CANDIDATES), None, store)


def ids(slate):
    return [item.item_id for item in slate.items]


def test_without_the_store_the_context_and_events_answer(recommender):
    broken = recommender.connected(None, Failing(StoreError("Feast", "nothing")))
    (slate, known) = broken.recommend([Request("ann", 8, NOW), Request("ann", 8, NOW, state=KNOWN["ann"])])
    assert slate.degraded == ("features_unavailable",) and len(slate.items) == 8
    assert known.degraded == () and ids(known) == expected("ann", 8)


def test_without_the_index_the_slate_is_the_same(recommender):
    index = Failing(IndexUnavailable("Milvus", "nothing"))
    broken = recommender.connected(index, recommender.store)
    (slate,) = broken.recommend([Request("ann", 8, NOW)])
    assert ids(slate) == expected("ann", 8) and slate.degraded == ("index_unavailable",)
    broken.retrieval.index = recommender.retrieval.exact
    assert broken.recommend([Request("ann", 8, NOW)])[0].degraded == ()


HANGING = {
    "store": "features_unavailable",
    "index": "index_unavailable",
    "query_tower": "query_tower_unavailable",
    "ranker": "ranker_unavailable",
}


GUARDS = {"store": "users", "index": "index", "query_tower": "query_tower", "ranker": "ranker"}


@contextlib.contextmanager
def hung(recommender, part, patience):
    """One part hangs, which is waited for so long."""
    release = threading.Event()
    hanging = Hanging(release)
    broken = recommender.connected(None, recommender.store)
    guards = {name: Dependency(name, 60.0) for name in GUARDS.values()}
    broken.guards = Guards(**{**guards, GUARDS[part]: Dependency(part, patience)})
    broken.retrieval = Retrieval(hanging if part == "index" else None, broken.retrieval.exact, broken.guards.index)
    if part != "index":
        setattr(broken, part, hanging)
    try:
        yield broken, hanging
    finally:
        release.set()


@pytest.mark.parametrize("part", HANGING)
def test_a_part_that_hangs_is_named_in_time_and_then_left_alone(recommender, part):
    with hung(recommender, part, patience=0.05) as (broken, hanging):
        for _ in range(6):
            (slate,) = broken.recommend([Request("ann", 8, NOW, deadline=time.monotonic() + 60)])
            assert slate.degraded == (HANGING[part],) and len(slate.items) == 8
        assert hanging.calls == FAILURES, "then it is left alone"


@pytest.mark.parametrize("part", HANGING)
def test_a_part_that_hangs_leaves_those_after_it_their_share_of_the_time(recommender, part):
    """Patience would last longer than the request."""
    with hung(recommender, part, patience=60.0) as (broken, _):
        (slate,) = broken.recommend([Request("ann", 8, NOW, deadline=time.monotonic() + 4)])
    assert slate.degraded == (HANGING[part],) and len(slate.items) == 8


def test_without_time_every_stage_is_left_out_and_the_slate_is_whole(recommender):
    counted = Hanging(threading.Event())
    late = recommender.connected(counted, counted)
    late._query_tower = late._ranker = counted
    (slate,) = late.recommend([Request("ann", 8, NOW, deadline=0.0, exclude=frozenset({"g1-04"}))])
    assert slate.degraded == ("features_unavailable", "query_tower_unavailable") and len(slate.items) == 8
    assert counted.calls == 0 and "g1-04" not in ids(slate)


def test_a_slate_without_any_part_is_what_is_popular_and_may_be_shown(recommender):
    shown = [i for i in IDS if i not in HIDDEN]
    (slate,) = recommender.safe([Request("ann", 4, NOW, "r", exclude=frozenset({shown[1]}))])
    assert len(slate.items) == 4 and {item.source for item in slate.items} == {"popular"}
    assert shown[1] not in ids(slate) and not HIDDEN & set(ids(slate))
    assert (slate.request_id, slate.degraded) == ("r", ("internal_error",))


def test_without_the_ranker_the_retrieval_order_stands(recommender):
    broken = recommender.connected(None, recommender.store)
    broken.ranker = Failing(RuntimeError("no memory"))
    (slate,) = broken.recommend([Request("ann", 8, NOW)])
    assert slate.degraded == ("ranker_unavailable",)
    scores = [item.score for item in slate.items]
    assert scores == sorted(scores, reverse=True) and all(i.startswith("g1-") for i in ids(slate))
    assert all(item.scores == {} for item in slate.items)


def test_a_ranker_that_gives_no_numbers_is_no_ranker(recommender):
    class Nonsense:
        ends = False

        def probabilities(self, query, positions, pair, request):
            return {"engaged": np.full(len(positions), np.nan, np.float32)}

    broken = recommender.connected(None, recommender.store)
    broken.ranker = Nonsense()
    assert broken.recommend([Request("ann", 8, NOW)])[0].degraded == ("ranker_unavailable",)


def test_a_request_for_which_the_ranker_gives_no_numbers_leaves_it_to_the_others(recommender):
    whole = recommender.ranker

    class Half:
        ends = False

        def probabilities(self, query, positions, pair, request):
            heads = whole.probabilities(query, positions, pair, request)
            return {head: np.where(request == 0, np.nan, values) for head, values in heads.items()}

    broken = recommender.connected(None, recommender.store)
    broken.ranker = Half()
    bad, good = broken.recommend([Request("ann", 8, NOW), Request("bob", 8, NOW)])
    assert bad.degraded == ("ranker_unavailable",) and len(bad.items) == 8
    assert good.degraded == () and ids(good) == ids(recommender.recommend([Request("bob", 8, NOW)])[0])


def test_a_request_with_a_feature_that_is_no_number_leaves_the_ranker_to_the_others(recommender, monkeypatch):
    """Nor does the ranker see it: what it sums over the candidates of a request might be of all."""
    seen, whole = [], recommender.ranker

    class Watched:
        ends = False

        def probabilities(self, query, positions, pair, request):
            seen.append(np.isfinite(pair).all())
            return whole.probabilities(query, positions, pair, request)

    def features(items, queries, request, positions, scores):
        pair = pair_features(items, queries, request, positions, scores)
        pair[np.flatnonzero(request == 0)[3], 2] = np.nan
        return pair

    monkeypatch.setattr(scoring, "pair_features", features)
    watched = recommender.connected(None, recommender.store)
    watched.ranker = Watched()
    bad, good = watched.recommend([Request("ann", 8, NOW), Request("bob", 8, NOW)])
    assert bad.degraded == ("ranker_unavailable",) and len(bad.items) == 8 and seen == [True]
    monkeypatch.undo()
    assert good.degraded == () and ids(good) == ids(recommender.recommend([Request("bob", 8, NOW)])[0])


def test_without_the_query_tower_popular_items_of_the_segment_answer(recommender):
    broken = recommender.connected(None, recommender.store)
    broken.query_tower = Failing(RuntimeError("no memory"))
    regions = [{"region": region} for region in ("north", "south")]
    (north, south) = broken.recommend([Request("new", 7, NOW, profile=region) for region in regions])
    popular = [i for i in IDS if i not in HIDDEN]
    assert ids(north) == [*popular[:5], *popular[::-1][:2]], "north has its own favourites"
    assert ids(south) == popular[::-1][:7]
    assert {i.source for i in north.items} == {"segment_popular", "popular"}
    assert north.degraded == ("unknown_user", "query_tower_unavailable")


def test_without_the_query_tower_what_follows_the_history_answers_first(recommender):
    """g3-04, hidden g0-07 and g3-05 follow g1-02, ann's last item; g2-09 follows the one before it."""
    broken = recommender.connected(None, recommender.store)
    rows, items = np.array([17, 17, 17, 16]), np.array([49, 7, 50, 39])
    rules = SparseRows.strongest(rows, items, np.array([0.5, 0.9, 0.4, 0.6]), len(IDS), 9)
    broken.items = replace(recommender.items, rules=rules)
    broken.sources, broken.query_tower = Sources(broken.items), Failing(RuntimeError("no memory"))
    broken.sources.matched = lambda *_: (np.zeros(0, np.int64), np.zeros(0))
    (slate,) = broken.recommend([Request("ann", 6, NOW)])
    assert ids(slate)[:3] == ["g3-04", "g3-05", "g2-09"], ".5, .4, and .6 one moment ago"
    assert {item.source for item in slate.items[:3]} == {"co_visitation"}
    assert [item.score for item in slate.items[:3]] == pytest.approx([1, 1 / 2, 1 / 3])
    assert slate.degraded == ("query_tower_unavailable",) and slate.items[3].source == "segment_popular"


@pytest.mark.parametrize("source", list(SHARES)[1:])
def test_without_a_source_the_others_answer(recommender, source, caplog):
    broken = recommender.connected(None, recommender.store)
    broken.sources = Sources(recommender.items)
    setattr(broken.sources, source, Failing(RuntimeError("no memory"))._fail)
    slate, *_ = broken.recommend([Request("ann", 8, NOW)] * 9)
    assert len(caplog.messages) <= 1, "it is no line for each request"
    assert slate.degraded == (f"{source}_unavailable",) and len(slate.items) == 8
    assert all(item.scores and source not in item.source.split("+") for item in slate.items)


def test_the_last_rung_has_neither_the_item_itself_nor_what_the_session_hid(recommender):
    first, second, *_ = ids(recommender.safe([Request("", 3, NOW, item_id="unknown")])[0])
    (slate,) = recommender.safe([Request("", 3, NOW, item_id=first)])
    assert first not in ids(slate) and ids(slate)[0] == second and slate.degraded == ("internal_error",)
    hides = [Event(first, "hide", NOW - 9), Event(second, "hide", NOW - 9), Event(second, "hide", NOW - 8, 0.0)]
    for user in ("", "ann"):
        (slate,) = recommender.safe([Request(user, 3, NOW, events=tuple(hides))])
        assert first not in ids(slate) and ids(slate)[0] == second


def test_with_everything_down_there_is_still_a_slate(recommender):
    down = Failing(RuntimeError("down"))
    broken = recommender.connected(down, down)
    broken.query_tower = broken.ranker = down
    (slate,) = broken.recommend([Request("ann", 50, NOW)])
    assert len(set(ids(slate))) == 50 and not set(ids(slate)) & HIDDEN
    assert slate.degraded == ("features_unavailable", "query_tower_unavailable")
    assert {i.source for i in slate.items} == {"segment_popular", "popular", "catalogue"}


def test_one_part_may_take_half_of_the_time_that_a_request_has_by_default():
    assert {guard.patience for guard in Guards.within(0.2).all()} == {0.1}
    assert {guard.patience for guard in Guards.within(60.0).all()} == {PATIENCE}


@pytest.mark.parametrize(("part", "graph"), [("query_tower", "_serve"), ("ranker", "_rank")])
def test_a_model_that_computes_for_good_is_broken_off_and_then_left_alone(recommender, part, graph):
    """No thread is lost to it."""
    broken = recommender.connected(None, recommender.store)
    broken.guards = Guards.within(0.1)
    slow = copy.copy(getattr(recommender, part))
    runs = []

    class Slow(Graph):
        def __call__(self, inputs):
            runs.append(threading.get_ident())
            return super().__call__({"x": np.zeros((1, 1), np.float32)})

    setattr(slow, graph, Slow(looping(FOR_GOOD)))
    setattr(broken, part, slow)
    threads = threading.active_count()
    for _ in range(FAILURES + 2):
        (slate,) = broken.recommend([Request("ann", 8, NOW, deadline=time.monotonic() + 60)])
        assert slate.degraded == (HANGING[part],) and len(slate.items) == 8
    assert runs[:FAILURES] == [threading.get_ident()] * FAILURES
    assert getattr(broken.guards, part).state != CLOSED
    broken.guards.close()
    assert threading.active_count() <= threads + 3, "of the store, of limits, and of a probe"
