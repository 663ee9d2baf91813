"""How often two columns say the same of what is taken, and of what else was to be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from souk.features.taken import Taken
from souk.sources.rows import SparseRows

OTHERS = (1, 3, 17, 101)  # events further on, where others say what there was to take
TESTED = 10_000  # events of which words are exchanged at random


@dataclass(frozen=True)
class Said:
    """Words of events, by event and then by word.

    Args:
        event: `[entries]` int64.
        word: `[entries]` int64, its number.
    """

    event: np.ndarray
    word: np.ndarray

    @classmethod
    def of(cls, rows: SparseRows, which: np.ndarray) -> Said:
        """What `rows` say, each event being `which` of them, `[events]`."""
        event, word, _ = rows.gather(which)
        return cls(event, word.astype(np.int64))

    def only(self, kept: np.ndarray) -> Said:
        """The entries of a mask."""
        return Said(self.event[kept], self.word[kept])


@dataclass(frozen=True)
class Counts:
    """Events, those that agree, and as many as would by what others took.

    Args:
        by_user: `[3, users]`.
        by_word: `[3, words]`, by the words of the user or the visit: events, then the words that agree.
    """

    by_user: np.ndarray
    by_word: np.ndarray

    @property
    def more(self) -> np.ndarray:
        """By how much the share of each user who has events is above that user's chance."""
        events, agreed, chance = self.by_user[:, self.by_user[0] > 0]
        return np.asarray((agreed - chance) / events)

    @property
    def shares(self) -> tuple[float, float]:
        """The share of what users take that agrees, each user counted once, and that by chance."""
        events, agreed, chance = self.by_user[:, self.by_user[0] > 0]
        return float((agreed / events).mean()), float((chance / events).mean())


class Comparison:
    """What is taken, and for each event what others took at about the same time.

    Args:
        taken: the sample.
        size: how many words there are.
    """

    def __init__(self, taken: Taken, size: int) -> None:
        self._user, self._item, self._size, count = taken.user, taken.item, size, len(taken.user)
        others = [(np.arange(count) + further) % count for further in OTHERS]
        differs = [(taken.user[other] != taken.user).astype(np.float64) for other in others]
        compared = np.sum(differs, axis=0)
        self._compared = compared > 0
        self._weights = [np.ones(count), *(differ / np.maximum(1, compared) for differ in differs)]
        self._places = [taken.item, *(taken.item[other] for other in others)]
        self._users = len(taken.users)

    def items(self, rows: SparseRows) -> list[Said]:
        """What items say: those of the events, and those of others that each is compared with."""
        return [Said.of(rows, place) for place in self._places]

    def counts(self, own: Said, theirs: Sequence[Said]) -> Counts:
        """Counts the events of which `own` has a word.

        Args:
            own: what the user or the visit says, in words that items have.
            theirs: of `items`.
        """
        told = self._told(own)
        keys = self._keys(own)
        by_user, by_word = np.zeros((3, self._users)), np.zeros((3, self._size))
        for place, (said, weight) in enumerate(zip((own, *theirs), (self._weights[0], *self._weights), strict=True)):
            hit = said.only(told[said.event])
            hit = hit.only(_among(hit.event * self._size + hit.word, keys)) if place else hit
            event = hit.event[np.flatnonzero(np.diff(hit.event, prepend=-1))]
            row = min(place, 2)
            by_user[row] += np.bincount(self._user[event], weight[event], self._users)
            by_word[row] += np.bincount(hit.word, weight[hit.event], self._size)
        return Counts(by_user, by_word)

    def exchanged(self, own: Said, theirs: Sequence[Said], shared: np.ndarray, times: int, seed: int) -> np.ndarray:
        """By how much more than by chance the two agree, `[1 + times]`: as they are, and where words are exchanged at
        random, each for another of the `shared` ones.

        Args:
            own: what the user or the visit says, in words that items have.
            theirs: of `items`.
            shared: `[shared]`, the words that both have.
            times: how often.
            seed: of the random numbers.
        """
        draw = np.random.default_rng(seed)
        told = np.flatnonzero(self._told(own))
        kept = np.zeros(len(self._user), bool)
        kept[draw.choice(told, min(TESTED, len(told)), replace=False)] = True
        own, theirs = own.only(kept[own.event]), [said.only(kept[said.event]) for said in theirs]
        found = [self.counts(own, theirs).more.mean()]
        for _ in range(times):
            other = np.arange(self._size)
            other[shared] = draw.permutation(shared)
            order = np.lexsort((other[own.word], own.event))
            found.append(self.counts(Said(own.event, other[own.word]).only(order), theirs).more.mean())
        return np.array(found)

    def stays(self, own: Said, theirs: Said, with_item: bool) -> tuple[int, float]:
        """Of the events that disagree, in which share the next one of the item, by another user, says the same of its
        visit; or the next one of the user, with another item; and how many events that are.

        Args:
            own: what the visit says.
            theirs: what the item says.
            with_item: whether the next of the item is asked, and not that of the user.
        """
        keys = self._keys(own)
        agreed = np.zeros(len(self._user), bool)
        agreed[theirs.event[_among(theirs.event * self._size + theirs.word, keys)]] = True
        following = _next(*(self._item, self._user)[:: 1 if with_item else -1])
        asked = np.flatnonzero(self._told(own, False) & ~agreed & (following >= 0))
        starts = np.searchsorted(own.event, np.arange(len(self._user) + 1))
        rows = SparseRows(starts, own.word.astype(np.int32), np.ones(len(own.word), np.float32))
        place, word, _ = rows.gather(following[asked])
        heard = np.diff(starts)[following[asked]] > 0
        same = np.zeros(len(asked), bool)
        same[place[_among(asked[place] * self._size + word, keys)]] = True
        return int(heard.sum()), float(same[heard].mean()) if heard.any() else 0.0

    def _told(self, own: Said, compared: bool = True) -> np.ndarray:
        told = np.zeros(len(self._user), bool)
        told[own.event] = True
        return told & self._compared if compared else told

    def _keys(self, own: Said) -> np.ndarray:
        """Ascending."""
        return own.event * self._size + own.word


def _among(wanted: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which of `wanted` the ascending `keys` have."""
    if not len(keys):
        return np.zeros(len(wanted), bool)
    return np.asarray(keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted)


def _next(of: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The next event with the same `of`, `[events]`; -1 where there is none, or its `by` is the same."""
    order, found = np.argsort(of, kind="stable"), np.full(len(of), -1)
    one, other = order[:-1], order[1:]
    good = (of[one] == of[other]) & (by[one] != by[other])
    found[one[good]] = other[good]
    return found
