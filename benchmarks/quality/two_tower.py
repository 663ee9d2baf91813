"""The two-tower model of the TensorFlow Recommenders tutorial "Recommending movies: retrieval"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from benchmarks.quality.interactions import Histories, Interactions
from souk.evaluation.queries import Query
from souk.metrics import Floats


class TutorialTwoTower:
    """Embeddings of user and item ids, Adagrad, in-batch softmax (`tfrs.tasks.Retrieval`), as the tutorial has them.

    It knows no history: a user that was not trained gets the vector of unknown users.

    Args:
        past: what was known at the start of the window.
        histories: of the queries; not looked at.
        epochs: of the fit; the tutorial's 3 by default.
        factors: width of the vectors.
        learning_rate: of Adagrad.
        batch: examples in a step.
        corrected: whether accidental hits are taken out and sampling probabilities are corrected for.
        seed: of the start and the order.
    """

    name = "tfrs_two_tower"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        epochs: int = 3,
        factors: int = 32,
        learning_rate: float = 0.1,
        batch: int = 8192,
        corrected: bool = False,
        seed: int = 0,
    ) -> None:
        tf.keras.utils.set_random_seed(seed)
        self._epochs, self._size, self._place = epochs, past.size, past.place
        self._model = _Model(len(past.names) + 1, past.size, factors, corrected)
        self._model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate))
        counts = np.bincount(past.items, minlength=past.size) / max(1, len(past.items))
        columns = {"user": past.users + 1, "item": past.items, "share": counts[past.items].astype(np.float32)}
        rows = tf.data.Dataset.from_tensor_slices(columns)
        self._batches = rows.shuffle(max(1, len(past.items)), seed=seed).batch(batch)

    def stages(self, epochs: Sequence[int]) -> Iterator[tuple[int, TutorialTwoTower]]:
        """The model after each of these numbers of epochs, ascending."""
        done = 0
        for count in epochs:
            self._model.fit(self._batches, epochs=count - done, verbose=0)
            done = count
            yield count, self

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        users = np.array([self._place.get(query.user_id, -1) + 1 for query in queries])
        vectors = self._model.users(users).numpy()
        return np.asarray(vectors @ self._model.items(np.arange(self._size)).numpy().T)


class _Model(tfrs.Model):
    """Both towers and their task; user 0 is the unknown one."""

    def __init__(self, users: int, items: int, factors: int, corrected: bool) -> None:
        super().__init__()
        self.users = tf.keras.layers.Embedding(users, factors)
        self.items = tf.keras.layers.Embedding(items, factors)
        self._corrected = corrected
        self._task = tfrs.tasks.Retrieval(remove_accidental_hits=corrected)

    def compute_loss(self, features: Any, training: bool = False) -> Any:
        """The loss of a batch of `user`, `item` and `share` (the item's share of all events), each `[batch]`."""
        more = (
            {"candidate_ids": features["item"], "candidate_sampling_probability": features["share"]}
            if self._corrected
            else {}
        )
        return self._task(self.users(features["user"]), self.items(features["item"]), compute_metrics=False, **more)
