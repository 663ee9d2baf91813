"""What tells a column of visits that the log has from the item from one that visits have of their own."""

import numpy as np
import pytest

from tests.test_features_matches_rule import found, near, words, write


@pytest.mark.parametrize(("changed", "share"), [(0.0, 1.0), (0.1, 0.9), (0.5, 0.55)])
def test_a_column_of_the_log_that_says_what_the_item_said_is_a_copy(tmp_path, changed, share):
    """Since then a share of the items changed."""
    draw = np.random.default_rng(1)
    old = draw.integers(0, 8, 300)
    new = np.where(draw.random(300) < changed, draw.integers(0, 8, 300), old)
    user, item = draw.integers(0, 500, 10000), draw.integers(0, 300, 10000)
    events = {"user": user, "item": item, "genre": words("c", old[item])}
    write(tmp_path, {"age": words("a", user[:500])}, {"genre": words("c", new)}, events)
    match = found(tmp_path, events=["genre"], items=["genre"])["context_genre", "item_genre"]
    assert match.copied and match.share == pytest.approx(share, abs=0.05)


def test_a_copy_with_a_few_faults_is_one(tmp_path):
    """Of the log's words one in thirty is any: neither the next visit of the item nor the user's tells of them."""
    draw = np.random.default_rng(1)
    genre, user, item = draw.integers(0, 8, 300), draw.integers(0, 500, 20000), draw.integers(0, 300, 20000)
    said = np.where(draw.random(20000) < 1 / 30, draw.integers(0, 8, 20000), genre[item])
    events = {"user": user, "item": item, "genre": words("c", said)}
    write(tmp_path, {"age": words("a", user[:500])}, {"genre": words("c", genre)}, events)
    match = found(tmp_path, events=["genre"], items=["genre"])["context_genre", "item_genre"]
    assert match.copied and 0.96 < match.share < 0.98


@pytest.mark.parametrize("off", [0.05, 0.3])
def test_a_language_that_visits_have_of_their_own_is_no_copy(tmp_path, off):
    """Now and then a user takes an item of any language, and asks in the same as ever."""
    draw = np.random.default_rng(4)
    home, city = (draw.random(2000) < 0.7).astype(int), (draw.random(500) < 0.6).astype(int)
    user = draw.integers(0, 2000, 20000)
    item = near(draw, home, city, user, 1 - off)
    text = np.array(["fr", "en"])
    events = {"user": user, "item": item, "speech": text[home[user]]}
    write(tmp_path, {"age": words("a", home)}, {"speech": text[city]}, events)
    match = found(tmp_path, events=["speech"], items=["speech"])["context_speech", "item_speech"]
    assert not match.copied and (match.share > 0.95) == (off < 0.1)


def tastes(draw, stays):
    """Visits that say the taste of their user, each of an item of its own, of that genre in a share of them."""
    taste, user = draw.integers(0, 8, 400), draw.integers(0, 400, 10000)
    genre = np.where(draw.random(10000) < stays, taste[user], draw.integers(0, 8, 10000))
    return taste, user, genre


def copied(folder, user, item, said, genre):
    events = {"user": user, "item": item, "genre": words("c", said)}
    write(folder, {"age": words("a", np.arange(400))}, {"genre": words("c", genre)}, events)
    return found(folder, events=["genre"], items=["genre"])["context_genre", "item_genre"].copied


@pytest.mark.parametrize(("count", "expected"), [(10, False), (60, True)])
def test_few_visits_that_say_what_the_one_before_of_their_item_said_tell_of_no_copy(tmp_path, count, expected):
    taste, user, genre = tastes(np.random.default_rng(3), 0.6)
    item, first = np.arange(10000), np.arange(count) * 100
    same = [np.flatnonzero((taste == taste[user[event]]) & (np.arange(400) != user[event]))[0] for event in first]
    user[first + 50], item[first + 50] = same, first
    genre[first] = (taste[user[first]] + 1) % 8
    assert copied(tmp_path, user, item, taste[user], genre) == expected


@pytest.mark.parametrize(("count", "expected"), [(10, True), (60, False)])
def test_few_visits_in_which_a_user_stays_the_same_do_not_tell_that_it_is_the_users_own(tmp_path, count, expected):
    taste, user, genre = tastes(np.random.default_rng(3), 1)
    other = np.arange(count) * 100
    genre[other] = (taste[user[other]] + 1) % 8
    assert copied(tmp_path, user, np.arange(10000), taste[user], genre) == expected
