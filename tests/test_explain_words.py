"""Explanations in words."""

from dataclasses import replace

import pytest

from souk.cli.explain import _page
from souk.pairs import PAIR_FEATURES, RESPONSE
from souk.schema import DAY_MS
from souk.serving.explain.explanation import EventPart, Explanation, FeaturePart
from souk.serving.explain.names import NAMES, plain_name
from souk.serving.explain.why_not import WhyNot
from souk.serving.explain.words import ago, sentences, to_json
from souk.spec import QUERY_FEATURES
from souk.state import Event

NOW = 20_000 * DAY_MS


def event(item, kind, days, contribution, title=""):
    return EventPart(Event(item, kind, NOW - days * DAY_MS), title, contribution)


WHY = Explanation(
    user_id="u1",
    item_id="i9",
    title="Red boots",
    release="shop-1",
    timestamp=NOW,
    place=0,
    place_by_score=0,
    source="two_tower",
    why_not=None,
    ended=None,
    log_score=-1.0,
    log_baseline=-2.0,
    events=(
        event("i1", "click", 3, 0.3, "Blue boots"),
        event("i2", "click", 2, -0.2),
        event("i1", "purchase", 1, 0.4, "Blue boots"),
    ),
    features=(
        FeaturePart("popularity", 0.25, 0.2),
        FeaturePart("popularity_rank", 2.0, 0.25),
        FeaturePart("user_home_town", "Fes", 0.05),
        FeaturePart("query_hour", 4, 0.001),
    ),
    steps=32,
    degraded=(),
)


def test_the_reasons_are_told_by_size_with_titles_and_shares():
    assert sentences(WHY) == [
        "“Red boots” scores 2.7 times what it would if nothing were known of the user, the history and the moment.",
        "Because of “Blue boots” (2 events, last bought 1 day ago, 50%).",
        "What also speaks for it: its popularity among such users at such times (32%).",
        "What speaks against it: “i2” (clicked 2 days ago, 14%).",
    ]


def test_items_of_one_title_are_told_with_their_ids():
    """A marketplace has many a leather chair; a title that one item has needs no id, though it comes twice."""
    chairs = event("i7", "click", 2, 0.3, "Red boots"), event("i9", "click", 1, -0.2, "Red boots")
    said = sentences(replace(WHY, events=(*chairs, *WHY.events)))
    assert said[0].startswith("“Red boots” i9 scores 2.7 times")
    assert said[1].startswith("Because of “Blue boots” (2 events,") and "“Red boots” i7 (clicked 2 days ago" in said[1]
    assert "“Red boots” i9 (clicked 1 day ago" in said[3] and "“i2” (clicked" in said[3]


def test_what_user_and_item_have_in_common_is_named():
    found = replace(
        WHY,
        features=(
            FeaturePart("match:context_place:item_tags", ["Fes", "jazz"], 0.5),
            FeaturePart("query_hour", 4, 0.001),
        ),
    )
    assert (
        sentences(found)[2]
        == "What also speaks for it: what the item's tags and the place of the visit have in common: Fes, jazz (36%)."
    )
    assert to_json(found)["features"][0] == {
        "name": "match:context_place:item_tags",
        "meaning": "what the item's tags and the place of the visit have in common",
        "value": ["Fes", "jazz"],
        "contribution": 0.5,
    }
    nothing = replace(found, features=(FeaturePart("match:user_home:item_city", [], -0.5),))
    against = sentences(nothing)[2]
    assert against.startswith(
        "What speaks against it: that the item's city and the user's home have nothing in common (36%)"
    )
    unknown = replace(found, features=(FeaturePart("match:user_home:item_city", None, -0.5),))
    assert sentences(unknown)[2].startswith(
        "What speaks against it: that the item's city or the user's home is not known (36%)"
    )
    assert sentences(unknown)[0] == (
        "“Red boots” scores 2.7 times what it would if nothing were known of the user, the history and the moment, "
        "and it had as much in common with the user as the mean candidate."
    )
    equal = replace(found, features=(FeaturePart("match:user_home:item_city", None, 0.0),))
    assert "in common" not in " ".join(sentences(equal))


def test_what_is_small_is_not_told():
    one = replace(WHY, events=(), features=(FeaturePart("age", 3.0, 1.0), FeaturePart("query_hour", 4, -0.01)))
    assert sentences(one)[1:] == ["What speaks for it: the days that it has been on offer (99%)."]


def test_what_sets_a_habit_against_itself_is_one_reason():
    parts = FeaturePart("due", 1.5, 3.0), FeaturePart("past_events", 137.0, -1.5), FeaturePart("past_recency", 9.0, 0.5)
    said = sentences(replace(WHY, events=(), features=parts, log_score=WHY.log_baseline + 2.0))
    assert said[1:] == [f"What speaks for it: {plain_name('due')} (100%)."]
    assert plain_name("due") == plain_name("past_events") == plain_name("past_recency")


def test_what_everybody_chooses_is_one_reason_that_says_in_which_direction():
    """A model sets the measures of it against each other; "its popularity" alone against it would read as if nobody
    chose it."""
    most = (
        FeaturePart("popularity", 0.25, 0.9, 1),
        FeaturePart("popularity_rank", 1.0, -0.6),
        FeaturePart("log_events", 900.0, -0.5, 1),
        FeaturePart("log_lately", 12.0, 0.0),  # as much as the mean candidate: it says nothing
        FeaturePart("satisfied_rate", 0.2, 0.8, -1),
    )
    assert sentences(replace(WHY, events=(), features=most, log_score=WHY.log_baseline + 0.6))[1:] == [
        "What speaks for it: that those who chose it were satisfied less often than with the mean candidate (80%).",
        "What speaks against it: that others choose it more than the mean candidate (20%).",
    ]


def test_where_the_measures_of_it_differ_each_says_in_which_direction():
    once = (
        FeaturePart("popularity", 0.01, -0.3, -1),
        FeaturePart("popularity_rank", 40.0, -0.1),
        FeaturePart("log_events", 900.0, 0.4, 1),
        FeaturePart("age", 900.0, 0.2, 1),
    )
    assert sentences(replace(WHY, events=(), features=once, log_score=WHY.log_baseline + 0.2))[1:] == [
        "What speaks for it: that everyone chose it more often so far than the mean candidate (40%) and that it has "
        "been on offer for more time than the mean candidate (20%).",
        "What speaks against it: that it is less popular among such users at such times than the mean candidate (40%).",
    ]


def test_the_table_has_one_line_for_a_value_and_the_place_by_it():
    lines = list(_page(to_json(WHY)))
    assert "  +0.450  its popularity among such users at such times: 0.25, place 2" in lines
    assert not any("its place by" in line for line in lines)
    alone = list(_page(to_json(replace(WHY, features=WHY.features[1:]))))
    assert "  +0.250  its place by that popularity: 2" in alone


def test_the_page_has_the_ids_of_the_item_and_of_the_past_events():
    lines = list(_page(to_json(replace(WHY, events=(*WHY.events, event("i10", "cart", 0, 0.1, "Hat"))))))
    assert any(line.startswith("\ni9: score 0.3679 (place 1, from two_tower)") for line in lines)
    head = lines.index(f"{'adds':>8}  past event")
    events = [line[28:] for line in lines[head + 1 : head + 5]]
    assert events == ["cart      i10  Hat", "purchase  i1   Blue boots", "click     i2", "click     i1   Blue boots"]


def test_a_title_cannot_steer_the_terminal():
    title = "\x1b[2K\x1b]0;Boots\x07\nscore 9 \x9b1A\u2028é 👢"
    shown = "\n".join(_page(to_json(replace(WHY, title=title, events=(event("i1", "cart", 1, 0.3, title),)))))
    assert not {"\x1b", "\x07", "\x9b", "\u2028"} & {*shown}
    assert shown.count(r"\x1b[2K\x1b]0;Boots\x07\nscore 9 \x9b1A\u2028é 👢") >= 2


def test_a_factor_that_nobody_can_read_is_more_than_a_thousand():
    assert "scores more than 1,000 times what" in sentences(replace(WHY, log_score=30.0))[0]
    assert "scores 403 times what" in sentences(replace(WHY, log_score=4.0))[0]


def test_several_reasons_are_listed():
    many = tuple(event(f"i{n}", "cart", 1, 0.3 - n / 100) for n in range(4))  # they add up to 1.14
    said = sentences(replace(WHY, events=many, features=()))[1]
    assert said.startswith("Because of “i0” (put in the cart 1 day ago, 26%), “i1” (") and " and “i2” (" in said
    assert "i3" not in said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"degraded": ("unknown_user",)}, "This user is not known"),
        ({"degraded": ("features_unavailable",)}, "could not be read"),
        (
            {"degraded": ("unknown_value:device", "unknown_value:home")},
            "what the request says of device, home: it counts",
        ),
        ({"degraded": ("forgotten_events",)}, "does not keep all"),
        ({"degraded": ("stale_features",)}, "was written long ago"),
        ({"why_not": WhyNot.UNAVAILABLE, "place": None}, "is not shown to this user: it is not available"),
        (
            {"why_not": WhyNot.UNAVAILABLE, "ended": 1_700_000_000_000},
            "shown to this user: it could be had until 2023-11-14 22:13 UTC",
        ),
        ({"place": None}, "No source proposed it"),
        ({"log_score": -0.9}, "do not add up"),
    ],
)
def test_what_a_reader_must_know_besides_stands_at_the_end(changes, expected):
    assert expected in sentences(replace(WHY, **changes))[-1]


@pytest.mark.parametrize(("gap", "told"), [(0.004, False), (0.006, True)])
def test_parts_that_cancel_out_miss_little_beside_what_they_move(gap, told):
    """They move 1.2 one way and the other, of which a tenth counts; the score ends where it began."""
    parts = (event("i1", "click", 3, 0.6, "Boots"), event("i2", "click", 2, -0.6, "Hat"))
    why = replace(WHY, events=parts, features=(), log_baseline=WHY.log_score + gap)
    assert to_json(why)["completeness_share"] == pytest.approx(gap / 0.12)
    assert any("do not add up" in said for said in sentences(why)) == told


def test_nothing_that_counts_is_no_reason():
    empty = replace(WHY, events=(), features=(), log_baseline=WHY.log_score)
    assert sentences(empty) == [
        "“Red boots” scores as much as it would if nothing were known of the user, the history and the moment."
    ]
    assert to_json(empty)["completeness_share"] == 0


@pytest.mark.parametrize("name", ["log_events", "log_lately"])
def test_counts_of_items_are_everyones(name):
    """Those of a user are called what the user did."""
    assert "by everyone" in plain_name(name)
    assert "everyone" not in plain_name("query_events")


def test_every_feature_has_a_plain_name():
    ours = {f.name for f in QUERY_FEATURES} | {*PAIR_FEATURES, RESPONSE} - {"score"} | {"user_id"}
    assert ours == set(NAMES)
    assert plain_name("user_home_town") == "the user's home town"
    assert plain_name("item_price") == "the item's price"
    assert plain_name("context_device") == "the device of the visit"


def test_the_answer_names_all_parts_and_the_gap():
    found = to_json(WHY)
    assert [part["contribution"] for part in found["events"]] == [0.3, -0.2, 0.4]
    assert found["events"][0] == {
        "item_id": "i1",
        "title": "Blue boots",
        "event_type": "click",
        "timestamp": NOW - 3 * DAY_MS,
        "contribution": 0.3,
    }
    assert found["completeness_gap"] == pytest.approx(0.001) == found["completeness_share"]
    assert (found["score"], found["baseline"]) == pytest.approx((0.3678794, 0.1353353))


def test_times_are_told_in_the_largest_unit_that_they_fill():
    times = (0, 59_999, 60_000, 3_600_000 * 5, DAY_MS, 40 * DAY_MS)
    expected = ["just now", "just now", "1 minute ago", "5 hours ago", "1 day ago", "40 days ago"]
    assert [ago(time) for time in times] == expected


def test_an_item_that_the_re_ranking_moved_says_so():
    [note] = set(sentences(replace(WHY, place_by_score=4))) - set(sentences(WHY))
    assert note == "By its score it would stand at place 5: the rules for the slate as a whole put it at place 1."
    assert to_json(replace(WHY, place_by_score=4))["position_by_score"] == 4
