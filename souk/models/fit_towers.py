"""Fits the towers: the optimiser's loop over batches."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainTwoTower
from souk.errors import SoukError
from souk.models.inputs import missing_rows
from souk.models.losses import mixed_probability, sampled_softmax
from souk.models.optimizer import RowAdamW
from souk.models.sequences import Catalogue, Sequences, Trained
from souk.models.towers import TowerShape, TwoTower
from souk.spec import Entity

FOREVER = 2**62
WARM_UP = 0.05  # share of the steps in which the learning rate rises
LAST_RATE = 0.05  # share of the highest learning rate that the last step has


def new_towers(config: TrainTwoTower, sequences: Sequences, catalogue: Catalogue, shape: TowerShape) -> TwoTower:
    """Towers with their variables created, the same for the same seed."""
    keras.utils.set_random_seed(config.seed)
    model = TwoTower(shape, config)
    batch = next(iter(sequences.batches(1, 0, FOREVER)))
    model(batch, {name: value[:1] for name, value in catalogue.features.items()})
    return model


def mark_seen(model: TwoTower, catalogue: Catalogue, sequences: Sequences, trained: Trained) -> None:
    """Sets the `seen` weights of both id tables to what a fit sees; all other ids are unknown to the towers."""
    known = np.array([item in trained.items for item in catalogue.ids])
    ids = catalogue.features["item_id"].numpy()[known]
    model.items.seen.assign(_marks(model.items.size, ids))
    users = tf.constant(sorted(trained.users))
    raw = missing_rows(sequences.spec.of(Entity.USER), len(users)) | {"user_id": users}
    ids = sequences.transforms["user"](raw)["user_id"].numpy()
    model.query_tower.users.seen.assign(_marks(model.query_tower.users.size, ids))


def _marks(size: int, ids: np.ndarray) -> np.ndarray:
    marks = np.zeros(size, np.float32)
    marks[ids] = 1
    return marks


class TowerFit:
    """Fits towers, once or repeatedly as time goes on, with one compiled step.

    Args:
        model: the towers, new or to be continued.
        sequences: the training rows.
        catalogue: the items.
        config: sizes and rates.
    """

    def __init__(self, model: TwoTower, sequences: Sequences, catalogue: Catalogue, config: TrainTwoTower) -> None:
        self.model, self.sequences, self.catalogue, self.config = model, sequences, catalogue, config
        self._optimizer = RowAdamW(model.trainable_variables, config.weight_decay)
        self._frequency = tf.Variable(tf.zeros([len(catalogue.ids)]), trainable=False)
        self._known = tf.Variable(tf.zeros([0], tf.int64), trainable=False, shape=[None])  # items that the fit sees
        self._random = tf.random.Generator.from_seed(config.seed)
        self._step = tf.function(self._train, input_signature=[sequences.batches(1, 0, FOREVER).element_spec])

    def fit(self, end: int, epochs: int, rate: float, report: Callable[[str], None]) -> list[dict[str, float]]:
        """Fits the towers on the targets before `end`.

        Args:
            end: UTC epoch milliseconds.
            epochs: passes over the rows.
            rate: the highest learning rate.
            report: takes a line of progress.

        Returns:
            per epoch: `loss` and `seconds`.

        Raises:
            SoukError: there is no target before `end`, or the loss is no finite number.
        """
        trained = self.sequences.trained(end)
        if not trained.rows:
            raise SoukError("events before the first boundary", "none", "Lower `split.validation` and `split.test`.")
        mark_seen(self.model, self.catalogue, self.sequences, trained)
        self._frequency.assign(trained.frequency / trained.frequency.sum())
        self._known.assign([i for i, item in enumerate(self.catalogue.ids) if item in trained.items])
        batches = self.sequences.batches(self.config.batch_rows, 0, end, seed=self.config.seed)
        schedule = _schedule(rate, epochs * math.ceil(trained.rows / self.config.batch_rows))
        history = []
        for epoch in range(1, epochs + 1):
            began, losses = time.monotonic(), []
            for number, batch in enumerate(batches, 1):
                self._optimizer.learning_rate.assign(next(schedule))
                losses.append(float(self._step(batch)))
                if not math.isfinite(losses[-1]):
                    raise SoukError(
                        "a finite loss",
                        f"{losses[-1]} in train_two_tower at epoch {epoch}, step {number}",
                        "Lower train_two_tower.learning_rate, or look for extreme values in numeric columns.",
                    )
            history.append({"loss": float(np.mean(losses)), "seconds": time.monotonic() - began})
            report(f"epoch {epoch}/{epochs}: loss {history[-1]['loss']:.4f}, {history[-1]['seconds']:.1f} s")
        return history

    def _train(self, batch: Any) -> tf.Tensor:
        """Moves the weights by one batch and gives its loss."""
        with tf.GradientTape() as tape:
            loss = self._loss(batch)
        self._optimizer.apply(tape.gradient(loss, self._optimizer.variables))
        return loss

    def _loss(self, batch: Any) -> tf.Tensor:
        items, uniform = tf.size(self._known), self.config.uniform_negatives
        inputs = batch["user"], batch["token"], batch["query"], batch["visible"]
        queries = tf.boolean_mask(self.model.query_tower(*inputs, training=True), batch["counts"])
        targets = tf.boolean_mask(batch["item"], batch["counts"])
        drawn = tf.gather(self._known, self._random.uniform([uniform], 0, items, tf.int32))
        sampled = tf.concat([targets, drawn], 0)
        features = {name: tf.gather(values, sampled) for name, values in self.catalogue.features.items()}
        vectors = self.model.item_tower(features, training=True)
        probability = mixed_probability(tf.gather(self._frequency, sampled), tf.size(targets), uniform, items)
        return sampled_softmax(queries, vectors, sampled, probability, self.config.temperature)


def _schedule(rate: float, steps: int) -> Iterator[float]:
    """Learning rates: up to `rate` in the first WARM_UP of the steps, then down along a cosine to LAST_RATE of it."""
    warm = max(1, round(WARM_UP * steps))
    for step in itertools.count(1):
        done = min(1.0, max(0, step - warm) / max(1, steps - warm))
        yield rate * min(1.0, step / warm) * (LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)
