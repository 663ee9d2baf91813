"""Queries whose right answers are counted by hand."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from souk.errors import SoukError
from souk.evaluation.protocol import rank
from souk.evaluation.queries import (
    CAUSES,
    ask,
    frozen_queries,
    in_spec,
    rolling_queries,
)
from souk.schema import FOREVER
from souk.state import engaging
from tests.evaluation_fixtures import DAY, EVENTS, ITEMS, START, Fixed, make_spec, reader, spec_of
from tests.marketplace import CONFIG


@pytest.fixture
def read(tmp_path):
    return reader(tmp_path)


def shown(query, catalogue):
    return query.user_id, query.timestamp - START, [catalogue.ids[target] for target in query.targets]


def test_rolling_queries_by_hand(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [shown(query, catalogue) for query in queries] == [
        ("ann", 1, ["c", "d"]),
        ("ann", 5, ["b"]),
        ("eve", 7, ["new"]),
    ]
    assert [query.state.count for query in queries] == [3, 6, 0]
    assert [[catalogue.ids[i] for i in query.history] for query in queries] == [["a", "b"], ["a", "b", "c", "d"], []]
    assert not any(len(query.excluded) for query in queries)


def test_of_too_many_users_the_same_ones_are_drawn_whoever_else_is_there(read):
    """Who is drawn for ten of forty is drawn for ten of those twenty, too, if there; the catalogue is that of all."""
    spec, told = spec_of("always"), []
    events = [(f"u{n:02}", "abcd"[n % 4], "click", START + 1 + n) for n in range(40)]
    events += [("zoe", "late", "purchase", START + 3)]  # engages with nothing
    given = {"events": [*EVENTS, *events], "items": ITEMS | {"late": True}, "created": {"late": START + 30}}
    everyone, whole = read(spec, **given)
    drawn, catalogue = read(spec, **given, most=10, tell=told.append)
    fewer, _ = read(spec, **given | {"events": [*EVENTS, *events[::2]]}, most=10)
    assert len(everyone.events) == 42 and len(drawn.events) == len(fewer.events) == 10
    assert told == ["10 of the 42 users who engage in the window are drawn (evaluate.max_users)"]
    least = sorted(everyone.events, key=lambda user: hashlib.sha256(user.encode()).hexdigest())[:10]
    assert list(drawn.events) == sorted(least)
    assert {user for user in drawn.events if user not in {name for name, *_ in events[1::2]}} <= fewer.events.keys()
    for name in ("popularity", "old", "born", "until", "available"):
        np.testing.assert_array_equal(getattr(catalogue, name), getattr(whole, name))
    assert catalogue.born[catalogue.position["late"]] == START + 3, "there when it was looked at"
    assert read(spec, **given, most=42, tell=told.append)[0].events.keys() == everyone.events.keys() and len(told) == 1


def test_engaged_items_leave_catalogue_and_targets_when_repeat_is_never(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [shown(query, catalogue) for query in queries] == [("ann", 1, ["c", "d"]), ("eve", 7, ["new"])]
    assert [catalogue.ids[i] for i in queries[0].excluded] == ["a", "b"]
    assert queries[0].state.engaged == {"a": START - 9 * DAY, "b": START - 8 * DAY}


def test_what_was_not_there_yet_is_not_ranked(read):
    spec = spec_of("always")
    dates = {"a": START + 99, "c": 1, "d": START + 6, "late": START + 6, "new": START + 99}
    window, catalogue = read(spec, items=ITEMS | {"late": True}, created=dates)
    born = dict(zip(catalogue.ids, catalogue.born - START, strict=True))
    assert born == dict.fromkeys(["a", "b", "c"], -START) | {"d": 1, "late": 6, "new": 7, "gone": -START}
    scorer = Fixed(catalogue, {"late": 9, "new": 8, "b": 7})
    rolling = rank(scorer, rolling_queries(window, catalogue, spec, most=20), catalogue)
    first = [[catalogue.ids[place] for place in line[line >= 0]] for line in rolling.top]
    assert first == [["b", "a", "c", "d"], ["b", "a", "c", "d"], ["late", "new", "b", "a", "c", "d"]]
    assert [ranks.tolist() for ranks in rolling.ranks] == [[3, 4], [1], [2]]
    frozen = rank(scorer, frozen_queries(window, catalogue, spec), catalogue)
    assert {catalogue.ids[line[0]] for line in frozen.top} == {"late"}, "its targets are of the whole window"


def test_what_was_not_to_be_had_any_more_is_not_ranked(read):
    spec = spec_of("always")
    until = {"a": START - 1, "c": START - 5 * DAY, "d": 7 + START, "late": START + 1}
    window, catalogue = read(spec, items=ITEMS | {"late": True}, until=until)
    known = zip(catalogue.ids, catalogue.until.tolist(), strict=True)
    assert {item: time for item, time in known if time < FOREVER} == until
    for time in (START, 7 + START, 8 + START):
        there = sum(catalogue.to_be_had(place, time) for place in np.flatnonzero(catalogue.born <= time))
        assert catalogue.on_offer(time) == there, "an item is there at its last moment"
    assert catalogue.listed.tolist() == [item not in ("a", "c", "gone") for item in catalogue.ids]
    asked = ask(window, catalogue, spec, 20)
    wanted = [("ann", 1, ["d"]), ("ann", 5, ["b"]), ("eve", 7, ["new"])]
    assert [shown(query, catalogue) for query in asked.queries] == wanted, "c had ended"
    assert asked.unavailable == 1 + ask(*read(spec), spec, 20).unavailable
    scorer = Fixed(catalogue, {"late": 9, "a": 8, "c": 7, "d": 6})
    rolling = rank(scorer, asked.queries, catalogue)
    first = [[catalogue.ids[place] for place in line[line >= 0]] for line in rolling.top]
    assert first == [["late", "d", "b", "new"], ["d", "b", "new"], ["d", "b", "new"]], "at 1, 5 and 7"
    assert [ranks.tolist() for ranks in rolling.ranks] == [[2], [2], [3]]
    frozen = rank(scorer, frozen_queries(window, catalogue, spec), catalogue)
    assert {catalogue.ids[line[0]] for line in frozen.top} == {"late"}, "it was there when the window began"
    last = {"c": START + 1, "d": START + 1, "b": START}
    window, catalogue = read(spec, until=last)
    asked = [shown(query, catalogue) for query in rolling_queries(window, catalogue, spec, most=20)]
    assert asked == [("ann", 1, ["c", "d"]), ("eve", 7, ["new"])], "the last moment is one; b ended before"
    assert catalogue.listed[catalogue.position["b"]]


@pytest.mark.parametrize("name", ["test", "validation"])
def test_what_ended_within_the_data_was_to_be_had_until_then(read, name):
    """No item of these is available now, and the data end at START + 9: only what ended before that was ever."""
    spec = spec_of("always")
    until = {"b": START + 8, "c": START + 9, "d": START + 3}
    _, catalogue = read(spec, items=ITEMS | dict.fromkeys("bcd", False), window=name, until=until)
    assert dict(zip(catalogue.ids, catalogue.available.tolist(), strict=True)) == {
        **dict.fromkeys(("a", "b", "d", "new"), True), "c": False, "gone": False
    }  # fmt: skip


def test_items_come_back_after_days(read):
    spec = spec_of({"rule": "after_days", "days": 8.5})
    window, catalogue = read(spec)
    first = rolling_queries(window, catalogue, spec, most=20)[0]
    assert [catalogue.ids[i] for i in first.excluded] == ["b"]


def test_only_the_first_queries_of_a_user_count(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=1)
    assert [(query.user_id, query.timestamp - START) for query in queries] == [("ann", 1), ("eve", 7)]


def test_frozen_queries_know_nothing_of_the_window(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = frozen_queries(window, catalogue, spec)
    assert [shown(query, catalogue) for query in queries] == [("ann", 0, ["c", "d"]), ("eve", 0, ["new"])]
    assert queries[0].state.count == 3
    bought_first, same = read(spec, [*EVENTS, ("ann", "a", "purchase", START)])  # no engagement, and in the window
    assert [query.state.count for query in frozen_queries(bought_first, same, spec)] == [3, 0]


def test_state_of_a_query_in_another_spec(read):
    """A champion may keep a longer history and other user columns than its challenger."""
    spec = spec_of("always")
    other = make_spec({**CONFIG, "build_features": {"history_length": 4}, "columns": {"users": {"age": "numeric"}}})
    events = [("ann", "abcd"[n % 4], "click", START - 100 + n) for n in range(50)] + [("ann", "a", "click", START)]
    window, catalogue = read(spec, events)
    [query] = rolling_queries(window, catalogue, spec, most=20)
    assert len(query.state.events) == 48
    state = in_spec(query, other)
    assert (len(state.events), state.count) == (6, 50)
    assert state.events == query.state.events[-6:]
    assert list(state.profile) == ["age"]


def test_later_events_change_no_query(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    later = [*EVENTS, ("ann", "a", "click", START + 6), ("bob", "a", "click", START + 9)]
    window_later, catalogue_later = read(spec, later)
    before = rolling_queries(window, catalogue, spec, most=2)[:2]
    after = rolling_queries(window_later, catalogue_later, spec, most=2)[:2]
    assert [repr(q.state) for q in before] == [repr(q.state) for q in after]  # repr: NaN is not equal to itself
    assert catalogue.popularity.tolist() == catalogue_later.popularity.tolist() == [1, 2, 1, 0, 0, 0]
    assert catalogue.old.tolist() == catalogue_later.old.tolist()


@pytest.mark.parametrize(("time", "old"), [(START - 1, True), (START, False)])
def test_an_item_of_any_event_of_histories_before_the_window_is_not_new_to_it(read, time, old):
    spec = spec_of("always")
    assert "purchase" in spec.history_events and "purchase" not in spec.objectives.engaged.events
    _, catalogue = read(spec, [*EVENTS, ("zoe", "never", "purchase", time)], ITEMS | {"never": True})
    assert (catalogue.old[catalogue.position["never"]], catalogue.popularity[catalogue.position["never"]]) == (old, 0)


def test_the_validation_window_knows_neither_itself_nor_the_test_window(read):
    """The validation window of the fixtures starts long before the first event."""
    spec = spec_of("always")
    early = [("ann", "d", "click", START // 2 - 5), *EVENTS]
    window, catalogue = read(spec, early, window="validation")
    assert (window.start, window.end) == (START // 2, START)
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [(q.user_id, [catalogue.ids[t] for t in q.targets]) for q in queries] == [
        ("ann", ["a"]), ("ann", ["b"]), ("bob", ["b"]), ("bob", ["c"]),
    ]  # fmt: skip
    assert [[catalogue.ids[i] for i in q.history] for q in queries] == [["d"], ["d", "a"], [], ["b"]]
    assert {e.item_id for own in window.events.values() for e in own} == set("abcd")
    assert catalogue.popularity.tolist() == [0, 0, 0, 1, 0, 0]
    assert catalogue.old.tolist() == [False, False, False, True, False, False]
    assert {user: times.tolist() for user, times in catalogue.engaged_times.items()} == {"ann": [START // 2 - 5]}
    without_test = [event for event in early if event[3] < START] + [("zoe", "a", "click", START)]
    other, same = read(spec, without_test, window="validation")
    assert list(other.events) == ["ann", "bob"], "who engages as the test window begins is none of it"
    assert repr(rolling_queries(other, same, spec, most=20)) == repr(queries)


def test_moments_with_nothing_to_recommend_are_counted_and_not_asked(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    asked = ask(window, catalogue, spec, most=20)
    assert [(q.user_id, q.timestamp - START) for q in asked.queries] == [("ann", 1), ("eve", 7)]
    assert (asked.filtered, asked.unavailable) == (2, 1), "ann takes b again, and what is gone"
    assert asked.unanswered == 2
    causes = dict.fromkeys(CAUSES, 0) | {"not available": 1, "taken before": 1}
    assert asked.causes == causes
    window, catalogue = read(spec, until={"b": START + 2})
    ended = ask(window, catalogue, spec, most=20)
    assert ended.causes == causes | {"ended": 1, "taken before": 0}, "the end counts before the rule"
    window, catalogue = read(spec, until={"gone": START})
    ended = ask(window, catalogue, spec, most=20)
    assert ended.causes == causes | {"not available": 0, "ended": 1}, "what is sold now was available until its end"
    sold = replace(catalogue, available=np.array([ITEMS[item] for item in catalogue.ids]))
    assert ask(window, sold, spec, most=20).causes == causes, "of both the first counts"
    first = ask(window, catalogue, spec, most=1)
    assert first.filtered == first.unanswered == 0, "both come after her first query"


@pytest.mark.parametrize("time", [START - 1, START + 9], ids=["before the window", "within it"])
def test_features_without_an_item_of_the_events_are_those_of_another_run(read, time):
    events = [*EVENTS, ("bob", "stranger", "click", time)]
    with pytest.raises(
        SoukError, match=r"in .*features\. Received: 1 that it lacks, such as stranger\. Give the tables"
    ):
        read(spec_of("always"), events)


def test_a_user_who_has_taken_everything_costs_one_walk(read, monkeypatch):
    """And whoever is asked is known as the events before say, whatever the rule."""
    looked = []
    for module in ("souk.state", "souk.evaluation.queries"):
        monkeypatch.setattr(f"{module}.engaging", lambda *given: looked.append(1) or engaging(*given))
    events = [("ann", "abcd"[min(n // 100, 3 - n % 4)], "click", START - 100 + n // 2) for n in range(600)]
    for repeat in ("always", "never", {"rule": "after_days", "days": 2.3e-8}):
        spec = spec_of(repeat)
        window, catalogue = read(spec, events)
        looked.clear()
        asked = ask(window, catalogue, spec, most=9)
        assert len(looked) <= 2 * 600, repeat  # once for what is kept out, once for habits
        assert len(asked.queries) == (2 if repeat == "never" else 9)
        for query in asked.queries:
            assert query.past == tuple(e for e in window.events["ann"] if e.timestamp < query.timestamp)
            assert repr(query.state) == repr(in_spec(query, spec))
            assert query.history.tolist() == [catalogue.position[e.item_id] for e in query.past]
            assert not set(query.targets) & set(query.excluded)


def test_engaging_rows_are_those_of_training(read):
    """A rule on values, read in columns here and event by event there."""
    rows = [
        {"event_id": f"e{n}", "user_id": "ann", "item_id": "a", "event_type": kind, "timestamp": START + n, "value": v}
        for n, (kind, v) in enumerate([("rating", 5.0), ("rating", 2.0), ("rating", None), ("click", 5.0)])
    ]
    config = json.loads(json.dumps({**CONFIG, "repeat": "always"}))
    config["objectives"] = {"engaged": {"events": ["rating"], "min_value": 4}, "satisfied": {"events": ["rating"]}}
    spec = make_spec(config)
    window, catalogue = read(spec, [("bob", "b", "click", START - 1), *rows])
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [query.timestamp - START for query in queries] == [0]
    assert catalogue.popularity.sum() == 0
