"""What is popular with each segment, and how several are one forecast."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.features import segment_columns
from souk.features import segments as segments_module
from souk.features.segment_columns import SEGMENT_EVENTS, Column, chosen
from souk.features.segments import segments, write_popular
from souk.features.windows import Windows
from souk.repeats import near
from souk.schema import DAY_MS
from souk.sources.popularity import EVERYONE, Segments
from souk.sources.rows import SparseRows
from tests.evaluation_fixtures import make_spec
from tests.marketplace import CONFIG

HOURS = np.arange(24) / 24
AROUND = near(HOURS[:, np.newaxis] - HOURS)
NAMES = [str(hour) for hour in range(24)]


def column(codes, words="abcdefgh", near=None):
    return Column(np.asarray(codes), list(words), near)


def test_small_segments_have_no_list_and_lifts_are_drawn_to_one():
    count = SEGMENT_EVENTS
    items = np.array([0] * count + [1] * count + [2] * 10)
    country = column([1] * count + [0] * count + [3] * 9 + [2], ["tr", "ma", "", "nz"])
    found = segments(items, np.ones(len(items)), {"user_country": (country, 5.0)}, 4)
    assert list(found.numbers) == ["", "user_country=ma", "user_country=tr"]
    assert found.ordered(EVERYONE).tolist() == [0, 1, 2]
    row = found.numbers["user_country=tr"]
    assert found.ordered(row).tolist() == [1, 0, 2]
    share, rate = np.array([count, count, 10]) / len(items), count / len(items)
    lift = (np.array([0, count, 0]) / rate + 5) / (np.array([count, count, 10]) + 5)
    positions, shares = found.popular(np.array([row]))
    assert positions.tolist() == [0, 1, 2]
    assert shares == pytest.approx(share * lift / (share * lift).sum(), rel=1e-5)
    assert found.lifts[found.rows.indptr[row] : found.rows.indptr[row + 1]] == pytest.approx(lift, rel=1e-5)
    assert found.lately == pytest.approx([*share, 0])


def test_what_a_row_does_not_list_has_its_mean_lift(monkeypatch):
    """Of a row of two items the third and fourth are the rest, by how much everyone takes them."""
    items = np.repeat([0, 1, 2, 3], [40, 30, 20, 10])
    codes = np.concatenate([np.arange(n) % 10 < own for n, own in ((40, 8), (30, 5), (20, 2), (10, 1))]).astype(int)
    whole = segments(items, np.ones(100), {"a": (column(codes), 5.0)}, 4)
    monkeypatch.setattr(segments_module, "POPULAR", 2)
    short = segments(items, np.ones(100), {"a": (column(codes), 5.0)}, 4)
    row = short.numbers["a=b"]
    start = whole.rows.indptr[row]
    lifts = whole.lifts[start : start + 4]
    assert short.rows.items[short.rows.indptr[row] : short.rows.indptr[row + 1]].tolist() == [0, 1]
    assert short.rest[row] == pytest.approx((0.2 * lifts[2] + 0.1 * lifts[3]) / 0.3, rel=1e-4)
    assert short.popular(np.array([row]))[1] == pytest.approx(whole.popular(np.array([row]))[1][:2], rel=1e-5)
    assert short.rest[EVERYONE] == 1


@pytest.mark.parametrize("order", [[1, 2], [2, 1]])
def test_the_product_by_hand_in_whatever_order(order):
    rows = SparseRows(
        np.array([0, 2, 3, 4]), np.array([0, 1, 0, 1], np.int32), np.array([0.5, 0.3, 0.8, 0.2], np.float32)
    )
    lifts, rest, lately = ([1, 1, 3.0, 0.5], [1, 0.1, 0.2], [0.5, 0.3, 0.2])
    found = Segments({"": 0, "a=x": 1, "b=y": 2}, rows, *(np.array(each, np.float32) for each in (lifts, rest, lately)))
    items, popular = found.popular(np.array(order))
    likely = np.array([0.5 * 3 * 0.2, 0.3 * 0.1 * 0.5, 0.2 * 0.1 * 0.2])
    assert items.tolist() == [0, 1] and popular == pytest.approx((likely / likely.sum())[:2], rel=1e-5)


def test_segments_are_those_of_the_dense_way(monkeypatch):
    monkeypatch.setattr(segments_module, "POPULAR", 7)
    random = np.random.default_rng(8)
    items, codes, weights = random.zipf(1.3, 3_000) % 60, random.integers(0, 5, 3_000), random.random(3_000)
    found = segments(items, weights, {"user_city": (column(codes, "edcba"), 20.0)}, 60)
    assert len(found.numbers) == 6
    lately, ever = (np.bincount(items, counting, minlength=60) for counting in (weights, None))
    for name, row in list(found.numbers.items())[1:]:
        inside = codes == "edcba".index(name[-1])
        own = np.bincount(items[inside], minlength=60)
        lift = (own / inside.mean() + 20) / (ever + 20)
        dense = lately * lift
        assert found.ordered(row).tolist() == np.argsort(-dense, kind="stable")[:7].tolist()


def test_of_what_a_segment_does_not_name_what_came_lately_is_ahead(monkeypatch):
    """Forty items of long ago have most events, and as many new ones half as much of what is taken now, each of few."""
    monkeypatch.setattr(segments_module, "POPULAR", 5)
    items = np.concatenate([np.repeat(np.arange(40), 100), np.repeat(np.arange(40, 80), 2), np.repeat(0, 30)])
    weights = np.concatenate([np.full(4_000, 0.02), np.full(110, 0.5)])
    towns = column(np.concatenate([np.zeros(4_080, int), np.ones(30, int)]))
    found = segments(items, weights, {"user_town": (towns, 5.0)}, 80)
    lately, ever = np.bincount(items, weights), np.bincount(items)
    own = np.bincount(np.zeros(30, int), minlength=80) * 30 / (30 / len(items))
    dense = lately * (own + 5) / (ever + 5)
    assert found.ordered(found.numbers["user_town=b"]).tolist() == np.argsort(-dense, kind="stable")[:5].tolist()
    assert found.ordered(EVERYONE)[1] < 40


def test_what_a_town_never_takes_is_not_lifted_by_who_asks(monkeypatch):
    """A fifth of everything is one town's own dish, which another never took: it is behind all that is listed there,
    though the diet, which lists it, takes it twice as often as others."""
    monkeypatch.setattr(segments_module, "POPULAR", 4)
    items = np.concatenate([np.zeros(400, int), np.arange(1_600) % 20 + 1])
    town, diet = column(items > 0), column(np.where(items == 0, np.arange(2_000) % 4 > 0, np.arange(2_000) % 3 > 1))
    found = segments(items, np.ones(2_000), {"user_town": (town, 5.0), "user_diet": (diet, 5.0)}, 21)
    rows = [found.numbers[name] for name in ("user_town=b", "user_diet=b")]
    assert found.ordered(rows[0]).tolist() == [1, 2, 3, 4] and found.ordered(rows[1])[0] == 0
    places, shares = found.popular(np.array(rows))
    assert places[0] == 0 and shares[0] < 3 * shares[1:].min() and (shares >= 0).all() and shares.sum() <= 1
    before = Segments(found.numbers, found.rows, found.lifts, found.rest, found.lately)
    assert before.popular(np.array(rows))[1][0] > 2 * shares[0], "as releases of before have it"
    assert "least" not in before.arrays() and len(found.arrays()["least"]) == len(found.numbers)


def test_what_several_segments_add_is_multiplied():
    """Half of each town takes its own dish, at noon twice as often: a visit has its town and its hour."""
    random = np.random.default_rng(4)
    town, hour = random.integers(0, 2, 40_000), random.choice([8, 20], 40_000)
    odds = np.ones((40_000, 4))
    odds[np.arange(40_000), town] *= 6
    odds[hour == 20, 2] *= 3
    items = (odds.cumsum(axis=1) > random.random((40_000, 1)) * odds.sum(axis=1, keepdims=True)).argmax(axis=1)
    columns = {"user_town": (column(town), 1.0), "query_hour": (Column(hour, NAMES, AROUND), 1.0)}
    found = segments(items, np.ones(len(items)), columns, 4)
    for own, time in ((0, 8), (1, 20)):
        positions, shares = found.popular(found.of({"user_town": "ab"[own], "query_hour": np.int64(time)}))
        true = odds[(town == own) & (hour == time)][0]
        assert positions.tolist() == [0, 1, 2, 3] and shares.sum() == pytest.approx(1)
        assert shares == pytest.approx(true / true.sum(), abs=0.05)


def test_a_file_of_before_takes_the_mean_and_goes_from_list_to_list(tmp_path):
    found = segments(np.repeat([0, 1, 2], 40), np.ones(120), {"a": (column([0] * 60 + [1] * 60), 1.0)}, 3)
    old = Segments(found.numbers, found.rows)
    old.save(tmp_path / "old.npz")
    read = Segments.load(tmp_path / "old.npz", 3)
    assert not len(read.rest) and not len(read.lifts)
    both = np.array([1, 2])
    dense = np.zeros((2, 3))
    for row in (1, 2):
        start, end = found.rows.indptr[row], found.rows.indptr[row + 1]
        dense[row - 1, found.rows.items[start:end]] = found.rows.weights[start:end]
    assert read.popular(both)[1] == pytest.approx(dense.mean(axis=0))
    lists = [read.ordered(row).tolist() for row in (1, 2, EVERYONE)]
    assert list(read.leading(both)) == [*lists[0], *lists[1], *lists[2]]
    found.save(tmp_path / "new.npz")
    again = Segments.load(tmp_path / "new.npz", 3)
    items, shares = again.popular(both)
    assert list(again.leading(both)) == [*items[np.argsort(-shares, kind="stable")].tolist(), *lists[2]]
    for name in ("lifts", "rest", "lately", "least"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_an_hour_is_told_by_those_around_it():
    """All of dish 0 at noon, all of dish 1 at midnight: at eleven and at one it is much the same."""
    items, hours = np.repeat([0, 1], 200), np.repeat([12, 0], 200)
    found = segments(items, np.ones(400), {"query_hour": (Column(hours, NAMES, AROUND), 1.0)}, 2)
    for hour, first in ((11, 0), (14, 0), (23, 1), (1, 1)):
        _, shares = found.popular(found.of({"query_hour": hour}))
        assert shares[first] > 0.95


def test_columns_of_users_visits_and_the_moment_make_segments(tmp_path):
    """Each item is of a town, a device and an hour, with its neighbours; the section of a visit is the item's own."""
    random = np.random.default_rng(3)
    count, users = 24_000, 800
    user, hour, device = random.integers(0, users, count), random.integers(0, 24, count), random.integers(0, 2, count)
    suits = (np.arange(24) % 2 == user[:, np.newaxis] % 2) * 3 + (np.arange(24) // 2 % 2 == device[:, np.newaxis]) * 3
    odds = (1 + suits + 6 * (np.arange(24) // 4 == hour[:, np.newaxis] // 4)).cumsum(axis=1)
    item = (odds > random.random((count, 1)) * odds[:, -1:]).argmax(axis=1)
    start = 1_000 * 7 * DAY_MS
    times = start + random.integers(0, 100, count) * DAY_MS + hour * 3_600_000
    columns = {"users": {"town": "categorical"}, "events": {"device": "categorical", "section": "categorical"}}
    columns |= {"items": {"section": "categorical"}}
    spec = make_spec({**CONFIG, "columns": columns})
    stated = make_spec(
        {**CONFIG, "columns": columns, "build_features": {"matches": [["context_section", "item_section"]]}}
    )
    ids = np.array([f"i{n:02d}" for n in range(24)])
    events = {"user_id": [f"u{n}" for n in user], "item_id": ids[item], "timestamp": times}
    events |= {"context_device": np.array(["phone", "desk"])[device], "context_section": ids[item // 6]}
    pq.write_table(pa.table(events), tmp_path / "examples.parquet")
    pq.write_table(pa.table({"item_id": ids, "available": [True] * 23 + [False]}), tmp_path / "items.parquet")
    states = {
        "user_id": [f"u{n}" for n in range(users)],
        "profile_town": [("north", "south")[n % 2] for n in range(users)],
    }
    pq.write_table(pa.table(states), tmp_path / "user_state.parquet")
    windows = Windows(start + 80 * DAY_MS, start + 90 * DAY_MS, start + 100 * DAY_MS)
    assert "context_section" in write_popular(tmp_path, stated, windows, np.inf), "requests have it: it is a match"
    assert sorted(write_popular(tmp_path, spec, windows, np.inf)) == ["context_device", "query_hour", "user_town"]
    found = Segments.load(tmp_path / "segment_popular" / "end.npz", 24)
    assert 23 not in found.ordered(EVERYONE), "it is not to be had"
    asked = {"user_town": "south", "context_device": "desk", "query_hour": 9}
    assert ids[next(found.leading(found.of(asked)))] == "i11", "of the south, of desks, and of eight to twelve"
    nearby = found.popular(found.of({"query_hour": 12}))[1]
    assert nearby[11] > 1.3 * nearby[0], "an hour after the hours of an item it is taken more than at night"
    dates = replace(spec, timed=False)
    assert sorted(write_popular(tmp_path, dates, windows, np.inf)) == ["context_device", "user_town"]


def test_what_has_ended_chooses_nothing_and_what_is_listed_fades(tmp_path, monkeypatch):
    """Most is of items that ended before the latest events; of the others each town takes its own two, one after the
    other."""
    monkeypatch.setattr(segment_columns, "JUDGED_ITEMS", 3)
    events, start = np.arange(8_000), 1_000 * 7 * DAY_MS
    times, users, late = start + events * (100 * DAY_MS // 8_000), events % 101, events >= 5_400
    there = (events // 101 % 4 == 0) | (events >= 5_000)
    item = np.where(there, users % 2 + 2 * late, 4 + events // 101 % 4)
    windows = Windows(start + 80 * DAY_MS, start + 90 * DAY_MS, start + 100 * DAY_MS)
    ids = [f"i{n}" for n in range(8)]
    rows = {"user_id": [f"u{n:03d}" for n in users], "item_id": [ids[n] for n in item], "timestamp": times}
    pq.write_table(pa.table(rows), tmp_path / "examples.parquet")
    ends = pa.array([None] * 4 + [start + 70 * DAY_MS] * 4, pa.int64())
    pq.write_table(
        pa.table({"item_id": ids, "available": [True] * 8, "available_until": ends}), tmp_path / "items.parquet"
    )
    profiles = {"user_id": [f"u{n:03d}" for n in range(101)], "profile_town": [("n", "s")[n % 2] for n in range(101)]}
    pq.write_table(pa.table(profiles), tmp_path / "user_state.parquet")
    spec = make_spec({**CONFIG, "columns": {"users": {"town": "categorical"}}})
    for half, first in ((5 * DAY_MS, {"i2", "i3"}), (np.inf, {"i0", "i1"})):
        assert list(write_popular(tmp_path, spec, windows, half)) == ["user_town"]
        found = Segments.load(tmp_path / "segment_popular" / "validation_start.npz", 8)
        assert {ids[place] for place in found.ordered(EVERYONE)[:2]} == first


def test_what_is_not_to_be_had_any_more_was_popular_before(tmp_path):
    """The ranker learns that it was taken: that it is gone by now would be known to no server of that time."""
    days = [DAY_MS * (1_000 + day) for day in range(100)]
    windows = Windows(days[80], days[90], days[99] + 1)
    taken = ["i2" if n % 5 == 0 and n < 80 else f"i{n % 3 % 2}" for n in range(100)]
    rows = {"user_id": [f"u{n % 7}" for n in range(100)], "item_id": taken}
    pq.write_table(pa.table({**rows, "timestamp": days}), tmp_path / "examples.parquet")
    until = pa.array([None, None, windows.validation_start], pa.int64())  # at that moment it is there
    items = {"item_id": ["i0", "i1", "i2"], "available": [False, True, True], "available_until": until}
    pq.write_table(pa.table(items), tmp_path / "items.parquet")
    people = {"user_id": [f"u{n}" for n in range(7)], "profile_town": ["n"] * 7}
    pq.write_table(pa.table(people), tmp_path / "user_state.parquet")
    spec = make_spec({**CONFIG, "columns": {"users": {"town": "categorical"}}})
    write_popular(tmp_path, spec, windows, np.inf)
    for boundary, first in (("validation_start", [0, 1, 2]), ("test_start", [0, 1]), ("end", [1])):
        found = Segments.load(tmp_path / "segment_popular" / f"{boundary}.npz", 3)
        assert sorted(found.rows.items[found.rows.weights > 0].tolist()) == first, boundary


def test_what_validation_saw_is_in_no_list_of_before(tmp_path):
    """Nor does it choose: there each town takes two items of its own, and in another world what the device tells."""
    events, start = np.arange(8_000), 1_000 * 7 * DAY_MS
    times, users, device = start + events * (100 * DAY_MS // 8_000), events % 101, events // 101 % 2
    windows = Windows(start + 50 * DAY_MS, start + 90 * DAY_MS, start + 100 * DAY_MS)
    ids, town = ["i0", "i1", "i2", "i3"], users % 2
    spec = make_spec({**CONFIG, "columns": {"users": {"town": "categorical"}, "events": {"device": "categorical"}}})
    inside, made = (times >= windows.validation_start) & (times < windows.test_start), []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        item = town + 2 * (events // 202 % 2)
        if name == "other":
            item[inside] = device[inside] + 2 * (events[inside] // 404 % 2)
            item[4_000] = (item[4_000] + 1) % 4  # at the very moment at which the window begins, too
        rows = {"user_id": [f"u{n:03d}" for n in users], "item_id": [ids[n] for n in item], "timestamp": times}
        rows |= {"context_device": np.array(["phone", "desk"])[device]}
        pq.write_table(pa.table(rows), folder / "examples.parquet")
        pq.write_table(pa.table({"item_id": ids, "available": [True] * 4}), folder / "items.parquet")
        people = {"user_id": [f"u{n:03d}" for n in range(101)], "profile_town": [("n", "s")[n % 2] for n in range(101)]}
        pq.write_table(pa.table(people), folder / "user_state.parquet")
        priors = write_popular(folder, spec, windows, 5 * DAY_MS)
        files = [folder / "segment_popular" / f"{boundary}.npz" for boundary in ("validation_start", "test_start")]
        made.append((priors, *(file.read_bytes() for file in files)))
    (priors, before, after), (others, same, differs) = made
    assert priors == others and "user_town" in priors
    assert before == same and after != differs


def test_many_segments_of_many_items_need_no_table_of_both():
    """Everyone's counts and shares are 16 bytes an item, 4 are kept, and no segment has as much as 2 more, one at a
    time either; 50,000 cities have too few events."""
    random, size = np.random.default_rng(9), 4_000_000
    codes = np.concatenate([np.repeat(np.arange(64), SEGMENT_EVENTS), np.arange(64, 50_064)])
    items, words = random.integers(0, size, len(codes)), ["x" * 200 + str(n) for n in range(50_064)]
    tracemalloc.start()
    found = segments(items, np.ones(len(items)), {"user_city": (Column(codes, words), 5.0)}, size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.numbers) == 65 and peak < 22 * size


def test_nothing_at_all_gives_empty_segments():
    nothing = np.zeros(0, np.int64)
    found = segments(nothing, np.zeros(0), {"user_town": (column(nothing), 1.0)}, 4)
    assert found.ordered(EVERYONE).tolist() == [] and list(found.numbers) == [""]
    assert chosen(nothing, nothing, nothing, {}, np.inf) == {}
