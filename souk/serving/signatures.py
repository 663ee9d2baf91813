"""The SavedModels of a bundle, as functions of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from souk.errors import SoukError


class QueryTower:
    """Raw features of requests to query vectors.

    Args:
        path: the SavedModel.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def load(self) -> QueryTower:
        """Reads the model."""
        self._model, self._serve = _load(self._path)
        self._names = _specs(self._serve)
        return self

    def vectors(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The unit vectors `[B, dim]` float32 of `query_inputs`."""
        answer = self._serve(**{name: tf.constant(inputs[name], spec.dtype) for name, spec in self._names.items()})
        return np.asarray(answer["vector"])


class Ranker:
    """Candidates of requests to calibrated probabilities.

    The item features of the whole catalogue lie in the graph's memory, so that a call carries positions only.

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
        items = {name: tf.constant(self._items[name], specs[name].dtype) for name in specs if name in self._items}
        self._query = {name: specs[name] for name in specs if name not in items and name not in ("pair", "request")}

        @tf.function(input_signature=[self._query, tf.TensorSpec([None], tf.int64), specs["pair"], specs["request"]])
        def rank(query, positions, pair, request):  # type: ignore[no-untyped-def]
            rows = {name: tf.gather(values, positions) for name, values in items.items()}
            return serve(**query, **rows, pair=pair, request=request)

        self._rank = rank
        return self

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
            tf.constant(positions, tf.int64),
            tf.constant(pair, tf.float32),
            tf.constant(request, tf.int64),
        )
        return {head: np.asarray(answer[head]).reshape(-1) for head in HEADS}


HEADS = ("engaged", "satisfied")


def _load(path: Path):  # type: ignore[no-untyped-def]
    if not (path / "saved_model.pb").is_file():
        raise SoukError(f"a SavedModel at {path}", "none", "Deploy a release again, or verify it.")
    model = tf.saved_model.load(str(path))
    return model, model.signatures["serve"]


def _specs(serve) -> dict[str, tf.TensorSpec]:  # type: ignore[no-untyped-def]
    return dict(serve.structured_input_signature[1])
