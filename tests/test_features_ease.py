"""What is taken by those who take the same: weights that are known by construction."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.features import ease as module
from souk.features.ease import RIDGE, ease, write_ease
from souk.features.windows import BOUNDARIES, Windows
from souk.schema import DAY_MS

END = 100 * DAY_MS


def drawn(users: int = 300, items: int = 40, events: int = 4000, seed: int = 5) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    of = np.sort(random.integers(0, users, events))
    return of, (random.integers(0, items // 2, events) + of % 2 * (items // 2)) % items, random.integers(1, END, events)


def dense(rows, size):
    found = np.zeros((size, size))
    for row in range(size):
        part = slice(rows.indptr[row], rows.indptr[row + 1])
        found[row, rows.items[part]] = rows.weights[part]
    return found


def closed_form(users, items, times, size, boundary, half):
    """The paper's, in double precision over the whole matrix."""
    x = np.zeros((users.max() + 1, size))
    for user, item, time in zip(users, items, times, strict=True):
        if time < boundary:
            x[user, item] = max(x[user, item], 0.5 ** ((boundary - time) / half))
    inverse = np.linalg.inv(x.T @ x + RIDGE * np.eye(size))
    found = -inverse / np.diag(inverse)
    np.fill_diagonal(found, 0)
    found[:, ~x.any(axis=0)] = 0
    return np.maximum(found, 0).round(4)


@pytest.mark.parametrize("half", [np.inf, 20 * DAY_MS])
@pytest.mark.parametrize("rows_are_dense", [True, False])
def test_the_weights_are_those_of_the_closed_form(monkeypatch, half, rows_are_dense):
    monkeypatch.setattr(module, "TOGETHER", 300 if rows_are_dense else 7)  # few users: pair by pair
    users, items, times = drawn()
    if not rows_are_dense:
        users, items, times = drawn(events=600)
    found = dense(ease(users, items, times, 40, 60 * DAY_MS, half), 40)
    expected = closed_form(users, items, times, 40, 60 * DAY_MS, half)
    np.testing.assert_allclose(found, expected, atol=1.01e-4)
    assert (found > 0).any(axis=1).sum() > 30


def test_items_that_go_together_have_the_weight_and_the_order_of_events_has_none():
    users, items, times = drawn()
    found = ease(users, items, times, 40, END, np.inf)
    weights = dense(found, 40)
    assert weights[:20, :20].sum() > 20 * weights[:20, 20:].sum(), "users of even numbers take the first twenty"
    order = np.random.default_rng(1).permutation(len(users))
    again = ease(users[order], items[order], times[order], 40, END, np.inf)
    assert all(
        np.array_equal(one, other) for one, other in zip(vars(found).values(), vars(again).values(), strict=True)
    )


def test_of_each_item_the_strongest_are_kept(monkeypatch):
    users, items, times = drawn()
    whole = dense(ease(users, items, times, 40, END, np.inf), 40)
    monkeypatch.setattr(module, "FOLLOWERS", 3)
    few = dense(ease(users, items, times, 40, END, np.inf), 40)
    assert ((few > 0).sum(axis=1) <= 3).all() and ((few > 0) <= (whole > 0)).all()
    assert few.max(axis=1).tolist() == whole.max(axis=1).tolist()


def test_of_a_user_with_very_many_items_the_last_ones_count(monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 2)
    users, items, times = np.zeros(4, np.int64), np.arange(4), np.array([1, 4, 2, 3])
    found = dense(ease(users, items, times, 5, 10, np.inf), 5)
    assert np.argwhere(found).tolist() == [[1, 3], [3, 1]]


@pytest.mark.parametrize("events", [0, 1])
def test_little_or_nothing_gives_nothing(events):
    nothing = np.zeros(events, np.int64)
    found = ease(nothing, nothing, nothing, 3, 10, np.inf)
    assert len(found) == 3 and not len(found.items)


def test_of_equal_weights_those_of_the_first_items_are_kept(monkeypatch):
    """What a single user took has one weight for each other, but for the noise of an inverse."""
    monkeypatch.setattr(module, "FOLLOWERS", 3)
    found = dense(ease(np.zeros(40, np.int64), np.arange(40), np.ones(40, np.int64), 40, 10, np.inf), 40)
    assert np.flatnonzero(found[20]).tolist() == [0, 1, 2] and np.flatnonzero(found[1]).tolist() == [0, 2, 3]


def test_what_nobody_took_for_ten_half_lives_has_no_weight():
    users, items, times = drawn()
    old = items % 7 == 0
    times[old] %= 20 * DAY_MS
    found = ease(users, items, times, 40, END, 4 * DAY_MS)  # up to 20 of them ago
    assert not np.diff(found.indptr)[::7].any()
    np.testing.assert_allclose(dense(found, 40), closed_form(users, items, times, 40, END, 4 * DAY_MS), atol=1.01e-4)


def test_each_boundary_knows_what_was_before_it(tmp_path):
    users, items, times = drawn()
    half = 15 * DAY_MS
    windows = folder_of(tmp_path, users, items, times)
    assert write_ease(tmp_path, windows, half) == "what is taken together: 40 items"
    for name in BOUNDARIES:
        own, end = module.SparseRows.load(tmp_path / "ease" / f"{name}.npz", 40), getattr(windows, name)
        known = times < end
        before = ease(users[known], items[known], times[known], 40, end, half)
        np.testing.assert_array_equal(dense(own, 40), dense(before, 40))


def test_a_large_catalogue_has_no_weights_at_any_boundary(tmp_path, monkeypatch):
    """Or a ranker would learn with what it is later asked without."""
    users, items, times = drawn()
    windows = folder_of(tmp_path, users, items, np.where(items == 39, END - 1, times))
    monkeypatch.setattr(module, "MOST", 39)
    told = write_ease(tmp_path, windows, np.inf)
    assert told == "what is taken together is not learned: 40 items are taken, and 39 are the most"
    for name in BOUNDARIES:
        assert not len(module.SparseRows.load(tmp_path / "ease" / f"{name}.npz", 40).items), name


def test_few_pairs_are_in_memory(monkeypatch):
    asked, whole = [], module.ranges
    monkeypatch.setattr(module, "ranges", lambda starts, counts: asked.append(counts.sum()) or whole(starts, counts))
    for events in (20, 60, 400, 4000):
        ease(*drawn(events=events), 40, END, np.inf)
    assert asked and max(asked) <= 40 * 40 / 10


def folder_of(folder, users, items, times):
    """Of a features folder what is read, the users in no order; the boundaries."""
    names = pa.array([f"u{user}" for user in users]), pa.array([f"i{item:02}" for item in items])
    examples = pa.table({"user_id": names[0], "item_id": names[1], "timestamp": times})
    pq.write_table(examples, folder / "examples.parquet")
    pq.write_table(pa.table({"item_id": [f"i{item:02}" for item in range(40)]}), folder / "items.parquet")
    pq.write_table(
        pa.table({"user_id": sorted(set(names[0].to_pylist()), reverse=True)}), folder / "user_state.parquet"
    )
    return Windows(40 * DAY_MS, 60 * DAY_MS, END)
