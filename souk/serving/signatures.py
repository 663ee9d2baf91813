"""The models of a bundle, as functions of arrays: ONNX graphs, and for explanations TensorFlow's SavedModels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from souk.errors import SoukError
from souk.graphs import Graph
from souk.serving.beside import Run, here

Call = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
ITEMS = 1024  # at a time: how near new ones are to thousands of known ones is held at once


class SavedModel:
    """A model of a bundle in its folder, with signatures.

    Those that answer requests are ONNX graphs where they can be. What these cannot say is TensorFlow's to run, as the
    gradients of explanations.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _model(self) -> Any:
        import tensorflow as tf  # seconds and half a gigabyte, which an answer from graphs does not need

        return tf.saved_model.load(str(self._path))

    def signature(self, name: str) -> Call:
        """A signature as a function of arrays by name.

        Raises:
            SoukError: there is no such model, or it is of an earlier version.
        """
        return self.graph(name) or self.by_tensorflow(name)

    def graph(self, name: str) -> Graph | None:
        """The same, as a graph; None where it is none."""
        file = self._path / f"{name}.onnx"
        return Graph(file) if file.is_file() else None

    def by_tensorflow(self, name: str) -> Call:
        """The same, run by TensorFlow; the first one of a process takes seconds.

        Raises:
            SoukError: there is no such model, or it is of an earlier version.
        """
        import tensorflow as tf

        if not (self._path / "saved_model.pb").is_file():
            raise SoukError(f"a SavedModel at {self._path}", "none", "Deploy a release again, or verify it.")
        if name not in self._model.signatures:
            raise earlier(f"a model with the signature {name}", self._path)
        function = self._model.signatures[name]
        wanted = dict(function.structured_input_signature[1])

        def call(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            if not wanted.keys() <= inputs.keys():
                raise earlier(f"a signature {name} of today's inputs", self._path)
            answer = function(**{name: tf.constant(inputs[name], spec.dtype) for name, spec in wanted.items()})
            return {name: np.asarray(answer[name]) for name in sorted(answer)}

        return call


class _Model:
    """A model of a bundle.

    Args:
        path: its SavedModel.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._saved = SavedModel(self.path)

    def _explained(self, inputs: Mapping[str, np.ndarray], run: Run) -> dict[str, np.ndarray]:
        return {name: values.astype(np.float64) for name, values in run(self.path, "explain", inputs).items()}


class QueryTower(_Model):
    """Raw features of requests (`query_inputs`) to query vectors."""

    @property
    def ends(self) -> bool:
        """Whether a call ends within the limit of its thread (souk.limits)."""
        return isinstance(self._serve, Graph)

    def load(self) -> Self:
        """Reads the model."""
        self._serve = self._saved.signature("serve")
        return self

    def vectors(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The unit vectors `[rows, dim]` float32 of raw features."""
        return self._serve(inputs)["vector"]

    def explain(
        self, inputs: Mapping[str, np.ndarray], item: np.ndarray, alpha: np.ndarray, run: Run = here
    ) -> dict[str, np.ndarray]:
        """What one request's inputs add to its vector · `item [dim]` at the points `alpha [points]` of the path.

        Returns:
            `score [points]`, `token [points, tokens]`, user and query features `[points]` (souk.models.explain).

        Raises:
            SoukError: the release cannot explain.
        """
        return self._explained({**inputs, "item": item, "alpha": alpha}, run)


class ItemTower(_Model):
    """Raw features of items (`item_inputs`) to their vectors. It is read by the first call.

    Args:
        path: the SavedModel.
        run: what runs it where it is no graph.
    """

    def __init__(self, path: str | Path, run: Run = here) -> None:
        super().__init__(path)
        self._run = run

    @cached_property
    def _serve(self) -> Call:
        return self._saved.graph("serve") or partial(self._run, self.path, "serve")

    def vectors(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The vectors `[rows, dim]` float32 of raw features."""
        rows = len(next(iter(inputs.values())))
        parts = (
            {name: values[start : start + ITEMS] for name, values in inputs.items()} for start in range(0, rows, ITEMS)
        )
        return np.concatenate([self._serve(part)["vector"] for part in parts])


def sound(vectors: np.ndarray) -> np.ndarray:
    """`[rows]` bool: which of an item tower's vectors are numbers of a length that it may give."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return np.asarray((lengths > 0.9) & (lengths < 1.01))


class Ranker(_Model):
    """Candidates of requests to calibrated probabilities.

    What it makes of the item features of the whole catalogue is made once, so that a call carries positions only.

    Args:
        path: the SavedModel.
        items: raw item features of the catalogue, `[items]` or `[items, length]` by name.
    """

    def __init__(self, path: str | Path, items: Mapping[str, np.ndarray]) -> None:
        super().__init__(path)
        self._items = items
        self._changed: dict[int, dict[str, Any]] = {}  # by position, the features of items that are not as in `_items`

    def load(self) -> Ranker:
        """Reads the model.

        Raises:
            SoukError: it is none, or one of an earlier version.
        """
        self._read, self._rank = (self._saved.signature(name) for name in ("goods", "serve"))
        self._goods = self._goods_of(self._items)
        return self

    def _goods_of(self, items: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the model makes of raw item features, `[items, width]`."""
        count = len(next(iter(items.values())))
        parts = [
            self._read({name: values[start : start + READ_ROWS] for name, values in items.items()})["goods"]
            for start in range(0, count, READ_ROWS)
        ]
        return np.concatenate(parts)

    def with_items(self, where: np.ndarray, rows: Mapping[str, np.ndarray]) -> Ranker:
        """The same model over a catalogue with other rows.

        Args:
            where: `[rows]` int64, their positions; those beyond the catalogue follow one another, without a gap.
            rows: raw item features, `[rows]` or `[rows, length]` by name.
        """
        other = copy.copy(self)
        old = len(self._goods)
        other._changed = self._changed | {
            place: {name: values[row] for name, values in rows.items()} for row, place in enumerate(where.tolist())
        }
        goods, inside = self._goods_of(rows), np.flatnonzero(where < old)
        if len(inside) == len(where) and np.array_equal(goods, self._goods[where]):
            return other  # what it reads of them is what it was
        added = goods[np.argsort(where, kind="stable")][len(inside) :]
        other._goods = np.concatenate([self._goods, added])
        other._goods[where[inside]] = goods[inside]
        return other

    @property
    def ends(self) -> bool:
        """Whether a call of `probabilities` ends within the limit of its thread (souk.limits)."""
        return isinstance(self._rank, Graph)

    def probabilities(
        self, query: Mapping[str, np.ndarray], positions: np.ndarray, pair: np.ndarray, request: np.ndarray
    ) -> dict[str, np.ndarray]:
        """By head, `[M]` float32 each: `engaged`, and the objectives that are given it.

        Args:
            query: user and query features of the B requests.
            positions: `[M]` the candidates.
            pair: `[M, P]` float32 features of each candidate and its request.
            request: `[M]` which of the B requests each candidate belongs to.
        """
        own = {"goods": self._goods[positions], "pair": pair, "request": request}
        return {head: values.reshape(-1) for head, values in self._rank({**query, **own}).items()}

    def explain(
        self,
        query: Mapping[str, np.ndarray],
        position: int,
        pair: np.ndarray,
        listed: tuple[np.ndarray, np.ndarray],
        alpha: np.ndarray,
        weights: Mapping[str, float],
        run: Run = here,
    ) -> dict[str, np.ndarray]:
        """What one candidate's inputs add to the logarithm of its score at points of the path.

        Args:
            query: user and query features of one request.
            position: the candidate.
            pair: `[points, P]` float32, its pair features at the points.
            listed: the candidates among whom it stands: positions `[M]`, and their pair features `[M, P]` float32.
            alpha: `[points]`.
            weights: the exponent of each head, of all of them.
            run: where they are computed.

        Returns:
            `score [points]`, its gradient `pair [points, P]`, user, query and item features `[points]`.

        Raises:
            SoukError: the release cannot explain.
        """
        places = np.append(position, listed[0])
        items = {name: np.stack([self._raw(name, place) for place in places.tolist()]) for name in self._items}
        exponents = np.array([weights[head] for head in sorted(weights)], np.float32)
        way = {"pair": pair, "listed": listed[1], "alpha": alpha, "weights": exponents}
        return self._explained({**query, **items, **way}, run)

    def item_value(self, name: str, position: int) -> Any:
        """One raw feature of an item; a list without its padding."""
        value = self._raw(name, position)
        if isinstance(value, np.ndarray):
            return [entry for entry in value.tolist() if entry != "" and entry == entry]
        return value.item() if isinstance(value, np.generic) else value

    def _raw(self, name: str, position: int) -> Any:
        own = self._changed.get(position)
        return self._items[name][position] if own is None else own[name]


READ_ROWS = 1024  # items of one call


def earlier(expected: str, path: Path) -> SoukError:
    """The error of a model that an earlier version wrote."""
    return SoukError(f"{expected} at {path}", "one of an earlier version", "Run `souk run` again.")
