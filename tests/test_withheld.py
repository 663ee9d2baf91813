"""Hidden items, and those that were shown too often: what a state keeps of them, and what they do to a slate."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from souk.config import Fatigue, Repeat, parse_config
from souk.errors import SoukError
from souk.features.shards import _histories, event_types, read_parts, split_by_shard
from souk.marks import HIDDEN, SHOWN
from souk.schema import DAY_MS, EventType
from souk.serving.events.states import Place, with_all
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.state import Event, UserState, state_of
from souk.state_rows import from_row, state_columns, to_row
from souk.store import definitions, feast_store, publish, values
from souk.withheld import repeat_excluded, tired, withheld
from tests.recommender_fixtures import CANDIDATES, KNOWN
from tests.serving_fixtures import HIDDEN as GONE
from tests.serving_fixtures import IDS, NOW, SPEC, write_shop

RULE = Fatigue(shown=3, days=2)
TIRING = replace(SPEC, repeat=Repeat(rule="never", fatigue=RULE))


def hide(item, time, value=float("nan")):
    return Event(item, "hide", time, value, event_id=f"h{item}{time}")


def showing(item, time):
    return Event(item, "impression", time, event_id=f"i{item}{time}")


def click(item, time):
    return Event(item, "click", time, 1.0, f"c{item}{time}", 1.0)


ACTS = st.lists(
    st.builds(
        lambda kind, item, time: {"h": hide, "u": lambda i, t: hide(i, t, 0.0), "i": showing, "c": click}[kind](
            item, time
        ),
        st.sampled_from("huiiic"),
        st.sampled_from("abc"),
        st.integers(1, 4 * DAY_MS).map(lambda t: t // 1_000_000),
    ),
    max_size=12,
    unique_by=lambda e: e.event_id,
)


@settings(max_examples=200)
@given(ACTS, st.randoms(use_true_random=False))
def test_a_state_is_that_of_all_events_in_whatever_order_and_however_often(events, random):
    known = UserState("u", profile={"region": ""})
    whole = state_of("u", events, TIRING, known.profile)
    state = known
    twice = [*events, *events]
    random.shuffle(twice)
    for event in twice:
        state, _ = with_all(state, [event], TIRING)
    assert state == whole == with_all(known, twice, TIRING)[0]
    assert from_row(to_row(state, TIRING), TIRING) == state


@settings(max_examples=200)
@given(ACTS, st.integers(1, 400))
def test_what_is_tired_is_counted_by_the_plain_way(events, t):
    state = state_of("u", events, TIRING, {})
    expected = set()
    for item in "abc":
        acts = [e.timestamp for e in events if e.item_id == item and e.event_type == "click" and e.timestamp < t]
        since = max([t - RULE.days * DAY_MS, *acts])
        times = {e.timestamp for e in events if (e.item_id, e.event_type) == (item, "impression")}
        if len([x for x in times if since < x < t]) >= RULE.shown:
            expected.add(item)
    late = any(e.timestamp >= t and e.event_type != "hide" for e in events)  # a state may forget what they push out
    assert set(tired(state, t, TIRING)) == expected or late


def test_what_is_yet_to_come_ends_no_fatigue():
    state = state_of("u", [*(showing("a", time) for time in (1, 2, 3)), click("a", 10)], TIRING, {})
    assert tired(state, 5, TIRING) == ["a"] and tired(state, 11, TIRING) == []


def test_a_hide_counts_from_when_it_is_known_until_it_is_taken_back():
    state = state_of("u", [hide("a", 10), hide("b", 10), hide("b", 20, 0.0), hide("c", 5, 0.0)], SPEC, {})
    assert withheld(state, 11, SPEC) == {"a"} == withheld(state, 9, SPEC), "the clock of who hid it may be ahead"
    again = with_all(state, [hide("b", 30)], SPEC)[0]
    assert withheld(again, 31, SPEC) == {"a", "b"}
    for both in ([hide("d", 10), hide("d", 10, 0.0)], [hide("d", 10, 0.0), hide("d", 10)]):
        assert withheld(state_of("u", both, SPEC, {}), 11, SPEC) == {"d"}, "of one moment, the hide counts"


def test_hides_are_no_history():
    events = [click("a", 1), hide("b", 2)]
    state = state_of("u", events, SPEC, {})
    assert (state.count, [e.item_id for e in state.events]) == (1, ["a"]) and repeat_excluded(state, 9, SPEC) == {"a"}
    assert with_all(state, [hide("b", 2), hide("c", 3), showing("a", 4)], SPEC)[1] == [
        Place.NONE,
        Place.NOTED,
        Place.NONE,
    ]


BOUGHT = replace(SPEC, repeat=Repeat(rule="never", events=("purchase",), pause_minutes=30))
MINUTE = 60_000


def bought(item, time):
    return Event(item, "purchase", time, event_id=f"b{item}{time}")


def test_what_was_bought_is_out_for_good_and_what_was_looked_at_for_a_while():
    events = [bought("a", 1), click("b", 2), click("a", 3), Event("c", "return", 10 * MINUTE, event_id="r")]
    state = state_of("u", [*events, hide("d", 11 * MINUTE)], BOUGHT, {})
    assert state.engaged == {"a": 1}, "a look at what was bought counts for nothing"
    assert withheld(state, 2, BOUGHT) == {"a", "d"}, "what comes at the moment itself is not known"
    assert withheld(state, 3, BOUGHT) == {"a", "b", "d"}
    assert withheld(state, 30 * MINUTE + 1, BOUGHT) == {"a", "b", "c", "d"}
    assert withheld(state, 30 * MINUTE + 2, BOUGHT) == {"a", "c", "d"}, "half an hour is over"
    assert withheld(state, 40 * MINUTE, BOUGHT) == {"a", "d"}
    always = replace(SPEC, repeat=Repeat(pause_minutes=30))
    assert withheld(state_of("u", events, always, {}), 31 * MINUTE, always) == {"c"}


@pytest.mark.parametrize(
    ("repeat", "again"),
    [
        (Repeat(), True),
        (Repeat(pause_minutes=5), True),
        (Repeat(rule="after_days", days=3), True),
        (Repeat(rule="never"), False),
        (Repeat(rule="never", pause_minutes=5), False),
        (Repeat(rule="never", events=("purchase",)), True),  # clicks engage
        (Repeat(rule="never", events=("purchase", "click")), False),
        (Repeat(rule="after_days", days=3, events=("purchase", "click")), True),
    ],
)
def test_what_engages_may_come_again_unless_all_of_it_is_kept_out_for_good(repeat, again):
    spec = replace(SPEC, repeat=repeat)
    assert spec.engaged_again == again
    assert spec.keeps_acts == bool(repeat.events or repeat.pause_minutes)
    assert set(repeat.events) <= set(spec.history_events), "whatever objectives name"


def test_a_state_stays_bounded():
    many = [hide(f"h{n}", n + 1) for n in range(HIDDEN + 50)] + [showing(f"i{n % 200}", n) for n in range(3000)]
    state = state_of("u", many, TIRING, {})
    assert len(state.hidden) == HIDDEN and "h0" not in state.hidden and f"h{HIDDEN + 49}" in state.hidden
    assert sum(map(len, state.shown.values())) == SHOWN
    back = state_of("u", [*many, hide("h99", HIDDEN + 60, 0.0)], TIRING, {})
    assert back.hidden["h99"] == -(HIDDEN + 60), "a late take-back is not what is forgotten first"
    assert state_of("u", many, SPEC, {}).shown == {}, "without the rule nothing is kept"


def test_without_the_rule_the_specification_is_what_it_was():
    assert "fatigue" not in SPEC.to_json() and "hide" not in SPEC.to_json()
    assert Repeat().model_dump() == {"rule": "always", "days": 0}, "and no key that came later"
    assert type(SPEC).from_json(BOUGHT.to_json()) == BOUGHT and BOUGHT.hash not in (SPEC.hash, TIRING.hash)
    assert TIRING.hash != SPEC.hash and type(SPEC).from_json(TIRING.to_json()) == TIRING
    assert EventType.HIDE in event_types(SPEC) and EventType.IMPRESSION not in event_types(SPEC)
    assert EventType.IMPRESSION in event_types(TIRING)
    text = (
        "name: x\ndata: {events: {path: e.csv}}\nobjectives: {engaged: {events: [click]}, satisfied: {events: [click]}}"
    )
    assert parse_config(text + "\nrepeat: {fatigue: {shown: 5, days: 3}}").repeat.fatigue == Fatigue(shown=5, days=3)


@pytest.mark.parametrize("spec", [SPEC, TIRING], ids=["shop", "tiring"])
def test_the_pipeline_hands_them_to_the_states(spec):
    events = [click("a", 1), hide("b", 2), hide("c", 3, 0.0), *(showing("d", 4 + n) for n in range(RULE.shown))]
    names = ("item_id", "event_type", "timestamp", "value", "event_id", "dwell_seconds")
    table = pa.Table.from_pylist(
        [{"user_id": "u"} | {name: getattr(event, name) for name in names} for event in events]
    )
    parts = [part for _, part in split_by_shard(table, 1, event_types(spec))]
    (history,) = _histories(read_parts(parts), spec).values()
    state = state_of("u", history, spec, {})
    assert state == state_of("u", events, spec, {}) and withheld(state, 9, spec) == {"a", "b"}
    assert tired(state, 9, spec) == (["d"] if spec is TIRING else [])


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    made = Recommender.load(write_shop(tmp_path_factory.mktemp("bundle") / "shop", CANDIDATES), None, None)
    made.spec = TIRING
    return made


@settings(max_examples=60)
@given(st.data())
def test_hidden_never_and_tired_last_and_never_fewer_than_there_are(recommender, data):
    some = st.sets(st.sampled_from(IDS), max_size=len(IDS))
    hidden, shown, out, k = data.draw(some), data.draw(some), data.draw(some), data.draw(st.sampled_from([1, 9, 50]))
    events = [hide(item, NOW - 5) for item in hidden]
    events += [showing(item, NOW - DAY_MS // (n + 2) - IDS.index(item)) for item in shown for n in range(RULE.shown)]
    state = with_all(KNOWN["ann"], events, TIRING)[0]
    named = data.draw(st.none() | some.filter(bool))
    request = Request("ann", k, NOW, exclude=frozenset(out), state=state, candidates=named and tuple(sorted(named)))
    owned = {event.item_id for event in KNOWN["ann"].events}
    there = {i for i in IDS if i not in GONE | owned | hidden | out and (named is None or i in named)}
    (slate,) = recommender.recommend([request])
    found = [item.item_id for item in slate.items]
    fresh = there - shown
    assert len(found) == len(set(found)) == min(k, len(there)) and set(found) <= there
    assert set(found[: len(fresh)]) <= fresh, "what was shown too often comes when all else is there"
    last = [item for item in slate.items if item.source == "shown_often"]
    assert [item.item_id for item in last] == found[len(fresh) :]
    assert [i.item_id for i in last] == [i for i in tired(state, NOW, TIRING) if i in there][: len(last)]


def test_what_is_at_hand_is_in_no_slate_of_a_user_or_a_session(recommender, monkeypatch):
    monkeypatch.setattr(recommender, "spec", BOUGHT)
    acts = [bought("g2-00", 5), click("g2-01", NOW - 29 * MINUTE), click("g2-02", NOW - 30 * MINUTE)]
    named = ("g2-00", "g2-01", "g2-02", "g2-03")
    user = Request("new", 4, NOW, state=with_all(UserState("new"), acts, BOUGHT)[0], candidates=named)
    session = Request("", 4, NOW, events=tuple(acts), state=UserState(""), candidates=named)
    free = replace(session, candidates=None, k=100)
    slates = [{item.item_id for item in slate.items} for slate in recommender.recommend([user, session, free])]
    assert slates == [{"g2-02", "g2-03"}, {"g2-02", "g2-03"}, set(IDS) - GONE - {"g2-00", "g2-01"}]


def test_an_act_ends_the_fatigue_and_a_session_may_hide(recommender):
    shown = [showing("g2-00", NOW - 1000 * n - 1000) for n in range(RULE.shown)]
    state = with_all(UserState("new"), shown, TIRING)[0]
    assert tired(state, NOW, TIRING) == ["g2-00"]
    assert tired(with_all(state, [click("g2-00", NOW - 5)], TIRING)[0], NOW, TIRING) == []
    request = Request("", 50, NOW, events=(hide("g2-01", NOW - 9),), state=UserState(""))
    assert "g2-01" not in [item.item_id for item in recommender.recommend([request])[0].items]
    ahead = replace(request, events=(hide("g2-01", NOW + 3000), click("g2-02", NOW + 3000)))
    slate = recommender.recommend([ahead])[0]
    assert "g2-01" not in [item.item_id for item in slate.items] and "future_events" in slate.degraded  # of the click
    alone = recommender.recommend([replace(request, events=(hide("g2-01", NOW + 3000),))])[0]
    assert "g2-01" not in [item.item_id for item in alone.items] and "future_events" not in alone.degraded


def test_states_published_before_there_were_hides_are_read_and_written(tmp_path, monkeypatch):
    state = replace(state_of("u", [click("a", 1), hide("b", 2)], SPEC, {"region": "north"}))
    rows = tmp_path / "states.parquet"

    def before(spec):
        return {name: kind for name, kind in state_columns(spec).items() if not name.startswith("hidden_")}

    row = {name: value for name, value in to_row(state, SPEC).items() if not name.startswith("hidden_")}
    pq.write_table(pa.Table.from_pylist([row]), rows)
    with monkeypatch.context() as patched:
        for module in (definitions, publish):
            patched.setattr(module, "state_columns", before)
        publish.publish(rows, SPEC, tmp_path / "feast", 10)
    store = feast_store.FeastStore(tmp_path / "feast", SPEC)
    assert store.read(["u"]) == [replace(state, hidden={})]
    store.write([with_all(state, [click("c", 5)], SPEC)[0]], 20)
    (read,) = store.read(["u"])
    assert [event.item_id for event in read.events] == ["a", "c"]
    assert publish.publish(rows, SPEC, tmp_path / "feast", 25) == 1, "the old file again"
    assert feast_store.FeastStore(tmp_path / "feast", SPEC).read(["u"]) == [replace(state, hidden={})]
    pq.write_table(pa.Table.from_pylist([to_row(state, SPEC)]), rows)
    publish.publish(rows, SPEC, tmp_path / "feast", 30)
    assert feast_store.FeastStore(tmp_path / "feast", SPEC).read(["u"]) == [state]
    store.read(["u"])
    assert "hidden_time" not in store._features, "a server that has the view of before: a Redis is asked for no more"
    monkeypatch.setattr(feast_store, "VIEW_SECONDS", 0)
    assert store.read(["u"]) == [state] and "hidden_time" in store._features, "and looks at it again"
    assert "hidden_time" in values.feast_row(state, SPEC, 1)[1]


def test_a_file_of_no_states_is_refused_and_those_before_stay(tmp_path):
    state, rows = state_of("u", [click("a", 1)], SPEC, {"region": "north"}), tmp_path / "states.parquet"
    pq.write_table(pa.Table.from_pylist([to_row(state, SPEC)]), rows)
    publish.publish(rows, SPEC, tmp_path / "feast", 10)
    pq.write_table(pq.read_table(rows).drop_columns(["count"]), tmp_path / "others.parquet")
    with pytest.raises(SoukError, match="the columns count"):
        publish.publish(tmp_path / "others.parquet", SPEC, tmp_path / "feast", 20)
    assert feast_store.FeastStore(tmp_path / "feast", SPEC).read(["u"]) == [state]
