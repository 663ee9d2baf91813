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
LAST_OUT = 5_000  # engagements that a validation window of last ones holds at least, a ranker's to learn from,
LAST_OUT_SHARE = 0.1  # but where these are more than so much of all


@dataclass(frozen=True)
class Windows:
    """Boundaries, UTC epoch milliseconds: a window holds the events from its boundary on, before the next one.

    Args:
        validation_start: where the validation window begins.
        test_start: where the test window begins.
        end: one past the last event.
        last_out: whether times are those of leave-last-out's clock (souk.ingest.last_out), and no dates.
    """

    validation_start: int
    test_start: int
    end: int
    last_out: bool = False

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """The boundaries, in the order of BOUNDARIES."""
        return np.array([getattr(self, name) for name in BOUNDARIES], np.int64)

    def text(self) -> str:
        """The boundaries as dates, for people."""
        days = (datetime.fromtimestamp(int(time) / 1000, UTC).strftime("%Y-%m-%d %H:%M") for time in self.ends)
        return "validation from {}, test from {}, end {} (UTC)".format(*days)

    def to_json(self) -> str:
        """The content of `windows.json`."""
        told = asdict(self)
        return json.dumps(told if self.last_out else {name: told[name] for name in BOUNDARIES}, indent=1)


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
    if split.protocol == "leave_last_out":
        starts = _last_out(times)
    else:
        starts = [count - round(count * share) for share in (split.validation + split.test, split.test)]
    if count:
        validation_start, test_start = (int(times[min(start, count - 1)]) for start in starts)
        if times[0] < validation_start < test_start:
            return Windows(validation_start, test_start, last_event + 1, split.protocol == "leave_last_out")
    raise SoukError(
        "engaging events at enough times for a training, a validation and a test window",
        f"{count} engaging events at {len(np.unique(times))} distinct times",
        "Add events, check `timestamp_unit`, or change `objectives.engaged.events` or `split`.",
    )


def _last_out(times: npt.NDArray[np.int64]) -> list[int]:
    """Where the windows start in the sorted `times` of souk.ingest.last_out's clock, of which a day is one engagement
    of each user: the test at the last day, validation at the one before it, or at so many that LAST_OUT are in it."""
    starts = np.searchsorted(times, np.unique(times))
    if len(starts) < 3:
        return [0, 0]
    held = starts[-1] - starts[1:-1]  # by a window that begins at each day but the first and the last
    fit = np.flatnonzero(held <= LAST_OUT_SHARE * len(times))
    enough = np.flatnonzero(held >= LAST_OUT)
    first = max(fit[0] if len(fit) else len(held) - 1, enough[-1] if len(enough) else 0)
    return [int(starts[1 + first]), int(starts[-1])]
