"""Which columns make segments, and what their judge goes by: each answer is known by how the events were made."""

import tracemalloc

import numpy as np
import pytest

from souk.features import segment_columns
from souk.features.segment_columns import PRIORS, SEGMENT_COUNT, SEGMENT_EVENTS, Column, chosen, copies
from souk.schema import DAY_MS
from tests.test_features_segments import column


def market(seed, taste=6.0, users=600, events=10):
    """Events of users in four towns, where an item of one's town is `taste` times as likely, and of other columns."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), events)
    town, times = random.integers(0, 4, users)[user], random.integers(0, 90 * DAY_MS, len(user))
    odds = np.where(np.arange(40) % 4 == town[:, np.newaxis], taste, 1.0).cumsum(axis=1)
    items = (odds > random.random((len(user), 1)) * odds[:, -1:]).argmax(axis=1)
    noise = {f"user_{name}": column(random.integers(0, 4, users)[user]) for name in ("sex", "job", "age")}
    return items, times, user, {**noise, "user_town": column(town)}


@pytest.mark.parametrize("seed", range(3))
def test_a_column_that_tells_is_found_among_those_that_do_not(seed):
    assert list(chosen(*market(seed), np.inf)) == ["user_town"]
    assert chosen(*market(seed, taste=1.0), np.inf) == {}


def test_of_two_columns_that_say_the_same_one_is_enough():
    items, times, users, columns = market(1)
    columns["user_postcode"] = column(columns["user_town"].codes)
    assert len(chosen(items, times, users, columns, np.inf)) == 1


def test_much_evidence_needs_little_prior_and_little_much():
    """Of an item's hundred events the town's are a good guess, of its five they are luck."""
    items, times, users, columns = market(2, events=40)
    assert chosen(items, times, users, columns, np.inf)["user_town"] <= PRIORS[1]
    random = np.random.default_rng(2)
    rare = items * 60 + random.integers(0, 60, len(items))
    assert chosen(rare, times, users, columns, np.inf)["user_town"] > PRIORS[0]


def test_a_habit_of_one_user_does_not_speak_for_what_the_user_is_called():
    """Who takes the same item again and again is foretold by any column that names the user; another user is not."""
    random = np.random.default_rng(5)
    user = np.repeat(np.arange(60), 60)
    items, times = user % 50, random.integers(0, 90 * DAY_MS, len(user))
    name = Column(user, [f"name {n}" for n in range(60)])
    assert chosen(items, times, user, {"user_name": name}, np.inf) == {}


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_hardly_any_events_choose_no_column(count):
    items, times, users, columns = market(3)
    few = {name: each.of(np.arange(count)) for name, each in columns.items()}
    assert chosen(items[:count], times[:count], users[:count], few, DAY_MS) == {}


def test_a_column_that_copies_the_item_is_told_from_one_of_the_visit():
    random = np.random.default_rng(6)
    items = random.integers(0, 50, 5_000)
    assert copies(items, column(items % 3))
    rarely = random.random(5_000) < 0.03  # the item was another one before
    assert copies(items, column(np.where(rarely, 4, items % 3)))
    assert not copies(items, column(random.integers(0, 3, 5_000)))
    assert not copies(items, column(np.where(random.random(5_000) < 0.98, 0, 1))), "nearly all come by telephone"
    assert not copies(items, column(np.where(random.random(5_000) < 0.5, items % 3, random.integers(0, 3, 5_000))))
    assert not copies(np.arange(50), column(np.arange(50) % 3)), "once each tells nothing"
    pairs = np.repeat(np.arange(2_000), 2)
    assert not copies(pairs, column(random.integers(0, 3, 4_000))), "two of a hundred agree by chance"


@pytest.mark.parametrize("told", [0.5, 0.1])
def test_a_copy_that_is_mostly_empty_or_mostly_one_value_is_a_copy(told):
    random = np.random.default_rng(7)
    items = random.integers(0, 50, 5_000)
    assert copies(items, column(np.where(random.random(5_000) < told, 1 + items % 3, 0), ["", "a", "b", "c"]))
    assert copies(items, column(np.where(items < 44, 0, 1 + items % 3)))
    assert not copies(items, column(np.zeros(5_000, int), [""])) and not copies(items[:0], column(items[:0]))


def test_a_column_of_very_many_values_needs_no_table_of_them():
    random = np.random.default_rng(8)
    items, times, users = random.integers(0, 40, 4_000), random.integers(0, 90 * DAY_MS, 4_000), np.arange(4_000) % 500
    words = Column(random.integers(0, 3_000_000, 4_000), range(3_000_000))
    tracemalloc.start()
    assert chosen(items, times, users, {"context_words": words}, np.inf) == {}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e9


def spread(count):
    """Times one after the other, over ninety days."""
    return np.arange(count) * (90 * DAY_MS // count)


def towns(count, users=100):
    """Each town takes its own item."""
    user = np.arange(count) % users
    return user % 4, spread(count), user, {"user_town": column(user % 4)}


def test_many_columns_of_chance_are_not_taken_for_one_that_tells():
    """Half of them are a little ahead by luck."""
    items, times, users, _ = market(1, taste=1.0)
    random = np.random.default_rng(0)
    chance = {f"user_{n}": column(random.integers(0, 2, 600)[users]) for n in range(40)}
    assert chosen(items, times, users, chance, np.inf) == {}


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_many_events_of_few_users_are_little_evidence(seed):
    """Each takes what is theirs alone, and some hundreds of times."""
    random = np.random.default_rng(seed)
    activity = random.zipf(1.6, 200).clip(max=200)
    users = np.sort(random.choice(200, 8_000, p=activity / activity.sum()))
    times = random.integers(0, 90 * DAY_MS, 8_000)
    items = random.integers(0, 60, (200, 3))[users, random.integers(0, 3, 8_000)]
    chance = {f"user_{n}": column(random.integers(0, 4, 200)[users]) for n in range(20)}
    assert chosen(items, times, users, chance, np.inf) == {}


def test_what_one_user_does_is_no_evidence():
    items, times, _, columns = towns(4_000)
    late = times >= np.quantile(times, 0.9)
    assert chosen(items, times, np.where(late, 100, np.arange(4_000) % 100), columns, np.inf) == {}


def test_few_held_out_events_tell_nothing(monkeypatch):
    """A tenth of 280 is held out, 28; of 400 it is 40, or as many as are judged of each fold."""
    assert chosen(*towns(280), np.inf) == {}
    assert list(chosen(*towns(400), np.inf)) == ["user_town"]
    monkeypatch.setattr(segment_columns, "JUDGED_EVENTS", 7)
    assert chosen(*towns(400), np.inf) == {}


def test_a_column_that_only_tells_the_time_tells_nothing_beside_what_fades():
    """Everybody goes from the first two items to the last two, and from the old app to the new one."""
    times = spread(4_000)
    new, random = times > 45 * DAY_MS, np.random.default_rng(2)
    items = random.integers(0, 2, 4_000) + 2 * new
    app = {"context_app": column(new.astype(int))}
    assert list(chosen(items, times, np.arange(4_000) % 100, app, np.inf)) == ["context_app"]
    assert chosen(items, times, np.arange(4_000) % 100, app, 2 * DAY_MS) == {}


def test_of_what_nobody_takes_any_more_a_column_has_little_to_tell():
    """A twentieth of the latest events goes back to items of the first days, and only of those the sexes have their
    own: however much likelier a column makes them, nobody would be shown one."""
    times, random = spread(8_000), np.random.default_rng(4)
    users = np.arange(8_000) % 200
    late = times >= 81 * DAY_MS
    old = (times < 9 * DAY_MS) | (late & (random.random(8_000) < 0.05))
    items = np.where(old, users % 2, random.integers(2, 6, 8_000))
    sexes = {"user_sex": column(users % 2)}
    assert chosen(items, times, users, sexes, DAY_MS) == {}
    assert list(chosen(items, times, users, sexes, np.inf)) == ["user_sex"], "where nothing fades they are taken"


def test_the_items_that_are_taken_most_lately_are_judged(monkeypatch):
    """The town tells apart four items, which others are ahead of: once, and now."""
    local, times, users, columns = towns(8_000)
    monkeypatch.setattr(segment_columns, "JUDGED_ITEMS", 4)
    once = np.where((times < 72 * DAY_MS) & (np.arange(8_000) // 100 % 8 < 7), 4 + users % 5, local)
    assert list(chosen(once, times, users, columns, 2 * DAY_MS)) == ["user_town"], "it was long ago"
    now = np.where(np.arange(8_000) // 100 % 10 < 8, 4 + np.arange(8_000) // 1_000 % 5, local)
    assert chosen(now, times, users, columns, np.inf) == {}
    monkeypatch.setattr(segment_columns, "JUDGED_ITEMS", 9)
    assert list(chosen(now, times, users, columns, np.inf)) == ["user_town"]


def test_what_has_ended_is_neither_judged_nor_counted(monkeypatch):
    """Most was taken of four items that are gone; of those that are there the town tells which."""
    local, times, users, columns = towns(8_000)
    items = np.where((times < 81 * DAY_MS) & (np.arange(8_000) // 100 % 10 < 8), 4 + np.arange(8_000) // 50 % 4, local)
    monkeypatch.setattr(segment_columns, "JUDGED_ITEMS", 4)
    asked = []

    def there(time):
        asked.append(time)
        return np.arange(8) < 4

    assert chosen(items, times, users, columns, np.inf) == {}
    assert list(chosen(items, times, users, columns, np.inf, there)) == ["user_town"]
    assert asked == [np.quantile(times, 0.9, method="nearest")], "of when the held-out events begin"


def test_the_largest_values_make_segments(monkeypatch):
    sizes = np.arange(SEGMENT_COUNT + 40) % (SEGMENT_COUNT + 20) + SEGMENT_EVENTS - 5
    values = column(np.repeat(np.arange(len(sizes)), sizes), [f"v{n:03d}" for n in range(len(sizes))])
    largest = values.largest()
    assert len(largest) == SEGMENT_COUNT and min(sizes[largest]) >= np.sort(sizes)[-SEGMENT_COUNT]
    assert (np.diff(sizes[largest]) <= 0).all()
    monkeypatch.setattr(segment_columns, "SEGMENT_COUNT", 2)
    assert column([0] * 20 + [1] * 30 + [2] * 40 + [3] * 19).largest() == [2, 1]


def test_values_beyond_the_largest_are_judged_by_what_everyone_takes(monkeypatch):
    """The largest town takes what all others take together; each of these its own."""
    users, visit = np.arange(4_000) % 100, np.arange(4_000)
    town = np.maximum(users % 8 - 4, 0)
    items = np.where(town == 0, 1 + visit // 8 % 3, town)
    columns = {"user_town": column(town)}
    monkeypatch.setattr(segment_columns, "SEGMENT_COUNT", 1)
    assert chosen(items, spread(4_000), users, columns, np.inf) == {}
    monkeypatch.setattr(segment_columns, "SEGMENT_COUNT", 2)
    assert list(chosen(items, spread(4_000), users, columns, np.inf)) == ["user_town"]


def test_trials_hold_no_events():
    """Six columns of 200,000 events, four folds of each of which would be 100 bytes an event."""
    random = np.random.default_rng(1)
    items, times, users = random.integers(0, 40, 200_000), spread(200_000), np.arange(200_000) % 5_000
    columns = {f"user_{n}": column(random.integers(0, 4, 5_000)[users].astype(np.int32)) for n in range(6)}
    tracemalloc.start()
    assert chosen(items, times, users, columns, np.inf) == {}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 70 * 200_000
