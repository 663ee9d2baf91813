"""The SavedModels of a bundle, as functions of arrays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf

from souk.errors import SoukError


class Packed:
    """A function of named tensors, called with one array for each type.

    TensorFlow spends more on the arguments of a small call than on the call.

    Args:
        function: takes tensors by name, and those of `rest` by place.
        specs: types by name, `[rows]` or `[rows, length]`; those of one type have the same rows.
        rest: the types of the others.
    """

    def __init__(
        self, function: Callable[..., Any], specs: Mapping[str, tf.TensorSpec], rest: Sequence[tf.TensorSpec] = ()
    ) -> None:
        self._names: dict[Any, list[str]] = {}
        for name, spec in specs.items():
            self._names.setdefault(spec.dtype, []).append(name)
        sizes = {name: spec.shape[1] if spec.shape.rank == 2 else 1 for name, spec in specs.items()}
        flat = {name for name, spec in specs.items() if spec.shape.rank == 1}
        packs = [tf.TensorSpec([None, sum(sizes[n] for n in own)], dtype) for dtype, own in self._names.items()]

        @tf.function(input_signature=[*packs, *rest])
        def call(*arrays):  # type: ignore[no-untyped-def]
            named: dict[str, Any] = {}
            for names, array in zip(self._names.values(), arrays[: len(packs)], strict=True):
                parts = tf.split(array, [sizes[name] for name in names], axis=1)
                named |= {n: part[:, 0] if n in flat else part for n, part in zip(names, parts, strict=True)}
            return function(*arrays[len(packs) :], **named)

        self._call = call.get_concrete_function()

    def __call__(self, inputs: Mapping[str, np.ndarray], *rest: Any) -> Any:
        """The answer for arrays by name, more of which than the function takes are passed over, and the rest."""
        packs = []
        for dtype, names in self._names.items():
            columns = [values if values.ndim == 2 else values[:, None] for values in map(inputs.__getitem__, names)]
            packs.append(tf.constant(np.concatenate(columns, axis=1), dtype))
        return self._call(*packs, *rest)


class _Tower:
    """A SavedModel that makes vectors.

    Args:
        path: the SavedModel.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def load(self) -> Self:
        """Reads the model."""
        self._model, serve = _load(self._path)
        self._serve = Packed(serve, _specs(serve))
        return self

    def vectors(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The unit vectors `[rows, dim]` float32 of raw features."""
        return np.asarray(self._serve(inputs)["vector"])


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

    What it makes of the item features of the whole catalogue is made once, so that a call carries positions only.

    Args:
        path: the SavedModel.
        items: raw item features of the catalogue, `[items]` or `[items, length]` by name.
    """

    def __init__(self, path: str | Path, items: Mapping[str, np.ndarray]) -> None:
        self._path = Path(path)
        self._items = items
        self._changed: dict[int, dict[str, Any]] = {}  # by position, the features of items that are not as in `_items`

    def load(self) -> Ranker:
        """Reads the model.

        Raises:
            SoukError: it is none, or one of an earlier version.
        """
        self._model, serve = _load(self._path)
        if "goods" not in self._model.signatures:
            raise earlier("a ranker that tells what it reads of items", self._path)
        goods = self._model.signatures["goods"]
        self._read = Packed(goods, _specs(goods))
        self._goods = self._goods_of(self._items)
        self._heads = sorted(serve.structured_outputs)  # the order of the explanation's `weights` (souk.models.export)
        specs = _specs(serve)
        asked = {name: spec for name, spec in specs.items() if name not in ("goods", "pair", "request")}

        def rank(goods, positions, pair, request, **query):  # type: ignore[no-untyped-def]
            return serve(**query, goods=tf.gather(goods, positions), pair=pair, request=request)

        places = tf.TensorSpec([None], tf.int64)
        self._rank = Packed(rank, asked, [specs["goods"], places, specs["pair"], specs["request"]])
        return self

    def _goods_of(self, items: Mapping[str, np.ndarray]) -> tf.Tensor:
        """What the model makes of raw item features, `[items, width]`."""
        count = len(next(iter(items.values())))
        parts = [
            self._read({name: values[start : start + READ_ROWS] for name, values in items.items()})["goods"]
            for start in range(0, count, READ_ROWS)
        ]
        return tf.concat(parts, 0)

    def with_items(self, where: np.ndarray, rows: Mapping[str, np.ndarray]) -> Ranker:
        """The same model over a catalogue with other rows.

        Args:
            where: `[rows]` int64, their positions; those beyond the catalogue follow one another, without a gap.
            rows: raw item features, `[rows]` or `[rows, length]` by name.
        """
        other = copy.copy(self)
        old = self._goods.shape[0]
        first, inside = np.argsort(where, kind="stable"), np.flatnonzero(where < old)
        added = first[where[first] >= old]
        other._changed = self._changed | {
            place: {name: values[row] for name, values in rows.items()} for row, place in enumerate(where.tolist())
        }
        goods = self._goods_of(rows)
        if np.array_equal(goods, tf.gather(self._goods, np.minimum(where, old - 1))) and not len(added):
            return other  # what it reads of them is what it was
        kept = tf.tensor_scatter_nd_update(self._goods, where[inside, None], tf.gather(goods, inside))
        other._goods = tf.concat([kept if len(inside) else self._goods, tf.gather(goods, added)], 0)
        return other

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
        answer = self._rank(query, self._goods, *map(tf.constant, (positions, pair, request)))
        return {head: np.asarray(answer[head]).reshape(-1) for head in self._heads}

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
        items = {name: np.stack([self._raw(name, place) for place in places.tolist()]) for name in self._items}
        exponents = np.array([weights.get(head, 1.0) for head in self._heads], np.float32)
        way = {"pair": pair, "listed": listed[1], "alpha": alpha, "weights": exponents}
        return _explained(self._model, self._path, {**query, **items, **way})

    def item_value(self, name: str, position: int) -> Any:
        """One raw feature of an item; a list without its padding."""
        value = self._raw(name, position)
        if isinstance(value, np.ndarray):
            return [entry for entry in value.tolist() if entry != "" and entry == entry]
        return value.item() if isinstance(value, np.generic) else value

    def _raw(self, name: str, position: int) -> Any:
        own = self._changed.get(position)
        return self._items[name][position] if own is None else own[name]


READ_ROWS = 4096  # items of one call


def _load(path: Path):  # type: ignore[no-untyped-def]
    if not (path / "saved_model.pb").is_file():
        raise SoukError(f"a SavedModel at {path}", "none", "Deploy a release again, or verify it.")
    model = tf.saved_model.load(str(path))
    return model, model.signatures["serve"]


def _explained(model, path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    explain = model.signatures.get("explain")
    if explain is None or not _specs(explain).keys() <= inputs.keys():
        raise earlier("a model that explains", path)
    answer = explain(**{name: tf.constant(inputs[name], spec.dtype) for name, spec in _specs(explain).items()})
    return {name: np.asarray(values, np.float64) for name, values in answer.items()}


def earlier(expected: str, path: Path) -> SoukError:
    """The error of a model that an earlier version wrote."""
    return SoukError(f"{expected} at {path}", "one of an earlier version", "Run `souk run` again.")


def _specs(serve) -> dict[str, tf.TensorSpec]:  # type: ignore[no-untyped-def]
    return dict(serve.structured_input_signature[1])
