"""What everybody engages with while a release serves: from the event log, where other servers write too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from souk.schema import FOREVER
from souk.serving.event_log import closed_name, event, every_file
from souk.serving.event_states import event_of
from souk.serving.loaded import Loaded
from souk.spec import FeatureSpec
from souk.state import engaging

logger = logging.getLogger(__name__)
AHEAD_MS = 3_600_000  # a file of an hour may hold events of the next: clocks of clients are ahead of the server's


class LiveCounts:
    """Adds the engagements of the log to the counts of a release, each once, a little after they came.

    What the release was trained with is counted in it: of the log only events from its boundary on are. An event of an
    item that the release does not know counts for nothing, also when that item is upserted later; a restart counts it.

    Args:
        folder: of the log.
        spec: of the release.
        loaded: what serves now; its counts are added to.
    """

    def __init__(self, folder: Path, spec: FeatureSpec, loaded: Callable[[], Loaded]) -> None:
        self._folder, self._spec, self._loaded = folder, spec, loaded
        self._read: dict[Path, int] = {}  # bytes, by the name that a file has in the end
        self._closed: set[Path] = set()  # read to their end, and of before the boundary
        self.counted = 0

    def follow(self) -> int:
        """Takes what the log got since the last look; how many engagements these were."""
        loaded = self._loaded()
        counts, position = loaded.items.counts, loaded.catalogue.positions
        items, times = list[int](), list[int]()
        for row in self._news(counts.since):
            place = position.get(row["item_id"], -1)
            if place >= 0 and row["timestamp"] >= counts.since and engaging(event_of(row, self._spec), self._spec):
                items.append(place)
                times.append(row["timestamp"])
        counts.add(np.array(items, np.int64), np.array(times, np.int64))
        self.counted += len(items)
        return len(items)

    def _news(self, since: int) -> Iterator[dict[str, Any]]:
        for path in every_file(self._folder):
            name = closed_name(path) if path.suffix == ".open" else path
            if name in self._closed:
                continue
            if _hour_end(name) + AHEAD_MS >= since:
                yield from self._rest(path, name)
            if path == name:
                self._closed.add(name)
                self._read.pop(name, None)

    def _rest(self, path: Path, name: Path) -> Iterator[dict[str, Any]]:
        """The whole lines behind what was read; of a file that was closed meanwhile the next look reads the rest."""
        try:
            with path.open("rb") as file:
                file.seek(self._read.get(name, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read[name] = self._read.get(name, 0) + len(line)
                    row = event(line)
                    if row is not None:
                        yield row
        except FileNotFoundError:  # it has its last name by now
            return
        except OSError as error:
            logger.warning("%s: %s", path, error.strerror)


def _hour_end(path: Path) -> int:
    """When the hour of a file of the log is over, UTC epoch milliseconds; FOREVER of one that has another name."""
    try:
        hour = datetime.strptime(f"{path.parent.name} {path.name[:2]}", "%Y-%m-%d %H").replace(tzinfo=UTC)
    except ValueError:
        return FOREVER
    return int(hour.timestamp() * 1000) + 3_600_000
