"""Which columns of users and moments tell what others of the same values take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from souk.features.trends import decayed

SEGMENT_EVENTS = 20  # fewer say too little of a value
SEGMENT_COUNT = 256  # values of a column, the largest
PRIORS = (1.0, 5.0, 20.0, 100.0)  # tried: each item's lifts are drawn to 1 as if it had so many more events
SURE = 2.0  # standard errors by which a column makes held-out events likelier
LATEST = 0.1  # share of the events that columns are judged by
FOLDS = 4  # of the users
JUDGED_EVENTS = 500  # of each fold, at most
LEAST_EVENTS = 30  # of all folds: fewer tell nothing
JUDGED_ITEMS = 3000  # the most popular
BLEND = 0.05  # share of an even forecast in a judged one, so that nothing is impossible
COPY = 0.7  # of the way from chance to always: two visits of an item say the same so often where they copy it
SEED = 17


@dataclass(frozen=True)
class Column:
    """Of each event a value of the user or the moment.

    Args:
        codes: `[events]` int64.
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
    items: np.ndarray, times: np.ndarray, users: np.ndarray, columns: Mapping[str, Column], half: float
) -> dict[str, float]:
    """The columns whose segments foretell what others of the same values take later, and how strongly each is drawn.

    Forward selection: the column and the prior that make held-out events likeliest, beside the columns that are chosen
    already, as long as it does so by SURE standard errors. Held out are the latest events of one fold of the users,
    and foretold by the earlier ones of the others, so that no user's own habits speak for a column; then of the next.

    Args:
        items: `[events]`, positions.
        times: `[events]` int64, UTC epoch milliseconds.
        users: `[events]` int64.
        columns: by name.
        half: half-life, milliseconds.

    Returns:
        The prior of each chosen column, in events; the column that helps most first.
    """
    if len(times) < 2:
        return {}
    cut = np.quantile(times, 1 - LATEST, method="nearest")
    fold = np.random.default_rng(SEED).permutation(int(users.max()) + 1)[users] % FOLDS
    early = times < cut
    trials = [
        _Trial.of(items, times, columns, early & (fold != one), ~early & (fold == one), cut, half)
        for one in range(FOLDS)
    ]
    found: dict[str, float] = {}
    while sum(trial.events for trial in trials) >= LEAST_EVENTS:
        best, prior, name = 0.0, 0.0, ""
        for tried in (name for name in columns if name not in found):
            for drawn in PRIORS:
                gains = np.concatenate([trial.gains(tried, drawn) for trial in trials])
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
        columns: of the events that foretell.
        items: `[events]`, what they took, and
        weights: `[events]` what each counts.
        held: `[held]`, what the others took, and
        values: `[held]` their codes by column.
        size: how many items are judged.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        items: np.ndarray,
        weights: np.ndarray,
        held: np.ndarray,
        values: Mapping[str, np.ndarray],
        size: int,
    ) -> None:
        self._columns, self._items = columns, items
        self._held, self._values, self._size = held, values, size
        self._ever = np.bincount(items, minlength=size)
        lately = np.bincount(items, weights, minlength=size)
        self._logits = np.tile(np.log(np.maximum(lately / max(lately.sum(), 1e-300), 1e-300)), (len(held), 1))
        self._likely = self._likelihood(self._logits)
        self._counted: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @classmethod
    def of(
        cls,
        items: np.ndarray,
        times: np.ndarray,
        columns: Mapping[str, Column],
        known: np.ndarray,
        held: np.ndarray,
        cut: float,
        half: float,
    ) -> _Trial:
        """Of all events `known` foretell and `held` are foretold: of both those of the most popular items."""
        counts = np.bincount(items[known], minlength=int(items.max()) + 1)
        ordered = np.argsort(-counts, kind="stable")[:JUDGED_ITEMS]
        place = np.full(len(counts), -1)
        place[ordered] = np.where(counts[ordered] > 0, np.arange(len(ordered)), -1)
        known, later = np.flatnonzero(known & (place[items] >= 0)), np.flatnonzero(held & (place[items] >= 0))
        draw = np.random.default_rng(SEED)
        later = np.sort(draw.choice(later, min(JUDGED_EVENTS, len(later)), replace=False))
        return cls(
            {name: column.of(known) for name, column in columns.items()},
            place[items[known]],
            decayed(times[known], cut, half),
            place[items[later]],
            {name: column.codes[later] for name, column in columns.items()},
            int((place >= 0).sum()),
        )

    @property
    def events(self) -> int:
        """How many are held out."""
        return len(self._held)

    def gains(self, name: str, prior: float) -> np.ndarray:
        """`[held]`: how much likelier each would be, nats."""
        return self._likelihood(self._logits + self._lifts(name, prior)) - self._likely

    def take(self, name: str, prior: float) -> None:
        """Counts a column from now on."""
        self._logits = self._logits + self._lifts(name, prior)
        self._likely = self._likelihood(self._logits)

    def _lifts(self, name: str, prior: float) -> np.ndarray:
        """`[held, size]`: the logarithm of each item's lift in the segment of each event."""
        if name not in self._counted:
            self._counted[name] = self._counts(self._columns[name])
        counts, rows = self._counted[name]
        lifts = np.log((counts + prior) / (self._ever + prior))
        lifts[-1] = 0  # of the values that have no segment
        return lifts[rows[self._values[name]]]

    def _counts(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        """`[values + 1, size]`: the events of each value that makes a segment, over its share of all; and the row of
        each code, the last for others."""
        largest = column.largest()
        rows = np.full(len(column.words), len(largest))
        rows[largest] = np.arange(len(largest))
        counts = np.zeros((len(largest) + 1, self._size), np.float32)
        for row, code in enumerate(largest):
            inside, counting = column.events(code)
            own = np.bincount(self._items[inside], counting, minlength=self._size)
            counts[row] = own * (len(self._items) / own.sum())
        return counts, rows

    def _likelihood(self, logits: np.ndarray) -> np.ndarray:
        if not len(logits):
            return np.zeros(0)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return np.log((1 - BLEND) * shares[np.arange(len(logits)), self._held] + BLEND / self._size)
