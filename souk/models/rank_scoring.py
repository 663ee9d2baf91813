"""A ranker applied to lists, its losses there, and its statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from souk.errors import SoukError
from souk.models.rank_examples import RankExamples
from souk.models.rank_features import among
from souk.models.rank_lists import RankLists
from souk.models.ranker import Ranker, given_loss, order_loss
from souk.models.sequences import Catalogue

SCORED_ROWS = 64  # examples in one call without gradients
ADAPTED, KNOTS = 2000, 5  # lists that the knots are taken from, and the seed of their draw
FIXED_ROWS = 1024  # examples whose logits are held at once, beside what is kept of them
Scoring = Callable[[RankLists, np.ndarray], dict[str, Any]]


def list_logits(
    model: Ranker, catalogue: Catalogue, batch: dict[str, Any], with_body: bool, training: bool
) -> dict[str, tf.Tensor]:
    """`[rows, columns]` by head, with what a fixed body adds (`RankLists.added`), but for `engaged`."""
    shape = tf.shape(batch["positions"])
    request = tf.repeat(tf.range(shape[0]), shape[1])
    flat = tf.reshape(batch["positions"], [-1])
    item = {name: tf.gather(values, flat) for name, values in catalogue.features.items()}
    pair = tf.reshape(batch["pair"], [-1, batch["pair"].shape[-1]])
    spread = batch["mean"], batch["deviation"]
    listed = tf.reshape(batch["listed"], [-1]) if "listed" in batch else None
    inputs = batch["user"], batch["query"], item, pair, request, spread, listed
    logits = model(*inputs, training=training, with_body=with_body)
    added = batch.get("added", {})
    return {name: tf.reshape(values, shape) + added.get(name, 0.0) for name, values in logits.items()}


def new_ranker(model: Ranker, examples: RankExamples, catalogue: Catalogue) -> Ranker:
    """Creates the variables of a ranker, and takes the statistics of the pairs; the same for the same seed.

    Raises:
        SoukError: no moment has a candidate.
    """
    rows = np.flatnonzero(examples.first)
    if not examples.candidate[rows].any():
        expected = "moments in the window at which something was taken that may be recommended, with a candidate"
        remedy = "Look at `repeat` and at what is available, or enlarge split.validation and split.test (docs/data.md)."
        raise SoukError(expected, f"none among {len(examples):,} examples", remedy)
    shape = np.zeros((1, examples.pair.shape[-1]), np.float32)
    one = RankLists(examples, examples.candidate, np.zeros(examples.candidate.shape, np.float32), shape, shape)
    batch = one.batch(np.arange(1))
    list_logits(model, catalogue, batch, with_body=True, training=False)
    model.position(batch["place"], model.moments(batch["query"]))
    model.normalise.adapt(examples.pair, examples.candidate & examples.first[:, None])
    mean, deviation = spread_of(model, examples)
    some = np.sort(np.random.default_rng(KNOTS).permutation(rows)[:ADAPTED])  # the first ones are of the earliest days
    inside, pair = examples.candidate[some], model.normalise(examples.pair[some]).numpy()
    standing = among(pair, mean[some, None], deviation[some, None]).numpy()
    model.absolute.adapt(pair[inside])
    model.hinges.adapt(standing[inside])
    return model


def spread_of(model: Ranker, examples: RankExamples) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the candidates' normalised pair features by example, `[examples, P]` each."""
    parts = []
    for start in range(0, len(examples), SCORED_ROWS):
        rows = slice(start, start + SCORED_ROWS)
        request, column = np.nonzero(examples.candidate[rows])
        values = model.normalise(tf.constant(examples.pair[rows][request, column]))
        count = len(examples.own[rows])
        parts.append([part.numpy() for part in model.relative.spread(values, tf.constant(request), count)])
    return np.concatenate([m for m, _ in parts]), np.concatenate([d for _, d in parts])


def scoring(model: Ranker, catalogue: Catalogue, with_body: bool) -> Scoring:
    """A function of lists and rows that gives the logits of all columns, `[rows, width]` each.

    What `Ranker.call` gives, and `placed`: the order with the place in a logged slate.
    """

    @tf.function(reduce_retracing=True)
    def call(batch: Any) -> Mapping[str, tf.Tensor]:
        logits = list_logits(model, catalogue, batch, with_body, training=False)
        return logits | {"placed": logits["order"] + model.position(batch["place"], model.moments(batch["query"]))}

    def score(data: RankLists, rows: np.ndarray) -> dict[str, Any]:
        parts = [call(data.batch(rows[start : start + SCORED_ROWS])) for start in range(0, len(rows), SCORED_ROWS)]
        return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}

    return score


def with_body_fixed(data: RankLists, rows: np.ndarray, scores: Mapping[bool, Scoring]) -> RankLists:
    """Lists that bring along what the body, which stays as it is, adds to their logits.

    Args:
        data: the lists.
        rows: examples, of which the lists and the labelled are asked for.
        scores: `scoring` without and with the body.
    """
    added: dict[str, np.ndarray] = {}
    asked = np.union1d(data.lists(rows), data.labelled(rows))
    for part in np.array_split(asked, math.ceil(len(asked) / FIXED_ROWS)):
        alone = scores[False](data, part)
        for name, values in scores[True](data, part).items():
            if name in ("order", *data.examples.labels):
                added.setdefault(name, np.zeros(data.allowed.shape, np.float32))[part] = values - alone[name]
    return replace(data, added=added)


def held_out_losses(
    logits: Mapping[str, np.ndarray], data: RankLists, rows: np.ndarray
) -> tuple[float, dict[str, float]]:
    """Of the order and of each head that is given engagement, of all columns of examples."""
    place = np.flatnonzero(np.isin(rows, data.lists(rows)))
    fresh = data.fresh(rows[place], np.arange(data.allowed.shape[1])[None, :])
    lists = logits["placed"][place], data.positive[rows[place]], data.allowed[rows[place]], fresh
    given = {}
    for head, label in data.examples.labels.items():
        known = np.flatnonzero(label[rows] >= 0)
        given[head] = float(given_loss(logits[head][known, data.examples.own[rows[known]]], label[rows[known]]))
    return float(order_loss(*lists)), given
