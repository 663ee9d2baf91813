"""Retrieves candidates for the examples of a window, as an index would have, for the ranker to learn from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from souk.models.sequences import Catalogue, Sequences
from souk.models.towers import TwoTower
from souk.spec import FeatureSpec
from souk.state import UserState, repeat_excluded

RETRIEVED = 500  # items kept for each example
BATCH_ROWS = 64


def item_vectors(model: TwoTower, catalogue: Catalogue) -> np.ndarray:
    """The vectors of all items, `[items, dim] float32`, in the order of the catalogue."""
    return np.concatenate(
        [
            model.item_tower(
                {name: values[start : start + 4096] for name, values in catalogue.features.items()}
            ).numpy()
            for start in range(0, len(catalogue.ids), 4096)
        ]
    )


def query_vectors(model: TwoTower, sequences: Sequences, start: int, end: int) -> dict[str, np.ndarray]:
    """The vector of each target with `start` <= time < `end`, by event id."""
    batches = sequences.batches(BATCH_ROWS, start, end)

    def vectors(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return model.query_tower(batch["user"], batch["token"], batch["query"], batch["visible"])

    compiled = tf.function(vectors, input_signature=[batches.element_spec])
    found: dict[str, np.ndarray] = {}
    for batch in batches:
        counts = batch["counts"].numpy()
        names = (event.decode() for event in batch["event_id"].numpy()[counts])
        found.update(zip(names, compiled(batch).numpy()[counts], strict=True))
    return found


def write_candidates(
    path: str | Path,
    features: str | Path,
    queries: Mapping[str, np.ndarray],
    vectors: np.ndarray,
    catalogue: Catalogue,
    spec: FeatureSpec,
    window: tuple[int, int],
) -> float:
    """Writes what the towers retrieve for each example of a window: exact search, without the items that the repeat
    rule excludes or that did not exist yet.

    Args:
        path: the Parquet file: `event_id`, `own_score` (of the example's item, retrieved or not), `items` and `scores`,
            best first.
        features: the features folder.
        queries: the query vector of each example of the window, by event id.
        vectors: `[items, dim] float32`, of the same towers.
        catalogue: the items.
        spec: for the repeat rule.
        window: its start, and one past its end, UTC epoch milliseconds.

    Returns:
        the share of examples whose item was retrieved.
    """
    columns = ["event_id", "user_id", "timestamp", "item_id"]
    examples = pq.read_table(Path(features) / "examples.parquet", columns=columns)
    position = {item: i for i, item in enumerate(catalogue.ids)}
    events, rows, scores, own, hits = [], [], [], [], 0
    for event, time, item, excluded in _with_exclusions(examples, *window, spec):
        line = vectors @ queries[event]
        own.append(line[position[item]])
        line[[position[other] for other in excluded if other in position]] = -np.inf
        line[catalogue.created_at > time] = -np.inf
        best = _top(line, RETRIEVED)
        events.append(event)
        rows.append(best)
        scores.append(line[best])
        hits += position[item] in best
    _write(Path(path), events, own, rows, scores, catalogue)
    return hits / max(1, len(events))


def _with_exclusions(
    examples: pa.Table, start: int, end: int, spec: FeatureSpec
) -> Iterator[tuple[str, int, str, set[str]]]:
    """The examples of a window in the order of the table, each with the items that the repeat rule excludes."""
    window = pc.and_(pc.greater_equal(examples["timestamp"], start), pc.less(examples["timestamp"], end))
    inside = examples.filter(window).to_pydict()
    past = examples.filter(pc.less(examples["timestamp"], end))
    past = past.filter(pc.is_in(past["user_id"], pa.array(sorted(set(inside["user_id"])), pa.string())))
    history: dict[str, tuple[list[int], list[str]]] = {}
    for user, time, item in zip(*past.select(["user_id", "timestamp", "item_id"]).to_pydict().values(), strict=True):
        times, items = history.setdefault(user, ([], []))
        times.append(time)
        items.append(item)
    for event, user, time, item in zip(*inside.values(), strict=True):
        times, items = history[user]
        before = bisect_left(times, time)
        engaged = dict(zip(items[:before], times[:before], strict=True)) if spec.repeat.rule != "always" else {}
        yield event, time, item, repeat_excluded(UserState(user, engaged=engaged), time, spec)


def _top(scores: np.ndarray, count: int) -> np.ndarray:
    """The positions of the best finite scores, best first, ties in the order of positions."""
    best = np.argsort(-scores, kind="stable")[:count]
    return best[np.isfinite(scores[best])]


def _write(
    path: Path,
    events: list[str],
    own: list[float],
    rows: list[np.ndarray],
    scores: list[np.ndarray],
    catalogue: Catalogue,
) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    flat = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int32)
    values = np.concatenate([*scores, np.zeros(0, np.float32)]).astype(np.float32)
    items = pa.DictionaryArray.from_arrays(pa.array(flat), pa.array(catalogue.ids, pa.string()))
    table = pa.table(
        {
            "event_id": pa.array(events, pa.string()),
            "own_score": pa.array(own, pa.float32()),
            "items": pa.ListArray.from_arrays(offsets, items),
            "scores": pa.ListArray.from_arrays(offsets, pa.array(values)),
        }
    )
    pq.write_table(table, path)
