"""Where a value of an item is one of the user's own, or of the visit's: a concert in the town where the user lives.

The towers learn such things word by word, from many events of each word. That two columns speak of the same thing
(`souk.features.matches` finds which) holds for a word that was never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from souk.items import ItemTable
from souk.sources.rows import distinct, ranges, weights_of
from souk.valued import Valued

USER = "user_"  # how a feature of the user begins
MATCH = "match"  # how a pair feature of it begins: match:OWN:THEIRS
LOOKED = 5000  # items that are compared as candidates
VALUES = 16  # of one match by which candidates are looked up
FARTHEST = 200_000  # items that are looked through for these
CHANGES = 20_000  # values that came to items, after which the lists are made anew


Own = tuple[np.ndarray, np.ndarray]  # of a match: numbers of values, ascending, and how much each is the asker's own


def own_values(items: ItemTable, asker: Mapping[str, Any], window: np.ndarray) -> tuple[Own, ...]:
    """The item values that are the asker's own, by match.

    What a user states is wholly the user's own. Of a user who states nothing, the values of what was looked at are,
    each by the share of these items that have it: who reads of one town likely lives there.

    Args:
        items: the item table, which says which columns match.
        asker: raw features of the user and the moment.
        window: `[window]` int64, positions of the items that the query sees; -1 for unknown ones.
    """
    guessed = unstated(items, asker)
    numbers, shares = _seen(items, window) if guessed else (np.zeros(0, np.int64), np.zeros(0))
    features = np.array([items.words[number][0] for number in numbers.tolist()], object)
    own = []
    for match in items.matches:
        if match in guessed:
            theirs = features == match[1]
            own.append((numbers[theirs], shares[theirs]))
        else:
            stated = np.array(sorted(_numbers(items, match[1], _said(asker, match[0]))), np.int64)
            own.append((stated, np.ones(len(stated))))
    return tuple(own)


def unstated(items: ItemTable, asker: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The matches of columns of the user in which the asker states nothing; none in form 1, which does not guess."""
    if items.form == 1:
        return ()
    return tuple(match for match in items.matches if match[0].startswith(USER) and not _said(asker, match[0]))


def own_words(items: ItemTable, asker: Mapping[str, Any], match: tuple[str, str], position: int) -> list[str]:
    """What the item at `position` and the asker have in common in the columns of a match, in words."""
    own, theirs = match
    _, values = items.expanded(np.array([position]))
    return [items.words[number][1] for number in _numbers(items, theirs, _said(asker, own)) if number in values]


def _said(asker: Mapping[str, Any], name: str) -> list[str]:
    """The words of a raw feature, each once: lists may be padded."""
    value = asker.get(name) or ()
    return [word for word in dict.fromkeys([value] if isinstance(value, str) else value) if word]


def _numbers(items: ItemTable, feature: str, words: Sequence[str]) -> list[int]:
    known = (items.numbers.get((feature, word), -1) for word in words)
    # Of a word beyond the count the last item that had it has another by now.
    return [number for number in known if 0 <= number < items.value_count]


def _seen(items: ItemTable, window: np.ndarray) -> Own:
    """The values of the items of a window, and the share of the items that have each."""
    _, values = items.expanded(window[window >= 0])
    numbers, counts = np.unique(values, return_counts=True)
    return numbers, counts / max(1, len(window))


def matched(
    items: ItemTable, own: Sequence[Sequence[Own]], request: np.ndarray, candidates: Valued
) -> list[np.ndarray]:
    """How many of each candidate's values are its query's own, `[M]` for each match.

    Args:
        items: the item table.
        own: of `own_values`, by query.
        request: `[M]` int64, which query each candidate belongs to.
        candidates: M of them.
    """
    if not items.matches:
        return []
    size = max(1, items.value_count)
    wanted, columns = request[candidates.row] * size + candidates.value, []
    asked = [(q * size, found) for q, found in enumerate(own) if found]
    for match in range(len(items.matches)):
        keys = np.concatenate([np.zeros(0, np.int64), *(first + found[match][0] for first, found in asked)])
        weights = np.concatenate([np.zeros(0), *(found[match][1] for _, found in asked)])
        columns.append(np.bincount(candidates.row, weights_of(keys, weights, wanted), minlength=len(candidates)))
    return columns


@dataclass(frozen=True)
class ByValue:
    """The items of each value, most popular first.

    Args:
        start: `[values + 1]` int64, where the items of each value start in `positions`.
        positions: int32, of the items.
        later: `[changes, 2]` int64, the value and the item of each that came since, by both, and
        gone: `[changes, 2]` int64, of each in `positions` that is no longer so.
    """

    start: np.ndarray
    positions: np.ndarray
    later: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    gone: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    @classmethod
    def of(cls, items: ItemTable) -> ByValue:
        """Those of an item table, by what was taken lately when it was made; items that nobody took come last."""
        theirs = _matching(items)
        known = np.array([name in theirs for name, _ in items.words], bool)
        if not known.any():
            return cls(np.zeros(1, np.int64), np.zeros(0, np.int32))
        size = len(items.value_start) - 1
        popular = np.argsort(-items.counts.weights[:size], kind="stable").astype(np.int32)
        place, value = items.expanded(popular)
        place, value = place[known[value]], value[known[value]].astype(np.int32)
        order = np.argsort(value, kind="stable")  # of 32 bits it is quicker
        return cls(np.searchsorted(value[order], np.arange(len(known) + 1)), popular[place[order]])

    def with_items(self, old: ItemTable, items: ItemTable, where: np.ndarray) -> ByValue:
        """Of another item table.

        What came stands last, as what nobody took, and what comes back where it was, until the lists are made anew,
        after CHANGES.

        Args:
            old: the item table of before.
            items: the other one.
            where: `[rows]` int64, positions of the rows that came or were told again.
        """
        before, now = (_pairs(table, where[where < len(table.vectors)]) for table in (old, items))
        came, went = _without(now, before), _without(before, now)
        if not len(came) and not len(went):
            return self
        later = np.concatenate([_without(self.later, went), _without(came, self.gone)])
        gone = np.concatenate([_without(self.gone, came), _without(went, self.later)])
        if len(later) + len(gone) > CHANGES:
            return ByValue.of(items)
        return replace(self, later=np.unique(later, axis=0), gone=np.unique(gone, axis=0))

    def looked_up(self, numbers: np.ndarray, allowed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Items of some values that may be shown, at most LOOKED in all, ascending and each once.

        Of each value there are as many of the most popular. To keep a request short, at most some FARTHEST are looked
        through.
        """
        most, farthest = (bound // max(1, len(numbers)) for bound in (LOOKED, FARTHEST))
        start, end = (self.start[np.minimum(numbers + more, len(self.start) - 1)] for more in (0, 1))
        near = np.minimum(end, start + 2 * most)
        came = np.searchsorted(self.later[:, 0], numbers)
        last = np.searchsorted(self.later[:, 0], numbers, "right")
        found, parts = np.zeros(len(numbers), np.int64), [np.zeros(0, np.int64)]
        for positions, first, beyond in (
            (self.positions, start, near),
            (self.positions, near, np.minimum(end, start + farthest)),
            (self.later[:, 1], came, np.minimum(last, came + farthest)),
        ):
            counts = np.where(found < most, np.maximum(beyond - first, 0), 0)
            if not counts.any():
                continue
            place, owner = ranges(first, counts)
            part = positions[place].astype(np.int64)
            shown = allowed(part)
            if len(self.gone):
                shown = shown & ~np.isin(numbers[owner] << 32 | part, _keys(self.gone))
            part, owner = part[shown], owner[shown]
            nth = np.arange(len(owner)) - np.searchsorted(owner, np.arange(len(numbers)))[owner]
            kept = nth < most - found[owner]
            found += np.bincount(owner[kept], minlength=len(numbers))
            parts.append(part[kept])
        return distinct(np.concatenate(parts), max(int(part.max(initial=-1)) for part in parts) + 1)


def strongest(own: Sequence[Own], items: ByValue) -> np.ndarray:
    """The values that are looked up: of each match the VALUES that are the asker's own most, of equal ones those of
    the fewest items, which say most; ascending."""
    chosen = [np.zeros(0, np.int64)]
    for numbers, weights in own:
        if len(numbers) > VALUES:
            sizes = np.append(np.diff(items.start), 0)[np.minimum(numbers, len(items.start) - 1)]  # of new ones 0
            numbers = numbers[np.lexsort((sizes, -weights))[:VALUES]]
        chosen.append(numbers)
    return np.unique(np.concatenate(chosen))


def _pairs(items: ItemTable, where: np.ndarray) -> np.ndarray:
    """`[pairs, 2]` int64: the values of columns that are matched, and the items at `where` that have them."""
    theirs = _matching(items)
    place, value = items.expanded(where)
    numbers, which = np.unique(value, return_inverse=True)
    known = np.array([items.words[number][0] in theirs for number in numbers.tolist()], bool)[which]
    return np.column_stack([value[known], where[place[known]]]).astype(np.int64)


def _without(pairs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Those of `pairs` that are none of `others`."""
    return pairs[~np.isin(_keys(pairs), _keys(others))]


def _keys(pairs: np.ndarray) -> np.ndarray:
    """A number of each pair."""
    return np.asarray(pairs[:, 0] << 32 | pairs[:, 1])


def _matching(items: ItemTable) -> set[str]:
    """The features of items whose values are looked up: those that are matched until form 3, and none in form 1, which
    has no such source."""
    return set(items.shares.names) if items.form > 3 else {name for _, name in items.matches if items.form > 1}
