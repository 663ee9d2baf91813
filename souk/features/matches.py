"""Which features of the user or the visit speak of the same thing as one of the item, where the config leaves it to the
data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.declared import item_features, user_features
from souk.features.labels import engaging_rows
from souk.items import SHARED_ROLES
from souk.schema import ID_COLUMN, Kind
from souk.sources.rows import SparseRows
from souk.spec import Entity, Feature, FeatureSpec
from souk.state_rows import profile_of
from souk.values import clean

LIFT = 1.2  # times chance that the two agree, at least, or by which chance fails them more often,
MORE = 0.05  # if that is so much more of what is taken;
CERTAINTY = 4.0  # standard errors above chance,
USERS = 30  # over so many users,
WORDS = 0.75  # and above it at such a share of what is taken by words
WORD_EVENTS = 30  # that are said so often
COPY = 0.95  # share from which on a visit's feature is likely the item's own, which no request has
OTHERS = (1, 3, 17, 101)  # events further on, where others say what there was to take
BATCH, MOST = 65_536, 1_000_000  # events at once, and at most

Context = Mapping[str, tuple[list[Any], np.ndarray]]  # by column its distinct values, and the place of each event's


class Match(NamedTuple):
    """Two features that agree in what users take: in which share of it, and in which share by chance."""

    own: str
    theirs: str
    share: float
    chance: float

    @property
    def copied(self) -> bool:
        """Whether the visit's feature says nearly always what the item says: the log has it from the item."""
        return self.own.startswith("context_") and self.share >= COPY

    def __str__(self) -> str:
        said = f"{self.own} and {self.theirs} agree in {self.share:.0%} of what a user takes, by chance in "
        said += f"{self.chance:.0%}"
        if self.copied:
            said += (
                ": left out, since the log likely has it from the item. Then take it out of columns.events, too; if "
            )
            said += "requests do carry it, name it in build_features.matches"
        return said


def find_matches(tables: str | Path, spec: FeatureSpec, before: int) -> list[Match]:
    """The pairs of features that agree in what users take more often than by chance.

    Chance is what other users took at about the same time: what there was to take, and what was popular. So names of
    columns say nothing, nor does it that both know the same words: yes and no, or small numbers.

    Args:
        tables: output of ingest.
        spec: the feature specification.
        before: UTC epoch milliseconds, the start of validation: later events may not choose.
    """
    own = [f for f in (*spec.of(Entity.USER), *spec.context) if f.role in SHARED_ROLES]
    theirs = [f for f in spec.of(Entity.ITEM) if f.role in SHARED_ROLES]
    if not own or not theirs:
        return []
    folder, words = Path(tables), _words_alone(spec)
    items, users = (_read(folder, name, words) for name in ("items", "users"))
    profile = partial(_profile, spec=words)
    told = {f.name: [user[f.name] for user in map(profile, users[1])] for f in own if f.entity is Entity.USER}
    goods = [item_features(row, words) for row in items[1]]
    pairs = [
        _Agreement(mine, f.name, known, told.get(mine.name), len(users[0]))
        for f in theirs
        for known in [_Known.of([row[f.name] for row in goods])]
        for mine in own
    ]
    for user, item, context in _taken(folder / "events.parquet", words, before, users[0], items[0]):
        others = [(np.arange(len(user)) + further) % len(user) for further in OTHERS]
        for pair in pairs:
            pair.add(user, item, others, context)
    return [match for pair in pairs if (match := pair.found())]


def _words_alone(spec: FeatureSpec) -> FeatureSpec:
    """The specification without columns that have no words: vectors and texts of a large table are long."""
    kinds = (Kind.CATEGORICAL, Kind.PATH, Kind.LIST)
    kept = {
        table: {name: kind for name, kind in getattr(spec.columns, table).items() if kind in kinds}
        for table in ("users", "items", "events")
    }
    return replace(spec, columns=spec.columns.model_copy(update=kept))


def _read(folder: Path, table: str, spec: FeatureSpec) -> tuple[pa.Array, list[dict[str, Any]]]:
    """The ids of a table, and its rows without other columns than these and those of the spec."""
    path, key = folder / f"{table}.parquet", ID_COLUMN[table]
    present = set(pq.read_schema(path).names)
    rows = pq.read_table(path, columns=[key, *(name for name in getattr(spec.columns, table) if name in present)])
    return rows[key].combine_chunks(), rows.to_pylist()


def _profile(row: Mapping[str, Any], spec: FeatureSpec) -> dict[str, Any]:
    return user_features(row["user_id"], profile_of(row, spec), spec)


def _taken(
    path: Path, spec: FeatureSpec, before: int, users: pa.Array, items: pa.Array
) -> Iterator[tuple[np.ndarray, np.ndarray, Context]]:
    """What was taken before a time, in order and in batches: places of users and items, `[events]`, and the context.

    Of more than MOST events every other batch, or fewer.
    """
    file = pq.ParquetFile(path)
    context = [name for name in spec.columns.events if name in file.schema_arrow.names]
    asked = [n for n in ("event_type", "value", "dwell_seconds") if n in file.schema_arrow.names]
    columns, every = ["user_id", "item_id", "timestamp", *asked, *context], -(-file.metadata.num_rows // MOST)
    for number, batch in enumerate(file.iter_batches(BATCH, columns=columns)):
        if number % every:
            continue
        early = pa.Table.from_batches([batch]).filter(pc.less(batch["timestamp"], before))
        rows = early.filter(pa.array(engaging_rows(early, spec.objectives.engaged), pa.bool_()))
        places = [pc.index_in(rows[f"{of}_id"], ids).fill_null(-1) for of, ids in (("user", users), ("item", items))]
        user, item = (np.asarray(place, np.int64) for place in places)
        both = (user >= 0) & (item >= 0)
        said = {name: _distinct(rows[name].filter(pa.array(both)).combine_chunks()) for name in context}
        if both.any():
            yield user[both], item[both], said


class _Known(NamedTuple):
    """What an item feature says: its words' numbers, and those of each item."""

    numbers: dict[str, int]
    rows: SparseRows

    @classmethod
    def of(cls, values: Sequence[Any]) -> _Known:
        numbers: dict[str, int] = {}
        return cls(numbers, _rows([[numbers.setdefault(word, len(numbers)) for word in _words(v)] for v in values]))


class _Agreement:
    """How often a feature of the user or the visit says what one of the item says, and what one of others' items says.

    Args:
        own: the feature.
        theirs: the item's.
        known: what that says.
        profiles: what the feature says of each user; None for one of the visit.
        users: how many there are.
    """

    def __init__(self, own: Feature, theirs: str, known: _Known, profiles: Sequence[Any] | None, users: int) -> None:
        self._own, self._theirs, self._known = own, theirs, known
        self._users = None if profiles is None else self._coded(profiles)
        self._by_user = np.zeros((3, users if self._users is None or len(self._users.items) else 0))
        self._by_word = np.zeros((3, len(known.numbers)))

    def add(self, user: np.ndarray, item: np.ndarray, others: Sequence[np.ndarray], context: Context) -> None:
        """Counts a batch: places of users and items, `[events]`, which events are `others`, and the context."""
        if self._users is None:
            said, which = context.get(self._own.source, ([None], np.zeros(len(user), np.int64)))
            rows = self._coded(clean(value, self._own.dtype, self._own.length) for value in said)
        else:
            rows, which = self._users, user
        event, word, _ = rows.gather(which)
        if not len(word):
            return
        keys = np.unique(event * len(self._known.numbers) + word)
        compared = sum((user[other] != user).astype(np.float64) for other in others)
        told = (np.bincount(event, minlength=len(user)) > 0) & (compared > 0)
        self._count(0, np.ones(len(user)), told, user, (event, word))
        self._count(1, np.ones(len(user)), told, user, self._agree(keys, item))
        for other in others:
            weight = (user[other] != user) / np.maximum(1, compared)
            self._count(2, weight, told, user, self._agree(keys, item[other]))

    def found(self) -> Match | None:
        """The match, if the two agree more often than by chance."""
        events, agreed, chance = self._by_user
        told = events > 0
        if told.sum() < USERS:
            return None
        more = (agreed - chance)[told] / events[told]
        share, by_chance = ((values[told] / events[told]).mean() for values in (agreed, chance))
        certain = more.mean() > CERTAINTY * more.std() / np.sqrt(len(more))
        often = self._by_word[:, self._by_word[0] >= WORD_EVENTS]
        wide = not often.size or often[0, often[1] > often[2]].sum() >= WORDS * often[0].sum()
        much = share >= LIFT * by_chance or 1 - by_chance >= max(LIFT * (1 - share), 1 - share + MORE)
        return (
            Match(self._own.name, self._theirs, float(share), float(by_chance)) if certain and wide and much else None
        )

    def _agree(self, keys: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of events with these items, which have a word of `keys`, and which word."""
        event, word, _ = self._known.rows.gather(item)
        hit = np.isin(event * len(self._known.numbers) + word, keys)
        return event[hit], word[hit]

    def _count(
        self, row: int, weight: np.ndarray, told: np.ndarray, user: np.ndarray, found: tuple[np.ndarray, np.ndarray]
    ) -> None:
        """Adds events that are `told` by their users and by their words."""
        event, word = found
        counted = np.zeros(len(user), bool)
        counted[event] = True
        counted &= told
        users, words = self._by_user.shape[1], self._by_word.shape[1]
        self._by_user[row] += np.bincount(user[counted], weight[counted], users)
        kept = told[event]
        self._by_word[row] += np.bincount(word[kept], weight[event[kept]], words)

    def _coded(self, values: Iterable[Any]) -> SparseRows:
        known = self._known.numbers
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
