"""The concentrations: tastes that are drawn have those that they were drawn with."""

import numpy as np
import pyarrow as pa
import pytest

from souk.config import Columns
from souk.features import tastes
from souk.features.tastes import FEWEST, GRID, concentrations, with_concentrations
from souk.features.windows import Windows
from souk.value_shares import UNKNOWN, ValueShares
from tests.models_fixtures import cycle_spec

BRANDS, EACH = 8, 400  # items of a brand: hardly any is taken twice
SHARES = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05])


def market(concentration, users=400, events=30, seed=1):
    """Users whose tastes are drawn around SHARES: brands of events `[users, events]`."""
    random = np.random.default_rng(seed)
    tastes = random.dirichlet(concentration * SHARES, users)
    return np.stack([random.choice(BRANDS, events, p=taste) for taste in tastes])


def shares_of(start, values, items):
    words = [("item_brand", str(brand)) for brand in range(BRANDS)]
    return ValueShares.of(["item_brand"], words, start, values, np.bincount(items, minlength=len(start) - 1))


def told(brands, times=None, items=None):
    users, events = brands.shape
    if items is None:
        items = brands.ravel() * EACH + np.random.default_rng(3).integers(0, EACH, brands.size)
    start, values = np.arange(BRANDS * EACH + 1), np.repeat(np.arange(BRANDS), EACH)
    times = np.tile(np.arange(events), users) if times is None else times
    mixed = np.random.default_rng(2).permutation(brands.size)  # in any order
    rows = np.repeat(np.arange(users), events)[mixed], items[mixed], times[mixed]
    return concentrations(shares_of(start, values, items), start, values, *rows).tolist()


@pytest.mark.parametrize("concentration", [2, 10, 50])
def test_they_are_those_of_the_tastes(concentration):
    [found] = told(market(concentration))
    place = GRID.tolist().index(concentration)
    assert found in GRID[place - 1 : place + 2]


def test_where_everyone_has_one_taste_none_is_learned():
    brands = np.random.default_rng(4).choice(BRANDS, (400, 30), p=SHARES)
    assert told(brands)[0] >= 1000


def test_events_of_one_time_foretell_none_of_each_other():
    """A basket of one brand is no taste: the next basket has another."""
    brands = np.repeat(np.random.default_rng(5).choice(BRANDS, (400, 6), p=SHARES), 5, axis=1)
    baskets = np.tile(np.arange(30) // 5, 400)
    assert told(brands, baskets)[0] >= 500 and told(brands)[0] < 20


def test_what_is_taken_again_tells_of_no_taste():
    """Each user has one item of each of some brands, and goes round: all but the first of them are foretold."""
    random = np.random.default_rng(6)
    first = random.choice(BRANDS, (400, 6), p=SHARES)
    brands = np.tile(first, 5)
    items = np.tile(first * EACH + random.integers(0, EACH, first.shape), 5).ravel()
    assert told(brands, items=items)[0] >= 500


def test_what_is_taken_many_times_at_once_is_foretold_once():
    """A log of dates: those who stay with the brand, one in four, take the item twenty times on its first day."""
    start, values = np.arange(BRANDS * EACH + 1), np.repeat(np.arange(BRANDS), EACH)
    shares, users = shares_of(start, values, np.arange(BRANDS * EACH)), np.arange(200)
    stays = users % 4 == 0
    second, found = np.where(stays, 200 + users, EACH + users), []
    for often in (np.ones(200, int), np.where(stays, 20, 1)):
        later = np.repeat(users, often)
        rows = np.r_[users, later], np.r_[users, second[later]], np.r_[0 * users, 0 * later + 1]
        found.append(concentrations(shares, start, values, *rows).tolist())
    assert found == [[5.0], [5.0]]


@pytest.mark.parametrize("till", range(4))
def test_of_many_events_whole_users_are_looked_at(monkeypatch, till):
    """Whoever has more than can be looked at alone does not stand in the place of all."""
    monkeypatch.setattr(tastes, "EVENTS", 5)
    some = tastes._some(np.repeat(np.arange(4), np.where(np.arange(4) == till, 6, 2)))
    assert len(set(some)) == 2 and till not in some


def test_each_feature_has_its_own_among_what_says_anything_of_it():
    """Users stay with the brand, and less with the size, which is known of every second event."""
    brands, sizes = market(2), market(20, seed=8)
    words = [(name, str(n)) for name in ("item_brand", "item_size") for n in range(BRANDS)]
    sized = np.arange(brands.size) % 2 == 0  # an item for each event
    start = np.concatenate([[0], np.cumsum(1 + sized)])
    values = np.zeros(start[-1], np.int64)
    values[start[:-1]], values[start[:-1][sized] + 1] = brands.ravel(), BRANDS + sizes.ravel()[sized]
    shares = ValueShares.of(["item_brand", "item_size"], words, start, values, np.ones(brands.size))
    rows = np.repeat(np.arange(len(brands)), 30), np.arange(brands.size), np.tile(np.arange(30), len(brands))
    brand, size = concentrations(shares, start, values, *rows)
    assert brand <= 5 and 10 <= size <= 50


def test_too_little_tells_nothing():
    few = market(2, users=FEWEST // 4, events=4)
    assert told(few) == [UNKNOWN] and told(few[:0]) == [UNKNOWN]


def test_a_boundary_knows_what_was_before_it(monkeypatch):
    """Until the first boundary everyone has one taste; after it users stay with theirs."""
    random = np.random.default_rng(7)
    brands = np.concatenate([random.choice(BRANDS, (300, 30), p=SHARES), market(1, 300)], axis=1)
    item = brands * EACH + random.integers(0, EACH, brands.shape)
    names = [f"i{n:04d}" for n in range(BRANDS * EACH)]
    items = pa.table({"item_id": names, "item_brand": np.repeat([f"b{n}" for n in range(BRANDS)], EACH)})
    examples = pa.table(
        {
            "user_id": np.repeat([f"u{n:03d}" for n in range(300)], 60),
            "item_id": [names[n] for n in item.ravel().tolist()],
            "timestamp": np.tile(np.arange(60), 300),
        }
    )
    examples = pa.concat_tables([examples.slice(9_000), examples.slice(0, 9_000)])
    counters = pa.table({"item_id": names * 3})
    spec = cycle_spec(columns=Columns.model_validate({"items": {"brand": "categorical"}}))
    found = with_concentrations(counters, examples, items, spec, Windows(30, 60, 60))
    by_boundary = found["concentration:item_brand"].to_numpy().reshape(3, -1)
    assert by_boundary.min(axis=1).tolist() == by_boundary.max(axis=1).tolist(), "the same for all items"
    assert by_boundary[0, 0] >= 500 > 20 > by_boundary[1, 0] == by_boundary[2, 0]
    seen = []
    monkeypatch.setattr(tastes, "concentrations", lambda shares, *rows: (seen.append(shares), shares.concentrations)[1])
    with_concentrations(counters, examples, items, spec, Windows(30, 60, 60))
    assert [1 / shares.least[0] for shares in seen] == pytest.approx([2 + 300 * 30, 2 + 300 * 60, 2 + 300 * 60])
    plain = cycle_spec(columns=Columns())
    assert with_concentrations(counters, examples, items.select(["item_id"]), plain, Windows(30, 60, 60)) is counters
