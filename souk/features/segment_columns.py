"""Which columns of users and moments tell what others of the same values take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from souk.features.trends import decayed

SEGMENT_EVENTS = 20  # fewer say too little of a value
SEGMENT_COUNT = 256  # values of a column, the largest
PRIORS = (1.0, 5.0, 20.0, 100.0)  # tried: each item's lifts are drawn to 1 as if it had so many more events
SURE = 2.0  # standard errors over users by which a column makes held-out events likelier
WORTH = 1e-3  # nats of an event, at least: less would change no list
LATEST = 0.1  # share of the events that columns are judged by
FOLDS = 4  # of the users
JUDGED_EVENTS = 500  # of each fold, at most
LEAST_EVENTS = 30  # of all folds: fewer tell nothing,
LEAST_USERS = 10  # nor do these of fewer
JUDGED_ITEMS = 3000  # those that are taken most lately
BLEND = 0.05  # share of an even forecast in a judged one, so that nothing is impossible
COPY = 0.7  # of the way from chance to always: two visits of an item say the same so often where they copy it
SEED = 17


@dataclass(frozen=True)
class Column:
    """Of each event a value of the user or the moment.

    Args:
        codes: `[events]` int32.
        words: of each code; "" where the value is not known.
        near: `[words, words]`, how much events of the second value count for the first; None where only its own do.
    """

    codes: np.ndarray
    words: Sequence[str]
    near: np.ndarray | None = None

    def of(self, events: np.ndarray) -> Column:
        """The same of some events, `[n]` int64 or `[events]` bool."""
        return Column(self.codes[events], self.words, self.near)

    def events(self, code: int) -> tuple[np.ndarray, np.ndarray]:
        """The events that count for a value, and how much each does."""
        if self.near is None:
            order, starts = self._sorted
            inside = order[starts[code] : starts[code + 1]]
            return inside, np.ones(len(inside))
        return np.arange(len(self.codes)), self.near[code][self.codes]

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        counts = np.bincount(self.codes, minlength=len(self.words))
        return np.argsort(self.codes, kind="stable"), np.concatenate([[0], np.cumsum(counts)])

    def largest(self) -> list[int]:
        """The values with events enough, at most SEGMENT_COUNT, the largest first."""
        counts = np.bincount(self.codes, minlength=len(self.words)).astype(np.float64)
        counts = counts if self.near is None else self.near @ counts
        large = [code for code in np.flatnonzero(counts >= SEGMENT_EVENTS).tolist() if self.words[code]]
        return sorted(large, key=lambda code: (-counts[code], self.words[code]))[:SEGMENT_COUNT]


def copies(items: np.ndarray, column: Column) -> bool:
    """Whether a column of the visit seems to be of the item: where they say something, two visits of one item say the
    same far more often than two of any.

    A query that is told what its answer has is no query of a visitor.

    Args:
        items: `[events]`.
        column: of these events.
    """
    told = np.array([bool(word) for word in column.words], bool)[column.codes]
    items, codes, size = items[told].astype(np.int64), column.codes[told], len(column.words)
    keys, counts = np.unique(items * size + codes, return_counts=True)
    events = np.bincount(items)
    often = events[keys // size] > 1
    of_item = events[keys // size][often]
    visits = of_item[np.unique(keys[often] // size, return_index=True)[1]].sum()
    if not visits:
        return False
    same = np.sum(counts[often] * (counts[often] - 1) / (of_item - 1)) / visits
    chance = np.sum((np.bincount(codes) / len(codes)) ** 2)
    return bool(same - chance > COPY * (1 - chance))


def chosen(
    items: np.ndarray,
    times: np.ndarray,
    users: np.ndarray,
    columns: Mapping[str, Column],
    half: float,
    there: Callable[[int], np.ndarray] | None = None,
) -> dict[str, float]:
    """The columns whose segments foretell what others of the same values take later, and how strongly each is drawn.

    Forward selection: the column and the prior that make held-out events likeliest, beside the columns that are chosen
    already, as long as it does so by SURE standard errors. Held out are the latest events of one fold of the users, and
    foretold by the earlier ones of the others, so that no user's own habits speak for a column; then of the next. Each
    user counts once: what one does again and again is one piece of evidence.

    Args:
        items: `[events]`, positions.
        times: `[events]` int64, UTC epoch milliseconds.
        users: `[events]`, numbers.
        columns: by name.
        half: half-life, milliseconds.
        there: which items, `[items]` bool, can be had at a time: what cannot is neither listed nor foretold. None for
            all.

    Returns:
        The prior of each chosen column, in events; the column that helps most first.
    """
    if len(times) < 2:
        return {}
    cut = int(np.quantile(times, 1 - LATEST, method="nearest"))
    fold = (np.random.default_rng(SEED).permutation(int(users.max()) + 1) % FOLDS).astype(np.int8)[users]
    early, late = times < cut, times >= cut
    if there is not None:
        early &= there(cut)[items]
    trials = []
    for one in range(FOLDS):
        known, held = np.flatnonzero(early & (fold != one)), np.flatnonzero(late & (fold == one))
        trials.append(_Trial.of(items, decayed(times[known], cut, half), columns, known, held))
    _, owner, counts = np.unique(
        users[np.concatenate([trial.held for trial in trials])], return_inverse=True, return_counts=True
    )
    found: dict[str, float] = {}
    while len(owner) >= LEAST_EVENTS and len(counts) >= LEAST_USERS:
        best, prior, name = WORTH, 0.0, ""
        for tried in (name for name in columns if name not in found):
            for drawn in PRIORS:
                gains = np.bincount(owner, np.concatenate([trial.gains(tried, drawn) for trial in trials])) / counts
                if gains.mean() > max(best, SURE * gains.std() / len(gains) ** 0.5):
                    best, prior, name = float(gains.mean()), drawn, tried
        if not name:
            break
        found[name] = prior
        for trial in trials:
            trial.take(name, prior)
    return found


class _Trial:
    """Held-out events, and how likely each is by the columns that are taken.

    Args:
        held: `[held]`, which events they are.
        taken: `[held]`, the item of each, of those that are judged.
        lately: `[size]`, what these count in the events that foretell, and
        ever: `[size]`, how many there are of each.
        counted: by column, `[segments + 1, size]`, the events of each segment over its share of all, and `[held]`, the
            segment of each held-out event, the last where it is of none.
    """

    def __init__(
        self,
        held: np.ndarray,
        taken: np.ndarray,
        lately: np.ndarray,
        ever: np.ndarray,
        counted: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self.held, self._taken, self._ever, self._counted = held, taken, ever, counted
        self._shares = np.tile(lately / max(1e-300, float(lately.sum())), (len(held), 1))
        self._likely = self._likelihood(self._shares)

    @classmethod
    def of(
        cls, items: np.ndarray, weights: np.ndarray, columns: Mapping[str, Column], known: np.ndarray, held: np.ndarray
    ) -> _Trial:
        """Of all events `known`, which count `weights`, foretell, and `held` are foretold: of both those of the items
        that are taken most lately."""
        lately = np.bincount(items[known], weights, minlength=int(items.max()) + 1)
        ordered = np.argsort(-lately, kind="stable")[:JUDGED_ITEMS]
        ordered = ordered[lately[ordered] > 0]
        place = np.full(len(lately), -1)
        place[ordered] = np.arange(len(ordered))
        known, held = known[place[items[known]] >= 0], held[place[items[held]] >= 0]
        draw = np.random.default_rng(SEED)
        held = np.sort(draw.choice(held, min(JUDGED_EVENTS, len(held)), replace=False))
        foretell = place[items[known]]
        counted = {
            name: _counts(column.of(known), column.codes[held], foretell, len(ordered))
            for name, column in columns.items()
        }
        ever = np.bincount(foretell, minlength=len(ordered))
        return cls(held, place[items[held]], lately[ordered], ever, counted)

    def gains(self, name: str, prior: float) -> np.ndarray:
        """`[held]`: how much likelier each would be, nats."""
        return self._likelihood(self._lifted(name, prior)) - self._likely

    def take(self, name: str, prior: float) -> None:
        """Counts a column from now on."""
        lifted = self._lifted(name, prior)
        self._shares = lifted / lifted.sum(axis=1, keepdims=True)
        self._likely = self._likelihood(self._shares)

    def _lifted(self, name: str, prior: float) -> np.ndarray:
        """`[held, size]`: the shares, times each item's lift in the segment of each event."""
        counts, segment = self._counted[name]
        lifts = (counts + prior) / (self._ever + prior)
        lifts[-1] = 1
        return np.asarray(self._shares * lifts[segment])

    def _likelihood(self, shares: np.ndarray) -> np.ndarray:
        if not len(shares):
            return np.zeros(0)
        own = shares[np.arange(len(shares)), self._taken] / shares.sum(axis=1)
        return np.asarray(np.log((1 - BLEND) * own + BLEND / shares.shape[1]))


def _counts(column: Column, held: np.ndarray, items: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a column's segments the events of each item, as `_Trial` has them; `held` are codes."""
    largest = column.largest()
    rows = np.full(len(column.words), len(largest))
    rows[largest] = np.arange(len(largest))
    by_code = rows if column.near is None else np.arange(len(column.words))
    shape = (len(largest) + 1 if column.near is None else len(column.words), size)
    counts = np.bincount(by_code[column.codes] * size + items, minlength=shape[0] * size).reshape(shape)
    if column.near is not None:
        counts = np.concatenate([column.near[largest] @ counts, np.zeros((1, size))])
    totals = counts.sum(axis=1, keepdims=True)
    return (counts * (len(items) / np.maximum(totals, 1))).astype(np.float32), rows[held]
