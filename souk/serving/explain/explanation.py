"""An explanation: what each past event and each feature adds to the logarithm of an item's score."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from souk.serving.explain.why_not import WhyNot
from souk.state import Event

TENTH = 0.1  # of what the parts move: a gap beside a way that is nearly none would be large whatever it is


@dataclass(frozen=True)
class EventPart:
    """What a past event adds to the logarithm of the score."""

    event: Event
    title: str
    contribution: float


@dataclass(frozen=True)
class FeaturePart:
    """What a feature adds to the logarithm of the score. `value` is raw, in the feature's own unit, and of a match the
    words in common; None if missing. `beside`: 1 where it is more than the mean candidate's, -1 where it is less, 0
    where the two are not compared."""

    name: str
    value: Any
    contribution: float
    beside: int = 0


@dataclass(frozen=True)
class Explanation:
    """A score and what it is made of.

    Args:
        user_id: who asked.
        item_id: the item.
        title: its title, "" without one.
        release: the release that explains.
        timestamp: the moment of the request, UTC epoch milliseconds.
        place: among the re-ranked candidates, from 0; None for an item that is none of them.
        place_by_score: the same before the re-ranking.
        source: what brought it; "" for an item that is no candidate.
        why_not: what keeps it out of the slate; None where it may stand in one.
        ended: the last moment at which it was to be had, UTC epoch milliseconds; None where it still is.
        log_score: the natural logarithm of its score.
        log_baseline: that of the score at the start of the path.
        events: the window's events, oldest first.
        features: the others, greatest contribution first.
        steps: points of the path.
        degraded: as in the slate.
    """

    user_id: str
    item_id: str
    title: str
    release: str
    timestamp: int
    place: int | None
    place_by_score: int | None
    source: str
    why_not: WhyNot | None
    ended: int | None
    log_score: float
    log_baseline: float
    events: tuple[EventPart, ...]
    features: tuple[FeaturePart, ...]
    steps: int
    degraded: tuple[str, ...]

    @property
    def gap(self) -> float:
        """The sum of the contributions, less what they should add up to: completeness (Sundararajan et al.
        2017, section 3)."""
        parts = [part.contribution for part in self.events] + [part.contribution for part in self.features]
        return math.fsum(parts) - self.way

    @property
    def way(self) -> float:
        """log(score) - log(baseline score)."""
        return self.log_score - self.log_baseline

    @property
    def share(self) -> float:
        """The gap beside what it is measured by (`measure`)."""
        parts = [*(part.contribution for part in self.events), *(part.contribution for part in self.features)]
        return abs(self.gap) / measure(self.way, parts) if self.gap else 0.0


def measure(way: float, parts: Iterable[float]) -> float:
    """What a gap is small or large beside: the way, or a tenth of what moves on it, where parts cancel out."""
    return max(abs(way), TENTH * math.fsum(map(abs, parts)))
