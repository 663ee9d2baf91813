"""Features of a candidate and what the user lately did with it: how often, how long ago, and how long ago by type.

Who put a thing in the cart comes back to it otherwise than who looked at it once, or bought it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.sources.rows import weights_of

ACT = "act"  # how a pair feature of one type of event begins: act:EVENT_TYPE


def kinds_of(tokens: Mapping[str, Sequence[Any]], acts: Sequence[str]) -> np.ndarray:
    """`[window]` int64: the place of each event's type in `acts`; -1 for another.

    Args:
        tokens: token features of the window's events.
        acts: the types that are told apart.
    """
    if not acts:
        return np.full(len(tokens["token_item_id"]), -1, np.int64)
    place = {str(kind): number for number, kind in enumerate(acts)}
    types = tokens["token_event_type"]
    return np.fromiter((place.get(str(kind), -1) for kind in types), np.int64, len(types))


def repeats(
    wanted: np.ndarray, done: np.ndarray, ages: np.ndarray, kinds: np.ndarray, acts: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What was done with each candidate.

    Args:
        wanted: `[M]` int64, one key for each query and item.
        done: `[events]` int64, the keys of what was done.
        ages: `[events]` float64, in days.
        kinds: `[events]` int64, their types, below `acts`; -1 for others.
        acts: how many types are told apart.

    Returns:
        log(1 + events) and 1 / (1 + days since the last of them), 0 without one; and the second of each type.
    """
    keys, where, counts = np.unique(done, return_inverse=True, return_counts=True)
    last = [np.full(len(keys), np.inf) for _ in range(acts + 1)]
    np.minimum.at(last[0], where, ages)
    for kind, youngest in enumerate(last[1:]):
        of = kinds == kind
        np.minimum.at(youngest, where[of], ages[of])
    often, *recent = weights_of(keys, np.stack([counts, *(1 / (1 + each) for each in last)]), wanted)
    return [np.log1p(often), recent[0]], recent[1:]
