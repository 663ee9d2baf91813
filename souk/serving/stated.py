"""What a request states of itself: values of declared columns, of the visit (`context`) or of the user (`profile`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from souk.ingest.checks import LARGEST
from souk.ingest.outliers import Limits
from souk.schema import Kind
from souk.serving.fields import Names, is_text, known_keys
from souk.spec import LIST_LENGTH, Entity, FeatureSpec
from souk.values import clean, entries

MALFORMED, UNKNOWN_VALUE = "malformed_feature:", "unknown_value:"  # with the column, in `degraded`
LONGEST = 4096  # characters of a text
Bounds = Mapping[str, Sequence[Any]]
NOTHING: Bounds = MappingProxyType({})
ENTITIES = {"events": Entity.QUERY, "users": Entity.USER}


class Stated:
    """Checks values of the declared columns of one table.

    Args:
        kinds: the columns.
        widths: of the vectors among them.
        words: the values that the models know, of columns that have such.
        bounds: by column `[low, high, action]`, of `souk.ingest.outliers.Limits`.
        names: columns that the config maps, with the files' names of these.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        widths: Mapping[str, int],
        words: Mapping[str, Collection[str]],
        bounds: Bounds = NOTHING,
        names: Names = NOTHING,
    ) -> None:
        self._kinds, self._widths, self._words, self._limits = kinds, widths, words, Limits(bounds)
        self._names = names

    @classmethod
    def of(
        cls,
        table: str,
        spec: FeatureSpec,
        words: Mapping[str, Collection[str]],
        bounds: Bounds = NOTHING,
        names: Names = NOTHING,
    ) -> Stated:
        """The columns of a table that a specification declares; `words` by feature."""
        known = {f.source: words[f.name] for f in spec.features if f.entity is ENTITIES[table] and f.name in words}
        return cls(getattr(spec.columns, table), spec.columns.widths_of(table), known, bounds, names)

    @property
    def names(self) -> Collection[str]:
        """The columns."""
        return self._kinds.keys()

    def parse(self, path: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The well-formed values at `path` of a body, clipped as those of training, and reasons of `degraded`: of the
        others, and of numbers that training refuses, `malformed_feature:<column>`, of values that the models never saw
        `unknown_value:<column>`. None is left out.

        Raises:
            SoukError: a column is not declared.
        """
        known_keys(path, values, self._kinds, names=self._names)
        present = {name: value for name, value in values.items() if value is not None}
        good = {name: value for name, value in present.items() if self._fits(name, value)}
        malformed = [f"{MALFORMED}{name}" for name in present if name not in good]
        return self._limits.clipped(good), malformed + self.unknown(good)

    def unknown(self, good: Mapping[str, Any]) -> list[str]:
        """Of well-formed values the reasons `unknown_value:<column>`."""
        return [f"{UNKNOWN_VALUE}{name}" for name in self._words if self._is_new(name, good.get(name))]

    def _is_new(self, name: str, value: Any) -> bool:
        kind = self._kinds[name]
        if not value:
            return False
        words = (
            [clean(value, "string")] if kind is Kind.CATEGORICAL else clean(entries(value, kind), "string", LIST_LENGTH)
        )
        return any(word and word not in self._words[name] for word in words)

    def _fits(self, name: str, value: Any) -> bool:
        kind = self._kinds[name]
        if kind is Kind.NUMERIC:
            return _is_number(value) and not self._limits.refuses(name, value)
        if kind is Kind.LIST:
            return isinstance(value, list) and all(map(_is_word, value))
        if kind is Kind.VECTOR:
            return isinstance(value, list) and len(value) == self._widths[name] and all(map(_is_number, value))
        return _is_word(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and is_text(value)
