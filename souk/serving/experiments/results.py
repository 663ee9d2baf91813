"""What became of an experiment: its units by arm from the impression log, and what they did from events."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from souk.config import Source
from souk.config.experiments import Experiment
from souk.errors import SoukError
from souk.experiments import arms_of, sample_ratio_p
from souk.metrics import LEAST_USERS
from souk.readers.batches import read_batches
from souk.schema import EventType
from souk.serving.events.ids import EventIds, digest
from souk.serving.events.log import every_file, read
from souk.serving.impressions.logged import batches

NORMAL_95 = 1.959964  # standard deviations
CONTROL = "control"
MIXED = -1  # the arm of a unit that had two
SEEN = np.dtype([("request", "u8"), ("unit", "u8"), ("arm", "i2")])
REMEDY = "Take the log of POST /v1/events, or call the columns so (docs/experiments.md)."


@dataclass(frozen=True)
class Results:
    """Units, slates and events of one experiment. Requests and units are numbers, and so eight bytes each.

    Args:
        experiment: its definition.
        arms: of each unit, `[units]` its place in `names`; MIXED for one that was seen in two, and is in none.
        requests: `[requests]` uint64, sorted.
        of: `[requests]`, the unit of each request.
        slates: by arm.
        events: by unit and event type, of those that name a request of the experiment.
    """

    experiment: Experiment
    arms: np.ndarray
    requests: np.ndarray
    of: np.ndarray
    slates: Counter[str]
    events: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def names(self) -> list[str]:
        """The arms in their order."""
        return sorted(self.experiment.arms)

    @property
    def units(self) -> Counter[str]:
        """Units by arm."""
        return _counted(self.names, self.arms[self.arms != MIXED])

    @property
    def mixed(self) -> int:
        """How many units were seen in two arms."""
        return int((self.arms == MIXED).sum())

    def unit_of(self, request: str) -> int | None:
        """The unit of a request; None for one that is not of the experiment."""
        wanted = np.uint64(digest(request))
        place = int(np.searchsorted(self.requests, wanted))
        return int(self.of[place]) if place < len(self.requests) and self.requests[place] == wanted else None

    @property
    def sample_ratio(self) -> float:
        """The always-valid p value of the units against the shares."""
        return sample_ratio_p(self.units, self.experiment)

    @property
    def control(self) -> str:
        """The arm that the others are compared with: `control`, or else the first by name."""
        return CONTROL if CONTROL in self.experiment.arms else min(self.experiment.arms)

    def means(self, kind: str) -> dict[str, tuple[float, float]]:
        """Events of a type by unit: their mean in each arm, and its standard error; NaN for fewer than two units."""
        sums, squares, units = Counter[int](), Counter[int](), self.units
        for unit, counted in self.events.items():
            sums[int(self.arms[unit])] += counted[kind]
            squares[int(self.arms[unit])] += counted[kind] ** 2
        return {arm: _mean(units[arm], sums[n], squares[n]) for n, arm in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """All of it; differences are to the control, with an interval of 95% for one look (Welch's, for large samples).

        Its bounds are NaN where an arm has fewer than LEAST_USERS units, or all units of both did the same: what is
        seen then tells nothing of its error.
        """
        kinds = sorted({kind for counted in self.events.values() for kind in counted})
        measured = {kind: self.means(kind) for kind in kinds}
        arms = {
            arm: {
                "units": self.units[arm],
                "slates": self.slates[arm],
                "events": {kind: self._told(measured[kind], arm) for kind in kinds},
            }
            for arm in self.names
        }
        return {"sample_ratio_p": self.sample_ratio, "mixed": self.mixed, "control": self.control, "arms": arms}

    def _told(self, means: Mapping[str, tuple[float, float]], arm: str) -> dict[str, float]:
        (mean, error), (base, other) = means[arm], means[self.control]
        width = NORMAL_95 * math.hypot(error, other)
        found = {"mean": mean, "standard_error": error}
        difference = mean - base
        if width == 0.0 or min(self.units[arm], self.units[self.control]) < LEAST_USERS:
            width = math.nan
        ends = {"difference": difference, "low": difference - width, "high": difference + width}
        return found if arm == self.control else found | ends


def _mean(units: int, total: float, squares: float) -> tuple[float, float]:
    if units < 2:
        return math.nan, math.nan
    mean = total / units
    return mean, math.sqrt(max(0.0, (squares - units * mean * mean) / (units - 1)) / units)


def results(name: str, experiment: Experiment, log: str, events: Iterable[Mapping[str, Any]] = ()) -> Results:
    """What an impression log, and events that name its requests, say of an experiment.

    Args:
        name: the experiment's.
        experiment: its definition.
        log: the folder or URL of the impression log.
        events: rows with `request_id`, `event_type`, and `event_id` if they have ids; those that name no request of the
            log are passed over, each id counts once.

    Raises:
        SoukError: there is no impression log.
    """
    found, seen = _logged(name, experiment, log), EventIds()
    for event in events:
        request, kind, own = (_text(event.get(name)) for name in ("request_id", "event_type", "event_id"))
        if not request or kind in ("", EventType.IMPRESSION):
            continue
        unit = found.unit_of(request)
        if unit is not None and not (own and own in seen):
            seen.update([own] if own else ())
            found.events[unit][kind] += 1
    return found


def _logged(name: str, experiment: Experiment, log: str) -> Results:
    """What the impression log alone says."""
    names = sorted(experiment.arms)
    seen = _seen(name, experiment.unit == "user", {arm: place for place, arm in enumerate(names)}, log)
    units, of = np.unique(seen["unit"], return_inverse=True)
    least, most = np.full(len(units), len(names)), np.full(len(units), MIXED)
    np.minimum.at(least, of, seen["arm"])
    np.maximum.at(most, of, seen["arm"])
    slates, of = _counted(names, seen["arm"]), of.astype(np.int32)
    requests, first = np.unique(seen["request"], return_index=True)
    return Results(experiment, np.where(least == most, least, MIXED), requests, of[first], slates)


def _seen(name: str, by_user: bool, places: Mapping[str, int], log: str) -> np.ndarray:
    """The requests of an experiment, `[requests]` of SEEN."""
    parts = [np.zeros(0, SEEN)]
    for batch in batches(log, ("request_id", "user_id", "arm")):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        told = [(request, user, arms_of(label or "").get(name, "")) for request, user, label in rows]
        kept = [(digest(r), digest((u if by_user else r) or ""), places[arm]) for r, u, arm in told if arm in places]
        parts.append(np.array(kept, SEEN))
    return np.concatenate(parts)


def _counted(names: Sequence[str], arms: np.ndarray) -> Counter[str]:
    counts = np.bincount(arms, minlength=len(names)).tolist()
    return Counter({name: count for name, count in zip(names, counts, strict=True) if count})


def _text(value: Any) -> str:
    """An id or a word of a file; "" for none, which pandas writes as NaN."""
    return "" if value is None or value != value else str(value)


def event_rows(path: str, damaged: dict[Path, int]) -> Iterator[dict[str, Any]]:
    """Events of a file, or of a folder: the event log of `souk serve`, the file that still grows with them, or others'.

    Args:
        path: of the file or folder.
        damaged: is told how many lines of each file of the event log are none.

    Raises:
        SoukError: there is none, or a file that has no column of requests or none of types.
    """
    if _is_log(files := every_file(Path(path))):
        for file in files:
            bad = 0
            for row in read(file):
                if row is not None:
                    yield row
                else:
                    bad += 1
                    damaged[file] = bad
        return
    there = set[str]()
    for batch in read_batches(Source(path=path)):
        there.update(batch.table.column_names)
        yield from batch.table.to_pylist()
    if missing := [name for name in ("request_id", "event_type") if name not in there]:
        received = f"the columns {', '.join(sorted(there))}"
        raise SoukError(f"events with {' and '.join(missing)} in {path}", received, REMEDY)


def _is_log(files: Sequence[Path]) -> bool:
    """Whether files that are called as those of the event log have a line of it, or none at all yet."""
    lines = (row for file in files for row in read(file))
    return bool(files) and (next(lines, {}) is not None or any(row is not None for row in lines))
