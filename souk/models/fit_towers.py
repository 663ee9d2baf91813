"""Fits the towers: the optimiser's loop over batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainTwoTower
from souk.errors import SoukError
from souk.models.inputs import missing_rows
from souk.models.losses import mixed_probability, sampled_softmax
from souk.models.sequences import Catalogue, Sequences, Trained
from souk.models.towers import TowerShape, TwoTower
from souk.spec import Entity

FOREVER = 2**62
WARM_UP = 0.05  # share of the steps in which the learning rate rises


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


def fit_towers(
    model: TwoTower,
    sequences: Sequences,
    catalogue: Catalogue,
    end: int,
    epochs: int,
    config: TrainTwoTower,
    report: Callable[[str], None],
) -> list[dict[str, float]]:
    """Fits the towers on the targets before `end`.

    Args:
        model: the towers, new or to be continued.
        sequences: the training rows.
        catalogue: the items.
        end: UTC epoch milliseconds.
        epochs: passes over the rows.
        config: sizes and rates.
        report: takes a line of progress.

    Returns:
        per epoch: `loss` and `seconds`.

    Raises:
        SoukError: the loss is no finite number.
    """
    trained = sequences.trained(end)
    mark_seen(model, catalogue, sequences, trained)
    steps = max(1, math.ceil(trained.rows / config.batch_rows))
    optimizer = keras.optimizers.AdamW(
        _schedule(config, steps * epochs), weight_decay=config.weight_decay, clipnorm=1.0
    )
    batches = sequences.batches(config.batch_rows, 0, end, seed=config.seed)
    step = _training_step(model, catalogue, trained, config, optimizer)
    step = tf.function(step, input_signature=[batches.element_spec])
    history = []
    for epoch in range(1, epochs + 1):
        began, losses = time.monotonic(), []
        for number, batch in enumerate(batches, 1):
            losses.append(float(step(batch)))
            if not math.isfinite(losses[-1]):
                raise SoukError(
                    "a finite loss",
                    f"{losses[-1]} in train_two_tower at epoch {epoch}, step {number}",
                    "Lower train_two_tower.learning_rate, or look for extreme values in numeric columns.",
                )
        seconds = time.monotonic() - began
        history.append({"loss": float(np.mean(losses)), "seconds": seconds})
        report(f"epoch {epoch}/{epochs}: loss {history[-1]['loss']:.4f}, {seconds:.1f} s")
    return history


def _schedule(config: TrainTwoTower, steps: int) -> Any:
    warm = max(1, int(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / warm, max(1, steps - warm), 0.05, warmup_target=config.learning_rate, warmup_steps=warm
    )


def _training_step(
    model: TwoTower, catalogue: Catalogue, trained: Trained, config: TrainTwoTower, optimizer: Any
) -> Callable[[Any], tf.Tensor]:
    """A compiled function of one batch that moves the weights and gives the loss."""
    items, uniform = len(catalogue.ids), config.uniform_negatives
    frequency = tf.constant(trained.frequency / max(1, trained.frequency.sum()), tf.float32)
    random = tf.random.Generator.from_seed(config.seed)

    def loss_of(batch: Any) -> tf.Tensor:
        counts = batch["counts"]
        queries = model.query_tower(batch["user"], batch["token"], batch["query"], batch["visible"], training=True)
        queries = tf.boolean_mask(queries, counts)
        targets = tf.boolean_mask(batch["item"], counts)
        drawn = random.uniform([uniform], 0, items, tf.int64)
        sampled = tf.concat([targets, drawn], 0)
        vectors = model.item_tower({n: tf.gather(v, sampled) for n, v in catalogue.features.items()}, training=True)
        probability = mixed_probability(tf.gather(frequency, sampled), tf.shape(targets)[0], uniform, items)
        return sampled_softmax(queries, vectors, sampled, probability, config.temperature)

    def step(batch: Any) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(batch)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step
