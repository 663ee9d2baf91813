"""The three boundaries in time that every split in Souk uses."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from souk.config import Split
from souk.errors import SoukError

BOUNDARIES = ("validation_start", "test_start", "end")


@dataclass(frozen=True)
class Windows:
    """Boundaries, UTC epoch milliseconds: a window holds the events from its boundary on, before the next one.

    Args:
        validation_start: where the validation window begins.
        test_start: where the test window begins.
        end: one past the last event.
    """

    validation_start: int
    test_start: int
    end: int

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """The boundaries, in the order of BOUNDARIES."""
        return np.array([getattr(self, name) for name in BOUNDARIES], np.int64)

    def text(self) -> str:
        """The boundaries as dates, for people."""
        days = (datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M") for time in asdict(self).values())
        return "validation from {}, test from {}, end {} (UTC)".format(*days)

    def to_json(self) -> str:
        """The content of `windows.json`."""
        return json.dumps(asdict(self), indent=1)


def read_windows(path: str | Path) -> Windows:
    """Reads `windows.json`."""
    return Windows(**json.loads(Path(path).read_text(encoding="utf-8")))


def split_windows(engaging: npt.NDArray[np.int64], last_event: int, split: Split) -> Windows:
    """Cuts time so that the last windows hold at least their shares of the engaging events.

    Events of one time are never parted: they go to the later window.

    Args:
        engaging: `[events]` times of the engaging events, UTC epoch milliseconds, in any order.
        last_event: the time of the last event of any type.
        split: the shares.

    Raises:
        SoukError: there are too few distinct times for three windows.
    """
    times, count = np.sort(engaging), len(engaging)
    if split.protocol == "leave_last_out":  # the last two days of souk.ingest.last_out's clock
        days = np.unique(times)[-3:]
        starts = np.searchsorted(times, days[1:]).tolist() if len(days) == 3 else [0, 0]
    else:
        starts = [count - round(count * share) for share in (split.validation + split.test, split.test)]
    if count:
        validation_start, test_start = (int(times[min(start, count - 1)]) for start in starts)
        if times[0] < validation_start < test_start:
            return Windows(validation_start, test_start, last_event + 1)
    raise SoukError(
        "engaging events at enough times for a training, a validation and a test window",
        f"{count} engaging events at {len(np.unique(times))} distinct times",
        "Add events, check `timestamp_unit`, or change `objectives.engaged.events` or `split`.",
    )
