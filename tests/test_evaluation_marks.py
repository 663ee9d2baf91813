"""What users hid and were shown often is in no slate that is measured, as in none that is served."""

import pytest

from souk.evaluation.queries import ask, frozen_queries, in_spec, rolling_queries
from souk.evaluation.sessions import session_queries
from souk.schema import MINUTE_MS
from souk.state import Event, state_of
from souk.withheld import marked, tired, withheld
from tests.evaluation_fixtures import DAY, START, reader, spec_of

TIRING = {"rule": "always", "fatigue": {"shown": 2, "days": 3}}
MANY = dict.fromkeys([*"abcd", *(f"i{n:02d}" for n in range(9))], True)
FIRST = ("ann", "a", "click", START - 9 * DAY)


def event(item, kind, time, value=None):
    """A hide that may be taken back, in the form of `write_artifacts`."""
    names = {"event_id": f"m{item}{time}", "user_id": "ann", "item_id": item, "event_type": kind, "timestamp": time}
    return names | {"value": value}


@pytest.fixture
def asking(tmp_path):
    """A function that asks what a spec and events say."""

    def ask_for(spec, *events, items=MANY):
        rows = [e if isinstance(e, dict) else event(*e[1:]) | {"user_id": e[0]} for e in (FIRST, *events)]
        window, catalogue = reader(tmp_path)(spec, rows, items)
        return ask(window, catalogue, spec, most=20), window, catalogue

    return ask_for


def told(queries, catalogue):
    return [
        (q.timestamp - START, *([catalogue.ids[i] for i in own] for own in (q.targets, q.excluded))) for q in queries
    ]


def test_what_was_hidden_before_is_neither_ranked_nor_asked_for(asking):
    spec, clicks = spec_of(), [("ann", "b", "click", START + 5), ("ann", "c", "click", START + 5)]
    hide = event("b", "hide", START - 8 * DAY)
    asked, window, catalogue = asking(spec, hide, *clicks)
    assert told(asked.queries, catalogue) == [(5, ["c"], ["b"])]
    assert asked.causes["hidden"] == 1 == asked.filtered
    [query] = asked.queries
    assert withheld(query.state, query.timestamp, spec) == {"b"} == withheld(in_spec(query, spec), START + 5, spec)
    assert told(frozen_queries(window, catalogue, spec), catalogue) == [(0, ["c"], ["b"])]
    asked, _, catalogue = asking(spec, hide, event("b", "hide", START - DAY, 0.0), *clicks)
    assert told(asked.queries, catalogue) == [(5, ["b", "c"], [])], "it was taken back"


def test_what_is_hidden_then_or_later_is_not_known_yet(asking):
    spec = spec_of()
    for late in (0, 3):
        hide = event("b", "hide", START + 5 + late)
        asked, window, catalogue = asking(
            spec, hide, ("ann", "b", "click", START + 5), ("ann", "c", "click", START + 9)
        )
        assert told(asked.queries, catalogue) == [(5, ["b"], []), (9, ["c"], ["b"])]
        assert told(frozen_queries(window, catalogue, spec), catalogue) == [(0, ["b", "c"], [])]
    between = [event("b", "hide", START + 2), ("ann", "c", "click", START + 5), ("ann", "b", "click", START + 9)]
    _, window, catalogue = asking(spec, *between)
    assert told(frozen_queries(window, catalogue, spec), catalogue) == [(0, ["c", "b"], [])], "hidden after the start"


def test_what_was_shown_often_is_neither_ranked_nor_asked_for(asking):
    spec, showings = spec_of(TIRING), [event("b", "impression", START - DAY + n) for n in range(2)]
    clicks = [("ann", "b", "click", START + 5), ("ann", "c", "click", START + 6)]
    asked, window, catalogue = asking(spec, *showings, *clicks)
    assert told(asked.queries, catalogue) == [(6, ["c"], [])], "what was acted upon is fresh"
    assert asked.causes["shown often"] == 1 == asked.filtered
    assert told(frozen_queries(window, catalogue, spec), catalogue) == [(0, ["c"], ["b"])]
    asked, window, catalogue = asking(spec, *showings, clicks[1])
    [query] = asked.queries
    past = [Event("a", "click", START - 9 * DAY), *(Event("b", "impression", e["timestamp"]) for e in showings)]
    served = state_of("ann", past, spec, {"region": ""})
    assert query.state.shown == served.shown and tired(query.state, query.timestamp, spec) == ["b"]
    assert told(asked.queries, catalogue) == [(6, ["c"], ["b"])]
    asked, _, catalogue = asking(spec_of(), *showings, *clicks)
    assert told(asked.queries, catalogue) == [(5, ["b"], []), (6, ["c"], [])], "without the rule"
    asked, _, catalogue = asking(spec, *(s | {"timestamp": s["timestamp"] - 3 * DAY} for s in showings), *clicks)
    assert told(asked.queries, catalogue) == [(5, ["b"], []), (6, ["c"], [])], "too long ago"


def test_what_was_shown_often_comes_back_where_little_else_is_on_offer(asking):
    """Of eleven items two were shown often: nine others leave one place of ten, for that which was not seen longest."""
    spec, items = spec_of(TIRING), dict.fromkeys([*MANY][:11], True)
    showings = [event(item, "impression", START - DAY + n) for n, item in enumerate("bccb")]
    asked, _, catalogue = asking(spec, *showings, ("ann", "b", "click", START + 5), ("ann", "c", "click", START + 5))
    assert not asked.queries and asked.causes["shown often"] == 2
    asked, _, catalogue = asking(
        spec, *showings, ("ann", "b", "click", START + 5), ("ann", "c", "click", START + 5), items=items
    )
    assert told(asked.queries, catalogue) == [(5, ["c"], ["b"])] and asked.causes["shown often"] == 1


def test_the_slate_that_something_was_taken_from_does_not_count_as_shown(asking):
    """Nor what came after it; what was taken half an hour after it, or without it, came of another way."""
    spec, clicked = spec_of(TIRING), START + DAY
    before = [event(item, "impression", START - 1) for item in "bc"]

    def targets(minutes):
        slate = [event(item, "impression", clicked - minutes * MINUTE_MS) for item in "bc"]
        asked, _, catalogue = asking(spec, *before, *slate, ("ann", "b", "click", clicked))
        return [own[1:] for own in told(asked.queries, catalogue)]

    assert targets(1) == targets(30) == [(["b"], [])]
    assert targets(31) == []
    known = marked(state_of("ann", [], spec, {}), [], [Event("b", "impression", t) for t in (6, 7)], ["d"], 9, spec)
    assert tired(known, 9, spec) == ["b"]
    slates = [Event(item, "impression", t) for item, t in (("b", 5), ("x", 6), ("x", 7), ("c", 8))]
    for taken, found in ((["c"], ["x"]), (["b", "c"], [])):
        known = marked(state_of("ann", [], spec, {}), [], slates, taken, 9, spec)
        assert tired(known, 9, spec) == found, "of a basket, the first slate is the one that was asked for"


def test_a_visitor_hid_what_was_hidden_in_the_session(asking):
    spec, minute = spec_of(), MINUTE_MS
    hides = [event("c", "hide", START - 2 * DAY), event("d", "hide", START + 2 * minute)]
    clicks = [("ann", "a", "click", START + minute), ("ann", "b", "click", START + 3 * minute)]
    asked, window, catalogue = asking(spec, *hides, *clicks)
    assert told(asked.queries, catalogue)[1] == (3 * minute, ["b"], ["c", "d"])
    _, visitors = session_queries(rolling_queries(window, catalogue, spec, 20), catalogue.position, spec)
    assert told(visitors, catalogue) == [(3 * minute, ["b"], ["d"])]
