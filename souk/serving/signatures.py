"""The SavedModels of a bundle, as functions of arrays."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf

from souk.errors import SoukError


class _Tower:
    """A SavedModel that makes vectors.

    Args:
        path: the SavedModel.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def load(self) -> Self:
        """Reads the model."""
        self._model, self._serve = _load(self._path)
        self._names = _specs(self._serve)
        return self

    def vectors(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The unit vectors `[rows, dim]` float32 of raw features."""
        answer = self._serve(**{name: tf.constant(inputs[name], spec.dtype) for name, spec in self._names.items()})
        return np.asarray(answer["vector"])


class QueryTower(_Tower):
    """Raw features of requests (`query_inputs`) to query vectors."""

    def explain(self, inputs: Mapping[str, np.ndarray], item: np.ndarray, alpha: np.ndarray) -> dict[str, np.ndarray]:
        """What one request's inputs add to its vector · `item [dim]` at the points `alpha [points]` of the path.

        Returns:
            `score [points]`, `token [points, tokens]`, user and query features `[points]` (souk.models.explain).

        Raises:
            SoukError: the release cannot explain.
        """
        return _explained(self._model, self._path, {**inputs, "item": item, "alpha": alpha})


class ItemTower(_Tower):
    """Raw features of items (`item_inputs`) to their vectors."""


class Ranker:
    """Candidates of requests to calibrated probabilities.

    The item features of the whole catalogue lie in memory as tensors, so that a call carries positions only.

    Args:
        path: the SavedModel.
        items: raw item features of the catalogue, `[items]` or `[items, length]` by name.
    """

    def __init__(self, path: str | Path, items: Mapping[str, np.ndarray]) -> None:
        self._path = Path(path)
        self._items = items

    def load(self) -> Ranker:
        """Reads the model."""
        self._model, serve = _load(self._path)
        specs = _specs(serve)
        own = {name: specs[name] for name in specs if name in self._items}
        self._query = {name: specs[name] for name in specs if name not in own and name not in ("pair", "request")}
        self._tensors = {name: tf.constant(self._items[name], spec.dtype) for name, spec in own.items()}

        @tf.function(
            input_signature=[self._query, own, tf.TensorSpec([None], tf.int64), specs["pair"], specs["request"]]
        )
        def rank(query, items, positions, pair, request):  # type: ignore[no-untyped-def]
            rows = {name: tf.gather(values, positions) for name, values in items.items()}
            return serve(**query, **rows, pair=pair, request=request)

        self._rank = rank
        return self

    def with_items(self, where: np.ndarray, rows: Mapping[str, np.ndarray]) -> Ranker:
        """The same model over a catalogue with other rows.

        Args:
            where: `[rows]` int64, their positions; those beyond the catalogue follow one another, without a gap.
            rows: raw item features, `[rows]` or `[rows, length]` by name.
        """
        other, items = copy.copy(self), {}
        old = len(next(iter(self._items.values()), ()))
        first, inside = np.argsort(where, kind="stable"), np.flatnonzero(where < old)
        added = first[where[first] >= old]
        for name, values in self._items.items():
            items[name] = np.concatenate([values, rows[name][added]])
            items[name][where[inside]] = rows[name][inside]
        other._items = items
        other._tensors = {
            name: tf.concat([values, tf.constant(items[name][old:], values.dtype)], 0)
            if not len(inside)  # of many texts, quicker than to read them all again
            else tf.constant(items[name], values.dtype)
            for name, values in self._tensors.items()
        }
        return other

    def probabilities(
        self, query: Mapping[str, np.ndarray], positions: np.ndarray, pair: np.ndarray, request: np.ndarray
    ) -> dict[str, np.ndarray]:
        """`engaged` and `satisfied`, `[M]` float32 each.

        Args:
            query: user and query features of the B requests.
            positions: `[M]` the candidates.
            pair: `[M, P]` float32 features of each candidate and its request.
            request: `[M]` which of the B requests each candidate belongs to.
        """
        answer = self._rank(
            {name: tf.constant(query[name], spec.dtype) for name, spec in self._query.items()},
            self._tensors,
            tf.constant(positions, tf.int64),
            tf.constant(pair, tf.float32),
            tf.constant(request, tf.int64),
        )
        return {head: np.asarray(answer[head]).reshape(-1) for head in HEADS}

    def explain(
        self,
        query: Mapping[str, np.ndarray],
        position: int,
        pair: np.ndarray,
        listed: tuple[np.ndarray, np.ndarray],
        alpha: np.ndarray,
        weights: Mapping[str, float],
    ) -> dict[str, np.ndarray]:
        """What one candidate's inputs add to the logarithm of its score at points of the path.

        Args:
            query: user and query features of one request.
            position: the candidate.
            pair: `[points, P]` float32, its pair features at the points.
            listed: the candidates among whom it stands: positions `[M]`, and their pair features `[M, P]` float32.
            alpha: `[points]`.
            weights: the exponent of each head.

        Returns:
            `score [points]`, its gradient `pair [points, P]`, user, query and item features `[points]`.

        Raises:
            SoukError: the release cannot explain.
        """
        places = np.append(position, listed[0])
        items = {name: values[places] for name, values in self._items.items()}
        exponents = np.array([weights.get(head, 1.0) for head in HEADS], np.float32)
        way = {"pair": pair, "listed": listed[1], "alpha": alpha, "weights": exponents}
        return _explained(self._model, self._path, {**query, **items, **way})

    def item_value(self, name: str, position: int) -> Any:
        """One raw feature of an item; a list without its padding."""
        value = self._items[name][position]
        if isinstance(value, np.ndarray):
            return [entry for entry in value.tolist() if entry != "" and entry == entry]
        return value.item() if isinstance(value, np.generic) else value


HEADS = ("engaged", "satisfied")


def _load(path: Path):  # type: ignore[no-untyped-def]
    if not (path / "saved_model.pb").is_file():
        raise SoukError(f"a SavedModel at {path}", "none", "Deploy a release again, or verify it.")
    model = tf.saved_model.load(str(path))
    return model, model.signatures["serve"]


def _explained(model, path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    explain = model.signatures.get("explain")
    if explain is None or not _specs(explain).keys() <= inputs.keys():
        raise SoukError(f"a model that explains at {path}", "one of an earlier version", "Run `souk run` again.")
    answer = explain(**{name: tf.constant(inputs[name], spec.dtype) for name, spec in _specs(explain).items()})
    return {name: np.asarray(values, np.float64) for name, values in answer.items()}


def _specs(serve) -> dict[str, tf.TensorSpec]:  # type: ignore[no-untyped-def]
    return dict(serve.structured_input_signature[1])
