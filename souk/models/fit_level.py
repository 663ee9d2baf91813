"""Fits the level of a ranker: the order is frozen, so all that is read is one number a candidate, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.models.level import Level, gauge
from souk.models.rank_lists import RankLists
from souk.models.ranker import Ranker

STEPS = 150  # of either stage: what the order says, then who asks too
BATCH = 1000  # moments
MOST = 10_000  # moments that are read to fit some dozen weights; to score more takes longer than the fit
JUDGED = 10  # steps
RATE = 0.02


@dataclass(frozen=True)
class Moments:
    """What a level is fitted to.

    Args:
        placed: `[moments, width] float32`, the order, with the place in a logged slate.
        gauges: `[moments, 3]`, of the candidates' order.
        state: `[moments, columns]`.
        allowed: `[moments, width] bool`.
        taken: `[moments, width] bool`.
    """

    placed: np.ndarray
    gauges: np.ndarray
    state: np.ndarray
    allowed: np.ndarray
    taken: np.ndarray

    def some(self, rows: np.ndarray | slice) -> tuple[np.ndarray, ...]:
        """Those of `rows`, in the order of `moment_loss`."""
        return self.placed[rows], self.gauges[rows], self.state[rows], self.allowed[rows], self.taken[rows]


def moment_rows(lists: RankLists, rows: np.ndarray) -> np.ndarray:
    """A row of each moment among `rows`, those without anything taken too: how often nothing is has to be known."""
    return rows[lists.examples.first[rows] & lists.allowed[rows].any(axis=1)]


def read_moments(
    model: Ranker, lists: RankLists, score: Callable[[np.ndarray], Mapping[str, np.ndarray]], rows: np.ndarray
) -> Moments:
    """What a level is fitted to, of `moment_rows`.

    Args:
        model: the ranker, its order fitted.
        lists: the examples.
        score: of rows, the logits of all columns (`souk.models.rank_scoring.scoring`).
        rows: of examples, a moment each.
    """
    examples = lists.examples
    user, query = (
        {name: tf.constant(values[rows]) for name, values in source.items()}
        for source in (examples.user, examples.query)
    )
    spread = tf.constant(lists.mean[rows]), tf.constant(lists.deviation[rows])
    logits, allowed = score(rows), lists.allowed[rows]
    request = np.repeat(np.arange(len(rows)), allowed.shape[1])
    listed = examples.candidate[rows].reshape(-1)
    return Moments(
        placed=logits["placed"],
        gauges=gauge(tf.constant(logits["order"].reshape(-1)), request, len(rows), listed).numpy(),
        state=model.state(model.asked(user, query), spread).numpy(),
        allowed=allowed,
        taken=allowed & examples.chosen[rows],
    )


def moment_loss(level: Level, placed: Any, gauges: Any, state: Any, allowed: Any, taken: Any) -> tf.Tensor:
    """The mean over moments of the cross-entropy of what could be taken, summed."""
    shape = tf.shape(placed)
    request = tf.repeat(tf.range(shape[0]), shape[1])
    logits = tf.reshape(level(tf.reshape(placed, [-1]), request, gauges, state), shape)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(taken, tf.float32), logits)
    return tf.reduce_mean(tf.reduce_sum(tf.where(allowed, losses, 0.0), axis=1))


def fit_level(
    model: Ranker,
    lists: RankLists,
    score: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    fitted: np.ndarray,
    judged: np.ndarray,
    seed: int,
    report: Callable[[str], None],
) -> None:
    """Fits slope and level of the requests, and keeps what foretells held-out users best; the start competes.

    Args:
        model: the ranker, its order fitted.
        lists: the examples.
        score: as `read_moments` takes it.
        fitted: rows to fit, of which MOST moments are drawn.
        judged: rows of held-out users.
        seed: of the batches.
        report: takes a line of progress.
    """
    rows, others = moment_rows(lists, fitted), moment_rows(lists, judged)
    drawn = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])  # the first ones are of the earliest days
    if len(others) and (lists.allowed[drawn] & lists.examples.chosen[drawn]).any():
        fit, held_out = (read_moments(model, lists, score, some) for some in (drawn, others))
        first, best = LevelFit(model.level, fit, held_out, seed).fit()
        report(f"level: cross-entropy of a moment {first:.4f} without, {best:.4f} with it, on held-out users")


class LevelFit:
    """The fit of a level under way.

    Args:
        level: the layer; what it knows already competes.
        moments: to fit.
        others: of held-out users.
        seed: of the batches.
    """

    def __init__(self, level: Level, moments: Moments, others: Moments, seed: int) -> None:
        self._level, self._moments, self._others = level, moments, others
        self._random = np.random.default_rng(seed)
        self._best, self._kept = math.inf, level.get_weights()

    def fit(self) -> tuple[float, float]:
        """The loss of held-out users with the mean number of taken items and one slope for all, and the best."""
        level, moments = self._level, self._moments
        self._judge()
        level.normalise.adapt(moments.gauges[:, 1:])
        for layer in (level.of_gauge, level.of_state):
            layer.kernel.assign(tf.zeros_like(layer.kernel))
        level.of_gauge.bias.assign([0.0, math.log(moments.taken.sum() / len(moments.taken))])
        first = self._judge()
        step = self._step()
        for whole in (False, True):
            for number in range(STEPS):
                rows = self._random.permutation(len(moments.taken))[:BATCH]
                step(tuple(map(tf.constant, moments.some(rows))), tf.constant(whole), RATE * (1 - number / STEPS))
                if (number + 1) % JUDGED == 0:
                    self._judge()
            level.set_weights(self._kept)
        return first, self._best

    def _judge(self) -> float:
        loss = float(moment_loss(self._level, *self._others.some(slice(None))))
        if loss < self._best:
            self._best, self._kept = loss, self._level.get_weights()
        return loss

    def _step(self) -> Callable[[Any, tf.Tensor, float], None]:
        """A compiled function of a batch, of whether the state has a say, and of the rate."""
        level = self._level
        variables, state = level.trainable_variables, {v.path for v in level.state_variables()}
        pull = 1 / len(self._moments.taken)  # a prior as strong as one moment
        optimizer = keras.optimizers.Adam(RATE)
        optimizer.build(variables)

        @tf.function(reduce_retracing=True)
        def step(batch: Any, whole: tf.Tensor, rate: tf.Tensor) -> None:
            optimizer.learning_rate.assign(rate)
            with tf.GradientTape() as tape:
                loss = moment_loss(level, *batch)
                loss += pull * (tf.nn.l2_loss(level.of_gauge.kernel) + tf.nn.l2_loss(level.of_state.kernel))
            gradients = tape.gradient(loss, variables)
            opened = tf.cast(whole, tf.float32)
            optimizer.apply_gradients(
                [(g * opened if v.path in state else g, v) for g, v in zip(gradients, variables, strict=True)]
            )

        return lambda batch, whole, rate: step(batch, whole, tf.constant(rate, tf.float32))
