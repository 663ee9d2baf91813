"""The peer: neighbours by content (TF-IDF, Salton and Buckley 1988), with what a good engineer would tune of it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from souk.schema import Kind
from souk.spec import FeatureSpec
from souk.values import entries

LISTS = (Kind.LIST, Kind.PATH, Kind.TEXT)


@dataclass(frozen=True)
class Settings:
    """What is tuned on the validation window.

    Args:
        decay: a history item that lies n items behind the last weighs (1 + n)^-decay.
        longest: of the history, at most so many items.
        power: of the cosine: above 1 the nearest neighbours of single items count more than the mean of the profile.
        idf: whether rare words weigh more.
    """

    decay: float
    longest: int
    power: float
    idf: bool

    @classmethod
    def grid(cls) -> Iterator[Settings]:
        """All that are tried."""
        choices = (0.0, 0.5, 1.0), (5, 20, 200), (1.0, 3.0), (True, False)
        return (cls(*each) for each in itertools.product(*choices))


def words(row: Mapping[str, object], spec: FeatureSpec) -> list[str]:
    """The words of an item: title words, list entries, path prefixes, categories and tens of numbers, by column."""
    found = []
    for name, kind in spec.columns.items.items():
        value = row.get(name)
        if kind in LISTS:
            found += [f"{name}={word}" for word in entries(value, kind)]
        elif kind is Kind.NUMERIC and isinstance(value, float | int) and math.isfinite(value):
            found.append(f"{name}={value // 10 * 10:.0f}")
        elif kind is Kind.CATEGORICAL and value:
            found.append(f"{name}={value}")
    return found


def tf_idf(documents: Sequence[Sequence[str]], known: int, idf: bool) -> np.ndarray:
    """Unit rows `[documents, words]` float32: log(1 + count) · log((1 + N) / (1 + documents with the word)) + 1.

    Args:
        documents: the words of each.
        known: the statistics are of the first so many.
        idf: whether words are weighted by how rare they are.
    """
    places: dict[str, int] = {}
    for document in documents:
        for word in document:
            places.setdefault(word, len(places))
    table = np.zeros((len(documents), max(1, len(places))), np.float32)
    for row, document in enumerate(documents):
        for word, count in Counter(document).items():
            table[row, places[word]] = math.log1p(count)
    if idf:
        table *= np.log((1 + known) / (1 + (table[:known] > 0).sum(axis=0))) + 1
    return table / np.maximum(1e-9, np.linalg.norm(table, axis=1, keepdims=True))


class ContentKnn:
    """Scores items by the cosines of their content with that of a user's history.

    Args:
        documents: the words of each item, known items first.
        known: how many these are.
    """

    def __init__(self, documents: Sequence[Sequence[str]], known: int) -> None:
        tables = {idf: tf_idf(documents, known, idf) for idf in (True, False)}
        self._cosines = {idf: table @ table.T for idf, table in tables.items()}

    def scores(self, histories: Iterable[np.ndarray], settings: Settings) -> Iterator[np.ndarray]:
        """`[items]` for each history, positions oldest first."""
        near = self._cosines[settings.idf] ** settings.power
        for history in histories:
            recent = history[-settings.longest :][::-1]
            yield (1.0 + np.arange(len(recent), dtype=np.float32)) ** -settings.decay @ near[recent]
