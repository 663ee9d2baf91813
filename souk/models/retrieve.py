"""Retrieves candidates for the examples of a window, as a request would have, for the ranker to learn from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from souk.candidates import TOWERS, Sources, merged
from souk.errors import SoukError
from souk.items import ItemTable
from souk.metrics import top
from souk.models.draw import Moment, moments_of, newcomers_of
from souk.models.exclusions import exclusions
from souk.models.sequences import Catalogue, Sequences
from souk.models.targets import Target, read_targets
from souk.models.towers import Inputs, TwoTower
from souk.pair_query import PairQuery

RETRIEVED = 500  # items kept for each example
BATCH_ROWS = 64
ITEMS = 1024  # through the item tower at a time
SCORES = 16_000_000  # held at once
TOGETHER = 256  # moments whose pasts are in memory


def item_vectors(model: TwoTower, catalogue: Catalogue) -> np.ndarray:
    """The vectors of all items, `[items, dim] float32`, in the order of the catalogue."""
    return vectors_of(model, catalogue.features)


def vectors_of(model: TwoTower, features: Inputs) -> np.ndarray:
    """The vectors of transformed features of items, `[items, dim] float32`; ITEMS at a time."""
    return np.concatenate(
        [
            model.item_tower({name: values[start : start + ITEMS] for name, values in features.items()}).numpy()
            for start in range(0, len(features["item_id"]), ITEMS)
        ]
    )


def query_vectors(
    model: TwoTower, sequences: Sequences, start: int, end: int, wanted: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """The vector of each target with `start` <= time < `end`, by event id; of those in `wanted`, where it is given."""
    batches = sequences.batches(BATCH_ROWS, start, end)
    kept = None if wanted is None else frozenset(wanted)

    def vectors(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return model.query_tower(batch["user"], batch["token"], batch["query"], batch["visible"])

    compiled = tf.function(vectors, input_signature=[batches.element_spec])
    found: dict[str, np.ndarray] = {}
    for batch in batches:
        counts = batch["counts"].numpy()
        names = (event.decode() for event in batch["event_id"].numpy()[counts])
        pairs = zip(names, compiled(batch).numpy()[counts], strict=True)
        found.update(pairs if kept is None else ((event, vector.copy()) for event, vector in pairs if event in kept))
    return found


def write_candidates(
    path: str | Path,
    features: str | Path,
    boundary: str,
    examples: pa.Table,
    queries: Mapping[str, np.ndarray],
    vectors: np.ndarray,
    catalogue: Catalogue,
    sequences: Sequences,
) -> float:
    """Writes what the sources together bring for each example (`souk.candidates`), the towers by exact search, without
    the items that `repeat` excludes, that did not exist yet or any more, or that never were to be had (not
    available, and in no example).

    Args:
        path: the Parquet file: the columns of `examples`, `own_score` (of the example's item, retrieved or not),
            `answerable` (whether any of what was taken at that time may be recommended), `items` in the order of the
            merged list, and their `scores` by the towers.
        features: the features folder.
        boundary: that of the counters and rules, the start of the examples' window.
        examples: from `draw_examples`, some of them told as newcomers' (`souk.models.newcomers`).
        queries: the query vector of each example, by event id; those of one user and time are the same, and a
            newcomer's is that of what is told of it.
        vectors: `[items, dim] float32`, of the same towers.
        catalogue: the items.
        sequences: the rows of the examples.

    Returns:
        the share of examples whose item was retrieved, of those whose item may be recommended at their time, of users
        who are told as they are: what `repeat` keeps out, as the lessons of a course that was bought, no source is
        asked for; 0 where there are none.
    """
    items = ItemTable.load(features, boundary, vectors)
    excluded = exclusions(Path(features), examples, sequences.spec, items.position)
    hidden = never_to_be_had(Path(features), catalogue, items.position)
    found, sources, newcomers = _Found(len(examples)), Sources(items), newcomers_of(examples)
    for block in _asked(moments_of(examples), examples, sequences):
        given = np.stack([queries[target.event_id] for _, target in block])
        for (moment, target), vector, line in zip(block, given, given @ vectors.T, strict=True):
            mine = [items.position[item] for item in moment.own]
            shown = ~(hidden | catalogue.absent(moment.time))
            shown[excluded(moment)] = False
            best = _candidates(sources, target.pair_query(items), vector, line, shown)
            answerable = bool(shown[[items.position[item] for item in moment.items]].any())
            found.add(moment, line[mine].tolist(), best, line[best], answerable)
            if target.event_id not in newcomers:
                found.asked += int(shown[mine].sum())
                found.hits += int(np.isin(mine, best).sum())
    found.write(Path(path), examples, catalogue)
    return found.hits / max(1, found.asked)


def _candidates(
    sources: Sources, query: PairQuery, vector: np.ndarray, scores: np.ndarray, shown: np.ndarray
) -> np.ndarray:
    """The merged list of all sources; one that fails in training stops it."""
    lists, failed = sources.listed(query, vector, RETRIEVED, lambda positions: shown[positions])
    if failed:
        raise SoukError("every source to give candidates", f"none of {', '.join(failed)}", "See the messages above.")
    near = top(np.where(shown, scores, -np.inf), RETRIEVED)
    return merged({TOWERS: near, **lists}, RETRIEVED, sources.shares).positions


def never_to_be_had(features: Path, catalogue: Catalogue, position: Mapping[str, int]) -> np.ndarray:
    """`[items] bool`: not available, and in no example: what was taken, at any time, was on offer until then."""
    hidden = ~catalogue.available
    for batch in pq.ParquetFile(features / "examples.parquet").iter_batches(columns=["item_id"]):
        hidden[[position[item] for item in pc.unique(batch["item_id"]).to_pylist()]] = False
    return hidden


def _asked(
    moments: Sequence[Moment], examples: pa.Table, sequences: Sequences
) -> Iterator[list[tuple[Moment, Target]]]:
    """Each moment with the target of its first event, in the order of the rows, some at a time: pasts are long.

    Raises:
        SoukError: a moment is in no row.
    """
    times, first = examples["timestamp"].to_numpy(), {moment.events[0]: moment for moment in moments}
    window = int(times.min()), int(times.max()) + 1
    targets = read_targets(sequences, window, frozenset(first), newcomers_of(examples))
    step = min(TOGETHER, max(1, SCORES // max(1, len(sequences.items))))
    while block := [(first.pop(target.event_id), target) for target in islice(targets, step)]:
        yield block
    if first:
        received = f"none for {len(first):,} of {len(moments):,}"
        raise SoukError(
            "a row of sequences/*.tfrecord for each example", received, "Run the step build_features again."
        )


class _Found:
    """What was retrieved for each example, on its way to a file."""

    def __init__(self, examples: int) -> None:
        self.hits = self.asked = 0
        self._own = np.zeros(examples, np.float32)
        self._answerable = np.zeros(examples, bool)
        self._rows: list[np.ndarray] = [np.zeros(0, np.int32)] * examples
        self._scores: list[np.ndarray] = [np.zeros(0, np.float32)] * examples

    def add(self, moment: Moment, own: list[float], best: np.ndarray, scores: np.ndarray, answerable: bool) -> None:
        best, scores = best.astype(np.int32), scores.astype(np.float32)
        self._answerable[moment.rows] = answerable
        for row, score in zip(moment.rows, own, strict=True):
            self._own[row], self._rows[row], self._scores[row] = score, best, scores

    def write(self, path: Path, examples: pa.Table, catalogue: Catalogue) -> None:
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in self._rows])]).astype(np.int32)
        flat = np.concatenate([np.zeros(0, np.int32), *self._rows])
        values = np.concatenate([np.zeros(0, np.float32), *self._scores])
        items = pa.DictionaryArray.from_arrays(pa.array(flat), pa.array(catalogue.ids, pa.string()))
        for name, column in (
            ("own_score", pa.array(self._own)),
            ("answerable", pa.array(self._answerable)),
            ("items", pa.ListArray.from_arrays(offsets, items)),
            ("scores", pa.ListArray.from_arrays(offsets, pa.array(values))),
        ):
            examples = examples.append_column(name, column)
        pq.write_table(examples, path)
