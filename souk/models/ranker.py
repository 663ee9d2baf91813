"""The ranker: what the candidates of a request are worth, by objective."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainRanker
from souk.models.experts import Experts, joined
from souk.models.inputs import FeatureEncoder
from souk.models.level import Level, gauge
from souk.models.rank_features import KNOTS, Hinges, Normalise, Relative
from souk.models.towers import TowerShape
from souk.pairs import PAIR_FEATURES
from souk.spec import ENGAGED

Inputs = Mapping[str, tf.Tensor]
EMBEDDING = 16  # bound of the width of a feature's embedding is half of it
IDS = ("user_id", "item_id")  # names teach a ranker of few examples to memorise; the towers know them
SCORE, PAST_EVENTS = (PAIR_FEATURES.index(name) for name in ("score", "past_events"))
PLACES = 64  # logged places that have a weight of their own; those behind share the last


class PositionTower(keras.layers.Layer):
    """What the place of a logged impression adds to the logit of a click, by moment (Zhao et al. 2019, section 4.3).

    Only training knows a place; a served ranker leaves this out.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.slope = keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False, name="slope")

    def build(self, *_: object) -> None:
        """Creates the weight of each place."""
        self.place = self.add_weight(shape=(PLACES,), initializer="zeros", name="place")

    def call(self, place: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """Logits `[rows, columns]`.

        Args:
            place: `[rows, columns] int64`, from 1; 0 for what no slate showed, which adds nothing.
            moment: `[rows, width]`, the encoded query.
        """
        down = tf.math.log(tf.maximum(tf.cast(place, tf.float32), 1.0))
        bias = tf.gather(self.place, tf.clip_by_value(place - 1, 0, PLACES - 1)) + self.slope(moment) * down
        return tf.where(place > 0, bias, 0.0)


class Ranker(keras.layers.Layer):
    """A straight path from the pair features to each head, and a body for what it cannot say.

    The straight path is linear in the features, as they are and as they stand among those of the request's other
    candidates, and in hinges of both: a generalised additive model, which learns from some hundred examples. It begins
    as the order of the towers' score. What the user engaged with before has further weights in the order, `familiar`:
    what makes a user come back says little of what is taken for the first time. The body begins as zero. `level` makes
    a probability of the order: it leaves the candidates of a request in their order.

    Args:
        shape: of the features.
        config: sizes.
        given: the heads beside `engaged`: the objectives of what was engaged with.
    """

    def __init__(self, shape: TowerShape, config: TrainRanker, given: Iterable[str]) -> None:
        super().__init__(name="ranker")
        self.given = tuple(given)
        heads = (ENGAGED, *self.given)
        self.users = FeatureEncoder(shape.of("user", *IDS), EMBEDDING, name="users")
        self.moments = FeatureEncoder(shape.of("query"), EMBEDDING, name="moments")
        self.items = FeatureEncoder(shape.of("item", *IDS), EMBEDDING, name="items")
        self.normalise = Normalise(name="normalise")
        self.relative = Relative(name="relative")
        self.hinges = Hinges(name="hinges")
        self.absolute = Hinges(name="absolute")
        self.straight = {head: keras.layers.Dense(1, kernel_initializer="zeros", name=head) for head in heads}
        self.familiar = keras.layers.Dense(1, kernel_initializer="zeros", name="familiar")
        self.level = Level(name="level")
        self.body = Experts(config, heads, name="body")
        self.position = PositionTower(name="position")
        self._settled = False

    def build(self, *_: object) -> None:
        """Creates the weight of the retrieval score."""
        self.pass_through = self.add_weight(shape=(), initializer="ones", name="pass_through")

    def call(
        self,
        user: Inputs,
        query: Inputs,
        item: Inputs,
        pair: tf.Tensor,
        request: tf.Tensor,
        spread: tuple[tf.Tensor, tf.Tensor] | None = None,
        listed: tf.Tensor | None = None,
        training: bool = False,
        with_body: bool = True,
    ) -> dict[str, tf.Tensor]:
        """Logits, before calibration.

        Args:
            user: transformed user features, `[requests]` or `[requests, length]`.
            query: transformed query features, `[requests]`.
            item: transformed item features, `[candidates]` or `[candidates, length]`.
            pair: `[candidates, P] float32`.
            request: `[candidates] int64`.
            spread: mean and deviation over all candidates of each request, `[requests, P]`, where these are but some.
            listed: `[candidates] bool`, those that share the chances of their request; None for all.
            training: whether to drop.
            with_body: whether to use more than the straight path.

        Returns:
            `order`, which tells the candidates of a request apart, `engaged`, and the heads that are given it,
            `[candidates] float32`. Where some candidates of a request are left out, `engaged` means nothing.
        """
        goods = self.items(item) if with_body and self.items.features else None
        return self.of_goods(user, query, goods, pair, request, spread, listed, training, with_body)

    def of_goods(
        self,
        user: Inputs,
        query: Inputs,
        goods: tf.Tensor | None,
        pair: tf.Tensor,
        request: tf.Tensor,
        spread: tuple[tf.Tensor, tf.Tensor] | None = None,
        listed: tf.Tensor | None = None,
        training: bool = False,
        with_body: bool = True,
    ) -> dict[str, tf.Tensor]:
        """`call`, with the embedded item features `[candidates, width]`, which are the same for every request."""
        pair = self.normalise(pair)
        asked = self.asked(user, query)
        if spread is None:
            spread = self.relative.spread(pair, request, tf.shape(asked)[0])
        logits = self.logits(asked, goods, pair, request, spread, training, with_body)
        whole = gauge(logits["order"], request, tf.shape(asked)[0], listed)
        return logits | {ENGAGED: self.level(logits["order"], request, whole, self.state(asked, spread))}

    def logits(
        self,
        asked: tf.Tensor,
        goods: tf.Tensor | None,
        pair: tf.Tensor,
        request: tf.Tensor,
        spread: tuple[tf.Tensor, tf.Tensor],
        training: bool = False,
        with_body: bool = True,
    ) -> dict[str, tf.Tensor]:
        """`order` and the heads given engagement, of embedded features.

        Args:
            asked: `[requests, width]`, who asks and when.
            goods: `[candidates, width]`, what the items are made of; None where nothing is known of any, or no body
                looks at it.
            pair: `[candidates, P] float32`, normalised.
            request: `[candidates] int64`.
            spread: mean and deviation of `pair` over the candidates of each request, `[requests, P]`.
            training: whether to drop.
            with_body: whether to use more than the straight path.
        """
        among = self.relative(pair, *(tf.gather(values, request) for values in spread))
        *straight, familiar = self._sums(among, pair)
        logits = dict(zip(self.straight, straight, strict=True))
        logits[ENGAGED] += self.pass_through * among[:, SCORE] + self.came_back(pair) * familiar
        if with_body:
            parts = [tf.gather(asked, request), pair, among]
            if goods is not None:
                parts.append(goods)
            for name, more in self.body(tf.concat(parts, -1), training=training).items():
                logits[name] += more
        return {"order": logits.pop(ENGAGED), **logits}

    def straight_inputs(self, among: tf.Tensor, pair: tf.Tensor) -> tf.Tensor:
        """What the straight path is linear in, `[candidates, columns]`.

        Args:
            among: `[candidates, P] float32`, pair features as they stand among the request's candidates.
            pair: `[candidates, P] float32`, normalised.
        """
        return tf.concat(self._straight_parts(among, pair), -1)

    def _straight_parts(self, among: tf.Tensor, pair: tf.Tensor) -> list[tf.Tensor]:
        return [among, self.hinges(among), pair, self.absolute(pair)]

    def _sums(self, among: tf.Tensor, pair: tf.Tensor) -> list[tf.Tensor]:
        """The straight path of each head, `[candidates]`, and what is added to it of items that are `familiar`."""
        layers = [*self.straight.values(), self.familiar]
        if not self._settled:
            inputs = self.straight_inputs(among, pair)
            return [layer(inputs)[:, 0] for layer in layers]
        parts, (kernel, bias) = self._straight_parts(among, pair), joined(layers)
        kernels = tf.split(kernel, [part.shape[-1] for part in parts])
        sums = tf.add_n([part @ own for part, own in zip(parts, kernels, strict=True)]) + bias
        return [sums[:, place] for place in range(len(layers))]

    @contextmanager
    def settled(self) -> Iterator[None]:
        """What is traced meanwhile gives the same from fewer and larger products."""
        self._settled = True
        try:
            with self.body.settled():
                yield
        finally:
            self._settled = False

    def came_back(self, pair: tf.Tensor) -> tf.Tensor:
        """`[candidates]`: 1 where the user engaged with the item before, else 0; a line between, to be explained along.

        Less than 1, but the same for all, where so few candidates are familiar that one engagement is out of bounds.

        Args:
            pair: `[candidates, P] float32`, normalised.
        """
        mean, deviation = (values[PAST_EVENTS] for values in (self.normalise.mean, self.normalise.deviation))
        return tf.clip_by_value((pair[:, PAST_EVENTS] * deviation + mean) / math.log(2), 0.0, 1.0)

    def bends(self) -> np.ndarray:
        """`[columns] bool`, which of `straight_inputs` are hinges."""
        columns = self.hinges.knots.shape[0]
        return np.tile(np.repeat([False, True], [columns, columns * len(KNOTS)]), 2)

    def straight_variables(self, heads: Iterable[str]) -> list[tf.Variable]:
        """What the straight path of `heads` and the places learn."""
        layers = (*(self.straight[head] for head in heads), self.familiar, self.position)
        return [self.pass_through, *(v for layer in layers for v in layer.trainable_variables)]

    def asked(self, user: Inputs, query: Inputs) -> tf.Tensor:
        """`[requests, width]`: who asks, and when."""
        parts = [encode(values) for encode, values in ((self.users, user), (self.moments, query)) if encode.features]
        return tf.concat(parts, -1)

    def state(self, asked: tf.Tensor, spread: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """`[requests, width]`: who asks and when, and what the candidates are like."""
        return tf.concat([asked, *spread], -1)


def order_loss(logits: tf.Tensor, positive: tf.Tensor, allowed: tf.Tensor, fresh: tf.Tensor) -> tf.Tensor:
    """The mean of `listwise_loss` over the lists and over what of them is new to the user.

    Where users come back to items, these are most of what is taken, and the likeliest: a loss over whole lists leaves
    the order of the rest to chance. Where they do not, both are the same.

    Args:
        logits: `[lists, columns] float32`.
        positive: `[lists, columns] float32`, the weight of a positive; 0 for the rest.
        allowed: `[lists, columns] bool`, what belongs to the list.
        fresh: `[lists, columns] bool`, what the user never came to, as far as a query knows.
    """
    new = listwise_loss(logits, tf.where(fresh, positive, 0.0), allowed & fresh)
    return (listwise_loss(logits, positive, allowed) + new) / 2


def listwise_loss(logits: tf.Tensor, positive: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
    """The mean over lists of the softmax cross-entropy of each positive among the negatives (Cao et al. 2007, ListNet).

    Positives are no negatives of each other; those of a list share its weight.

    Args:
        logits: `[lists, columns] float32`.
        positive: `[lists, columns] float32`, the weight of a positive; 0 for the rest.
        allowed: `[lists, columns] bool`, what belongs to the list.
    """
    negative = tf.where(allowed & (positive <= 0), logits, -1e9)
    behind = tf.reduce_logsumexp(negative, axis=1, keepdims=True)
    losses = tf.nn.softplus(behind - logits) * positive
    count = tf.reduce_sum(tf.cast(positive > 0, tf.float32), axis=1)
    used = tf.cast(count > 0, tf.float32)
    return tf.reduce_sum(tf.reduce_sum(losses, axis=1) / tf.maximum(count, 1.0)) / tf.maximum(tf.reduce_sum(used), 1.0)


def given_loss(logits: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """The mean cross-entropy of an objective that is given engagement.

    Args:
        logits: `[lists] float32`, of the positives.
        label: `[lists] int64`: 1, 0, or -1 where it is not known.
    """
    known = tf.cast(label >= 0, tf.float32)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(label, tf.float32) * known, logits)
    return tf.reduce_sum(losses * known) / tf.maximum(tf.reduce_sum(known), 1.0)
