"""Logged requests, asked again of another release, and what is different: the shadow test before any canary.

A request is asked at its own time. What the store knows of its user is cut there (`souk.serving.past`), so that what
came since changes nothing; but a state keeps its last events only, profiles and items are those of now, and what
came late was not there then. So the features are compared with those that were logged, and the report says how many
requests were asked in the same state. Nothing is explored, and experiments' arms are not applied: where a logged place
was drawn, the slate counts up to there.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from souk.errors import SoukError
from souk.serving.impressions.logged import batches, rows
from souk.serving.impressions.records import row
from souk.serving.past import Past
from souk.serving.recommender import Recommender
from souk.serving.request import Request, RequestParser
from souk.serving.slate import Slate

COLUMNS = ("request_id", "release", "arm", "degraded", "items", "scores", "engaged", "propensities", "features")
AT = (1, 5, 10, 20)  # places at which slates are compared
SHOWN = 10  # of the requests that changed most
WARMED = 20  # requests that are asked twice, of which the first time counts nothing


@dataclass(frozen=True)
class Logged:
    """A record of the log, as far as a replay reads it.

    Args:
        instance: the request; None in a record of a version that did not keep it.
        shown: what was answered.
        release, arm, degraded: as in the record.
        features: as in the record.
        certain: the places before the first that was drawn.
    """

    request_id: str
    instance: dict[str, Any] | None
    shown: Shown
    release: str
    arm: str
    degraded: tuple[str, ...]
    features: Mapping[str, Any]
    certain: int


@dataclass(frozen=True)
class Shown:
    """A slate: its items, and the scores of those that were ranked."""

    items: Sequence[str]
    scores: Mapping[str, float]

    @classmethod
    def of(cls, slate: Slate) -> Shown:
        """What a slate shows."""
        return cls([i.item_id for i in slate.items], {i.item_id: i.score for i in slate.items if i.scores})


def records(where: str, most: int) -> tuple[int, Iterator[Logged]]:
    """How many records a log has, and at most so many of them, evenly from its whole length.

    Raises:
        SoukError: there is no log, or none in it, or a file is no part of one.
    """
    total = rows(where)
    step = max(1, math.ceil(total / most))

    def read() -> Iterator[Logged]:
        place = 0
        for batch in batches(where, (*COLUMNS, "request")):
            kept = range(-place % step, len(batch), step)
            place += len(batch)
            yield from map(_logged, batch.take(list(kept)).to_pylist() if kept else ())

    return total, read()


def _logged(record: Mapping[str, Any]) -> Logged:
    chances = record["propensities"] or [1.0] * len(record["items"])
    ranked = record["engaged"] or [None] * len(record["items"])
    scored = zip(record["items"], record["scores"], ranked, strict=True)
    return Logged(
        record["request_id"],
        json.loads(record["request"]) if record["request"] else None,
        Shown(record["items"], {item: score for item, score, head in scored if head is not None}),
        record["release"],
        record["arm"] or "",
        tuple(record["degraded"]),
        json.loads(record["features"] or "{}"),
        next((place for place, chance in enumerate(chances) if chance < 1), len(chances)),
    )


@dataclass
class Side:
    """A release that is asked.

    Args:
        recommender: its path, over
        store: what was known.
        parser: of its requests.
        seconds: that each answer took.
        degraded: slates by reason.
    """

    recommender: Recommender
    store: Past
    parser: RequestParser
    seconds: list[float] = field(default_factory=list)
    degraded: Counter[str] = field(default_factory=Counter)

    def parsed(self, logged: Logged) -> Request:
        """The logged request.

        Raises:
            SoukError: it does not fit this release.
        """
        return self.parser.parse(logged.instance, 0, logged.request_id, "the request")

    def answer(self, request: Request) -> Slate:
        """Its slate, alone."""
        self.store.time = request.timestamp
        if len(self.seconds) < WARMED:
            self.recommender.recommend([request])
        began = time.perf_counter()
        (slate,) = self.recommender.recommend([request])
        self.seconds.append(time.perf_counter() - began)
        self.degraded.update(slate.degraded)
        return slate


@dataclass
class Difference:
    """What is different between pairs of slates."""

    overlap: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    identical: int = 0
    pairs: int = 0
    taus: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    least: list[tuple[float, str]] = field(default_factory=list)

    def add(self, request_id: str, before: Shown, after: Shown, places: int) -> None:
        """Compares two slates at their first places."""
        old, new = list(before.items[:places]), list(after.items[:places])
        self.pairs += 1
        self.identical += old == new
        for k in (k for k in AT if k <= max(places, 1)):
            self.overlap[k].append(overlap(old[:k], new[:k]))
        whole = overlap(old, new)
        self.least = sorted([*self.least, (whole, request_id)])[:SHOWN]
        tau = kendall_tau(old, new)
        if not math.isnan(tau):
            self.taus.append(tau)
        for item in before.scores.keys() & after.scores.keys():
            self.before.append(before.scores[item])
            self.changes.append(after.scores[item] - before.scores[item])

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        sizes = np.abs(np.array(self.changes))
        score = {
            "items": len(self.changes),
            "mean_before": _mean(self.before),
            "mean_change": _mean(self.changes),
            "absolute_change": {f"p{q}": _percentile(sizes, q) for q in (50, 90, 99)},
        }
        return {
            "overlap": {str(k): _mean(values) for k, values in sorted(self.overlap.items())},
            "overlap_requests": {str(k): len(values) for k, values in sorted(self.overlap.items())},
            "identical": self.identical / self.pairs if self.pairs else math.nan,
            "kendall_tau": {"mean": _mean(self.taus), "requests": len(self.taus)},
            "score": score,
            "changed_most": [{"request_id": name, "overlap": value} for value, name in self.least],
        }


def replay(
    logged: Iterator[Logged],
    release: Side,
    against: Side | None,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Asks a release what was logged, and compares.

    Args:
        logged: records.
        release: is asked.
        against: is asked too, and compared with; None to compare with the logged slates.
        report: is told how many are done.
    """
    all_of, by_arm = Difference(), defaultdict[tuple[str, str], Difference](Difference)
    refused, reasons = Counter[str](), Counter[str]()
    compared = same = without = 0
    for done, record in enumerate(logged, 1):
        report(done)
        if record.instance is None:
            without += 1
            continue
        try:
            requests = [side.parsed(record) for side in (release, against) if side]
        except SoukError as error:
            refused[error.expected] += 1
            continue
        slate = release.answer(requests[0])
        other = Shown.of(against.answer(requests[1])) if against else record.shown
        drawn = not against and record.certain < len(record.shown.items)
        places = record.certain if drawn else max(len(other.items), len(slate.items))
        reasons.update(record.degraded)
        compared += 1
        same += _same(record.features, slate)
        for difference in (all_of, by_arm[record.release, record.arm]):
            difference.add(record.request_id, other, Shown.of(slate), places)
    groups = [
        {"release": name, "arm": arm, "requests": d.pairs, "overlap": d.to_json()["overlap"]}
        for (name, arm), d in sorted(by_arm.items())
    ]
    sides = {"release": release} | ({"against": against} if against else {})
    return {
        "requests": {"compared": compared, "without_request": without, "refused": dict(refused)},
        "same_features": same / compared if compared else math.nan,
        **all_of.to_json(),
        "latency_ms": {name: _latency(side.seconds) for name, side in sides.items()},
        "degraded": {
            "logged": _shares(reasons, compared),
            **{name: _shares(side.degraded, len(side.seconds)) for name, side in sides.items()},
        },
        "by_logged": groups,
    }


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of items that two slates have in common; 1 for two empty ones."""
    longest = max(len(one), len(other))
    return len(set(one) & set(other)) / longest if longest else 1.0


def kendall_tau(one: Sequence[str], other: Sequence[str]) -> float:
    """Kendall's rank correlation of the items that both have (1938); NaN for fewer than two."""
    places = {item: place for place, item in enumerate(other)}
    order = np.array([places[item] for item in one if item in places])
    count = len(order)
    if count < 2:
        return math.nan
    above, below = np.triu_indices(count, 1)
    return float(np.sign(order[below] - order[above]).sum() / (count * (count - 1) / 2))


def _same(logged: Mapping[str, Any], slate: Slate) -> bool:
    now = json.loads(row((0, slate))["features"])
    common = logged.keys() & now.keys()
    return bool(common or not logged) and all(logged[name] == now[name] for name in common)


def _shares(counts: Mapping[str, int], total: int) -> dict[str, float]:
    return {name: count / total for name, count in sorted(counts.items())} if total else {}


def _latency(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{q}": 1000 * _percentile(np.array(seconds), q) for q in (50, 95, 99)}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _percentile(values: np.ndarray, q: float) -> float:
    return float(np.percentile(values, q)) if len(values) else math.nan
