"""Which features of the user or the visit speak of the same thing as one of the item, where the config leaves it to the
data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.declared import item_features, user_features
from souk.items import SHARED_ROLES
from souk.sources.rows import SparseRows, weights_of
from souk.spec import Entity, Feature, FeatureSpec
from souk.state_rows import profile_of
from souk.values import clean

LIFT = 1.2  # times chance that the two agree, at least,
CERTAINTY = 4.0  # standard errors above it,
USERS = 30  # over so many users
COPY = 0.98  # share of what is taken from which on a visit's feature is likely the item's own, and no request has it


Context = dict[str, tuple[list[Any], np.ndarray]]


class Match(NamedTuple):
    """Two features that agree in what users take: in which share of it, and in which share by chance."""

    own: str
    theirs: str
    share: float
    chance: float

    def __str__(self) -> str:
        said = f"{self.own} and {self.theirs} agree in {self.share:.0%} of what users take, by chance in "
        said += f"{self.chance:.0%}"
        if self.own.startswith("context_") and self.share >= COPY:
            said += "; if it is known only once an item was chosen, leave it out of columns.events"
        return said


def find_matches(tables: str | Path, spec: FeatureSpec, before: int) -> list[Match]:
    """The pairs of features that agree in what users take more often than by chance.

    By chance, a user takes what has some value as often as all users do. So names of columns say nothing, nor does it
    that both know the same words: yes and no, or small numbers.

    Args:
        tables: output of ingest.
        spec: the feature specification.
        before: UTC epoch milliseconds, the start of validation: later events may not choose.
    """
    own = [f for f in (*spec.of(Entity.USER), *spec.context) if f.role in SHARED_ROLES]
    theirs = [f for f in spec.of(Entity.ITEM) if f.role in SHARED_ROLES]
    if not own or not theirs:
        return []
    folder = Path(tables)
    items, users = (pq.read_table(folder / f"{name}.parquet") for name in ("items", "users"))
    taken = _Taken(folder / "events.parquet", spec, before, users["user_id"], items["item_id"])
    counts = sum((np.bincount(item, minlength=len(items)) for _, item, _ in taken.batches()), np.zeros(len(items)))
    rows = [item_features(row, spec) for row in items.to_pylist()]
    profiles = [user_features(row["user_id"], profile_of(row, spec), spec) for row in users.to_pylist()]
    found = []
    for feature in theirs:
        known = _Known.of([row[feature.name] for row in rows], counts)
        agreed = {f.name: _Agreement(f, known, profiles) for f in own}
        for user, item, context in taken.batches():
            for pair in agreed.values():
                pair.add(user, item, context)
        found += [match for pair in agreed.values() if (match := pair.found(feature.name))]
    return found


class _Taken:
    """The events of users before a time, in batches: places of users and items, `[events]` int64, and the context:
    by column its distinct values, and the place of each event's among them."""

    def __init__(self, path: Path, spec: FeatureSpec, before: int, users: pa.Array, items: pa.Array) -> None:
        self._file, self._before, self._kinds = path, before, pa.array([str(kind) for kind in spec.history_events])
        present = pq.read_schema(path).names
        self._context = [f.source for f in spec.context if f.role in SHARED_ROLES and f.source in present]
        self._ids = [("user_id", users.combine_chunks()), ("item_id", items.combine_chunks())]

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, Context]]:
        columns = ["user_id", "item_id", "event_type", "timestamp", *self._context]
        for batch in pq.ParquetFile(self._file).iter_batches(columns=columns):
            wanted = pc.and_(pc.less(batch["timestamp"], self._before), pc.is_in(batch["event_type"], self._kinds))
            rows = batch.filter(wanted)
            user, item = (pc.index_in(rows[name], ids).fill_null(-1).to_numpy() for name, ids in self._ids)
            both = (user >= 0) & (item >= 0)
            context = {name: _distinct(rows[name].filter(pa.array(both))) for name in self._context}
            yield user[both].astype(np.int64), item[both].astype(np.int64), context


class _Known(NamedTuple):
    """What an item feature says: its words' numbers, those of each item, and the share of events with each."""

    numbers: dict[str, int]
    rows: SparseRows
    chance: np.ndarray

    @classmethod
    def of(cls, values: Sequence[Any], counts: np.ndarray) -> _Known:
        numbers: dict[str, int] = {}
        coded = [[numbers.setdefault(word, len(numbers)) for word in _words(value)] for value in values]
        rows = _rows(coded)
        owner, codes, _ = rows.gather(np.arange(len(values)))
        return cls(numbers, rows, np.bincount(codes, counts[owner], len(numbers)) / max(1.0, counts.sum()))


class _Agreement:
    """How often a feature of the user or the visit says what one of the item says, by user."""

    def __init__(self, own: Feature, theirs: _Known, profiles: Sequence[dict[str, Any]]) -> None:
        self._own, self._theirs = own, theirs
        self._users = None if own.entity is Entity.QUERY else self._coded(row[own.name] for row in profiles)
        self._events, self._agreed, self._chance = np.zeros((3, len(profiles)))

    def add(self, user: np.ndarray, item: np.ndarray, context: Context) -> None:
        """Counts events: places of users and items, `[events]`, and the columns of the context."""
        if self._users is None:
            said, which = context.get(self._own.source, ([None], np.zeros(len(user), np.int64)))
            rows = self._coded(clean(value, self._own.dtype, self._own.length) for value in said)
        else:
            rows, which = self._users, user
        event, code, _ = rows.gather(which)
        if not len(code):
            return
        size, users = len(self._theirs.numbers), len(self._events)
        keys = np.unique(event * size + code)
        of, value, _ = self._theirs.rows.gather(item)
        self._agreed += np.bincount(user[of], weights_of(keys, np.ones(len(keys)), of * size + value), users)
        self._chance += np.bincount(user[event], self._theirs.chance[code], users)
        self._events += np.bincount(user, minlength=users)

    def found(self, theirs: str) -> Match | None:
        """The match, if the two agree more often than by chance."""
        told = self._chance > 0
        if told.sum() < USERS:
            return None
        agreed, chance = self._agreed[told], self._chance[told]
        more = (agreed - chance) / self._events[told]
        error = more.std() / np.sqrt(len(more))
        if agreed.sum() < LIFT * chance.sum() or more.mean() <= CERTAINTY * error:
            return None
        events = self._events[told].sum()
        return Match(self._own.name, theirs, float(agreed.sum() / events), float(chance.sum() / events))

    def _coded(self, values: Iterable[Any]) -> SparseRows:
        known = self._theirs.numbers
        return _rows([[known[word] for word in _words(value) if word in known] for value in values])


def _distinct(values: pa.Array) -> tuple[list[Any], np.ndarray]:
    if pa.types.is_nested(values.type):
        return values.to_pylist(), np.arange(len(values))
    coded = values.dictionary_encode(null_encoding="encode")
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _words(value: Any) -> list[str]:
    return [word for word in dict.fromkeys([value] if isinstance(value, str) else value) if word]


def _rows(coded: Sequence[Sequence[int]]) -> SparseRows:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in coded])]).astype(np.int64)
    codes = np.array([code for row in coded for code in row], np.int32)
    return SparseRows(indptr, codes, np.ones(len(codes), np.float32))
