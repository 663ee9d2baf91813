"""How often columns agree, and by chance: counted by hand."""

import numpy as np
import pyarrow as pa
import pytest

from souk.features.agreement import Comparison, Said
from souk.features.taken import Taken
from souk.sources.rows import SparseRows

EVENTS = 500
A, B, C = range(3)  # words


def taken(user, item):
    user, item = np.asarray(user), np.asarray(item)
    users, items = (pa.table({"id": np.arange(column.max() + 1)}) for column in (user, item))
    return Taken(user, item, pa.table({}), users, items)


def said(entries):
    """Words by event."""
    pairs = [(event, word) for event in sorted(entries) for word in sorted(entries[event])]
    return Said(*np.array(pairs, np.int64).reshape(-1, 2).T)


def rows(words):
    """What each item says."""
    entries = np.array([word for each in words for word in each], np.int32)
    return SparseRows(np.cumsum([0, *map(len, words)]), entries, np.ones(len(entries), np.float32))


def shares(user, items, own):
    """Events, agreements and chance of who has the words, each event being of an item of its own."""
    comparison = Comparison(taken(user, np.arange(len(user))), 3)
    counts = comparison.counts(said(own), comparison.items(rows(items)))
    return counts.by_user.sum(axis=1).tolist()


@pytest.mark.parametrize("further", [1, 3, 17, 101])
def test_chance_is_what_four_others_took(further):
    items = [[]] * EVENTS
    items[200 + further] = [A]
    assert shares(np.arange(EVENTS), items, {200: [A]}) == [1, 0, 0.25]
    same = np.arange(EVENTS)
    same[203 if further != 3 else 201] = 200  # of four, one is the user's own
    assert shares(same, items, {200: [A]}) == pytest.approx([1, 0, 1 / 3])


def test_an_event_beside_which_nobody_else_took_anything_is_not_counted():
    """Of the first user's two events the latter is followed by that user alone."""
    user = np.arange(EVENTS)
    user[[100, 300, 301, 303, 317, 401]] = 100
    items = [[A]] * EVENTS
    assert shares(user, items, {100: [A], 300: [A]}) == [1, 1, 1]
    assert shares(np.zeros(EVENTS, int), items, {100: [A], 300: [A]}) == [0, 0, 0]


def test_words_that_are_exchanged_are_found_whatever_their_order():
    """Whoever says all of the words agrees with each, in whatever order; the others took what says nothing."""
    told = [0, 200, 400]
    item = np.zeros(EVENTS, int)
    item[told] = 1
    comparison = Comparison(taken(np.arange(EVENTS), item), 3)
    own, theirs = said({event: [A, B, C] for event in told}), comparison.items(rows([[], [A]]))
    assert comparison.exchanged(own, theirs, np.array([A, B, C]), 20, 1).tolist() == [1.0] * 21
    only = comparison.exchanged(said({event: [A] for event in told}), theirs, np.array([A, B, C]), 20, 1)
    assert only[0] == 1 and set(only[1:]) == {0.0, 1.0}, "of one word, where it stays the same"


@pytest.mark.parametrize(
    ("user", "item", "own", "with_item", "expected"),
    [
        ([0, 1], [0, 0], {0: [B], 1: [B]}, True, (1, 1.0)),
        ([0, 1], [0, 0], {0: [B], 1: [C]}, True, (1, 0.0)),
        ([0, 0], [0, 0], {0: [B], 1: [B]}, True, (0, 0.0)),  # the same user again
        ([0, 0, 1], [0, 0, 0], {0: [B], 1: [B], 2: [C]}, True, (1, 0.0)),  # of these two the latter alone
        ([0, 1], [0, 1], {0: [B], 1: [B]}, True, (0, 0.0)),
        ([0, 1], [0, 0], {0: [A], 1: [B]}, True, (0, 0.0)),  # they agree
        ([0, 1], [0, 0], {0: [B]}, True, (0, 0.0)),  # the next one says nothing
        ([0, 0], [0, 1], {0: [B], 1: [B]}, False, (1, 1.0)),
        ([0, 0], [0, 0], {0: [B], 1: [B]}, False, (0, 0.0)),  # the same item again
        ([0, 1], [0, 1], {0: [B], 1: [B]}, False, (0, 0.0)),
    ],
)
def test_whose_next_event_says_the_same_again(user, item, own, with_item, expected):
    """Every item says A."""
    comparison = Comparison(taken(user, item), 3)
    theirs = comparison.items(rows([[A]] * (max(item) + 1)))[0]
    assert comparison.stays(said(own), theirs, with_item) == expected
