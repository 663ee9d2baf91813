"""What a request asks of its items beyond that they are available: conditions on their declared columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from souk.errors import SoukError, unknown
from souk.schema import Kind
from souk.serving.fields import Names, instead_of, own_name
from souk.spec import Entity, Feature, FeatureSpec, Role
from souk.values import cell_text, quoted

CACHED_BYTES = 32_000_000  # of masks, one byte an item
MAX_VALUES = 100  # of one column
NAMED = 50  # words of a filter whose mask is kept: its key holds them, and longer ones are seldom asked again
MIN, MAX = "min", "max"


@dataclass(frozen=True)
class Condition:
    """What one column has to hold: one of `words`, or a number from `low` to `high`."""

    column: str
    words: frozenset[str] = frozenset()
    low: float = -np.inf
    high: float = np.inf


Filter = tuple[Condition, ...]  # all of which hold; in the order of their columns, so that equal filters are equal


def filterable(spec: FeatureSpec) -> dict[str, Feature]:
    """The columns that a filter may name: categorical, path, list and numeric ones of items."""
    return {f.source: f for f in spec.of(Entity.ITEM) if f.role in (Role.CATEGORY, Role.BAG, Role.NUMBER)}


def _unread(spec: FeatureSpec) -> dict[str, str]:
    """The columns of items that no filter may name, and what they are."""
    declared = {name: str(kind) for name, kind in spec.columns.items.items() if kind in (Kind.TEXT, Kind.VECTOR)}
    return {"title": "text", "created_at": "time", "available_until": "time"} | declared


def _paths(spec: FeatureSpec) -> frozenset[str]:
    return frozenset(name for name, kind in spec.columns.items.items() if kind is Kind.PATH)


class FilterParser:
    """Turns JSON values into filters.

    Args:
        spec: the release's feature specification.
        text, number: check one value at its path in the body, and say what is wrong with it.
        names: columns of items that the config maps, with the files' names of these.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        text: Callable[[str, Any], str],
        number: Callable[[str, Any], float],
        names: Names = MappingProxyType({}),
    ) -> None:
        self._columns, self._unread, self._names = filterable(spec), _unread(spec), names
        self._paths = _paths(spec)
        self._text, self._number = text, number

    def parse(self, path: str, value: Any) -> Filter:
        """Checks a filter.

        Raises:
            SoukError: a column that may not be named, a value of the wrong type, or a range with its ends exchanged.
        """
        if not isinstance(value, dict):
            raise SoukError(f"{path} to be an object with columns", repr(value)[:80], "See docs/serving.md.")
        for name in value:
            if name not in self._columns:
                raise self._unknown(path, str(name))
        return tuple(self._condition(path, str(name), value[name]) for name in sorted(value) if value[name] is not None)

    def _unknown(self, path: str, name: str) -> SoukError:
        own = own_name(name, self._names)
        remedy = f"{own} is a {self._unread[own]}, which no filter reads." if own in self._unread else ""
        remedy = instead_of(name, own) if own in self._columns else remedy
        return unknown(f"{path}: a column of items to filter by", name[:80], self._columns, remedy)

    def _condition(self, path: str, name: str, value: Any) -> Condition:
        place = f"{path}.{name}"
        if self._columns[name].role is Role.NUMBER:
            return self._range(name, place, value)
        if isinstance(value, dict):
            remedy = 'A range is for a numeric column; of this one name each value that will do, as ["4", "5"].'
            raise SoukError(f"{place} to be a text, or a list of texts", quoted(value), remedy)
        values = value if isinstance(value, list) else [value]
        if not 0 < len(values) <= MAX_VALUES:
            raise SoukError(f"{place} to be a text, or a list of 1 to {MAX_VALUES}", f"{len(values)} entries")
        spelled = [cell_text(each) if isinstance(each, bool) else each for each in values]  # as the items' cells are
        words = [self._text(f"{place}[{n}]" if isinstance(value, list) else place, w) for n, w in enumerate(spelled)]
        return Condition(name, frozenset(map(_prefix, words) if name in self._paths else words))

    def _range(self, name: str, place: str, value: Any) -> Condition:
        if not isinstance(value, dict):
            example = 'For example {"min": 10, "max": 60}.'
            raise SoukError(f"{place} to be an object with min or max, or both", repr(value)[:80], example)
        for key in value:
            if key not in (MIN, MAX):
                raise unknown(f"{place}: a field", str(key)[:80], (MIN, MAX))
        ends = {key: self._number(f"{place}.{key}", end) for key, end in value.items() if end is not None}
        if any(math.isnan(end) for end in ends.values()):
            raise SoukError(f"{place}: numbers", "NaN", "Leave an end out that is open.")
        low, high = ends.get(MIN, -math.inf), ends.get(MAX, math.inf)
        if low > high:
            met = "Exchange the two, or leave an end out that is open; for one number, give it as both."
            raise SoukError(f"{place}: a min that is not above its max", f"min {value[MIN]}, max {value[MAX]}", met)
        return Condition(name, low=low, high=high)


def nobody(size: int) -> np.ndarray:
    """`[size]` bool, read-only, all false."""
    mask = np.zeros(size, bool)
    mask.flags.writeable = False
    return mask


def _prefix(path: str) -> str:
    """A path as its item has it (souk.state.entries)."""
    return "/".join(part.strip() for part in path.split("/") if part.strip())


@dataclass(frozen=True)
class _Words:
    """A column of words: entry n says that the item `rows[n]` has the word `codes[n]`, by `names`."""

    names: Mapping[str, int]
    rows: np.ndarray
    codes: np.ndarray

    def of(self, words: frozenset[str], size: int) -> np.ndarray:
        wanted, mask = np.zeros(len(self.names), bool), np.zeros(size, bool)
        wanted[[self.names[word] for word in words if word in self.names]] = True
        mask[self.rows[wanted[self.codes]]] = True
        return mask

    def with_items(self, where: Sequence[int], values: Sequence[Any], size: int) -> _Words:
        names, rows, codes = dict(self.names), list[int](), list[int]()
        for row, value in zip(where, values, strict=True):
            for word in value if isinstance(value, list) else [value]:
                if word:
                    rows.append(row)
                    codes.append(names.setdefault(str(word), len(names)))
        replaced = np.zeros(size, bool)
        replaced[list(where)] = True
        kept = ~replaced[self.rows]
        if np.array_equal(self.rows[~kept], rows) and np.array_equal(self.codes[~kept], codes):
            return self  # they have the words that they had
        return _Words(
            names,
            np.concatenate([self.rows[kept], np.array(rows, np.int32)]),
            np.concatenate([self.codes[kept], np.array(codes, np.int32)]),
        )


class Filters:
    """The columns of a catalogue that filters speak of. It stays as it is; the masks of the last filters are kept.

    Args:
        size: how many items there are.
        features: by column.
        numbers: `[items]` float32 by column, NaN where an item has none.
        words: by column.
        paths: the columns whose words are paths.
    """

    def __init__(
        self,
        size: int,
        features: Mapping[str, Feature],
        numbers: Mapping[str, np.ndarray],
        words: Mapping[str, _Words],
        paths: frozenset[str],
    ) -> None:
        self._size, self._features, self._numbers, self._words = size, features, numbers, words
        self._paths = paths
        self._made = partial(_evaluated, size, numbers, words)  # no method: a cycle would keep old arrays for long
        self._mask = lru_cache(min(256, max(4, CACHED_BYTES // max(1, size))))(self._made)

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any]], size: int, spec: FeatureSpec) -> Filters:
        """From columns of the item table, by the names of their features."""
        empty = cls(0, filterable(spec), {}, {}, _paths(spec))
        return empty._with(columns, range(size), size)

    def with_items(self, rows: Sequence[Mapping[str, Any]], where: Sequence[int], size: int) -> Filters:
        """With rows of the item table at the positions `where`, of `size` items in all."""
        columns = {f.name: [row[f.name] for row in rows] for f in self._features.values()}
        return self._with(columns, where, size)

    @property
    def numbers(self) -> Mapping[str, np.ndarray]:
        """By numeric column, `[items]` float32, read only; NaN where an item has none."""
        return self._numbers

    def having(self, column: str, word: str) -> np.ndarray:
        """`[items]` bool, read-only: which items have a word of a categorical, path or list column; none has any of
        another column."""
        if column not in self._words:
            return nobody(self._size)
        return self._mask((Condition(column, frozenset([_prefix(word) if column in self._paths else word])),))

    def places(self, column: str, word: str) -> np.ndarray:
        """`[n]` int32: the items that have a word of a categorical or list column; none where there is no such column.

        It is no mask that would be kept, since as many words are asked for as there are users.
        """
        words = self._words.get(column)
        code = words.names.get(word) if words else None
        return words.rows[words.codes == code] if words and code is not None else np.zeros(0, np.int32)

    def mask(self, wanted: Filter) -> np.ndarray | None:
        """`[items]` bool, read-only: what all conditions hold of; None where there are none."""
        if sum(len(condition.words) for condition in wanted) > NAMED:
            return self._made(wanted)
        return self._mask(wanted) if wanted else None

    def _with(self, columns: Mapping[str, Sequence[Any]], where: Sequence[int], size: int) -> Filters:
        nothing = _Words({}, np.zeros(0, np.int32), np.zeros(0, np.int32))
        numbers, words = {}, {}
        for name, feature in self._features.items():
            if feature.role is Role.NUMBER:
                numbers[name] = self._numbers_with(name, where, columns[feature.name], size)
            else:
                words[name] = self._words.get(name, nothing).with_items(where, columns[feature.name], size)
        changed = [
            now is not before.get(n)
            for own, before in ((numbers, self._numbers), (words, self._words))
            for n, now in own.items()
        ]
        if size == self._size and not any(changed):
            return self
        return Filters(size, self._features, numbers, words, self._paths)

    def _numbers_with(self, name: str, where: Sequence[int], values: Sequence[Any], size: int) -> np.ndarray:
        old, places = self._numbers.get(name), list(where)
        new = np.array([np.nan if value is None else value for value in values], np.float32)
        if old is not None and size == len(old) and np.array_equal(old[places], new, equal_nan=True):
            return old
        numbers = np.full(size, np.nan, np.float32)
        numbers[: self._size] = () if old is None else old
        numbers[places] = new
        return numbers


def _evaluated(size: int, numbers: Mapping[str, np.ndarray], words: Mapping[str, _Words], wanted: Filter) -> np.ndarray:
    """`[items]` bool, read-only: what all conditions hold of."""
    mask = np.ones(size, bool)
    for condition in wanted:
        if condition.column in numbers:
            values = numbers[condition.column]
            mask &= (values >= np.float32(condition.low)) & (values <= np.float32(condition.high))
        else:
            mask &= words[condition.column].of(condition.words, size)
    mask.flags.writeable = False
    return mask
