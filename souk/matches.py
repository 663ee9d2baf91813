"""Where a value of an item is one of the user's own, or of the visit's: a concert in the town where the user lives.

The towers learn such things word by word, from many events of each word. That two columns speak of the same thing
(`souk.features.matches` finds which) holds for a word that was never seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from souk.items import ItemTable
from souk.sources.rows import weights_of

USER = "user_"  # how a feature of the user begins
MATCH = "match"  # how a pair feature of it begins: match:OWN:THEIRS
MOST = 5000  # items of a value that are compared as candidates


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
    items: ItemTable, own: Sequence[Sequence[Own]], request: np.ndarray, positions: np.ndarray
) -> list[np.ndarray]:
    """How many of each candidate's values are its query's own, `[M]` for each match.

    Args:
        items: the item table.
        own: of `own_values`, by query.
        request: `[M]` int64, which query each candidate belongs to.
        positions: `[M]` int64, the candidates.
    """
    if not items.matches:
        return []
    size = max(1, items.value_count)
    row, value = items.expanded(positions)
    wanted, columns = request[row] * size + value, []
    asked = [(q * size, found) for q, found in enumerate(own) if found]
    for match in range(len(items.matches)):
        keys = np.concatenate([np.zeros(0, np.int64), *(first + found[match][0] for first, found in asked)])
        weights = np.concatenate([np.zeros(0), *(found[match][1] for _, found in asked)])
        columns.append(np.bincount(row, weights_of(keys, weights, wanted), minlength=len(positions)))
    return columns


@dataclass(frozen=True)
class ByValue:
    """The items of each value of a column that is matched, the MOST most popular of them.

    Args:
        start: `[values + 1]` int64, where the items of each value start in `positions`.
        positions: int64, of the items.
    """

    start: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, items: ItemTable) -> ByValue:
        """Those of an item table, by what was taken lately when it was made; items that nobody took come last."""
        theirs = {name for _, name in items.matches if items.form > 1}
        known = np.array([name in theirs for name, _ in items.words], bool)
        if not known.any():
            return cls(np.zeros(1, np.int64), np.zeros(0, np.int64))
        size = len(items.value_start) - 1
        popular = np.argsort(-items.counts.weights[:size], kind="stable")
        place, value = items.expanded(popular)
        place, value = place[known[value]], value[known[value]].astype(np.int32)
        order = np.argsort(value, kind="stable")  # of 32 bits it is quicker
        row, value = popular[place[order]], value[order]
        start = np.searchsorted(value, np.arange(len(known) + 1))
        most = np.arange(len(value)) - start[value] < MOST
        return cls(np.concatenate([[0], np.cumsum(most)])[start], row[most])

    def having(self, numbers: Collection[int]) -> np.ndarray:
        """The items of some values, ascending and each once."""
        parts = [self.positions[self.start[n] : self.start[n + 1]] for n in numbers if n + 1 < len(self.start)]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
