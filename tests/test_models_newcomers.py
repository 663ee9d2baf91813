"""Moments that are told as newcomers': how many, whose, and how much of their past."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.models.draw import draw_examples, moments_of, newcomers_of
from souk.models.held_out import split_users
from souk.models.newcomers import FEW, SHARE, newcomer_vectors, with_newcomers
from tests.models_fixtures import cycle_spec

START, INSIDE = 1_000_000, 10
USERS = 200


@pytest.fixture
def told(tmp_path):
    """A function that gives a window's examples with what is told of them; user n had `before(n)` engagements earlier,
    two of them at a time, and has INSIDE in the window."""

    def draw(before, seed=0):
        rows = [
            (f"u{user}:{n}", f"u{user}", START + 10 * (n // 2), f"i{n % 7}", -1, START)
            for user in range(USERS)
            for n in range(-before(user), INSIDE)
        ]
        names = ("event_id", "user_id", "timestamp", "item_id", "satisfied", "satisfied_at")
        table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
        pq.write_table(table.sort_by("timestamp"), tmp_path / "examples.parquet")
        (tmp_path / "spec.json").write_text(cycle_spec().to_json())
        return with_newcomers(tmp_path, draw_examples(tmp_path, START, START + 1000, 0), seed)

    return draw


def test_where_all_users_are_old_some_moments_are_a_newcomers(told):
    table = told(lambda user: FEW + 2)
    newcomers, moments = newcomers_of(table), moments_of(table)
    drawn = [moment for moment in moments if moment.events[0] in newcomers]
    assert len(drawn) / len(moments) == pytest.approx(SHARE, abs=0.03)
    for moment in moments:
        assert len({newcomers.get(event) for event in moment.events}) == 1, "events of one time are one moment"
    counts, profile = np.array([newcomers[moment.events[0]] for moment in drawn]).T
    assert counts.min() == 0 and FEW // 2 < counts.max() < FEW
    assert 0.1 < np.mean(counts == 0) < 0.3 and 0.3 < np.mean(profile) < 0.7
    again, other = told(lambda user: FEW + 2), told(lambda user: FEW + 2, seed=1)
    assert newcomers_of(again) == newcomers and newcomers_of(other).keys() != newcomers.keys()


def test_where_there_are_newcomers_nobody_is_told_as_one(told):
    """Every eighth user is one: with the first engagements of the window they are a little more than SHARE."""
    table = told(lambda user: 0 if user % 8 == 0 else FEW + 2)
    assert not newcomers_of(table) and table["last_events"].null_count == len(table)
    assert newcomer_vectors(None, None, START, START + 1000, table) == {}, "no row is read, no tower asked"


def test_of_some_newcomers_as_many_are_added_as_are_lacking(told):
    table = told(lambda user: 0 if user % 20 == 0 else FEW + 2)
    newcomers = newcomers_of(table)
    assert not any(int(event[1:].split(":")[0]) % 20 == 0 for event in newcomers), "who is one is told as they are"
    assert len(newcomers) / len(table) == pytest.approx(SHARE / 2, abs=0.02)


def test_held_out_users_are_judged_as_they_are():
    users, newcomer = np.repeat(np.arange(20), 5), np.arange(100) % 5 == 0
    fitted, held_out = split_users(users, 0, newcomer)
    assert newcomer[fitted].any() and not newcomer[held_out].any() and len(held_out) == 16
    assert not set(users[fitted]) & set(users[held_out])
    assert len(split_users(users, 0, np.ones(100, bool))[1]) == 20, "where there is nothing else, they judge"
