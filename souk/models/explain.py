"""What each input adds to a model's score: the terms of integrated gradients (Sundararajan et al. 2017, eq. 1).

A path leads in a straight line from embedded missing inputs to the embedded inputs of a request. At each of its points
the product of gradient and (input - missing input) is what an input adds per unit of the way; the mean over the points
is its contribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from souk.models.inputs import UNKNOWN, FeatureEncoder, Transform, missing_rows
from souk.models.level import gauge
from souk.models.ranker import Inputs, Ranker
from souk.models.towers import QueryTower
from souk.spec import Feature, Role

IDS = (Role.USER_ID, Role.ITEM_ID)
Score = Callable[[Inputs], tf.Tensor]


def nothing_known(transform: Transform, features: Sequence[Feature], *middle: int) -> dict[str, tf.Tensor]:
    """Transformed features of one row `[1, *middle]` of which nothing is known.

    Names are the unknown one, which training showed, as are whole numbers, which have no missing value.
    """
    count = 1
    for size in middle:
        count *= size
    raw = missing_rows(features, count)
    raw |= {f.name: tf.fill([count], tf.constant(-1, tf.int64)) for f in features if f.role is Role.INTEGER}
    found = dict(transform(raw))
    found |= {f.name: tf.fill([count], tf.constant(UNKNOWN, tf.int64)) for f in features if f.role in IDS}
    return {name: tf.reshape(values, [1, *middle, *values.shape[1:]]) for name, values in found.items()}


def along(missing: Inputs, actual: Inputs, alpha: tf.Tensor, score: Score) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The score at points of the path, and gradient · (actual - missing) there.

    Args:
        missing: where the path starts, `[1, ...]` by name.
        actual: where it ends.
        alpha: `[points] float32`, 0 at the start, 1 at the end.
        score: `[points, ...]` by name to `[points]`, each row for itself.

    Returns:
        `[points]`, and `[points, ...]` by name.
    """
    way = {name: actual[name] - missing[name] for name in actual}
    points = {
        name: missing[name] + tf.reshape(alpha, [-1, *[1] * (way[name].shape.rank - 1)]) * way[name] for name in way
    }
    with tf.GradientTape() as tape:
        tape.watch(points)
        total = score(points)
    gradients = tape.gradient(total, points, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return total, {name: tf.convert_to_tensor(gradients[name]) * way[name] for name in way}


def tower_parts(
    tower: QueryTower,
    missing: Mapping[str, Inputs],
    actual: Mapping[str, Inputs],
    visible: tf.Tensor,
    item: tf.Tensor,
    alpha: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Of query vector · item vector: `score [points]`, and by input what it adds there.

    Args:
        tower: the query tower.
        missing: transformed features of nothing, one row, by entity.
        actual: those of a request.
        visible: `[1, 1] int64`, its events.
        item: `[dim]`, the item's vector.
        alpha: `[points]`.

    Returns:
        `score [points]`, `token [points, tokens]`, and each transformed feature of user and query, `[points]`.
    """

    def score(points: Inputs) -> tf.Tensor:
        vectors = tower.of_embedded(points, tf.repeat(visible, tf.size(alpha), axis=0))
        return tf.linalg.matvec(vectors[:, 0], item)

    start, end = (tower.embedded(x["user"], x["token"], x["query"]) for x in (missing, actual))
    total, parts = along(start, end, alpha, score)
    found = {"score": total, "token": tf.reduce_sum(parts["token"], -1)}
    found["user_id"] = tf.reduce_sum(parts["user_id"], -1)
    found |= by_feature(tower.moment, parts["moment"][:, 0])
    return found if tower.profile is None else found | by_feature(tower.profile, parts["profile"])


def ranker_parts(
    ranker: Ranker,
    missing: Mapping[str, Inputs],
    actual: Mapping[str, Inputs],
    pair: tf.Tensor,
    listed: tf.Tensor,
    items: Inputs,
    alpha: tf.Tensor,
    score: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    with_body: bool,
) -> dict[str, tf.Tensor]:
    """Of a candidate's score among the others, who stay as they are: by input what it adds.

    Args:
        ranker: the ranker.
        missing: transformed features of nothing, one row, by entity.
        actual: those of the request and the candidate.
        pair: `[points, P] float32`, the candidate's pair features at each point.
        listed: `[M, P] float32`, the pair features of the request's candidates.
        items: their transformed features, `[M]` or `[M, length]`.
        alpha: `[points]`.
        score: logits by head to scores, `[points]`.
        with_body: as the ranker is served.

    Returns:
        `score [points]`, its gradient `pair [points, P]`, and each transformed feature of user, query and item that the
        ranker reads, `[points]`.
    """
    points = tf.size(alpha)
    among, one = ranker.normalise(listed), tf.zeros([tf.shape(listed)[0]], tf.int64)
    spread = ranker.relative.spread(among, one, 1)
    others = _embedded(ranker, {**actual, "item": items}, with_body)
    order = ranker.logits(others["asked"], others.get("item"), among, one, spread, with_body=with_body)["order"]
    means, deviations, whole = (tf.repeat(v, points, axis=0) for v in (*spread, gauge(order, one, 1)))
    start, end = (_embedded(ranker, x, with_body) for x in (missing, actual))

    def total(values: Inputs) -> tf.Tensor:
        rows = tf.range(tf.cast(points, tf.int64))
        place, asked = ranker.normalise(values["pair"]), values["asked"]
        found = ranker.logits(asked, values.get("item"), place, rows, (means, deviations), with_body=with_body)
        state = ranker.state(asked, (means, deviations))
        return score(found | {"engaged": ranker.level(found["order"], rows, whole, state)})

    with tf.GradientTape() as tape:
        tape.watch(pair)
        whole, parts = along(start, end, alpha, lambda values: total({**values, "pair": pair}))
    slope = tape.gradient(whole, pair, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    found = {"score": whole, "pair": slope}
    width = ranker.users.width if ranker.users.features else 0
    found |= by_feature(ranker.users, parts["asked"][:, :width]) | by_feature(ranker.moments, parts["asked"][:, width:])
    return found | by_feature(ranker.items, parts["item"]) if "item" in parts else found


def _embedded(ranker: Ranker, values: Mapping[str, Inputs], with_body: bool) -> dict[str, tf.Tensor]:
    found = {"asked": ranker.asked(values["user"], values["query"])}
    return found | {"item": ranker.items(values["item"])} if with_body and ranker.items.features else found


def by_feature(encoder: FeatureEncoder, parts: tf.Tensor) -> dict[str, tf.Tensor]:
    """What the columns `[points, width]` of an encoder's output add, by transformed feature, `[points]`."""
    widths = encoder.widths
    split = tf.split(parts, list(widths.values()), axis=-1) if widths else []
    return {name: tf.reduce_sum(values, -1) for name, values in zip(widths, split, strict=True)}


def by_raw(parts: Mapping[str, tf.Tensor], features: Sequence[Feature]) -> dict[str, tf.Tensor]:
    """The sums over what each raw feature was transformed to: itself, `_missing` and `_bucket`."""
    names = {f.name for f in features}
    found: dict[str, tf.Tensor] = {}
    for name, values in parts.items():
        stem = name.removesuffix("_missing").removesuffix("_bucket")
        raw = stem if name not in names and stem in names else name
        found[raw] = found[raw] + values if raw in found else values
    return found
