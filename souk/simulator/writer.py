"""Writes event rows as the events table of the contract: Parquet, in order of time, a row group at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.schema import EVENTS
from souk.simulator.behaviour import World
from souk.simulator.events import KINDS
from souk.simulator.identifiers import numbered
from souk.simulator.people import REGIONS
from souk.simulator.slates import WHOLE

GROUP_ROWS = 250_000
HOUR_MS = 3_600_000
ARROW = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
SCHEMA = pa.schema([pa.field(column.name, ARROW[column.type], nullable=not column.required) for column in EVENTS])
DEVICES, SURFACES = ("desktop", "mobile"), ("category", "home")


class EventWriter:
    """Appends rows to `events.parquet`; use as a context.

    Args:
        path: the file.
        world: whose users and items the rows name.
        sources: release and arm by index; may grow while rows come.
        rng: when events arrive.
        first: the number of the first event.
    """

    def __init__(
        self, path: Path, world: World, sources: Sequence[tuple[str, str]], rng: np.random.Generator, first: int
    ) -> None:
        self.written = 0
        self._path, self._world, self._sources, self._rng, self._first = path, world, sources, rng, first
        self._waiting: list[np.ndarray] = []
        self._users = pa.array(world.users.ids.tolist(), pa.string())
        self._items = pa.array(world.items.ids.tolist(), pa.string())

    def __enter__(self) -> EventWriter:
        """Opens the file."""
        self._file = pq.ParquetWriter(self._path, SCHEMA, compression="zstd", compression_level=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes what waits, and closes the file."""
        if kind is None:
            self._flush()
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Takes the next rows, in order of time."""
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows = np.concatenate(self._waiting) if self._waiting else None
        if rows is not None and len(rows):
            self._file.write_table(self._table(rows), row_group_size=len(rows))
            self.written += len(rows)
        self._waiting = []

    def _table(self, rows: np.ndarray) -> pa.Table:
        releases, arms = zip(*self._sources, strict=True)
        columns = {
            "event_id": numbered("e", self._first + self.written + np.arange(len(rows))),
            "user_id": self._users.take(pa.array(rows["user"])),
            "item_id": self._items.take(pa.array(rows["item"])),
            "event_type": _named(KINDS, rows["kind"]),
            "timestamp": rows["time"],
            "arrived_at": rows["time"] + self._delays(len(rows)),
            "session_id": numbered("s", rows["session"]),
            "request_id": numbered("r", rows["request"]),
            "position": rows["position"],
            "dwell_seconds": _present(rows["dwell"]),
            "price": self._world.items.price[rows["item"]],
            "value": _present(rows["value"]),
            "device": _named(DEVICES, rows["mobile"]),
            "location": _named(REGIONS, rows["location"]),
            "surface": _named(SURFACES, rows["pool"] == WHOLE),
            "propensity": _present(rows["propensity"]),
            "release": _named([name or None for name in releases], rows["source"]),
            "arm": _named([name or None for name in arms], rows["source"]),
        }
        arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)

    def _delays(self, count: int) -> np.ndarray:
        """Milliseconds until events are known: seconds, for some hours."""
        soon = self._rng.exponential(5_000.0, count)
        late = self._rng.random(count) < self._world.parameters.late_arrivals
        return np.where(late, self._rng.uniform(1.0, 20.0, count) * HOUR_MS, soon).astype(np.int64)


def _named(names: Sequence[str | None], index: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(index.astype(np.int64)))


def _present(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))
