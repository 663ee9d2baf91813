"""The columns that are tested, and how the raw features of one request fill them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from souk.errors import unknown
from souk.monitored import monitored_features, score_columns
from souk.spec import QUERY_FEATURES, FeatureSpec, Role

LARGEST = 1e18  # a server refuses numbers beyond it, whose squares float32 does not hold
Cell = str | float | None  # None is a missing value


@dataclass(frozen=True)
class Column:
    """One column of a window.

    Args:
        name: in reports and metrics.
        feature: the raw feature or score that it is read from.
        numeric: numbers, compared by their distribution; else categories, compared by their shares.
        part: of a list feature its `length` or its `first` entry; "" for a scalar.
    """

    name: str
    feature: str
    numeric: bool
    part: Literal["", "length", "first"] = ""

    def cell(self, value: Any) -> Cell:
        """The value of one request.

        Args:
            value: of the feature, as in an impression record.

        Raises:
            ValueError: it is of another type than the feature.
        """
        if self.part:
            if value is not None and not isinstance(value, list | tuple):
                raise ValueError(f"{self.feature} is no list")
            if self.part == "length":
                return float(len(value or ()))
            value = value[0] if value else None
        if value is None or value == "":
            return None
        return self._number(value) if self.numeric else self._category(value)

    def _number(self, value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= LARGEST:
            raise ValueError(f"{self.feature} is no number")
        return None if math.isnan(value) else float(value)

    def _category(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"{self.feature} is no category")
        return str(value)


def columns_of(spec: FeatureSpec, excluded: Collection[str] = ()) -> tuple[Column, ...]:
    """The columns of a release.

    Numbers and counts are numeric; categories and whole numbers of few values (hour, weekday) are categorical; a list
    gives its length and its first entry, a text its length; vectors are left out: no test of one column fits them.

    Args:
        spec: its specification.
        excluded: names of features that are not to be tested; of Souk's own, this release may lack some.

    Raises:
        SoukError: an excluded feature does not exist.
    """
    columns: list[Column] = []
    for feature in monitored_features(spec):
        name = feature.name
        if feature.length and feature.role is not Role.VECTOR:
            columns.append(Column(f"{name}.length", name, numeric=True, part="length"))
        if feature.role is Role.BAG:
            columns.append(Column(f"{name}.first", name, numeric=False, part="first"))
        if not feature.length:
            columns.append(Column(name, name, numeric=feature.dtype == "float32"))
    columns += [Column(name, name, numeric=True) for name in score_columns(spec)]
    known = {column.feature for column in columns}
    for name in {*excluded}.difference(feature.name for feature in QUERY_FEATURES):
        if name not in known:
            raise unknown("a feature to exclude", name, known)
    return tuple(column for column in columns if column.feature not in excluded)


def fill(columns: Collection[Column], features: Mapping[str, Any]) -> tuple[dict[str, Cell], int]:
    """The cells of the columns whose feature is given, and how many were malformed and count as missing."""
    cells: dict[str, Cell] = {}
    malformed = 0
    for column in columns:
        if column.feature in features:
            try:
                cells[column.name] = column.cell(features[column.feature])
            except ValueError:
                cells[column.name] = None
                malformed += 1
    return cells, malformed
