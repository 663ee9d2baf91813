"""Judges towers while they are fitted: how well they retrieve for moments of the window after the fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from souk.metrics import query_metric, target_ranks
from souk.models.draw import Moment, moments_of
from souk.models.exclusions import exclusions
from souk.models.retrieve import item_vectors, never_to_be_had
from souk.models.sequences import Catalogue, Sequences
from souk.models.towers import TwoTower

MOMENTS = 1000
BATCH_ROWS = 64


class RetrievalJudge:
    """NDCG@10 of the whole catalogue at a draw of moments, averaged over moments.

    What was taken after its end, or is excluded by `repeat`, is no target, as in the evaluation, and a moment
    without a target is none.

    Args:
        features: the features folder.
        examples: of the window, from `draw_examples`.
        catalogue: the items.
        sequences: the rows.
        seed: of the draw.
        count: at most so many moments.
    """

    name = "ndcg@10"

    def __init__(
        self,
        features: str | Path,
        examples: pa.Table,
        catalogue: Catalogue,
        sequences: Sequences,
        seed: int,
        count: int = MOMENTS,
    ) -> None:
        every = moments_of(examples)
        drawn = np.sort(np.random.default_rng(seed).permutation(len(every))[:count])
        self._moments = [every[place] for place in drawn.tolist()]
        self._catalogue = catalogue
        self._position = {item: place for place, item in enumerate(catalogue.ids)}
        self._hidden = never_to_be_had(Path(features), catalogue, self._position)
        self._excluded = exclusions(Path(features), examples, sequences.spec, self._position)
        times = [moment.time for moment in self._moments]
        self._batches = sequences.batches(BATCH_ROWS, min(times), max(times) + 1)
        self._vectors: Any = None

    def score(self, model: TwoTower, others: np.ndarray | None = None) -> float:
        """The figure of the towers as they are; 0 where no moment has a target.

        Args:
            model: the towers.
            others: `[others, dim]` float32, items beside the catalogue's that take places and are no targets.
        """
        vectors = item_vectors(model, self._catalogue)
        return self.figure(self.queries(model), vectors if others is None else np.concatenate([vectors, others]))

    def figure(self, queries: Mapping[str, np.ndarray], vectors: np.ndarray, counts: np.ndarray | None = None) -> float:
        """The same of vectors.

        Args:
            queries: of `queries`.
            vectors: `[items + others, dim]` float32.
            counts: `[items]` bool, which items are targets; None for all.
        """
        ranks = [self._ranks(moment, vectors @ queries[moment.events[0]], counts) for moment in self._moments]
        figures = query_metric(self.name, [own for own in ranks if len(own)])
        return float(np.mean(figures)) if len(figures) else 0.0

    def queries(self, model: TwoTower) -> Mapping[str, np.ndarray]:
        """The vector of each moment, by its first event."""
        if self._vectors is None:
            self._vectors = tf.function(
                lambda batch: model.query_tower(batch["user"], batch["token"], batch["query"], batch["visible"]),
                input_signature=[self._batches.element_spec],
            )
        wanted = {moment.events[0] for moment in self._moments}
        found: dict[str, np.ndarray] = {}
        for batch in self._batches:
            names = [event.decode() for event in batch["event_id"].numpy()[batch["counts"].numpy()]]
            if not wanted.isdisjoint(names):
                vectors = self._vectors(batch).numpy()[batch["counts"].numpy()]
                found.update((event, vector) for event, vector in zip(names, vectors, strict=True) if event in wanted)
        return found

    def _ranks(self, moment: Moment, scores: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
        """The ranks of the moment's targets; scores beyond the catalogue's are of others that may be had."""
        known = scores[: len(self._hidden)]
        known[self._hidden | self._catalogue.absent(moment.time)] = -np.inf
        known[self._excluded(moment)] = -np.inf
        targets = np.unique([self._position[item] for item in moment.items])
        ranks = target_ranks(scores, targets if counts is None else targets[counts[targets]])
        return ranks[np.isfinite(ranks)]
