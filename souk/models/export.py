"""Models as SavedModels that take raw features: the transforms are inside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from souk.models.calibration import Calibration
from souk.models.explain import by_raw, nothing_known, ranker_parts, tower_parts
from souk.models.inputs import Transform
from souk.models.ranker import Ranker
from souk.models.towers import TwoTower
from souk.pairs import names_of
from souk.spec import Entity, Feature, FeatureSpec

logger = logging.getLogger(__name__)
SERVED = {"serve", "goods"}  # the signatures that a server calls (souk.serving.signatures)
WORDS, WORDS_APART = 50, 7  # of a vocabulary
CANDIDATES = {"goods", "pair", "request"}  # inputs with a row for each candidate


def specs(features: tuple[Feature, ...], *middle: int | None) -> dict[str, tf.TensorSpec]:
    """The signature of raw features: `[rows, *middle]`, lists `[rows, *middle, length]`."""
    return {
        f.name: tf.TensorSpec([None, *middle, *([f.length] if f.length else [])], f.dtype, name=f.name)
        for f in features
    }


def pick(raw: Mapping[str, tf.Tensor], features: tuple[Feature, ...]) -> dict[str, tf.Tensor]:
    """Those of `raw` that are `features`."""
    return {f.name: raw[f.name] for f in features}


def shaped(values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The same, with the shapes that are known here written into the graph: its conversion does not find them."""
    return {name: tf.ensure_shape(value, value.shape) for name, value in values.items()}


class ServedQueryTower(tf.Module):
    """Raw features of requests → query vectors."""

    def __init__(self, model: TwoTower, transforms: Mapping[str, Transform], spec: FeatureSpec) -> None:
        super().__init__(name="served_query_tower")
        self.tower = model.query_tower
        self.user, self.token, self.query = (transforms[name] for name in ("user", "token", "query"))
        self._features = {name: spec.of(Entity(name)) for name in ("user", "token", "query")}
        self._signature = {
            **specs(self._features["user"]),
            **specs(self._features["token"], spec.history_length),
            "token_count": tf.TensorSpec([None], tf.int64, name="token_count"),
            **specs(self._features["query"]),
        }

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel with the signatures `serve` and `explain`."""
        way = {
            "item": tf.TensorSpec([self.tower.dim], tf.float32, name="item"),
            "alpha": tf.TensorSpec([None], tf.float32, name="alpha"),
        }
        with self.tower.encoder.settled():
            write(self, path, serve=(self.serve, self._signature), explain=(self.explain, self._signature | way))

    def explain(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the inputs of one request add to its vector · `item [dim]` at the points `alpha` of the path from
        events and features of which nothing is known: `score`, `token` and the features (souk.models.explain)."""
        features = self._features
        length = raw["token_item_id"].shape[1]
        missing = {
            "user": nothing_known(self.user, features["user"]),
            "token": nothing_known(self.token, features["token"], length),
            "query": nothing_known(self.query, features["query"], 1),
        }
        actual = {
            "user": self.user(pick(raw, features["user"])),
            "token": self.token(pick(raw, features["token"])),
            "query": self.query({name: value[:, tf.newaxis] for name, value in pick(raw, features["query"]).items()}),
        }
        visible = raw["token_count"][:, tf.newaxis]
        parts = tower_parts(self.tower, missing, actual, visible, raw["item"], raw["alpha"])
        return by_raw(parts, (*features["user"], *features["query"]))

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`vector [rows, dim]`: the same call of the same tower as in training, with one query a row."""
        query = {name: value[:, tf.newaxis] for name, value in pick(raw, self._features["query"]).items()}
        longest = tf.maximum(tf.reduce_max(raw["token_count"]), 1)
        tokens = {name: value[:, :longest] for name, value in pick(raw, self._features["token"]).items()}
        vectors = self.tower(
            shaped(self.user(pick(raw, self._features["user"]))),
            shaped(self.token(tokens)),
            shaped(self.query(query)),
            raw["token_count"][:, tf.newaxis],
        )
        return {"vector": vectors[:, 0]}


class ServedItemTower(tf.Module):
    """Raw features of items → item vectors."""

    def __init__(self, model: TwoTower, transforms: Mapping[str, Transform], spec: FeatureSpec) -> None:
        super().__init__(name="served_item_tower")
        self.tower = model.item_tower
        self.item = transforms["item"]
        self._features = spec.of(Entity.ITEM)

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel with the signature `serve`."""
        write(self, path, serve=(self.serve, specs(self._features)))

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`vector [rows, dim]`."""
        return {"vector": self.tower(shaped(self.item(pick(raw, self._features))))}


class ServedRanker(tf.Module):
    """Raw features of requests, and what the ranker makes of their candidates' → calibrated probabilities.

    The latter is the same for every request, so that a server keeps it for its whole catalogue.

    Args:
        model: the ranker.
        transforms: by entity.
        spec: the feature specification.
        calibration: the curve of each head.
        with_body: whether its weights use the body.
    """

    def __init__(
        self,
        model: Ranker,
        transforms: Mapping[str, Transform],
        spec: FeatureSpec,
        calibration: Mapping[str, Calibration],
        with_body: bool,
    ) -> None:
        super().__init__(name="served_ranker")
        self.model = model
        self.user, self.query, self.item = (transforms[name] for name in ("user", "query", "item"))
        self._features = {name: spec.of(Entity(name)) for name in ("user", "query", "item")}
        self._calibration = dict(calibration)
        self._with_body = with_body
        self._pairs = len(names_of(spec))
        self._width = model.items.width if with_body and model.items.features else 0

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel with the signatures `goods`, `serve` and `explain`."""
        asked, item = {**specs(self._features["user"]), **specs(self._features["query"])}, specs(self._features["item"])
        pair = tf.TensorSpec([None, self._pairs], tf.float32, name="pair")
        goods = tf.TensorSpec([None, self._width], tf.float32, name="goods")
        serve = asked | {"goods": goods, "pair": pair, "request": tf.TensorSpec([None], tf.int64, name="request")}
        explain = {
            **asked,
            **item,
            "pair": pair,
            "listed": tf.TensorSpec(pair.shape, tf.float32, name="listed"),
            "alpha": tf.TensorSpec([None], tf.float32, name="alpha"),
            "weights": tf.TensorSpec([len(self._calibration)], tf.float32, name="weights"),
        }
        with self.model.settled():
            write(self, path, goods=(self.goods, item), serve=(self.serve, serve), explain=(self.explain, explain))

    def goods(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`goods [items, width]`: what the ranker reads of items; of width 0 where it reads nothing."""
        if not self._width:
            return {"goods": tf.zeros([tf.shape(next(iter(raw.values())))[0], 0])}
        return {"goods": self.model.items(shaped(self.item(pick(raw, self._features["item"]))))}

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """The heads, `[candidates]` each, of candidates' `goods`."""
        logits = self.model.of_goods(
            shaped(self.user(pick(raw, self._features["user"]))),
            shaped(self.query(pick(raw, self._features["query"]))),
            raw["goods"] if self._width else None,
            raw["pair"],
            raw["request"],
            with_body=self._with_body,
        )
        return {name: tf.sigmoid(value) for name, value in self._bent(logits).items()}

    def explain(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the inputs of one candidate add to the logarithm of its score, the product of the heads to the power of
        their `weights`, at the points `alpha` of the path from features of which nothing is known.

        Its pair features at the points are `pair [points, P]`; those of the request's candidates, among whom it stands,
        `listed [M, P]`; `weights` are in the order of the heads' names. The item features have 1 + M rows, its own and
        theirs, the other inputs one. Gives `score`, its gradient `pair`, and the features (souk.models.explain).
        """
        features = self._features
        transforms = {"user": self.user, "query": self.query, "item": self.item}
        missing = {name: nothing_known(transform, features[name]) for name, transform in transforms.items()}
        actual = {name: transform(pick(raw, features[name])) for name, transform in transforms.items()}
        listed = {name: values[1:] for name, values in actual["item"].items()}
        actual["item"] = {name: values[:1] for name, values in actual["item"].items()}

        def score(logits: dict[str, tf.Tensor]) -> tf.Tensor:
            bent = self._bent(logits)
            logs = [raw["weights"][h] * tf.math.log_sigmoid(bent[head]) for h, head in enumerate(sorted(bent))]
            return tf.add_n(logs)

        parts = ranker_parts(
            self.model, missing, actual, raw["pair"], raw["listed"], listed, raw["alpha"], score, self._with_body
        )
        return by_raw(parts, tuple(f for own in features.values() for f in own))

    def _bent(self, logits: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The calibrated logits of each head."""
        return {name: _bent(logits[name], curve) for name, curve in self._calibration.items()}


def write(model: tf.Module, path: str | Path, **signatures: tuple[Callable[..., Any], Mapping[str, Any]]) -> None:
    """Saves a model; each signature is a function of named inputs, and their types.

    Those that answer requests are saved once more as ONNX graphs, `<signature>.onnx` in the same folder, where they can
    be. What has no graph is served by TensorFlow, in more time.
    """
    from souk.models.onnx_graph import Untranslated, write_onnx  # half a second, which is not needed to train

    functions = {name: tf.function(call).get_concrete_function(**inputs) for name, (call, inputs) in signatures.items()}
    tf.saved_model.save(model, str(path), signatures=functions)
    for name in sorted(signatures.keys() & SERVED):
        _, inputs = signatures[name]
        try:
            write_onnx(path, name, Path(path) / f"{name}.onnx", functions[name], samples(inputs, vocabulary(path)))
        except Untranslated as error:
            logger.warning("%s of %s is left to TensorFlow: %s", name, path, error)


def samples(inputs: Mapping[str, tf.TensorSpec], words: Sequence[str] = ()) -> list[dict[str, np.ndarray]]:
    """Made-up raw features of four requests, or items, and of five candidates of two of them; and of one alone, with a
    short history: neither how many there are nor the longest history may be taken for what it is in the other.

    Args:
        inputs: the signature.
        words: which strings are drawn, beside the empty one and one that nobody knows.
    """
    rng, found = np.random.default_rng(0), dict[str, np.ndarray]()
    pool = np.array(["", "a word that nobody knows", *words], object)
    for name, spec in inputs.items():
        shape = [5 if name in CANDIDATES else 4, *spec.shape[1:]]
        if spec.dtype == tf.string:
            found[name] = rng.choice(pool, shape)
        elif spec.dtype == tf.int64:
            found[name] = rng.choice(np.array([*range(-1, 7), 23, 99]), shape)
        else:
            found[name] = rng.normal(scale=3, size=shape).astype(np.float32)
            if name not in CANDIDATES:
                found[name][rng.random(shape) < 0.2] = np.nan
    if "request" in found:
        found["request"] = np.array([0, 0, 0, 2, 2])
    if "token_count" in found:
        length = found["token_item_id"].shape[1]
        found["token_count"] = np.array([0, 1, length // 2, length])
    own = found["request"] == 2 if "request" in found else slice(None)
    alone = {name: values[own] if name in CANDIDATES else values[2:3] for name, values in found.items()}
    if "request" in alone:
        alone["request"] = np.zeros_like(alone["request"])
    if "token_count" in alone:
        alone["token_count"] = np.minimum(alone["token_count"], 2)
    return [found, alone]


def vocabulary(path: str | Path) -> list[str]:
    """Some words of each vocabulary of a SavedModel."""
    files = sorted(file for file in (Path(path) / "assets").glob("*") if file.is_file())
    return [word for file in files for word in file.read_text(encoding="utf-8").splitlines()[::WORDS_APART][:WORDS]]


def _bent(logits: tf.Tensor, curve: Calibration) -> tf.Tensor:
    """`Calibration.probability`, before the logistic function."""
    z = curve.offset + curve.slopes[0] * logits
    if not curve.knots:
        return z
    knots, changes = (np.array(each, np.float32) for each in zip(*curve.bends(), strict=True))
    return z + tf.squeeze(tf.nn.relu(logits[..., tf.newaxis] - knots) @ changes[:, np.newaxis], -1)
