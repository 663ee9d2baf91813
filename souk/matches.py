"""Where a value of an item is one of the user's own, or of the visit's: a concert in the town where the user lives.

The towers learn such things word by word, from many events of each word. That two columns speak of the same thing
(`souk.features.matches` finds which) holds for a word that was never seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.items import ItemTable

MATCH = "match"  # how a pair feature of it begins: match:OWN:THEIRS


def own_values(items: ItemTable, asker: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """The numbers of the item values that are the asker's own, by match.

    Args:
        items: the item table, which says which columns match.
        asker: raw features of the user and the moment.
    """
    return tuple(tuple(_own(items, asker, *match).values()) for match in items.matches)


def own_words(items: ItemTable, asker: Mapping[str, Any], match: tuple[str, str], position: int) -> list[str]:
    """What the item at `position` and the asker have in common in the columns of a match, in words."""
    _, values = items.expanded(np.array([position]))
    return [word for word, number in _own(items, asker, *match).items() if number in values]


def _own(items: ItemTable, asker: Mapping[str, Any], own: str, theirs: str) -> dict[str, int]:
    value = asker.get(own) or ()
    known = {word: items.numbers.get((theirs, word), -1) for word in ([value] if isinstance(value, str) else value)}
    # Of a word beyond the count the last item that had it has another by now.
    return {word: number for word, number in known.items() if 0 <= number < items.value_count}


def matched(
    items: ItemTable, own: Sequence[Sequence[Sequence[int]]], request: np.ndarray, positions: np.ndarray
) -> list[np.ndarray]:
    """How many of each candidate's values are its query's own, `[M]` for each match.

    Args:
        items: the item table.
        own: the numbers of `own_values`, by query.
        request: `[M]` int64, which query each candidate belongs to.
        positions: `[M]` int64, the candidates.
    """
    if not items.matches:
        return []
    size = max(1, items.value_count)
    row, value = items.expanded(positions)
    wanted, columns = request[row] * size + value, []
    for match in range(len(items.matches)):
        asked = np.array(
            [q * size + number for q, found in enumerate(own) if found for number in found[match]], np.int64
        )
        columns.append(np.bincount(row, np.isin(wanted, asked), minlength=len(positions)))
    return columns
