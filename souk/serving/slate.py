"""The answer to one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Any

from souk.serving.request import Request

_MANY, _CELL = (str, list, tuple), 60  # values of many numbers or letters, and the bytes of one at most


@dataclass(frozen=True, slots=True)
class SlateItem:
    """One recommended item.

    Args:
        item_id: the item.
        title: its title, "" without one.
        score: what the slate is ordered by, within one source.
        scores: calibrated probability by objective; empty where the ranker did not score the item.
        source: what brought it: names of `souk.candidates.SHARES` with + between them, `candidates` (the request's
            own), `popular`, `catalogue` or `shown_often`.
        position: from 0, best first.
        propensity: probability that the item stood at its place, and in the slate; 1 without exploration.
    """

    item_id: str
    title: str
    score: float
    scores: dict[str, float]
    source: str
    position: int
    propensity: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The item as it stands in an answer."""
        return {
            "item_id": self.item_id,
            "title": self.title,
            "score": self.score,
            "scores": self.scores,
            "source": self.source,
            "position": self.position,
            "propensity": self.propensity,
        }


@dataclass(frozen=True, slots=True)
class Slate:
    """An ordered answer.

    Args:
        request_id: names this answer in the impression log.
        user_id: who asked; "" where no user did.
        timestamp: the moment of the request, UTC epoch milliseconds.
        release: the release that answered.
        arm: the experiments and their arms (souk.experiments.label).
        items: best first.
        degraded: why the answer is less than it could be; empty when all went well.
        features: the raw features of user and query that it was answered from; logged, not sent.
        request: what was asked; logged, not sent.
    """

    request_id: str
    user_id: str
    timestamp: int
    release: str
    arm: str
    items: tuple[SlateItem, ...]
    degraded: tuple[str, ...]
    features: Mapping[str, Any] = field(default_factory=dict)
    request: Request | None = None

    def to_json(self) -> dict[str, Any]:
        """The slate as it stands in an answer."""
        return {
            "request_id": self.request_id,
            "user_id": self.user_id or None,
            "release": self.release,
            "arm": self.arm,
            "items": [item.to_json() for item in self.items],
            "degraded": list(self.degraded),
        }


def size_of(slate: Slate) -> int:
    """Bytes that a slate takes with its request and, in a cache, its key: an estimate, made of what `tracemalloc` says
    of some."""
    scored = slate.items[0].scores if slate.items else {}
    item = 200 + (184 + 24 * len(scored) if scored else 0)
    values = 100 * len(slate.features) + sum(_CELL * len(v) for v in slate.features.values() if isinstance(v, _MANY))
    return 2_000 + item * len(slate.items) + values + (_asked(slate.request) if slate.request else 0)


def _asked(request: Request) -> int:
    """Bytes of what a request names: as many as its body, or four times that where its letters are rare ones."""
    words = [word for condition in request.filter for word in condition.words]
    stated = list(map(repr, (*request.context.values(), *request.profile.values())))
    named = (request.exclude, request.candidates or (), words, stated)
    events = 550 * len(request.events) + sum(getsizeof(event.item_id) for event in request.events)
    return events + sum(50 * len(texts) + sum(map(getsizeof, texts)) for texts in named)
