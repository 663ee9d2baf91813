"""Fits the ranker on some users, chooses the epoch and calibrates on the others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainRanker
from souk.errors import SoukError
from souk.models.calibration import auc, platt, roc
from souk.models.rank_examples import RankExamples
from souk.models.ranker import HEADS, Ranker, listwise_loss, satisfied_loss
from souk.models.sequences import Catalogue
from souk.models.weights import named_weights

HELD_OUT = 0.2  # share of the users
CHOOSING = 1500  # held-out examples that an epoch is judged by
SCORED_ROWS = 64  # examples in one call without gradients


@dataclass(frozen=True)
class RankerFit:
    """What came of a fit.

    Args:
        history: per epoch `loss`, `ndcg@10` of held-out users, `seconds`; the first entry is the start.
        calibration: slope and offset by head.
        metrics: on held-out users.
        roc: points by head, on held-out users.
    """

    history: list[dict[str, float]]
    calibration: dict[str, tuple[float, float]]
    metrics: dict[str, float]
    roc: dict[str, dict[str, list[float]]]


def split_users(users: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of fitted and of held-out users; with one user alone, they are the same."""
    names = np.unique(users)
    drawn = np.random.default_rng(seed).permutation(len(names))[: max(1, round(HELD_OUT * len(names)))]
    held_out = np.isin(users, names[drawn])
    return (np.flatnonzero(~held_out), np.flatnonzero(held_out)) if len(names) > 1 else (np.arange(len(users)),) * 2


def fit_ranker(
    model: Ranker,
    examples: RankExamples,
    catalogue: Catalogue,
    config: TrainRanker,
    report: Callable[[str], None],
    continued: bool = False,
) -> RankerFit:
    """Fits the ranker, keeps the epoch (or start) of the best NDCG@10 on held-out users, calibrates on all of these.

    Args:
        model: with its variables created.
        examples: of one window.
        catalogue: the items.
        config: sizes and rates.
        report: takes a line of progress.
        continued: whether the model starts from the weights of an earlier fit.

    Raises:
        SoukError: the loss is no finite number.
    """
    fitted, held_out = (examples.take(rows) for rows in split_users(examples.users, config.seed))
    judged = held_out.take(np.flatnonzero(held_out.first)[:CHOOSING])
    score = _scoring(model, catalogue)
    best = (ndcg(score(judged)["engaged"], judged), 0, _snapshot(model))
    history = [{"ndcg@10": best[0]}]
    compared = {"retrieval_ndcg@10": ndcg(retrieval_order(judged), judged)}
    report(f"retrieval order: ndcg@10 {compared['retrieval_ndcg@10']:.4f} on held-out users")
    if continued:
        compared["previous_ndcg@10"] = best[0]
        report(f"ranker of before: ndcg@10 {best[0]:.4f} on held-out users")
    step = _training_step(model, catalogue, keras.optimizers.Adam(config.learning_rate))
    random = np.random.default_rng(config.seed)
    for epoch in range(1, config.epochs + 1):
        began = time.monotonic()
        loss = _epoch(step, fitted, config, random, epoch)
        found = ndcg(score(judged)["engaged"], judged)
        history.append({"loss": loss, "ndcg@10": found, "seconds": time.monotonic() - began})
        report(f"epoch {epoch}/{config.epochs}: loss {loss:.4f}, ndcg@10 {found:.4f}, {history[-1]['seconds']:.1f} s")
        if found > best[0]:
            best = (found, epoch, _snapshot(model))
    _restore(model, best[2])
    metrics = {"epoch": float(best[1]), "ndcg@10": best[0], **compared}
    return _finished(score(held_out), held_out, history, metrics)


def _epoch(
    step: Callable[..., tf.Tensor], examples: RankExamples, config: TrainRanker, random: np.random.Generator, epoch: int
) -> float:
    losses = []
    order = random.permutation(len(examples))
    for number, start in enumerate(range(0, len(order), config.batch_rows), 1):
        rows = order[start : start + config.batch_rows]
        losses.append(float(step(_batch(examples, rows, config.negatives, random))))
        if not math.isfinite(losses[-1]):
            raise SoukError(
                "a finite loss",
                f"{losses[-1]} in train_ranker at epoch {epoch}, step {number}",
                "Lower train_ranker.learning_rate, or look for extreme values in numeric columns.",
            )
    return float(np.mean(losses))


def _batch(examples: RankExamples, rows: np.ndarray, negatives: int, random: np.random.Generator) -> dict[str, Any]:
    """The example's own item and `negatives` of its candidates, drawn evenly, for each of `rows`."""
    allowed = examples.candidate[rows] & ~examples.chosen[rows]
    keys = np.where(allowed, random.random(allowed.shape), 2.0)
    columns = np.argpartition(keys, min(negatives, keys.shape[1] - 1), axis=1)[:, :negatives]
    real = np.take_along_axis(allowed, columns, axis=1)
    columns = np.concatenate([examples.own[rows][:, None], columns], axis=1)
    return {
        "user": {name: tf.constant(values[rows]) for name, values in examples.user.items()},
        "query": {name: tf.constant(values[rows]) for name, values in examples.query.items()},
        "positions": tf.constant(np.take_along_axis(examples.positions[rows], columns, axis=1)),
        "pair": tf.constant(np.take_along_axis(examples.pair[rows], columns[..., None], axis=1)),
        "real": tf.constant(np.concatenate([np.ones((len(rows), 1), bool), real], axis=1)),
        "listed": tf.constant((examples.retrieved[rows] & real.any(axis=1)).astype(np.float32)),
        "satisfied": tf.constant(examples.satisfied[rows]),
    }


def _logits(model: Ranker, catalogue: Catalogue, batch: dict[str, Any], training: bool) -> dict[str, tf.Tensor]:
    """`[rows, columns]` by head."""
    shape = tf.shape(batch["positions"])
    request = tf.repeat(tf.range(shape[0]), shape[1])
    flat = tf.reshape(batch["positions"], [-1])
    item = {name: tf.gather(values, flat) for name, values in catalogue.features.items()}
    pair = tf.reshape(batch["pair"], [-1, batch["pair"].shape[-1]])
    logits = model(batch["user"], batch["query"], item, pair, request, training=training)
    return {name: tf.reshape(values, shape) for name, values in logits.items()}


def _training_step(model: Ranker, catalogue: Catalogue, optimizer: Any) -> Callable[[Any], tf.Tensor]:
    """A compiled function of one batch that moves the weights and gives the loss."""

    @tf.function(reduce_retracing=True)
    def step(batch: Any) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = _logits(model, catalogue, batch, training=True)
            listed = tf.where(batch["real"], logits["engaged"], -1e9)
            loss = listwise_loss(listed, batch["listed"]) + satisfied_loss(
                logits["satisfied"][:, 0], batch["satisfied"]
            )
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


def _scoring(model: Ranker, catalogue: Catalogue) -> Callable[[RankExamples], dict[str, np.ndarray]]:
    """A function of examples that gives the logits of all their columns, `[examples, width]` by head."""

    @tf.function(reduce_retracing=True)
    def call(batch: Any) -> dict[str, tf.Tensor]:
        return _logits(model, catalogue, batch, training=False)

    def score(examples: RankExamples) -> dict[str, np.ndarray]:
        parts = []
        for start in range(0, len(examples), SCORED_ROWS):
            some = examples.take(np.arange(start, min(start + SCORED_ROWS, len(examples))))
            inputs = {"user": some.user, "query": some.query, "positions": some.positions, "pair": some.pair}
            parts.append({k: v.numpy() for k, v in call(tf.nest.map_structure(tf.constant, inputs)).items()})
        return {head: np.concatenate([part[head] for part in parts]) for head in HEADS}

    return score


def ndcg(scores: np.ndarray, examples: RankExamples, k: int = 10) -> float:
    """The mean NDCG@k of the example's item among its candidates; 0 for one that retrieval missed.

    Args:
        scores: `[examples, width]`.
        examples: what was scored.
        k: places that count.
    """
    rows = np.arange(len(examples))
    mine = scores[rows, examples.own][:, None]
    before = np.arange(scores.shape[1])[None, :] < examples.own[:, None]
    above = (examples.candidate & ((scores > mine) | ((scores == mine) & before))).sum(axis=1)
    gains = np.where((above < k) & examples.retrieved, 1 / np.log2(above + 2), 0)
    return float(gains.mean()) if len(gains) else 0.0


def retrieval_order(examples: RankExamples) -> np.ndarray:
    """Scores `[examples, width]` that keep the candidates as they were retrieved, best first."""
    return np.broadcast_to(-np.arange(examples.positions.shape[1], dtype=np.float64), examples.positions.shape)


def _finished(
    logits: dict[str, np.ndarray], held_out: RankExamples, history: list[dict[str, float]], metrics: dict[str, float]
) -> RankerFit:
    """Calibration and metrics: for `engaged` all candidates of each query once, for `satisfied` the engaged items."""
    queries = held_out.candidate & held_out.first[:, None]
    known = held_out.satisfied >= 0
    own = np.arange(len(held_out))[known], held_out.own[known]
    pairs = {
        "engaged": (logits["engaged"][queries], held_out.chosen[queries].astype(np.int64)),
        "satisfied": (logits["satisfied"][own], held_out.satisfied[known]),
    }
    metrics, calibration, curves = dict(metrics), {}, {}
    for head, (values, labels) in pairs.items():
        slope, offset = platt(values, labels)
        probability = 1 / (1 + np.exp(-(slope * values + offset)))
        calibration[head] = (slope, offset)
        curves[head] = roc(probability, labels)
        metrics[f"{head}_auc"] = auc(probability, labels)
        metrics[f"{head}_log_loss"] = log_loss(probability, labels)
    return RankerFit(history, calibration, metrics, curves)


def log_loss(probability: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log p of what happened; NaN without rows."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels > 0, np.log(p), np.log(1 - p)))) if len(p) else float("nan")


def _snapshot(model: Ranker) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in named_weights(model).items()}


def _restore(model: Ranker, arrays: dict[str, np.ndarray]) -> None:
    for name, variable in named_weights(model).items():
        variable.assign(arrays[name])


def new_ranker(model: Ranker, examples: RankExamples, catalogue: Catalogue) -> Ranker:
    """Creates the variables of a ranker, and takes the statistics of the pairs; the same for the same seed."""
    one = examples.take(np.arange(1))
    inputs = {"user": one.user, "query": one.query, "positions": one.positions, "pair": one.pair}
    _logits(model, catalogue, tf.nest.map_structure(tf.constant, inputs), training=False)
    model.normalise.adapt(tf.constant(examples.pair[examples.candidate]))
    return model
