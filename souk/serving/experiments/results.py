"""What became of an experiment: its units by arm from the impression log, and what they did from events."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from souk.config import Source
from souk.config.experiments import Experiment
from souk.experiments import arms_of, sample_ratio_p
from souk.readers.batches import read_batches
from souk.schema import EventType
from souk.serving.events.log import every_file, read
from souk.serving.impressions.logged import batches

NORMAL_95 = 1.959964  # standard deviations
CONTROL = "control"


@dataclass
class Results:
    """Units, slates and events of one experiment.

    Args:
        experiment: its definition.
        arms: the arm of each unit. One that was seen in two arms is in none: it had both.
        slates: by arm.
        mixed: units that were seen in two arms.
        events: by unit and event type, of those that name a request of the experiment.
        requests: the unit of each request.
    """

    experiment: Experiment
    arms: dict[str, str] = field(default_factory=dict)
    slates: Counter[str] = field(default_factory=Counter)
    mixed: set[str] = field(default_factory=set)
    events: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    requests: dict[str, str] = field(default_factory=dict)

    @property
    def units(self) -> Counter[str]:
        """Units by arm."""
        return Counter(arm for unit, arm in self.arms.items() if unit not in self.mixed)

    @property
    def sample_ratio(self) -> float:
        """The p value of the units against the shares."""
        return sample_ratio_p(self.units, self.experiment)

    @property
    def control(self) -> str:
        """The arm that the others are compared with: `control`, or else the first by name."""
        return CONTROL if CONTROL in self.experiment.arms else min(self.experiment.arms)

    def means(self, kind: str) -> dict[str, tuple[float, float]]:
        """Events of a type by unit: their mean in each arm, and its standard error; NaN for fewer than two units."""
        sums, squares, units = Counter[str](), Counter[str](), self.units
        for unit, counted in self.events.items():
            if unit not in self.mixed:
                sums[self.arms[unit]] += counted[kind]
                squares[self.arms[unit]] += counted[kind] ** 2
        return {arm: _mean(units[arm], sums[arm], squares[arm]) for arm in sorted(self.experiment.arms)}

    def to_json(self) -> dict[str, Any]:
        """All of it; differences are to the control, with an interval of 95% (Welch's, for large samples)."""
        kinds = sorted({kind for counted in self.events.values() for kind in counted})
        measured = {kind: self.means(kind) for kind in kinds}
        arms = {
            arm: {
                "units": self.units[arm],
                "slates": self.slates[arm],
                "events": {kind: self._told(measured[kind], arm) for kind in kinds},
            }
            for arm in sorted(self.experiment.arms)
        }
        return {"sample_ratio_p": self.sample_ratio, "mixed": len(self.mixed), "control": self.control, "arms": arms}

    def _told(self, means: Mapping[str, tuple[float, float]], arm: str) -> dict[str, float]:
        (mean, error), (base, other) = means[arm], means[self.control]
        width = NORMAL_95 * math.hypot(error, other)
        found = {"mean": mean, "standard_error": error}
        difference = mean - base
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
        events: rows with `event_id`, `request_id` and `event_type`; those that name no request of the log are passed
            over, each id counts once.

    Raises:
        SoukError: there is no impression log.
    """
    found, seen = Results(experiment), set[str]()
    for batch in batches(log, ("request_id", "user_id", "arm")):
        for request, user, label in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            arm = arms_of(label or "").get(name)
            if arm not in experiment.arms:
                continue
            unit = user if experiment.unit == "user" else request
            if found.arms.setdefault(unit, arm) != arm:
                found.mixed.add(unit)
            found.slates[arm] += 1
            found.requests[request] = unit
    for event in events:
        unit = found.requests.get(event.get("request_id") or "", "")
        if unit and event["event_type"] != EventType.IMPRESSION and event["event_id"] not in seen:
            seen.add(event["event_id"])
            found.events[unit][str(event["event_type"])] += 1
    return found


def event_rows(path: str) -> Iterator[dict[str, Any]]:
    """Events of a file, or of a folder of the event log of `souk serve`, the file that still grows with them.

    Raises:
        SoukError: there is none.
    """
    if files := every_file(Path(path)):
        for file in files:
            yield from (row for row in read(file) if row is not None)
        return
    for batch in read_batches(Source(path=path)):
        yield from batch.table.to_pylist()
