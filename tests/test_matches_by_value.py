"""The items of each value: which are looked at, in what bounds, and what becomes of them as items come and change."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from souk import candidates, matches
from souk.candidates import Sources
from souk.matches import ByValue, strongest
from tests.matches_fixtures import BOTH, CITIES, NAMES, TAGS, listed, query, rows, table


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


def one_value_at_a_time(by_value, numbers, allowed):
    """What `looked_up` promises, of each value by itself."""
    most, farthest = matches.LOOKED // len(numbers), matches.FARTHEST // len(numbers)
    found = set()
    for number in numbers:
        known = by_value.positions[by_value.start[number] : by_value.start[number + 1]] if number < 6 else []
        came = [item for value, item in by_value.later if value == number]
        looked = [*known[: max(2 * most, farthest)], *came[:farthest]] if most else []
        gone = {item for value, item in by_value.gone if value == number}
        found.update([item for item in looked if item not in gone and allowed(np.array([item]))[0]][:most])
    return sorted(found)


@pytest.mark.parametrize("seed", range(40))
def test_values_are_looked_up_as_one_at_a_time(monkeypatch, seed):
    random = np.random.default_rng(seed)
    monkeypatch.setattr(matches, "LOOKED", int(random.integers(1, 30)))
    monkeypatch.setattr(matches, "FARTHEST", int(random.integers(30, 90)))
    start = np.concatenate([[0], np.cumsum(random.integers(0, 25, 6))])
    positions = np.concatenate([random.permutation(40)[: end - begin] for begin, end in pairwise(start)])
    pairs = [np.unique(random.integers(0, (8, 40), (count, 2)), axis=0) for count in random.integers(0, 40, 2)]
    by_value = ByValue(start, positions.astype(np.int32), *pairs)
    shown = random.random(40) < random.choice([0.1, 0.5, 1.0])
    numbers = np.sort(random.choice(8, random.integers(1, 6), replace=False))
    found = by_value.looked_up(numbers, lambda places: shown[places])
    assert found.tolist() == one_value_at_a_time(by_value, numbers, lambda places: shown[places])
