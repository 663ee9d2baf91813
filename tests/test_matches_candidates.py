"""Items with values of the user's own as candidates: which, in which order, and of which item table."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from souk import candidates
from souk.affinity import AFFINITY, LATELY
from souk.candidates import ALIKE, TASTE, Sources
from souk.counts import ItemCounts
from souk.items import FORM, ItemTable
from souk.matches import ByValue
from souk.release.bundle import Bundle
from souk.schema import DAY_MS
from souk.serving.recommender import Recommender
from tests.matches_fixtures import BOTH, EVENTS, NOW, listed, query, rows, spec, table
from tests.serving_fixtures import write_shop


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
    liked = TASTE * past.tastes[AFFINITY].affinities(items, np.arange(6)).sum(axis=0)
    assert liked[4] > liked[0] > liked[1] > 0 > liked[3], "jazz in fes; jazz and rock there; jazz in rabat; a tag"
    worth = liked + np.log1p(EVENTS)
    expected = [place for place in np.argsort(-worth).tolist() if liked[place] > 0]
    assert listed(Sources(items), past) == expected and {0, 1, 4} <= set(expected)
    assert listed(Sources(items), past, allowed=lambda positions: positions != 1) == [p for p in expected if p != 1]
    assert listed(Sources(items), query(items)) == [], "nothing is known of who comes for the first time"
    before = table(spec(), form=3)
    assert listed(Sources(before), query(before, window=[0, 1, 1, 4])) == []


def test_what_was_done_of_late_makes_an_order_of_its_own_and_the_better_place_counts(monkeypatch):
    def ordered(taste):
        liked = taste.affinities(items, np.arange(6)).sum(axis=0)
        return np.argsort(-(20 * liked + np.log1p(EVENTS))[either], kind="stable").tolist()

    monkeypatch.setattr(candidates, "TASTE", 20)  # so few items say little of a taste
    items = table(spec())
    asked, now = query(items, window=[0, 4, 0, 4, 0]), query(items, window=[5, 5]).tastes[AFFINITY]
    always = asked.tastes[AFFINITY]
    asked = replace(asked, tastes={AFFINITY: always, LATELY: now})
    liked = [taste.affinities(items, np.arange(6)).sum(axis=0) > 0 for taste in (always, now)]
    assert [places.nonzero()[0].tolist() for places in liked] == [[0, 2, 4], [1, 5]]
    either = np.flatnonzero(liked[0] | liked[1])
    first, second = ordered(always), ordered(now)
    places = [min(first.index(place), second.index(place)) for place in range(len(either))]
    expected = either[np.argsort(places, kind="stable")].tolist()
    assert expected not in (either[first].tolist(), either[second].tolist())
    assert listed(Sources(items), asked) == expected
    before = table(spec(), form=5)
    alone = listed(Sources(before), replace(asked, tastes={**asked.tastes}))
    assert alone == [place for place in either[first].tolist() if liked[0][place]], "of a release of before the past"


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
