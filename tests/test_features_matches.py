"""Which columns match follows from what users take; the answers are known by construction."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Columns, parse_config
from souk.features.matches import USERS, Match, find_matches
from souk.items import ItemTable
from souk.schema import DAY_MS
from souk.spec import read_spec
from tests.models_fixtures import cycle_spec

CITIES = [f"city{n}" for n in range(5)]
COLUMNS = {
    "users": {"home": "categorical", "member": "categorical", "band": "categorical", "likes": "list", "age": "numeric"},
    "events": {"place": "categorical", "wants": "list"},
    "items": {"city": "categorical", "organic": "categorical", "shelf": "categorical", "tags": "list", "name": "text"},
}
BEFORE = 100 * DAY_MS


def spec(**columns):
    return cycle_spec(columns=Columns.model_validate(COLUMNS | columns))


def write(folder, events, items, users):
    text, words = pa.string(), pa.list_(pa.string())
    for name, table, columns in (
        ("events", events, {"user_id": text, "item_id": text, "event_type": text, "timestamp": pa.int64()}
         | {"event_id": text, "value": pa.float64(), "place": text, "wants": words}),
        ("items", items, {"item_id": text, "city": text, "organic": text, "shelf": text, "tags": words, "name": text}),
        ("users", users, {"user_id": text, "home": text, "member": text, "band": text, "likes": words}),
    ):  # fmt: skip
        schema = pa.schema(list(columns.items()))
        pq.write_table(pa.Table.from_pylist(table, schema), folder / f"{name}.parquet", row_group_size=97)
    return folder


def market(users=60, stays=0.6, seed=1, late=0.0):
    """Events of users of whom a share `stays` at home, and else takes anything; all other columns are drawn."""
    draw = random.Random(seed)
    items = [
        {
            "item_id": f"i{n:03d}",
            "city": CITIES[n % len(CITIES)],
            "organic": draw.choice(["yes", "no"]),
            "shelf": str(draw.randrange(4)),
            "tags": draw.sample(["jazz", "rock", "folk"], draw.randrange(3)),
            "name": "city1 jazz",
        }
        for n in range(50)
    ]
    people = [
        {
            "user_id": f"u{n:03d}",
            "home": CITIES[n % 3],
            "member": draw.choice(["yes", "no"]),
            "band": str(draw.randrange(4)),
            "likes": draw.sample(["jazz", "rock", "folk"], 1),
        }
        for n in range(users)
    ]
    events = []
    for person in people:
        for n in range(20):
            local = [item for item in items if item["city"] == person["home"]]
            time = BEFORE + n if draw.random() < late else n
            keeps = draw.random() < (stays if late == 0 or time >= BEFORE else 0)
            item = draw.choice(local if keeps else items)
            events.append(
                {
                    "event_id": f"{person['user_id']}-{n:02d}",
                    "user_id": person["user_id"],
                    "item_id": item["item_id"],
                    "event_type": "rating",
                    "timestamp": time,
                    "place": draw.choice(CITIES),
                    "wants": draw.sample(["jazz", "rock", "folk"], 2),
                }
            )
    draw.shuffle(events)
    return sorted(events, key=lambda event: event["timestamp"]), items, people


def event(person, item, time, draw):
    return {
        "event_id": f"{person['user_id']}-{time:03d}-{draw.random()}",
        "user_id": person["user_id"],
        "item_id": item,
        "event_type": "rating",
        "timestamp": time,
        "place": None,
        "wants": None,
    }


def names(matches):
    return [(match.own, match.theirs) for match in matches]


def test_users_who_stay_at_home_show_which_columns_are_a_town(tmp_path):
    (match,) = find_matches(write(tmp_path, *market()), spec(), BEFORE)
    assert (match.own, match.theirs) == ("user_home", "item_city")
    assert match.share == pytest.approx(0.6 + 0.4 / 5, abs=0.04)
    assert match.chance == pytest.approx(0.6 / 3 + 0.4 / 5, abs=0.04)  # homes are three of the towns


@pytest.mark.parametrize("seed", range(6))
def test_words_in_common_are_no_match(tmp_path, seed):
    """Members and organic food both know yes and no, bands of income and shelves are numbers."""
    assert find_matches(write(tmp_path, *market(stays=0.0, seed=seed, users=200)), spec(), BEFORE) == []


@pytest.mark.parametrize("seed", range(6))
def test_luck_is_no_match(tmp_path, seed):
    """Of two events each, some columns agree far more than by chance."""
    events, items, people = market(users=40, stays=0.0, seed=seed)
    few = [event for event in events if event["timestamp"] < 2]
    assert find_matches(write(tmp_path, few, items, people), spec(), BEFORE) == []


def test_what_is_sure_and_small_is_no_match(tmp_path):
    events, items, people = market(users=600, stays=0.05, seed=3)
    assert find_matches(write(tmp_path, events, items, people), spec(), BEFORE) == []


def test_later_events_do_not_choose(tmp_path):
    events, items, people = market(stays=1.0, late=0.5)
    for late in events:
        late["timestamp"] = min(late["timestamp"], BEFORE)  # at the very start of validation, too
    folder = write(tmp_path, events, items, people)
    assert find_matches(folder, spec(), BEFORE) == []
    assert names(find_matches(folder, spec(), BEFORE + DAY_MS)) == [("user_home", "item_city")]
    first = min(event["timestamp"] for event in events if event["timestamp"] >= BEFORE)
    assert find_matches(folder, spec(), first) == []


@pytest.mark.parametrize("kind", ["impression", "return", "click", "hide"])
def test_what_is_not_taken_does_not_choose(tmp_path, kind):
    """`objectives.engaged` of this shop are ratings."""
    events, items, people = market()
    shown = [event | {"event_type": kind} for event in events]
    assert find_matches(write(tmp_path, shown, items, people), spec(), BEFORE) == []
    taken = market(stays=0.0)[0]
    assert find_matches(write(tmp_path, [*shown, *taken], items, people), spec(), BEFORE) == []


def test_what_most_say_is_a_match_too(tmp_path):
    """Nineteen of twenty speak one language, and everyone reads their own: chance alone agrees nine times in ten."""
    events, items, people = market(users=400)
    for n, item in enumerate(items):
        item["city"] = "english" if n % 20 else "french"
    for n, person in enumerate(people):
        person["home"] = "english" if n % 20 else "french"
    home = {person["user_id"]: person["home"] for person in people}
    own = {word: [item["item_id"] for item in items if item["city"] == word] for word in ("english", "french")}
    for n, event in enumerate(events):
        mine = own[home[event["user_id"]]]
        event["item_id"] = mine[n % len(mine)]
    (match,) = find_matches(write(tmp_path, events, items, people), spec(), BEFORE)
    assert (match.own, match.theirs, match.share) == ("user_home", "item_city", 1.0)
    assert match.chance == pytest.approx(0.95**2 + 0.05**2, abs=0.02)


@pytest.mark.parametrize("always", ["i008", "i"])
def test_what_there_was_to_take_is_no_match(tmp_path, always):
    """Users of one town came while most items were of it, then those of another."""
    draw = random.Random(5)
    _, items, people = market(users=200)
    events = []
    for n, person in enumerate(people):
        person["home"] = town = CITIES[n // 100]
        there = [item["item_id"] for item in items if item["city"] == town or item["item_id"] < always]
        events += [event(person, draw.choice(there), 50 * (n // 100) + draw.randrange(50), draw) for _ in range(10)]
    events.sort(key=lambda event: event["timestamp"])
    assert find_matches(write(tmp_path, events, items, people), spec(), BEFORE) == []


def test_one_town_that_stays_at_home_is_no_match(tmp_path):
    """Of the other nineteen nobody does: what is counted would be wrong for most words, and for new ones."""
    draw = random.Random(3)
    _, items, people = market(users=400)
    for n, item in enumerate(items):
        item["city"] = f"c{n % 10}"
    events = []
    for n, person in enumerate(people):
        person["home"] = f"c{n % 10}"
        near = [item["item_id"] for item in items if item["city"] == "c0"] if n % 10 == 0 else None
        events += [event(person, draw.choice(near or [i["item_id"] for i in items]), k, draw) for k in range(20)]
    events.sort(key=lambda event: event["timestamp"])
    found = find_matches(write(tmp_path, events, items, people), spec(), BEFORE)
    assert found == []


def test_lists_match_by_each_of_their_words(tmp_path):
    events, items, people = market(stays=0.0)
    likes = {person["user_id"]: person["likes"][0] for person in people}
    liked = {word: [item["item_id"] for item in items if word in item["tags"]] for word in ("jazz", "rock", "folk")}
    events = [e | {"item_id": liked[likes[e["user_id"]]][n % 7]} for n, e in enumerate(events)]
    assert names(find_matches(write(tmp_path, events, items, people), spec(), BEFORE)) == [("user_likes", "item_tags")]


@pytest.mark.parametrize("column", ["place", "wants"])
def test_a_visit_matches_as_a_user_does(tmp_path, column):
    events, items, people = market(stays=0.0)
    own = {item["item_id"]: item for item in items}
    for event in events[::2]:
        event[column] = own[event["item_id"]]["city" if column == "place" else "tags"]
    theirs = "item_city" if column == "place" else "item_tags"
    assert names(find_matches(write(tmp_path, events, items, people), spec(), BEFORE)) == [
        (f"context_{column}", theirs)
    ]


def test_a_few_users_with_many_events_say_nothing(tmp_path):
    events, items, people = market(users=USERS - 1, stays=1.0)
    assert find_matches(write(tmp_path, events * 9, items, people), spec(), BEFORE) == []
    one = [e for e in market(stays=1.0)[0] if e["user_id"] == "u000"]
    _, items, people = market(users=400)
    little = market(users=400, stays=0.03)[0]
    mixed = sorted([*one * 200, *little], key=lambda event: event["timestamp"])
    assert find_matches(write(tmp_path, mixed, items, people), spec(), BEFORE) == []
    crawlers = [e | {"user_id": f"u00{n % 5}"} for n, e in enumerate(market(users=2000, stays=0.0)[0])]
    mixed = sorted([*crawlers, *market(users=400, stays=0.2)[0]], key=lambda event: event["timestamp"])
    assert names(find_matches(write(tmp_path, mixed, items, people), spec(), BEFORE)) == [("user_home", "item_city")]


def test_what_a_user_takes_at_one_time_is_compared_with_what_others_take(tmp_path):
    events, items, people = market()
    order = random.Random(2).sample(range(60), 60)
    for event in events:
        event["timestamp"] = order[int(event["user_id"][1:])]
    events.sort(key=lambda event: event["timestamp"])
    (match,) = find_matches(write(tmp_path, events, items, people), spec(), BEFORE)
    assert match.share == pytest.approx(0.6 + 0.4 / 5, abs=0.04)
    assert match.chance == pytest.approx(0.6 / 3 + 0.4 / 5, abs=0.04)


def test_what_is_unknown_is_left_out(tmp_path):
    events, items, people = market()
    for person in people[::2]:
        person["home"] = None
    for item in items[::10]:
        item["city"] = None
    strangers = [events[0] | {"user_id": "nobody"}, events[0] | {"item_id": "nothing"}]
    found = find_matches(write(tmp_path, [*strangers, *events], items, people), spec(), BEFORE)
    assert names(found) == [("user_home", "item_city")]


def test_there_is_nothing_to_look_at_without_words(tmp_path):
    for columns in ({"users": {"age": "numeric"}, "events": {}}, {"items": {"name": "text"}}):
        assert find_matches(tmp_path / "no folder", spec(**columns), BEFORE) == []


def test_a_match_is_told_with_what_chance_would_do():
    match = Match("user_home", "item_city", 0.631, 0.14)
    assert str(match) == "user_home and item_city agree in 63% of what a user takes, by chance in 14%"


@pytest.mark.parametrize(
    ("own", "share", "copied", "told"),
    [
        ("context_place", 0.99, True, ": left out, since the log likely has it from the item. "),
        ("context_place", 0.94, False, ""),
        ("user_home", 0.95, False, ": is it made of what the user took?"),
        ("user_home", 0.94, False, ""),
    ],
)
def test_a_match_that_may_be_none_is_told(own, share, copied, told):
    said = str(Match(own, "item_city", share, 0.004, copied)).partition(", by chance in 0.4%")[2]
    assert said.startswith(told) and bool(said) == bool(told)


CONFIG = """
name: town
data: {events: {path: unused}}
columns: {users: {home: categorical}, items: {city: categorical}}
objectives: {engaged: {events: [rating]}, satisfied: {events: [rating], min_value: 1}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "given", ["", "build_features: {matches: []}", "build_features: {matches: [[user_home, item_city]]}"]
)
def test_the_step_takes_what_the_data_say_or_what_is_given(tmp_path, capsys, given):
    from souk.steps.build_features import build_features

    config = parse_config(CONFIG + given).for_step("build_features")
    tables, features = write(tmp_path, *market()), tmp_path / "features"
    build_features(config, str(tmp_path / "workspace"), "FnApiRunner", "[]", str(tables), str(features))
    read = read_spec(features / "spec.json")
    assert read.matches == (() if "[]" in given else (("user_home", "item_city"),))
    told = "matches: user_home and item_city agree in" in "".join(capsys.readouterr())
    assert told == (not given)
    assert ItemTable.load(features, "end", np.zeros((50, 2), np.float32)).matches == read.matches
