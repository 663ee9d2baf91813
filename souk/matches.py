"""Where a value of an item is one of the user's own, or of the visit's: a concert in the town where the user lives.

The towers learn such things word by word, from many events of each word. That two columns speak of the same thing
(`souk.features.matches` finds which) holds for a word that was never seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from souk.items import ItemTable
from souk.sources.rows import weights_of


def own_values(items: ItemTable, asker: Mapping[str, Any]) -> tuple[int, ...]:
    """The numbers of the item values that are the asker's own, once for each column that has them.

    Args:
        items: the item table, which says which columns match.
        asker: raw features of the user and the moment.
    """
    return tuple(number for number, _ in _own(items, asker))


def own_words(items: ItemTable, asker: Mapping[str, Any], position: int) -> list[str]:
    """What the item at `position` and the asker have in common, in words."""
    _, values = items.expanded(np.array([position]))
    return list(dict.fromkeys(word for number, word in _own(items, asker) if number in values))


def _own(items: ItemTable, asker: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    for own, theirs in items.matches:
        value = asker.get(own) or ()
        for word in dict.fromkeys([value] if isinstance(value, str) else value):
            number = items.numbers.get((theirs, word), -1)
            if 0 <= number < items.value_count:  # else the last item that had the word has another by now
                yield number, word


def matched(items: ItemTable, own: Sequence[Sequence[int]], request: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """How many of each candidate's values are its query's own, `[M]`.

    Args:
        items: the item table.
        own: the numbers of `own_values`, by query.
        request: `[M]` int64, which query each candidate belongs to.
        positions: `[M]` int64, the candidates.
    """
    size = max(1, items.value_count)
    asked = [query * size + number for query, numbers in enumerate(own) for number in numbers]
    keys, counts = np.unique(np.array(asked, np.int64), return_counts=True)
    row, value = items.expanded(positions)
    return np.bincount(row, weights_of(keys, counts, request[row] * size + value), minlength=len(positions))
