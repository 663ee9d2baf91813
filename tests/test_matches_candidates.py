"""Items with values of the user's own as candidates: which, in which order, and of which item table."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from souk import candidates, matches
from souk.candidates import ALIKE, TASTE, Sources
from souk.config import BuildFeatures, Columns
from souk.counts import ItemCounts
from souk.items import FORM, ItemTable
from souk.matches import ByValue, strongest
from souk.pairs import PairQuery
from souk.release.bundle import Bundle
from souk.schema import DAY_MS
from souk.serving.recommender import Recommender
from tests.models_fixtures import cycle_spec
from tests.serving_fixtures import write_shop

NOW = 1_000 * DAY_MS
CITIES = ["fes", "rabat", "fes", "", "fes", "rabat"]
TAGS = [["jazz", "rock"], ["jazz"], [], ["fes"], ["jazz"], []]
EVENTS = [3, 9, 7, 8, 0, 5]
NAMES = [f"i{n}" for n in range(6)]


def spec(*matches):
    columns = {
        "users": {"home": "categorical", "likes": "list"},
        "events": {"place": "categorical"},
        "items": {"city": "categorical", "tags": "list"},
    }
    build = BuildFeatures(history_length=8, matches=[list(pair) for pair in matches])
    return cycle_spec(columns=Columns.model_validate(columns), build=build)


BOTH = spec(("user_home", "item_city"), ("user_likes", "item_tags"))


def rows(names, cities, tags):
    return pa.table({"item_id": names, "item_city": cities, "item_tags": pa.array(tags, pa.list_(pa.string()))})


def table(given=BOTH, form=FORM):
    """Items that were taken 3, 9, 7, 8, 0 and 5 times."""
    counters = pa.table(
        {"item_id": NAMES, "events": EVENTS, "lately": [float(n) for n in EVENTS], "satisfied_rate": [0.5] * 6}
        | {"until": [NOW] * 6, "half_life_days": [float("inf")] * 6}
    )
    return ItemTable.of(rows(NAMES, CITIES, TAGS), counters, np.eye(6, dtype=np.float32), given, form=form)


def query(items, time=NOW, window=(), **asker):
    tokens = {
        "token_item_id": [NAMES[place] for place in window],
        "token_gap": [float("nan"), *[60.0] * len(window)][: len(window)],
        "token_event_type": ["click"] * len(window),
        "token_value": [float("nan")] * len(window),
    }
    return PairQuery.of(time, tokens, 60.0, items, {f"user_{name}": value for name, value in asker.items()})


def listed(sources, asked, count=9, allowed=lambda positions: np.ones(len(positions), bool)):
    lists, failed = sources.listed(asked, None, count, allowed)
    assert not failed
    return lists["matched"].tolist()


def test_what_matches_most_is_first_and_of_equals_what_is_taken_most():
    items = table()
    sources = Sources(items)
    assert listed(sources, query(items, home="fes")) == [2, 0, 4]
    assert listed(sources, query(items, likes=["jazz", "rock"])) == [0, 1, 4]
    assert listed(sources, query(items, home="fes", likes=["jazz"])) == [0, 1, 2, 4]  # 3 + log 4, 1.5 + log 10, ...
    assert ALIKE == 1.5
    assert listed(sources, query(items, home="fes"), 2) == [2, 0]
    assert listed(sources, query(items, home="fes"), allowed=lambda positions: positions != 2) == [0, 4]


def test_who_says_nothing_has_what_was_looked_at():
    items = table()
    sources = Sources(items)
    assert listed(sources, query(items)) == listed(sources, query(items, home="paris", likes=["pop"])) == []
    assert listed(sources, query(items, window=[5])) == [1, 5]
    assert listed(sources, query(items, home="fes", window=[5])) == [2, 0, 1, 5, 4], (
        "and what was looked at is preferred"
    )
    before = Sources(table(form=3))
    assert listed(before, query(table(form=3), home="fes", window=[5])) == [2, 0, 4]


@pytest.mark.parametrize(("all_of", "preferred"), [(6, 1), (5, 32)], ids=["few items", "many, by their values"])
def test_what_the_past_goes_to_is_liked_by_how_much_and_by_what_is_taken_lately(monkeypatch, all_of, preferred):
    monkeypatch.setattr(candidates, "LOOKED", all_of)
    monkeypatch.setattr(candidates, "PREFERRED", preferred)
    items = table(spec())
    past = query(items, window=[0, 1, 1, 4])
    liked = TASTE * past.taste.affinities(items, np.arange(6)).sum(axis=0)
    assert liked[4] > liked[0] > liked[1] > 0 > liked[3], "jazz in fes; jazz and rock there; jazz in rabat; a tag"
    worth = liked + np.log1p(EVENTS)
    expected = [place for place in np.argsort(-worth).tolist() if liked[place] > 0]
    assert listed(Sources(items), past) == expected and {0, 1, 4} <= set(expected)
    assert listed(Sources(items), past, allowed=lambda positions: positions != 1) == [p for p in expected if p != 1]
    assert listed(Sources(items), query(items)) == [], "nothing is known of who comes for the first time"
    before = table(spec(), form=3)
    assert listed(Sources(before), query(before, window=[0, 1, 1, 4])) == []


def test_what_is_taken_now_is_taken_lately():
    items = table()
    items.counts.add(np.full(9, 4), np.full(9, NOW + 1))
    assert listed(Sources(items), query(items, NOW + 2, home="fes")) == [4, 2, 0]


def test_what_is_taken_later_counts_from_then_on():
    items = table()
    items = replace(items, counts=items.counts.followed(np.full(9, 4), np.full(9, NOW + 5)))
    assert listed(Sources(items), query(items, NOW + 5, home="fes")) == [2, 0, 4]
    assert listed(Sources(items), query(items, NOW + 6, home="fes")) == [4, 2, 0]


def test_what_was_taken_long_ago_hardly_counts():
    """Of the town: 2 had a hundred, 0 has three of today."""
    items = table()
    counts = ItemCounts(np.array([3, 9, 100, 8, 0, 5.0]), np.log2([3, 9, 0.1, 8, 1e-9, 5]), NOW, DAY_MS)
    items = replace(items, counts=counts)
    assert listed(Sources(items), query(items, home="fes")) == [0, 2, 4]


def test_a_value_guessed_from_more_of_what_was_looked_at_counts_more():
    """Two of fes and one of rabat, whose item is taken more."""
    items = table(spec(("user_home", "item_city")))
    assert listed(Sources(items), query(items, window=[0, 1, 2]))[:2] == [2, 1]
    assert listed(Sources(items), query(items, window=[1, 5, 0]))[:2] == [1, 5]


def test_without_matches_and_a_past_it_brings_nothing():
    items = table(spec())
    assert listed(Sources(items), query(items, home="fes")) == []
    assert len(ByValue.of(table(spec(), form=3)).positions) == 0


def test_values_of_other_columns_are_not_kept_in_a_form_of_before():
    items = table(spec(("user_home", "item_city")), form=3)
    assert sorted(ByValue.of(items).positions.tolist()) == [0, 1, 2, 4, 5]


def every(positions):
    return np.ones(len(positions), bool)


def test_of_a_value_that_many_have_the_most_popular_are_compared(monkeypatch):
    monkeypatch.setattr(matches, "LOOKED", 2)
    monkeypatch.setattr(candidates, "LOOKED", 2)
    items = table()
    assert listed(Sources(items), query(items, home="fes")) == [2, 0]
    assert listed(Sources(items), query(items, home="rabat")) == [1, 5]


def test_of_a_value_that_many_have_those_that_may_be_shown_are_compared(monkeypatch):
    """The two most popular of the town have ended: the one behind them is there."""
    monkeypatch.setattr(matches, "LOOKED", 1)
    monkeypatch.setattr(candidates, "LOOKED", 1)
    items = table()
    assert listed(Sources(items), query(items, home="fes"), allowed=lambda p: ~np.isin(p, [2, 0])) == [4]
    monkeypatch.setattr(matches, "FARTHEST", 1)
    assert listed(Sources(items), query(items, home="fes"), allowed=lambda p: ~np.isin(p, [2, 0])) == []


@pytest.mark.parametrize(("shown", "asked", "found"), [(True, 20, 10), (False, 80, 0)])
def test_it_looks_no_farther_than_it_has_to(monkeypatch, shown, asked, found):
    """Of a hundred items of a value, and fifty that came, the first are enough; where none may be shown, forty are."""
    monkeypatch.setattr(matches, "LOOKED", 10)
    monkeypatch.setattr(candidates, "LOOKED", 10)
    monkeypatch.setattr(matches, "FARTHEST", 40)
    came = np.column_stack([np.zeros(50, int), np.arange(100, 150)])
    sizes: list[int] = []

    def allowed(positions):
        sizes.append(len(positions))
        return np.full(len(positions), shown)

    by_value = ByValue(np.array([0, 100]), np.arange(100, dtype=np.int32), came)
    assert len(by_value.looked_up(np.array([0]), allowed)) == found and sum(sizes) == asked


def test_many_guessed_values_are_a_bounded_look(monkeypatch):
    """Of a long window all items of all values would be compared."""
    monkeypatch.setattr(matches, "LOOKED", 4)
    monkeypatch.setattr(candidates, "LOOKED", 4)
    monkeypatch.setattr(matches, "VALUES", 2)
    items = table()
    asked = query(items, window=[0, 1, 2, 3, 4, 5])
    by_value = ByValue.of(items)
    looked = strongest(asked.own, by_value)
    assert len(looked) <= 4 and len(by_value.looked_up(looked, every)) <= 4


def test_the_values_that_are_looked_up_are_the_strongest_and_of_equals_the_rarest():
    start = np.array([0, 9, 10, 15, 17, 17])
    by_value = ByValue(start, np.zeros(17, np.int32))
    own = np.array([0, 1, 2, 3]), np.array([0.5, 1, 1, 1])
    with pytest.MonkeyPatch.context() as patch:
        for most, chosen in ((4, [0, 1, 2, 3]), (3, [1, 2, 3]), (2, [1, 3]), (1, [1])):
            patch.setattr(matches, "VALUES", most)
            assert strongest([own], by_value).tolist() == chosen
        assert strongest([own, (np.array([4, 77]), np.ones(2))], by_value).tolist() == [1, 4]
        came = np.array([1, 77]), np.ones(2)
        assert strongest([came], replace(by_value, start=start[:5])).tolist() == [77], "no item has it yet"
    assert strongest([], by_value).tolist() == []


def test_items_of_each_value_stand_together():
    items = table()
    found = ByValue.of(items)
    for word, (feature, value) in enumerate(items.words):
        given, wide = (CITIES, False) if feature == "item_city" else (TAGS, True)
        having = [place for place, own in enumerate(given) if (value in own if wide else value == own)]
        assert found.looked_up(np.array([word]), every).tolist() == having
    words = np.arange(len(items.words))
    assert found.looked_up(words, every).tolist() == [0, 1, 2, 3, 4, 5]
    assert found.looked_up(words[:0], every).tolist() == []
    assert found.looked_up(np.array([len(items.words), len(items.words) + 7]), every).tolist() == []


def test_what_comes_or_changes_is_found_by_its_values_and_no_longer_by_the_old_ones():
    items = table()
    sources = Sources(items)
    assert sources.with_items(items, np.array([0]))._by_value is sources._by_value, "prices and counts change nothing"
    told = rows(["g", "i2"], ["fes", "rabat"], [["new"], []])
    later = items.with_items(told, np.zeros((2, 6), np.float32), BOTH)
    found = sources.with_items(later, np.array([6, 2]))
    assert listed(found, query(later, home="fes")) == [0, 4, 6]
    assert listed(found, query(later, home="rabat")) == listed(Sources(later), query(later, home="rabat"))
    assert 2 in listed(found, query(later, home="rabat"))
    assert listed(found, query(later, likes=["new"])) == [6]
    assert listed(sources, query(items, home="fes")) == [2, 0, 4], "the one before stays as it was"
    again = found.with_items(later.with_items(told, np.zeros((2, 6), np.float32), BOTH), np.array([6, 2]))
    assert again._by_value.later.tolist() == found._by_value.later.tolist(), "each once"


def test_rows_that_are_told_again_stay_where_they_are(monkeypatch):
    """A nightly feed tells every item, one of them with another town."""
    monkeypatch.setattr(matches, "LOOKED", 2)
    monkeypatch.setattr(candidates, "LOOKED", 2)
    items = table()
    sources = Sources(items)
    told = rows(NAMES, ["rabat", *CITIES[1:]], TAGS)
    later = items.with_items(told, np.zeros((6, 6), np.float32), BOTH)
    found = sources.with_items(later, np.arange(6))
    assert found._by_value.later.tolist() == [[later.numbers["item_city", "rabat"], 0]]
    assert listed(found, query(later, home="rabat")) == [1, 5], "what came stands behind what is taken"
    assert listed(found, query(later, home="fes")) == [2, 4], "what is gone takes no place"
    monkeypatch.setattr(matches, "CHANGES", 0)
    anew = sources.with_items(later, np.arange(6))
    assert len(anew._by_value.later) == 0 and listed(anew, query(later, home="fes")) == [2, 4]


def test_what_comes_back_stands_where_it_was(monkeypatch):
    """An item moves, loses its town, and is told as it was; one that came goes, too."""
    items = table()
    sources = first = Sources(items)
    for city, tags, changes in (("rabat", [], 2), ("", ["jazz"], 2), ("agadir", [], 2), (CITIES[2], TAGS[2], 0)):
        later = items.with_items(rows(["i2"], [city], [tags]), np.zeros((1, 6), np.float32), BOTH)
        sources, items = sources.with_items(later, np.array([2])), later
        assert len(sources._by_value.later) + len(sources._by_value.gone) == changes
        for home in ("fes", "rabat", "agadir"):
            anew = listed(Sources(items), query(items, home=home))
            assert listed(sources, query(items, home=home)) == anew and (2 in anew) is (home == city)
    monkeypatch.setattr(matches, "CHANGES", 0)
    lost = items.with_items(rows(["i2"], [""], [[]]), np.zeros((1, 6), np.float32), BOTH)
    assert len(first.with_items(lost, np.array([2]))._by_value.positions) == len(first._by_value.positions) - 1


def test_a_release_of_before_is_told_what_its_ranker_learned_from():
    """No source that it did not know, no guess, and no age for what has none."""
    now, before = table(), replace(table(), form=1)
    assert len(ByValue.of(now).positions) == 10 and len(ByValue.of(before).positions) == 0
    assert [len(numbers) for numbers, _ in query(now, window=[0]).own] == [1, 2]
    assert [len(numbers) for numbers, _ in query(before, window=[0], home="fes").own] == [1, 0]


def test_items_that_are_new_or_moved_are_found_where_they_are():
    items = table()
    sources = Sources(items)
    other = items.with_items(rows(["i2", "new"], ["rabat", "agadir"], [[], []]), np.zeros((2, 6), np.float32), BOTH)
    later = sources.with_items(other, np.array([2, 6]))
    assert listed(later, query(other, home="fes")) == [0, 4]
    assert listed(later, query(other, home="rabat")) == [1, 2, 5]
    assert listed(later, query(other, home="agadir")) == [6]
    assert listed(sources, query(items, home="fes")) == [2, 0, 4], "what is asked of the table of before"
    priced = sources.with_items(replace(items, available_until=items.available_until + 1), np.array([1]))
    assert priced._by_value is sources._by_value, "nothing that it looks at has changed"


@pytest.mark.parametrize("seed", range(3))
def test_it_lists_what_a_look_at_every_item_lists(seed):
    rng = np.random.default_rng(seed)
    cities, tags = [f"c{n}" for n in range(5)], [f"t{n}" for n in range(8)]
    size = 200
    names = [f"i{n:03d}" for n in range(size)]
    told = rows(
        names,
        rng.choice([*cities, ""], size).tolist(),
        [rng.choice(tags, rng.integers(0, 4), replace=False).tolist() for _ in names],
    )
    taken = rng.integers(0, 50, size)
    counters = pa.table(
        {"item_id": names, "events": taken, "lately": taken.astype(float), "satisfied_rate": [0.5] * size}
        | {"until": [NOW] * size, "half_life_days": [float("inf")] * size}
    )
    items = ItemTable.of(told, counters, np.eye(size, dtype=np.float32), BOTH)
    sources = Sources(items)
    for _ in range(20):
        home, likes = str(rng.choice(cities)), rng.choice(tags, 3, replace=False).tolist()
        alike = np.array(
            [
                (row["item_city"] == home) + len(set(row["item_tags"]) & set(likes))
                for row in told.select(["item_city", "item_tags"]).to_pylist()
            ]
        )
        worth = np.where(alike > 0, ALIKE * alike + np.log1p(taken), -np.inf)
        expected = np.argsort(-worth, kind="stable")[: min(30, int((alike > 0).sum()))]
        assert listed(sources, query(items, home=home, likes=likes), 30) == expected.tolist()


def test_a_bundle_of_before_is_of_the_first_form(tmp_path):
    bundle = write_shop(tmp_path / "shop")
    assert Recommender.load(bundle, None, None).items.form == FORM
    path = bundle.folder / "bundle.json"
    settings = json.loads(path.read_text())
    assert settings.pop("form") == FORM
    path.write_text(json.dumps(settings))
    assert Recommender.load(Bundle.load(bundle.folder), None, None).items.form == 1
