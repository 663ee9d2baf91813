"""Items that come, change or go while a release serves: checked, given a vector, on the disk, then in every answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from souk.errors import SoukError
from souk.features.tables import item_rows
from souk.ingest.live import ItemCheck
from souk.release.bundle import Bundle
from souk.serving.inputs import item_inputs
from souk.serving.item_log import ItemLog
from souk.serving.recommender import Recommender
from souk.serving.signatures import ItemTower
from souk.spec import Entity

REPLAYED = 10_000  # rows at a time


@dataclass(frozen=True)
class Refused:
    """A row that was not taken. `row` counts from 0."""

    row: int
    item_id: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of the rows of one call.

    Args:
        accepted: rows that are on the disk and in every answer from now on.
        created: how many of their items were not known before.
        refused: the others, by row.
    """

    accepted: int
    created: int
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class Replayed:
    """What the log gave at the start.

    Args:
        taken: rows that are in the answers now.
        older: rows of items that the release has itself, from before it was trained: its data knew them.
        refused: rows that do not fit this release's columns and schema.
        torn: 1 where the last line is not whole.
        damaged: lines that do not fit their checksums.
    """

    taken: int = 0
    older: int = 0
    refused: int = 0
    torn: int = 0
    damaged: int = 0


class LiveItems:
    """The recommender as it is now. It is replaced as a whole: a request sees all of an upsert or nothing.

    Args:
        recommender: of the release as it was made.
        bundle: the release.
        log: where accepted rows are kept.
        clock: UTC epoch milliseconds.
    """

    def __init__(self, recommender: Recommender, bundle: Bundle, log: ItemLog, clock: Callable[[], int]) -> None:
        self.current = recommender
        self.replayed = Replayed()
        self._spec, self._table, self._log, self._clock = bundle.spec, bundle.items, log, clock
        self._trained_until = bundle.settings.trained_until
        self._tower, self._loaded = ItemTower(bundle.item_tower), False
        columns = bundle.spec.columns
        self._check = ItemCheck(columns.items, columns.widths_of("items"), bundle.item_schema)
        self._rows: dict[str, dict[str, Any]] = {}  # of the item table, of all that came since
        self._one_at_a_time = threading.Lock()

    def load(self) -> LiveItems:
        """Takes the rows of the log."""
        logged = self._log.read()
        ids, until = self.current.catalogue.positions, self._trained_until
        lines = zip(logged.rows, logged.times, strict=True)
        newer = [(row, at) for row, at in lines if at >= until or str(_id(row)) not in ids]
        accepted, refused = 0, 0
        for start in range(0, len(newer), REPLAYED):
            rows, times = zip(*newer[start : start + REPLAYED], strict=True)
            taken, good, spoiled = self._checked(rows, times)
            accepted, refused = accepted + len(good), refused + len(spoiled)
            if taken:
                self._take(taken, self._changed(taken))
        older = len(logged.rows) - len(newer)
        self.replayed = Replayed(accepted, older, refused, logged.torn, logged.damaged)
        return self

    def warm(self) -> LiveItems:
        """Calls the item tower once, so that the first upsert is as fast as the others."""
        self._vectors(self._table.slice(0, 1).to_pylist())
        return self

    def upsert(self, rows: Sequence[Any]) -> Outcome:
        """Takes rows of items: what a row leaves out of a known item stays, and `null` clears it.

        Args:
            rows: decoded JSON, an object for each item.

        Raises:
            OSError: the disk did not take them; nothing changed.
        """
        with self._one_at_a_time:
            now = self._clock()
            taken, good, refused = self._checked(rows, [now] * len(rows))
            created = sum(item not in self.current.catalogue.positions for item in taken)
            if good:
                changed = self._changed(taken)
                self._log.append([rows[at] for at in good], now)
                self._take(taken, changed)
            return Outcome(len(good), created, tuple(refused))

    def _checked(
        self, rows: Sequence[Any], times: Sequence[int]
    ) -> tuple[dict[str, dict[str, Any]], list[int], list[Refused]]:
        """Rows of the item table by item, the numbers of the rows behind them, and those refused."""
        table, reasons = self._check.check(rows, self.current.catalogue.positions)
        good = [at for at in range(len(rows)) if at not in reasons]
        made = item_rows(table.take(pa.array(good, pa.int64())), self._spec).to_pylist()
        taken: dict[str, dict[str, Any]] = {}
        for at, row in zip(good, made, strict=True):
            item = row["item_id"]
            old = taken.get(item) or self._row(item)
            if old is None and row["created_at"] is None:
                row["created_at"] = times[at]
            taken[item] = row if old is None else {**old, **{n: row[n] for n in self._given(rows[at])}}
        return taken, good, [Refused(at, str(_id(rows[at])), why) for at, why in sorted(reasons.items())]

    def _given(self, row: Mapping[str, Any]) -> list[str]:
        """The columns of the item table that a row speaks of."""
        features = [f.name for f in self._spec.of(Entity.ITEM) if f.source in row]
        return [*features, *(name for name in ("title", "available", "created_at") if name in row)]

    def _row(self, item: str) -> dict[str, Any] | None:
        """The row of a known item as it is now."""
        if item in self._rows:
            return self._rows[item]
        position = self.current.catalogue.positions.get(item)
        return None if position is None else dict(self._table.slice(position, 1).to_pylist()[0])

    def _changed(self, taken: Mapping[str, dict[str, Any]]) -> Recommender:
        """The recommender with these rows."""
        rows = list(taken.values())
        return self.current.with_items(pa.Table.from_pylist(rows, self._table.schema), self._vectors(rows))

    def _take(self, taken: Mapping[str, dict[str, Any]], changed: Recommender) -> None:
        self._rows.update(taken)
        self.current = changed

    def _vectors(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """`[rows, dim]`, of rows of the item table."""
        if not self._loaded:
            self._tower.load()
            self._loaded = True
        columns = {f.name: [row[f.name] for row in rows] for f in self._spec.of(Entity.ITEM)}
        vectors = self._tower.vectors(item_inputs(columns, self._spec))
        if not np.isfinite(vectors).all():
            raise SoukError("finite vectors of items", "some that are none", "Look for extreme values in the rows.")
        return vectors


def _id(row: Any) -> Any:
    return row.get("item_id", "") if isinstance(row, dict) else ""
