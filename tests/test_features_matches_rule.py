"""What tells columns that match from words in common, and from the order of a file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Columns, parse_config, parse_step_config
from souk.features import taken
from souk.features.matches import find_matches
from tests.models_fixtures import cycle_spec

ALWAYS = 10**15


def ids(letter, count):
    return np.array([f"{letter}{n}" for n in range(count)])


def words(letters, numbers):
    return np.char.add(letters, numbers.astype(str))


def write(folder, users, items, events):
    """Tables: of users and items a column each, of events the rows of both, and more columns."""
    given = {"users": {"user_id": ids("u", len(next(iter(users.values())))), **users}}
    given["items"] = {"item_id": ids("i", len(next(iter(items.values())))), **items}
    count = len(events["user"])
    given["events"] = {
        "user_id": given["users"]["user_id"][events["user"]],
        "item_id": given["items"]["item_id"][events["item"]],
        "event_type": ["rating"] * count,
        "timestamp": np.arange(count),
        **{name: column for name, column in events.items() if name not in ("user", "item")},
    }
    for name, table in given.items():
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return folder


def found(folder, before=ALWAYS, **columns):
    kinds = {table: dict.fromkeys(names, "categorical") for table, names in columns.items()}
    matches = find_matches(
        folder, cycle_spec(columns=Columns.model_validate({"events": {}, "users": {}} | kinds)), before
    )
    return {(match.own, match.theirs): match for match in matches}


def near(draw, home, city, user, stays):
    """Items, of the user's own town in a share of the events, and else any."""
    item = draw.integers(0, len(city), len(user))
    local = draw.random(len(user)) < stays
    for town in np.unique(home):
        here = local & (home[user] == town)
        item[here] = draw.choice(np.flatnonzero(city == town), here.sum())
    return item


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["yes", "no"], False),
        (["0", "1", "2"], False),
        (["S", "M", "L"], False),
        (["de", "en"], True),
        (["rock", "jazz", "1"], True),
        (["rock", "1", "2"], False),
        (["11", "12", "13", "14", "15"], True),
    ],
)
def test_a_few_flags_or_numbers_in_common_mean_nothing(tmp_path, said, expected):
    """Of two words one agrees with either more often, of three one order in six does, and of five one in 120."""
    draw = np.random.default_rng(1)
    home, city = draw.integers(0, len(said), 400), draw.integers(0, len(said), 200)
    user = draw.integers(0, 400, 6000)
    item = near(draw, home, city, user, 0.5)
    text = np.array(said)
    write(tmp_path, {"home": text[home]}, {"city": text[city]}, {"user": user, "item": item})
    assert bool(found(tmp_path, users=["home"], items=["city"])) == expected


@pytest.mark.parametrize(("word", "expected"), [("rock", True), ("1", False), ("yes", False)])
def test_the_only_word_in_common_says_something(tmp_path, word, expected):
    draw = np.random.default_rng(1)
    home, city = draw.integers(0, 4, 400), draw.integers(0, 4, 200)
    user = draw.integers(0, 400, 6000)
    item = near(draw, home, city, user, 0.5)
    texts = (np.where(column, words(letter, column), word) for letter, column in (("a", home), ("b", city)))
    write(tmp_path, {"home": next(texts)}, {"city": next(texts)}, {"user": user, "item": item})
    assert bool(found(tmp_path, users=["home"], items=["city"])) == expected


def test_of_towns_where_no_item_is_nothing_is_counted(tmp_path):
    """Half of the users live abroad."""
    draw = np.random.default_rng(2)
    home, city = draw.integers(0, 10, 1000), draw.integers(0, 5, 500)
    user = draw.integers(0, 1000, 20000)
    item = near(draw, home % 5, city, user, 0.6)
    write(tmp_path, {"home": words("t", home)}, {"city": words("t", city)}, {"user": user, "item": item})
    (match,) = found(tmp_path, users=["home"], items=["city"]).values()
    assert match.share == pytest.approx(0.6 + 0.4 / 5, abs=0.03) and match.chance == pytest.approx(1 / 5, abs=0.03)


def test_what_people_of_one_kind_like_is_no_match_of_columns_that_tell_of_kinds(tmp_path):
    """Two kinds of people and of things, and columns with three words for each: any order of these agrees as often."""
    count = 0
    for seed in range(8):
        draw = np.random.default_rng(seed)
        home, city = draw.integers(0, 6, 400), draw.integers(0, 6, 200)
        user = draw.integers(0, 400, 6000)
        item = near(draw, home // 3, city // 3, user, 0.7)
        (tmp_path / str(seed)).mkdir()
        folder = write(
            tmp_path / str(seed),
            {"home": words("w", home)},
            {"city": words("w", city)},
            {"user": user, "item": item},
        )
        count += len(found(folder, users=["home"], items=["city"]))
    assert count <= 2  # of eight


def test_the_order_of_events_of_one_time_says_nothing(tmp_path):
    """Of each day a file has one town after the other."""
    draw = np.random.default_rng(4)
    home, city = draw.integers(0, 6, 2000), draw.integers(0, 6, 500)
    user = draw.integers(0, 2000, (20, 1800))
    user = np.take_along_axis(user, np.argsort(home[user], axis=1, kind="stable"), axis=1).reshape(-1)
    item = near(draw, home, city, user, 0.45)
    days = np.repeat(np.arange(20), 1800)
    write(
        tmp_path,
        {"home": words("t", home)},
        {"city": words("t", city)},
        {"user": user, "item": item, "timestamp": days},
    )
    (match,) = found(tmp_path, users=["home"], items=["city"]).values()
    assert match.chance == pytest.approx(1 / 6, abs=0.02) and match.share == pytest.approx(0.45 + 0.55 / 6, abs=0.02)


def test_many_words_that_seldom_agree_match(tmp_path):
    """A thousand authors, each user comes back to one in a fiftieth of the events: most words agree in one event."""
    draw = np.random.default_rng(1)
    home, city = draw.integers(0, 1000, 20000), np.arange(5000) % 1000
    user = draw.integers(0, 20000, 60000)
    item = draw.integers(0, 5000, 60000)
    stays = draw.random(60000) < 0.02
    item[stays] = home[user][stays] + 1000 * draw.integers(0, 5, stays.sum())
    write(tmp_path, {"home": words("a", home)}, {"city": words("a", city)}, {"user": user, "item": item})
    assert list(found(tmp_path, users=["home"], items=["city"])) == [("user_home", "item_city")]


def test_a_match_a_third_above_chance_is_one(tmp_path):
    draw = np.random.default_rng(2)
    home, city = draw.integers(0, 5, 1000), draw.integers(0, 5, 500)
    user = draw.integers(0, 1000, 40000)
    item = near(draw, home, city, user, 0.08)
    write(tmp_path, {"home": words("t", home)}, {"city": words("t", city)}, {"user": user, "item": item})
    (match,) = found(tmp_path, users=["home"], items=["city"]).values()
    assert 1.25 < match.share / match.chance < 1.45


@pytest.mark.parametrize(("staying", "expected"), [(4, True), (3, False)])
def test_three_of_five_towns_that_stay_at_home_are_no_match(tmp_path, staying, expected):
    """Those of the others take what anybody takes."""
    draw = np.random.default_rng(2)
    home, city = np.arange(1000) % 5, draw.integers(0, 5, 500)
    user = draw.integers(0, 1000, 20000)
    item = near(draw, home, city, user, 0.6)
    local = home[user] < staying
    item = np.where(local, item, draw.choice(item[local], 20000))
    write(tmp_path, {"home": words("t", home)}, {"city": words("t", city)}, {"user": user, "item": item})
    assert bool(found(tmp_path, users=["home"], items=["city"])) == expected


def test_paths_match_by_any_of_their_levels(tmp_path):
    draw = np.random.default_rng(2)
    home, city = draw.integers(0, 5, 400), draw.integers(0, 5, 300)
    user = draw.integers(0, 400, 8000)
    item = near(draw, home, city, user, 0.5)
    write(
        tmp_path,
        {"home": words("t", home)},
        {"city": np.char.add(words("t", city), "/x")},
        {"user": user, "item": item},
    )
    columns = {"users": {"home": "categorical"}, "items": {"city": "path"}, "events": {}}
    (match,) = find_matches(tmp_path, cycle_spec(columns=Columns.model_validate(columns)), ALWAYS)
    assert (match.own, match.theirs) == ("user_home", "item_city")


def test_of_many_engagements_a_sample_is_drawn_evenly(tmp_path, monkeypatch):
    """Nine of ten events are impressions, and the last ones are too late."""
    monkeypatch.setattr(taken, "MOST", 500)
    monkeypatch.setattr(taken, "BATCH", 700)
    user = np.arange(30000) % 60
    kinds = np.where(np.arange(30000) % 10, "impression", "rating")
    write(
        tmp_path,
        {"home": words("h", user[:60])},
        {"city": words("h", user[:60])},
        {"user": user, "item": user, "event_type": kinds},
    )
    spec = cycle_spec(columns=Columns.model_validate({"users": {"home": "categorical"}, "items": {}, "events": {}}))
    drawn = taken.sample_taken(tmp_path, spec, 20000, {"users": ["home"], "items": [], "events": []})
    times = drawn.context["timestamp"].to_numpy()
    assert len(times) == len(drawn.user) == 500 and len(np.unique(times)) == 500
    assert not (times % 10).any() and (np.diff(times) > 0).all() and times[-1] < 20000
    assert np.histogram(times, 4, (0, 20000))[0] == pytest.approx([125] * 4, abs=35)
    assert drawn.users["home"].to_pylist() == [
        f"h{n}" for n in (times % 60)[np.unique(drawn.user, return_index=True)[1]]
    ]
    again = taken.sample_taken(tmp_path, spec, 20000, {"users": ["home"], "items": [], "events": []})
    assert again.context == drawn.context


CONFIG = """
name: town
data: {events: {path: unused}}
columns: {users: {home: categorical}, events: {place: categorical}, items: {city: categorical}}
objectives: {engaged: {events: [rating]}, satisfied: {events: [rating]}}
"""


@pytest.mark.parametrize("late", [False, True])
def test_the_step_names_what_was_taken_before_validation_and_no_copy(tmp_path, capsys, late):
    """Of the user's town and of one that is copied from the item; or only in the last tenths of the events."""
    from souk.steps.build_features import spec_of

    draw = np.random.default_rng(3)
    home, city = draw.integers(0, 5, 400), draw.integers(0, 5, 300)
    user = draw.integers(0, 400, 10000)
    item = near(draw, home, city, user, 0.7)
    item[: 8000 * late] = draw.integers(0, 300, 8000 * late)
    place = words("t", city[item])
    place[: 8000 * late] = ""
    write(
        tmp_path, {"home": words("t", home)}, {"city": words("t", city)}, {"user": user, "item": item, "place": place}
    )
    spec = spec_of(parse_step_config("build_features", parse_config(CONFIG).for_step("build_features")), tmp_path)
    told = capsys.readouterr().out
    assert spec.matches == (() if late else (("user_home", "item_city"),))
    assert ("matches: context_place and item_city agree in 100%" in told) != late
