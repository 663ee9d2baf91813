"""What came to the items, or changed of them, since a bundle was made: its server takes that by `souk items upsert`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.evaluation.gone_columns import gone_columns
from souk.features.tables import item_rows
from souk.release.bundle import Bundle
from souk.serving.inputs import item_inputs
from souk.serving.signatures import ItemTower, sound
from souk.spec import Entity, FeatureSpec

ROWS = 10_000  # at a time


@dataclass(frozen=True)
class LaterItems:
    """Rows in the place of a bundle's own, and new ones.

    Args:
        rows: of the bundle's item table, each item once.
        vectors: `[rows, dim]` float32: where the content is what it was the bundle's, of others what its tower says.
        new: ids of the items that the bundle lacks, in their order.
        unknown: how many it lacks still: its tower has no vector of them.
    """

    rows: pa.Table
    vectors: np.ndarray
    new: tuple[str, ...] = ()
    unknown: int = 0

    @property
    def text(self) -> str:
        """How many there are, "" where there are none."""
        counts = {
            "items came after it was made": len(self.new),
            "have other content or dates": len(self.rows) - len(self.new),
            "more are left out: its tower has no vector of them": self.unknown,
        }
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def later_items(bundle: Bundle, spec: FeatureSpec, tables: Path, features: Path) -> LaterItems:
    """The rows that differ from those of a bundle in content or creation, as its own spec reads them.

    A column that the tables no longer have (`gone_columns`) stays as it was, as in an upsert that does not speak of it.
    What is available, and until when, the evaluation knows for all models.

    Args:
        bundle: of whose items.
        spec: that of the data.
        tables: output of `ingest`.
        features: output of `build_features`.
    """
    now, absent = _now(bundle.spec, spec, tables, features)
    named = [feature.name for feature in bundle.spec.of(Entity.ITEM)]
    compared = [*named, "created_at"]
    if now.select(compared).equals(bundle.items.select(compared)):
        return LaterItems(bundle.items.slice(0, 0), np.zeros((0, bundle.vectors.shape[1]), np.float32))
    position = {item: place for place, item in enumerate(bundle.item_ids)}
    tower, taken, vectors, unknown = ItemTower(bundle.item_tower), list[dict[str, Any]](), list[np.ndarray](), 0
    for start in range(0, len(now), ROWS):
        found = list(_differing(now.slice(start, ROWS), bundle.items, position, absent, compared))
        again = np.array([old is None or not _same(old, row, named) for row, old in found], bool)
        own = np.array([position.get(row["item_id"], 0) for row, _ in found], np.int64)
        made = np.array(bundle.vectors[own], np.float32)
        if again.any():
            columns = {name: [found[at][0][name] for at in np.flatnonzero(again)] for name in named}
            made[again] = tower.vectors(item_inputs(columns, bundle.spec))
        fit = sound(made)
        taken += [row for (row, _), good in zip(found, fit.tolist(), strict=True) if good]
        unknown += sum(old is None and not good for (_, old), good in zip(found, fit.tolist(), strict=True))
        vectors.append(made[fit])
    new = tuple(row["item_id"] for row in taken if row["item_id"] not in position)
    return LaterItems(pa.Table.from_pylist(taken, bundle.items.schema), np.concatenate(vectors), new, unknown)


def _now(own: FeatureSpec, spec: FeatureSpec, tables: Path, features: Path) -> tuple[pa.Table, frozenset[str]]:
    """The item table as the spec `own` reads it, and the features whose columns are not in the tables any more."""
    if own.of(Entity.ITEM) == spec.of(Entity.ITEM) and own.columns.items == spec.columns.items:
        return pq.read_table(features / "items.parquet"), frozenset()
    gone = gone_columns("items", own, spec, tables)
    raw = pq.read_table(tables / "items.parquet")
    rows = item_rows(raw.select([name for name in raw.column_names if name not in gone]), own)
    return rows, frozenset(feature.name for feature in own.of(Entity.ITEM) if feature.source in gone)


def _differing(
    now: pa.Table, before: pa.Table, position: Mapping[str, int], absent: Collection[str], compared: Collection[str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The rows of `now` that are new or differ from those of `before`, with these: None of a new one."""
    rows = now.to_pylist()
    places = [position[row["item_id"]] for row in rows if row["item_id"] in position]
    old = {row["item_id"]: row for row in before.take(pa.array(places, pa.int64())).to_pylist()}
    for row in rows:
        known = old.get(row["item_id"])
        if known is not None:
            row |= {name: known[name] for name in absent}
        if known is None or not _same(known, row, compared):
            yield row, known


def _same(one: Mapping[str, Any], other: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether two rows have the same values; a missing number is NaN in both."""
    return all(one[name] == other[name] or (one[name] != one[name] and other[name] != other[name]) for name in names)
