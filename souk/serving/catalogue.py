"""The items of a release: ids, titles, availability and raw features, by position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from souk.spec import Entity, FeatureSpec
from souk.state import UserState


@dataclass(frozen=True)
class Catalogue:
    """What a slate may be made of.

    Args:
        ids: item ids; an item is known by its place here everywhere inside the request path.
        titles: "" where an item has none.
        available: `[items]` bool.
        positions: id to position.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    available: np.ndarray
    positions: Mapping[str, int]

    @classmethod
    def of(cls, ids: Sequence[str], titles: Sequence[str | None], available: np.ndarray) -> Catalogue:
        """A catalogue of columns of the item table."""
        return cls(
            tuple(ids),
            tuple(title or "" for title in titles),
            available,
            {item: position for position, item in enumerate(ids)},
        )

    def known(self, ids: Iterable[str]) -> set[int]:
        """The positions of those ids that are in the catalogue."""
        return {self.positions[item] for item in ids if item in self.positions}


@dataclass(frozen=True)
class SafeSlates:
    """Popular items, for everyone and for each value of each categorical user feature; positions, best first."""

    everyone: tuple[int, ...]
    segments: Mapping[str, Mapping[str, tuple[int, ...]]]

    @classmethod
    def of(cls, slates: Mapping[str, Any], catalogue: Catalogue, spec: FeatureSpec) -> SafeSlates:
        """The safe slates of a bundle: `global`, and per feature and value, lists of item ids."""

        def positions(ids: Iterable[str]) -> tuple[int, ...]:
            return tuple(catalogue.positions[item] for item in ids if item in catalogue.positions)

        names = {feature.name: feature.source for feature in spec.of(Entity.USER)}
        segments = {
            names.get(feature, feature): {value: positions(ids) for value, ids in values.items()}
            for feature, values in slates.items()
            if feature != "global"
        }
        return cls(positions(slates["global"]), segments)

    def for_user(self, state: UserState) -> Iterator[int]:
        """Popular items for the user's segments, then for everyone; an item may come twice."""
        for column, values in self.segments.items():
            yield from values.get(str(state.profile.get(column, "")), ())
        yield from self.everyone
