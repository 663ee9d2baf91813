"""What is asked on average."""

from __future__ import annotations

import itertools

import tensorflow as tf

from souk.models.sequences import Sequences
from souk.models.towers import TwoTower

BATCHES = 100  # that are looked at: some thousand rows


def mean_query(model: TwoTower, sequences: Sequences, rows: int, end: int, seed: int) -> tf.Tensor:
    """The mean vector `[dim] float32` of the queries of targets before `end`, of a draw of the rows.

    Args:
        model: the towers, fitted.
        sequences: the training rows.
        rows: of the longest histories in a batch.
        end: UTC epoch milliseconds.
        seed: of the draw.
    """
    total, count = tf.zeros([model.query_tower.dim]), 0
    for batch in itertools.islice(sequences.batches(rows, 0, end, seed), BATCHES):
        asked = model.query_tower.of_counted(batch)
        total, count = total + tf.reduce_sum(asked, 0), count + len(asked)
    return total / max(1, count)
