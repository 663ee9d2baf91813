"""The request path on a shop whose right answers are known by construction."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from souk.schema import DAY_MS
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.state import Event, UserState, features_at
from souk.store.memory import MemoryStore
from tests.recommender_fixtures import CANDIDATES, KNOWN, Failing, expected, score
from tests.serving_fixtures import HIDDEN, IDS, NOW, SPEC, STATES, write_shop


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("bundle") / "shop", CANDIDATES)


@pytest.fixture(scope="module")
def recommender(bundle):
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    return Recommender.load(bundle, None, store)


def ids(slate):
    return [item.item_id for item in slate.items]


@pytest.mark.parametrize("user", ["ann", "bob"])
def test_slates_are_those_of_the_plain_way(recommender, user):
    (slate,) = recommender.recommend([Request(user, 8, NOW, "r1")])
    assert ids(slate) == expected(user, 8)
    north = user == "ann"
    assert [item.score for item in slate.items] == pytest.approx([score(i, north) for i in ids(slate)], rel=1e-5)
    first = slate.items[0]
    assert first.scores == pytest.approx({"engaged": 2 * first.score, "satisfied": 0.5}, rel=1e-5)
    assert (first.title, first.source, first.position, first.propensity) == (
        f"Item {first.item_id}",
        first.source,
        0,
        1,
    )
    assert "two_tower" in first.source
    assert [item.position for item in slate.items] == list(range(8))
    assert (slate.request_id, slate.user_id, slate.timestamp, slate.degraded) == ("r1", user, NOW, ())


def test_a_batch_answers_as_one_by_one(recommender):
    requests = [
        Request("ann", 3, NOW),
        Request("bob", 50, NOW),
        Request("new", 5, NOW),
        Request("cho", 5, NOW, candidates=("g0-01", "g0-02", "g0-07")),
        Request("bob", 5, NOW, exclude=frozenset(["g2-09"])),
    ]
    alone = [recommender.recommend([request])[0] for request in requests]
    for batched, single in zip(recommender.recommend(requests), alone, strict=True):
        assert ids(batched) == ids(single) and batched.degraded == single.degraded
        assert [i.score for i in batched.items] == pytest.approx([i.score for i in single.items], abs=1e-6)


def test_weights_are_exponents(recommender):
    other = recommender.connected(None, recommender.store)
    other.settings = replace(other.settings, weights={"engaged": 0.0, "satisfied": 2.0})
    (slate,) = other.recommend([Request("ann", 4, NOW)])
    assert [item.score for item in slate.items] == pytest.approx([0.25] * 4)


def test_events_of_the_request_count(recommender):
    click = Event("g2-00", "click", NOW - 1, event_id="now")
    (slate,) = recommender.recommend([Request("new", 10, NOW, events=(click,))])
    assert "g2-00" not in ids(slate), "the repeat rule knows the event"
    (ranking,) = recommender.rank([Request("new", 10, NOW, events=(click,))])
    nearest = recommender.catalogue.ids[int(ranking.candidates.positions[0])]
    assert nearest.startswith("g2-") and slate.degraded == ("unknown_user",)


def test_a_stale_state_is_used_and_told(recommender):
    class Old:
        def read(self, users):
            return [replace(state, stale=user == "ann") for user, state in KNOWN.items() if user in users]

    asked = [Request("ann", 8, NOW), Request("bob", 8, NOW)]
    ann, bob = recommender.connected(None, Old()).recommend(asked)
    assert (ids(ann), ann.degraded, bob.degraded) == (expected("ann", 8), ("stale_features",), ())


def test_a_moment_before_what_a_state_keeps_is_told(recommender):
    """Of cho's 15 events the last 12 are kept, and the models read those from the last but one multiple of 4 on."""
    kept = KNOWN["cho"].events
    assert (KNOWN["cho"].count, len(kept)) == (15, 12)
    first = kept[0].timestamp
    times = [first - 1000 * DAY_MS, first - 60_000, *(event.timestamp for event in kept), NOW]
    slates = recommender.recommend([Request("cho", 8, time) for time in times])
    told = [slate.degraded == ("forgotten_events",) for slate in slates]
    before = [None, None, *range(3, 16)]  # so many of the 15 came before each time
    assert told == [count is None or count < 8 for count in before]
    assert all(slate.degraded == () for slate in slates[7:])
    others = [Request(user, 8, time) for user in ("ann", "bob") for time in (first - 1000 * DAY_MS, NOW)]
    assert all(slate.degraded == () for slate in recommender.recommend(others)), "all that they did is kept"


def test_a_state_in_the_request_replaces_the_store(recommender):
    (slate,) = recommender.recommend([Request("new", 8, NOW, state=replace(KNOWN["ann"], user_id="new"))])
    assert ids(slate) == expected("ann", 8) and slate.degraded == ()


def test_events_that_are_not_past_yet_push_out_no_history(recommender):
    future = tuple(Event(f"g2-{n % 15:02d}", "click", NOW + n, event_id=f"f{n:03d}") for n in range(200))
    past = Event("g1-03", "click", NOW - 1, event_id="now")
    asked = [Request("ann", 8, NOW, events=events) for events in ((past,), (past, *future), future[:1])]
    plain, late, at_once = recommender.recommend(asked)
    assert (ids(late), plain.degraded, late.degraded) == (ids(plain), (), ("future_events",))
    assert ids(at_once) == expected("ann", 8) and at_once.degraded == ("future_events",)
    (ranking,) = recommender.rank(asked[1:2])
    assert [e.item_id for e in ranking.state.events] == ["g1-00", "g1-01", "g1-02", "g1-03"]


def test_a_slate_carries_the_features_that_it_was_answered_from_and_does_not_send_them(recommender):
    request = Request("ann", 5, NOW, context={"device": "mobile"})
    [slate] = recommender.recommend([request])
    wanted = features_at(KNOWN["ann"], NOW, SPEC, request.context)
    assert repr(slate.features) == repr({**wanted.user, **wanted.query})  # NaN is not equal to itself, its text is
    assert slate.features["context_device"] == "mobile" and slate.features["user_region"] == "north"
    assert "features" not in slate.to_json()


def test_an_unknown_user_gets_the_candidates_that_the_ranker_was_trained_on(recommender):
    (ranking,) = recommender.rank([Request("new", 10, NOW)])
    (slate,) = recommender.recommend([Request("new", 10, NOW)])
    assert ranking.degraded == slate.degraded == ("unknown_user",)
    assert len(ranking.positions) == CANDIDATES
    assert {item.source.split("+")[0] for item in slate.items} <= {"two_tower", "segment_popular"}


def test_a_short_slate_is_filled_from_popular_then_catalogue(recommender):
    (slate,) = recommender.recommend([Request("ann", 50, NOW)])
    assert not {"popular", "catalogue"} & {item.source for item in slate.items}, "k widens the search"
    broken = recommender.connected(None, recommender.store)
    broken.query_tower = Failing(RuntimeError("down"))
    region = {"region": KNOWN["ann"].profile["region"]}
    (slate,) = broken.recommend([Request("new", 50, NOW, profile=region)])
    shown = [i for i in IDS if i not in HIDDEN]
    popular = [*shown[:5], *shown[::-1][:30]]
    assert ids(slate) == [*popular, *(i for i in shown if i not in popular)][:50]
    assert [item.source for item in slate.items] == ["segment_popular"] * 5 + ["popular"] * 30 + ["catalogue"] * 15
    (slate,) = broken.recommend([Request("ann", 50, NOW)])
    assert "matched" in slate.items[0].source, "what the past goes to needs no tower"


def test_candidates_are_ranked_and_nothing_else_appears(recommender):
    asked = ("g0-01", "g3-02", "g0-07", "g1-00", "nowhere", "g2-03")
    (slate,) = recommender.recommend([Request("ann", 10, NOW, candidates=asked)])
    allowed = [i for i in asked if i in IDS and i not in HIDDEN and i != "g1-00"]
    assert ids(slate) == sorted(allowed, key=lambda i: -score(i, True))
    assert {item.source for item in slate.items} == {"candidates"}


@pytest.mark.parametrize("subject", [{"user_id": "ann"}, {"user_id": "", "item_id": "g0-00"}], ids=["user", "similar"])
def test_candidates_that_the_catalogue_does_not_have_are_told(recommender, subject):
    """They are passed over, so that an empty slate would say nothing."""
    for names, left in ((("nowhere",), 0), (("nowhere", "g0-01"), 1), (("g0-01", "g3-02"), 2)):
        request = Request(k=10, timestamp=NOW, candidates=names, **subject)
        told = ("unknown_candidates",) * ("nowhere" in names)
        for slate, other in (
            (recommender.recommend([request])[0], ()),
            (recommender.safe([request])[0], ("internal_error",)),
        ):
            assert (len(slate.items), slate.degraded) == (left, told + other), names


@pytest.mark.parametrize("subject", [{"user_id": "ann"}, {"user_id": "", "item_id": "g0-00"}], ids=["user", "similar"])
def test_candidates_of_which_none_is_to_be_had_are_told(recommender, subject):
    """Each is known, so that `unknown_candidates` says nothing; an excluded one is told otherwise."""
    hidden, none = tuple(sorted(HIDDEN)), ("no_candidate_available",)
    for names, exclude, told, left in (
        (hidden, (), none, 0),
        ((*hidden, "nowhere"), (), ("unknown_candidates", *none), 0),
        (("nowhere",), (), ("unknown_candidates",), 0),
        ((*hidden, "g0-01"), (), (), 1),
        ((*hidden, "g0-01"), ("g0-01",), ("all_kept_out",), 0),
    ):
        request = Request(k=10, timestamp=NOW, candidates=names, exclude=frozenset(exclude), **subject)
        (slate,), (safe,) = recommender.recommend([request]), recommender.safe([request])
        assert (len(slate.items), slate.degraded) == (left, told), names
        assert [reason for reason in safe.degraded if reason != "internal_error"] == list(told), names


@settings(max_examples=60)
@given(data=st.data())
def test_no_wrong_item_ever_and_never_fewer_than_k(recommender, data):
    items = st.lists(st.sampled_from(IDS), max_size=len(IDS))
    request = Request(
        user_id="x",
        k=data.draw(st.integers(1, 50)),
        timestamp=NOW,
        exclude=frozenset(data.draw(items)),
        candidates=data.draw(st.none() | items.filter(bool).map(lambda chosen: tuple(dict.fromkeys(chosen)))),
        events=tuple(Event(i, "click", NOW - 9, event_id=f"{n:03d}") for n, i in enumerate(data.draw(items))),
        state=data.draw(st.sampled_from([*STATES, UserState("x")])),
    )
    down = data.draw(st.sets(st.sampled_from(["query_tower", "ranker"])))
    broken = recommender.connected(data.draw(st.sampled_from([None, Failing(OSError())])), None)
    for part in down:
        setattr(broken, part, Failing(RuntimeError()))
    (slate,) = broken.recommend([request])
    owned = set(request.state.engaged) | {e.item_id for e in request.events}
    eligible = set(IDS) - HIDDEN - owned - request.exclude
    if request.candidates is not None:
        eligible &= set(request.candidates)
    assert len(ids(slate)) == len(set(ids(slate))) == min(request.k, len(eligible))
    assert set(ids(slate)) <= eligible


RULES = {"diversity": 0.3, "caps": {"category": 2}, "new_items": {"days": 1.0, "share": 0.2}, "popularity": 9.0}


@pytest.fixture(scope="module")
def reranking(bundle, recommender):
    """The shop of today: sellers of their own, two items of today, of which half sell as the most popular."""
    table = bundle.items
    sorts = [[item[:2] + item[-1]] for item in IDS]
    created = [NOW - 3_600_000 if item.endswith("-13") else 0 for item in IDS]
    for name, values in (("item_category", sorts), ("created_at", created)):
        table = table.set_column(table.column_names.index(name), name, [values])
    sold = bundle.counters.set_column(1, "events", [[float(n % 2) for n in range(len(IDS))]])
    changed = replace(bundle, items=table, counters=sold, settings=replace(bundle.settings, rerank=RULES))
    return Recommender.load(changed, None, recommender.store)


def test_a_slate_is_in_the_order_of_the_reranker_and_keeps_the_rankers_scores(recommender, reranking):
    requests = [Request("ann", 10, NOW), Request("new", 10, NOW), Request("cho", 10, NOW)]
    for before, after in zip(recommender.rank(requests), reranking.rank(requests), strict=True):
        assert set(after.positions) == set(before.positions)
        assert after.candidates.positions[after.ranked].tolist() == before.positions.tolist()
        ranked = after.candidates.positions[after.ranked], after.log_scores[after.ranked]
        assert after.order.tolist() == after.ranked[reranking.reranker.order(*ranked, NOW, 10)].tolist()
    for request, slate, ranking in zip(requests, reranking.recommend(requests), reranking.rank(requests), strict=True):
        assert ids(slate) == [reranking.catalogue.ids[p] for p in ranking.positions[: request.k]]
        assert ids(slate) != [reranking.catalogue.ids[ranking.candidates.positions[p]] for p in ranking.ranked[:10]]
        north = KNOWN[request.user_id].profile["region"] == "north" if request.user_id in KNOWN else False
        assert [item.score for item in slate.items] == pytest.approx([score(i, north) for i in ids(slate)], rel=1e-5)


@settings(max_examples=25)
@given(
    user=st.sampled_from(["ann", "bob", "cho", "nobody"]),
    k=st.integers(1, 60),
    exclude=st.frozensets(st.sampled_from(IDS)),
    down=st.booleans(),
)
def test_no_rule_makes_a_slate_short_or_shows_what_is_hidden(reranking, user, k, exclude, down):
    asked = reranking.connected(None, reranking.store)
    if down:
        asked.ranker = None
    (slate,) = asked.recommend([Request(user, k, NOW, exclude=exclude)])
    barred = HIDDEN | exclude | (KNOWN[user].engaged.keys() if user in KNOWN else set())
    assert len(slate.items) == min(k, len(set(IDS) - barred)) and len(set(ids(slate))) == len(slate.items)
    assert not barred & set(ids(slate))
    kinds = [item[:2] + item[-1] for item in ids(slate)[:20]]
    if not exclude and k <= 5:
        assert max(kinds.count(kind) for kind in kinds) <= 2
