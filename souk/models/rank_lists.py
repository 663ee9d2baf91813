"""The lists that a ranker learns from: what was taken at a moment, among what could have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from souk.models.inputs import MISSING
from souk.models.rank_examples import RankExamples
from souk.pairs import PAIR_FEATURES

AGAIN = PAIR_FEATURES.index("again")
POSITIVES = 16  # of a list that are learned in one step, where its negatives are drawn


@dataclass(frozen=True)
class RankLists:
    """Examples as lists: one for each moment that has something taken and something left.

    Where a slate was logged, the list is what it showed of the candidates: of all else nothing is known. Elsewhere it
    is the candidates.

    Args:
        examples: of some users.
        allowed: `[examples, width] bool`, what is in the list.
        positive: `[examples, width] float32`, the weight of what was taken; 0 for the rest.
        mean: `[examples, P] float32`, of the candidates' normalised pair features.
        deviation: likewise.
        added: by head `[examples, width] float32`, what a body that stays as it is adds to its logits.
    """

    examples: RankExamples
    allowed: np.ndarray
    positive: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    added: Mapping[str, np.ndarray] = field(default_factory=dict)

    def lists(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` that are the list of their moment."""
        taken = (self.positive[rows] > 0).any(axis=1)
        left = (self.allowed[rows] & (self.positive[rows] == 0)).any(axis=1)
        return rows[self.examples.first[rows] & taken & left]

    def labelled(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` of which a label is known."""
        return rows[np.any([label[rows] >= 0 for label in self.examples.labels.values()], axis=0)]

    def fresh(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Which of these columns (`[rows, any] int64`) hold an item that the user, as far as known, never came to."""
        return np.asarray(self.examples.pair[rows[:, None], columns, AGAIN] <= 0)

    def batch(self, rows: np.ndarray, negatives: int = 0, random: np.random.Generator | None = None) -> dict[str, Any]:
        """The tensors of some lists.

        Args:
            rows: lists.
            negatives: how many of each list are drawn, evenly; 0 for all.
            random: draws them.
        """
        columns = np.tile(np.arange(self.allowed.shape[1]), (len(rows), 1))
        counts = np.ones(columns.shape, bool)
        if negatives and random is not None and negatives + POSITIVES < columns.shape[1]:
            columns, counts = self._drawn(rows, negatives, random)
        return self._tensors(rows, columns) | {
            "allowed": tf.constant(np.take_along_axis(self.allowed[rows], columns, axis=1) & counts),
            "listed": tf.constant(np.take_along_axis(self.examples.candidate[rows], columns, axis=1) & counts),
            "positive": tf.constant(np.take_along_axis(self.positive[rows], columns, axis=1) * counts),
            "fresh": tf.constant(self.fresh(rows, columns)),
            "place": tf.constant(np.take_along_axis(self.examples.place[rows], columns, axis=1).astype(np.int64)),
        }

    def taken(self, rows: np.ndarray) -> dict[str, Any]:
        """The tensors of the examples' own items, with their labels by objective."""
        labels = {name: tf.constant(label[rows]) for name, label in self.examples.labels.items()}
        return self._tensors(rows, self.examples.own[rows][:, None]) | {"labels": labels}

    def _drawn(self, rows: np.ndarray, negatives: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Columns of some of the taken and of some of the rest, drawn evenly, and whether each counts.

        Both `[rows, POSITIVES + negatives]`; where a list lacks one kind, others fill up, as evenly, and count once.
        """
        allowed, positive = self.allowed[rows], self.positive[rows] > 0
        drawn = []
        for kind, count in ((positive, POSITIVES), (allowed & ~positive, negatives)):
            draw = random.random(kind.shape, np.float32)
            drawn.append(np.argpartition(np.where(kind, draw, 1 + draw), count - 1, axis=1)[:, :count])
        columns = np.sort(np.concatenate(drawn, axis=1), axis=1)
        counts = np.ones(columns.shape, bool)
        counts[:, 1:] = columns[:, 1:] != columns[:, :-1]
        return columns, counts

    def _tensors(self, rows: np.ndarray, columns: np.ndarray) -> dict[str, Any]:
        examples = self.examples
        return {
            "user": {name: tf.constant(values[rows]) for name, values in examples.user.items()},
            "query": {name: tf.constant(values[rows]) for name, values in examples.query.items()},
            "positions": tf.constant(np.take_along_axis(examples.positions[rows], columns, axis=1)),
            "pair": tf.constant(examples.pair[rows[:, None], columns]),
            "mean": tf.constant(self.mean[rows]),
            "deviation": tf.constant(self.deviation[rows]),
            "added": {name: tf.constant(values[rows[:, None], columns]) for name, values in self.added.items()},
        }


def rank_lists(
    examples: RankExamples, spread: tuple[np.ndarray, np.ndarray], weights: np.ndarray, debias: bool
) -> RankLists:
    """Makes lists of examples.

    Args:
        examples: all of them.
        spread: mean and deviation of the candidates' normalised pair features, `[examples, P]` each.
        weights: `[examples, width] float32`, how much it counts that an item was taken.
        debias: whether a logged slate is its moment's list. If not, the lists know of no slate and no place.
    """
    if not debias:
        examples = replace(examples, place=np.zeros_like(examples.place))
    logged = examples.place > 0
    slate = logged[np.arange(len(examples)), examples.own]
    allowed = examples.candidate & np.where(slate[:, None], logged & ~examples.also, True)
    positive = np.where(allowed & examples.chosen, weights, 0).astype(np.float32)
    return RankLists(examples, allowed, positive, *spread)


def balance_weights(
    examples: RankExamples,
    items: Mapping[str, np.ndarray],
    events: np.ndarray,
    tail: float,
    minority: Mapping[str, float],
) -> np.ndarray:
    """How much each taken item counts: what is rare in the training data may count more, 1 on average.

    Args:
        examples: all of them.
        items: transformed item features, `[items]` or `[items, length]`.
        events: `[items]`, engaging events before the boundary.
        tail: exponent of an item's inverse number of events.
        minority: exponent of the inverse share of a value, by transformed feature of users or items; where there is
            no value, the feature changes nothing.

    Returns:
        `[examples, width] float32`.
    """
    weight = (1.0 + events[examples.positions]) ** -tail
    taken = examples.chosen & examples.candidate & examples.first[:, None]
    for name, exponent in minority.items():
        per_item = name in items
        values = items[name] if per_item else examples.user[name]
        counted = values[examples.positions[taken] if per_item else np.nonzero(taken)[0]]
        share = np.bincount(counted.reshape(-1), minlength=int(values.max()) + 1) / max(1, len(counted))
        rarity = np.maximum(share, 1e-3) ** -exponent
        rarity[MISSING] = 1.0  # what lacks a value is no minority
        found = rarity[values] if values.ndim == 1 else rarity[values].max(axis=-1)
        weight = weight * (found[examples.positions] if per_item else found[:, None])
    mean = weight[taken].mean() if taken.any() else 1.0
    return np.asarray(np.clip(weight / mean, 0.1, 10.0), np.float32)
