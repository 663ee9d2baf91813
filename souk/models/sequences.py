"""Training rows as tensors: TFRecords in, batches of transformed features out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from souk.errors import SoukError
from souk.items import available_at, times_of
from souk.models.inputs import FILL, Transform
from souk.schema import FOREVER
from souk.spec import Entity, Feature, FeatureSpec

TARGETS = {"event_id": tf.string, "item_id": tf.string, "time": tf.int64, "visible": tf.int64}
AT_HAND = "target_at_hand"
# Nothing is left to tune, and the end of a pass may wait for the thread that tunes: up to a minute, doing nothing.
UNTUNED = tf.data.Options()
UNTUNED.autotune.enabled = False
SHUFFLED_ROWS = 8192
COUNTED_ROWS = 512  # read at a time
COUNTED = {
    **{name: tf.io.RaggedFeature(tf.string) for name in ("user_id", "token_item_id", "target_item_id")},
    **{name: tf.io.RaggedFeature(tf.int64) for name in ("target_time", "target_visible")},
}


@dataclass(frozen=True)
class Catalogue:
    """The items to learn and retrieve, in the order of `features/items.parquet`.

    Args:
        ids: item ids.
        features: transformed item features by name, `[items]` or `[items, length]`.
        created_at: UTC epoch milliseconds, `[items] int64`, or of the first engagement if that is earlier: dates may be
            wrong, and what was taken was there. 0 where it is unknown.
        available: `[items] bool`, those that were before their end, too.
        available_until: UTC epoch milliseconds, `[items] int64`, the last moment of each; FOREVER where it has no end.
    """

    ids: tuple[str, ...]
    features: Mapping[str, tf.Tensor]
    created_at: np.ndarray
    available: np.ndarray
    available_until: np.ndarray

    def absent(self, time: int) -> np.ndarray:
        """`[items] bool`, which did not exist yet at a time, or were not to be had any more."""
        return np.asarray((self.created_at > time) | (self.available_until < time))


def read_catalogue(features: str | Path, spec: FeatureSpec, transform: Transform) -> Catalogue:
    """Reads the item feature table and transforms it."""
    table = pq.read_table(Path(features) / "items.parquet")
    raw = {f.name: column_tensor(table[f.name].to_pylist(), f) for f in spec.of(Entity.ITEM)}
    ids = tuple(table["item_id"].to_pylist())
    created = times_of(table, "created_at", 0).astype(np.int64)
    until = times_of(table, "available_until", FOREVER).astype(np.int64)
    if created.any():
        taken = pq.read_table(Path(features) / "examples.parquet", columns=["item_id", "timestamp"])
        first = taken.group_by("item_id").aggregate([("timestamp", "min")])
        began = dict(zip(first["item_id"].to_pylist(), first["timestamp_min"].to_pylist(), strict=True))
        created = np.minimum(created, [began.get(item, FOREVER) for item in ids])
    windows = json.loads((Path(features) / "windows.json").read_text(encoding="utf-8"))
    available = available_at(table, 0, windows["end"])
    return Catalogue(ids, transform(raw), created, available, until)


def column_tensor(values: list[Any], feature: Feature) -> tf.Tensor:
    """The raw values of a feature as the models take them: missing filled in, lists padded."""
    fill = FILL[feature.dtype]
    if feature.length:
        values = [[*row, *[fill] * (feature.length - len(row))] for row in values]
    else:
        values = [fill if value is None else value for value in values]
    return tf.constant(values, feature.dtype, shape=(len(values), feature.length) if feature.length else (len(values),))


@dataclass(frozen=True)
class Sequences:
    """The sequence rows of a features folder.

    Args:
        files: TFRecord files.
        spec: the feature specification.
        transforms: by entity.
        items: item ids, in the order of the catalogue.
    """

    files: tuple[str, ...]
    spec: FeatureSpec
    transforms: Mapping[str, Transform]
    items: tuple[str, ...]

    @classmethod
    def open(
        cls, features: str | Path, spec: FeatureSpec, transforms: Mapping[str, Transform], items: tuple[str, ...]
    ) -> Sequences:
        """The sequences of a features folder.

        Raises:
            SoukError: there are none.
        """
        files = tuple(str(path) for path in sorted((Path(features) / "sequences").glob("*.tfrecord")))
        if not files:
            raise SoukError("sequences/*.tfrecord in the features", str(features), "Run the step build_features again.")
        return cls(files, spec, transforms, items)

    @property
    def keeps_at_hand(self) -> bool:
        """Whether the rows say which targets were at hand."""
        return self.spec.repeat.pause_minutes > 0

    def batches(self, rows: int, start: int, end: int, seed: int | None = None) -> tf.data.Dataset:
        """Batches of the rows that have a target with `start` <= time < `end`, in file order or shuffled by `seed`.

        Shuffled rows meet others of about their length, so that padding costs little: `rows` of the longest, more of
        shorter ones.

        Each batch is a dict: `user`, `token` and `query` (dicts of transformed features, `[rows]`, `[rows, tokens]`,
        `[rows, targets]`), `visible`, `item` (index in the catalogue), `time` and `event_id` of each target, and
        `counts`: whether it is a target of the time asked for. Shuffled, for a fit, none counts that `repeat` keeps out
        of slates because it is `at_hand`: the towers would learn to bring it.
        """
        paused = seed is not None and self.keeps_at_hand
        asked = {name: tf.io.RaggedFeature(tf.int64) for name in ("target_time", *([AT_HAND] if paused else []))}

        def wanted(record: tf.Tensor) -> tf.Tensor:
            parsed = tf.io.parse_single_example(record, asked)
            inside = (parsed["target_time"] >= start) & (parsed["target_time"] < end)
            return tf.reduce_any(inside & (parsed[AT_HAND] == 0) if paused else inside)

        data = tf.data.TFRecordDataset(list(self.files)).filter(wanted)
        read = _Reader(self, start, end, paused)
        if seed is None:
            data = data.batch(rows)
        else:
            bounds, sizes = self._buckets(rows)
            data = data.shuffle(SHUFFLED_ROWS, seed=seed, reshuffle_each_iteration=False).group_by_window(
                lambda record: tf.cast(tf.searchsorted(bounds, _length(record)[tf.newaxis])[0], tf.int64),
                lambda bucket, some: some.batch(tf.gather(sizes, bucket)),
                window_size_func=lambda bucket: tf.gather(sizes, bucket),
            )
        return data.map(read, num_parallel_calls=2, deterministic=True).prefetch(2).with_options(UNTUNED)

    def steps(self, trained: Trained, rows: int) -> int:
        """The batches of `rows` that a pass over what a fit sees has."""
        bounds, sizes = self._buckets(rows)
        counts = np.bincount(np.searchsorted(bounds, trained.lengths), minlength=len(sizes))
        return int(np.ceil(counts / sizes).sum())

    def _buckets(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The longest rows of each bucket, and how many of them make a batch; the last bucket has no end."""
        longest = self.spec.history_length
        bounds = np.unique(np.maximum(1, longest // np.array([16, 8, 4, 2])))
        return bounds, rows * np.array([*(longest // bounds), 1], np.int64)

    def trained(self, end: int) -> Trained:
        """What a fit on the targets before `end` sees; one pass over the rows."""
        users: set[bytes] = set()
        tokens: set[bytes] = set()
        targets: Counter[bytes] = Counter()
        lengths_seen = [np.zeros(0, np.int64)]
        wanted = COUNTED | ({AT_HAND: tf.io.RaggedFeature(tf.int64)} if self.keeps_at_hand else {})
        for records in tf.data.TFRecordDataset(list(self.files)).batch(COUNTED_ROWS).with_options(UNTUNED):
            parsed = tf.io.parse_example(records, wanted)
            known = _flat(parsed["target_time"]) < end
            if self.keeps_at_hand:
                known &= _flat(parsed[AT_HAND]) == 0
            lengths = parsed["target_time"].row_lengths().numpy()
            owner = np.repeat(np.arange(len(lengths)), lengths)
            visible = np.zeros(len(lengths), np.int64)
            np.maximum.at(visible, owner[known], _flat(parsed["target_visible"])[known])
            inside = np.bincount(owner[known], minlength=len(lengths)) > 0
            users.update(_flat(parsed["user_id"])[inside])
            targets.update(_flat(parsed["target_item_id"])[known])
            lengths_seen.append(np.maximum(parsed["token_item_id"].row_lengths().numpy(), lengths)[inside])
            tokens.update(
                _flat(parsed["token_item_id"])[_first(parsed["token_item_id"].row_lengths().numpy(), visible)]
            )
        frequency = np.array([targets.get(item.encode(), 0) for item in self.items], np.int64)
        items = frozenset(item.decode() for item in tokens | targets.keys())
        return Trained(frozenset(user.decode() for user in users), items, frequency, np.concatenate(lengths_seen))


@dataclass(frozen=True)
class Trained:
    """What a fit sees.

    Args:
        users: ids of users with a target.
        items: ids of items that are a target or a visible token.
        frequency: targets by item, in the order of the catalogue.
        lengths: tokens of each training row, or targets where these are more, `[rows] int64`.
    """

    users: frozenset[str]
    items: frozenset[str]
    frequency: np.ndarray
    lengths: np.ndarray


def _length(record: tf.Tensor) -> tf.Tensor:
    """What a serialised row costs: its tokens, or its targets where these are more."""
    wanted = {"token_item_id": tf.io.RaggedFeature(tf.string), "target_time": tf.io.RaggedFeature(tf.int64)}
    parsed = tf.io.parse_single_example(record, wanted)
    return tf.maximum(*(tf.size(parsed[name], tf.int64) for name in wanted))


def _flat(values: tf.RaggedTensor) -> np.ndarray:
    """The values of all rows, one after the other."""
    flat: np.ndarray = values.flat_values.numpy()
    return flat


def _first(lengths: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of rows of `lengths`, one after the other, whether a value is among the first `counts` of its row."""
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return place < np.repeat(counts, lengths)


class _Reader:
    """Parses a batch of serialised rows and transforms it."""

    def __init__(self, sequences: Sequences, start: int, end: int, paused: bool) -> None:
        self.spec, self.transforms = sequences.spec, sequences.transforms
        self.start, self.end, self.paused = start, end, paused
        ids = tf.constant(sequences.items)
        init = tf.lookup.KeyValueTensorInitializer(ids, tf.range(len(sequences.items), dtype=tf.int64))
        self.index = tf.lookup.StaticHashTable(init, -1)

    def __call__(self, records: tf.Tensor) -> dict[str, Any]:
        apply, spec = self.transforms, self.spec
        user, token, query = (spec.of(entity) for entity in (Entity.USER, Entity.TOKEN, Entity.QUERY))
        wanted = {f.name: tf.dtypes.as_dtype(f.dtype) for f in (*user, *token, *query)}
        wanted |= {f"target_{name}": dtype for name, dtype in TARGETS.items()}
        wanted |= {AT_HAND: tf.int64} if self.paused else {}
        parsed = tf.io.parse_example(records, {name: tf.io.RaggedFeature(dtype) for name, dtype in wanted.items()})
        target = {name: parsed[f"target_{name}"].to_tensor() for name in TARGETS}
        present = tf.sequence_mask(parsed["target_time"].row_lengths(), tf.shape(target["time"])[1])
        counts = present & (target["time"] >= self.start) & (target["time"] < self.end)
        if self.paused:
            counts &= parsed[AT_HAND].to_tensor() == 0
        return {
            "user": apply["user"]({f.name: _dense(parsed[f.name], f, 1)[:, 0] for f in user}),
            "token": apply["token"]({f.name: _one_at_least(_dense(parsed[f.name], f, None), f) for f in token}),
            "query": apply["query"]({f.name: _dense(parsed[f.name], f, None) for f in query}),
            "visible": target["visible"],
            "item": self.index.lookup(target["item_id"]),
            "time": target["time"],
            "event_id": target["event_id"],
            "counts": counts,
        }


def _dense(values: tf.RaggedTensor, feature: Feature, length: int | None) -> tf.Tensor:
    """`[rows, length]`, or `[rows, length, entries]` for a list; a None length is the longest row's."""
    fill = tf.constant(FILL[feature.dtype], feature.dtype)
    if not feature.length:
        return values.to_tensor(fill, shape=[None, length])
    flat = values.to_tensor(fill, shape=[None, length * feature.length if length else None])
    return tf.reshape(flat, [tf.shape(flat)[0], -1, feature.length])


def _one_at_least(tokens: tf.Tensor, feature: Feature) -> tf.Tensor:
    """`[rows, length, ...]`, padded to a length of 1 where no row has a token: attention needs a place, and no query
    sees it."""
    lacking = tf.maximum(0, 1 - tf.shape(tokens)[1])
    fill = tf.constant(FILL[feature.dtype], feature.dtype)
    return tf.pad(tokens, [[0, 0], [0, lacking], *[[0, 0]] * bool(feature.length)], constant_values=fill)
