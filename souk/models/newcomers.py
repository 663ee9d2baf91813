"""Moments that the ranker learns as if a newcomer stood there, of whose past a few events alone are known.

Where all users were there long before the log's last weeks, the ranker learns from long histories alone, and counts on
habits that a newcomer does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from souk.models.draw import moments_of, newcomers_of
from souk.models.export import ServedQueryTower
from souk.models.inputs import FILL
from souk.models.sequences import Sequences, column_tensor
from souk.models.targets import Target, read_targets
from souk.models.towers import TwoTower
from souk.spec import Entity, FeatureSpec

FEW = 32  # events: who has at most so many is a newcomer
SHARE = 0.1  # of the moments that are newcomers', at least
ROWS = 64  # in one call of the tower


def with_newcomers(features: str | Path, examples: pa.Table, seed: int) -> pa.Table:
    """Examples with how much of their moment's past is told: `last_events`, all of it where that is null, and
    `with_profile`, whether the columns of the users table are.

    Where fewer than SHARE of the moments have at most FEW engagements before them, some of the others are drawn to be
    told as newcomers': the last n events, from 0 to FEW - 1, log(n + 1) drawn evenly, one half with the profile and the
    other as visitors.

    Args:
        features: the features folder.
        examples: from `draw_examples`.
        seed: of the draw.
    """
    moments, random = moments_of(examples), np.random.default_rng(seed)
    before = _engagements(Path(features), examples)[[moment.rows[0] for moment in moments]]
    few = float(np.mean(before <= FEW))
    chance = max(0.0, SHARE - few) / max(1 - few, 1e-9)
    drawn = (before > FEW) & (random.random(len(moments)) < chance)
    last = np.floor((FEW + 1) ** random.random(len(moments))).astype(np.int64) - 1
    profile = random.random(len(moments)) < 0.5
    events, told = np.full(len(examples), -1, np.int64), np.ones(len(examples), bool)
    for moment, is_newcomer, count, known in zip(moments, drawn, last.tolist(), profile, strict=True):
        if is_newcomer:
            events[moment.rows], told[moment.rows] = count, known
    return examples.append_column("last_events", pa.array(events, mask=events < 0)).append_column(
        "with_profile", pa.array(told)
    )


def newcomer_vectors(
    model: TwoTower, sequences: Sequences, start: int, end: int, examples: pa.Table
) -> dict[str, np.ndarray]:
    """The query vectors of the examples of a window that are a newcomer's, by event id, `[dim]` each."""
    newcomers, found = newcomers_of(examples), dict[str, np.ndarray]()
    if not newcomers:  # as in most shops: the rows are many, and each would be parsed
        return found
    tower = ServedQueryTower(model, sequences.transforms, sequences.spec)
    targets = read_targets(sequences, (start, end), newcomers, newcomers)
    while some := list(islice(targets, ROWS)):
        vectors = tower.serve(**_inputs(some, sequences.spec))["vector"].numpy()
        found.update((target.event_id, vector) for target, vector in zip(some, vectors, strict=True))
    return found


def _inputs(targets: Sequence[Target], spec: FeatureSpec) -> dict[str, tf.Tensor]:
    """The inputs of the query tower's signature."""
    inputs = {f.name: column_tensor([target.user[f.name] for target in targets], f) for f in spec.of(Entity.USER)}
    inputs |= {f.name: column_tensor([target.query[f.name] for target in targets], f) for f in spec.of(Entity.QUERY)}
    for feature in spec.of(Entity.TOKEN):
        rows = tf.ragged.constant([target.tokens[feature.name] for target in targets], feature.dtype, ragged_rank=1)
        inputs[feature.name] = rows.to_tensor(FILL[feature.dtype], [None, spec.history_length])
    return inputs | {"token_count": tf.constant([len(t.tokens["token_item_id"]) for t in targets], tf.int64)}


def _engagements(features: Path, examples: pa.Table) -> np.ndarray:
    """`[examples]`: how many engagements the user had before each."""
    asked = pc.field("user_id").isin(pc.unique(examples["user_id"]))
    rows = pq.read_table(features / "examples.parquet", columns=["user_id", "timestamp"], filters=asked)
    users = pc.unique(rows["user_id"])
    first, last = (value.as_py() for value in pc.min_max(rows["timestamp"]).values())

    def keys(table: pa.Table) -> np.ndarray:
        """A number of each user and time, the users apart."""
        own = pc.index_in(table["user_id"], users).to_numpy().astype(np.int64)
        return np.asarray(own * (last - first + 1) + table["timestamp"].to_numpy() - first)

    every, asking = np.sort(keys(rows)), keys(examples)
    start = asking - (examples["timestamp"].to_numpy() - first)
    return np.asarray(np.searchsorted(every, asking) - np.searchsorted(every, start))
