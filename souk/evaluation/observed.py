"""The ranker on its own candidates: what it said of each, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from souk.evaluation.protocol import SEED, TOP
from souk.evaluation.queries import Query
from souk.evaluation.shown import Shown
from souk.evaluation.skill import auc_interval, base_log_loss
from souk.metrics import (
    Floats,
    Ints,
    auc,
    bootstrap_columns,
    calibration_error,
    log_loss,
    mean_by_user,
    predicted_over_observed,
    query_metric,
    reliability,
)
from souk.spec import ENGAGED

QUERIES = 20_000  # whose candidates are kept: they tell AUC and tenths, and all of a large shop's take gigabytes
NONE = np.zeros(0, np.float32)


@dataclass
class Observed:
    """What the ranker said of the candidates of the queries that it was given, in their order.

    Args:
        engaged: `[candidates]` float32, predicted, per query of `drawn`.
        chosen: `[candidates]` bool, whether the candidate was a target, likewise.
        given: by further head, what was predicted for each target among the candidates.
        events: the events of these targets.
        found: per query `[targets]` bool, whether the target was among the candidates.
        ranked: per query `[targets]`, the target's rank in the ranker's order of the candidates, `inf` without.
        retrieved: the same in the order of the retrievers.
        targets: the events of the targets, per query.
        users: who asked, per query.
        drawn: the queries whose candidates are kept, by place in this order; None for all.
        slates: what was shown, by event of a target.
        shown: the same of the candidates that a logged slate showed; its `retrieved` are ranks by their places there.
    """

    engaged: list[Floats] = field(default_factory=list)
    chosen: list[np.ndarray] = field(default_factory=list)
    given: dict[str, list[float]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    found: list[np.ndarray] = field(default_factory=list)
    ranked: list[Floats] = field(default_factory=list)
    retrieved: list[Floats] = field(default_factory=list)
    targets: list[tuple[str, ...]] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    drawn: frozenset[int] | None = None
    slates: Mapping[str, Shown] = field(default_factory=dict)
    shown: Observed | None = None

    def add(self, query: Query, positions: Ints, order: Ints, heads: Mapping[str, Floats]) -> None:
        """Takes one query's candidates.

        Args:
            query: what was asked.
            positions: `[C]` candidates, in the order of the retrievers, by position in the catalogue.
            order: `[C]` indices into `positions` in the ranker's own order, best first.
            heads: `[C]` probabilities by head.
        """
        chosen = np.isin(positions, query.targets)
        event = dict(zip(query.targets.tolist(), query.target_events, strict=True))
        if self.drawn is None or len(self.users) in self.drawn:
            self.engaged.append(heads.get(ENGAGED, NONE))  # of no candidates there are no heads
            self.chosen.append(chosen)
        for head, values in heads.items():
            if head != ENGAGED:
                self.given.setdefault(head, []).extend(values[chosen].tolist())
        self.events += [event[place] for place in positions[chosen].tolist()]
        self.ranked.append(places_among(positions[order], query.targets))
        self.retrieved.append(places_among(positions, query.targets))
        self.found.append(np.isfinite(self.retrieved[-1]))
        self.targets.append(query.target_events)
        self.users.append(query.user_id)
        slate = next((self.slates[event] for event in query.target_events if event in self.slates), None)
        if slate:
            self._add_shown(query, slate, positions, order, heads)

    def _add_shown(self, query: Query, slate: Shown, positions: Ints, order: Ints, heads: Mapping[str, Floats]) -> None:
        """What `slate` showed of the candidates, but for what the user took of it at another time."""
        self.shown = self.shown or Observed()
        place = dict(zip(positions.tolist(), range(len(positions)), strict=True))
        other = slate.taken & ~np.isin(slate.positions, query.targets)
        rows = np.array([place[item] for item in slate.positions[~other].tolist() if item in place], np.int64)
        ranks = np.argsort(order, kind="stable")[rows]
        own = {head: values[rows] for head, values in heads.items()}
        self.shown.add(query, positions[rows], np.argsort(ranks, kind="stable"), own)

    def calibration(self, labels: Mapping[str, Mapping[str, int]]) -> dict[str, list[dict[str, float]]]:
        """Predicted against observed shares by head.

        Args:
            labels: by further head, 1 or 0 by event, without those not yet known.
        """
        return {head: reliability(*pair) for head, pair in self._pairs(labels).items()}

    def measure(
        self, labels: Mapping[str, Mapping[str, int]], samples: int, beside: str = "retrieval"
    ) -> dict[str, Any]:
        """How well each head tells and counts, and how well the order of the ranker beside that of the retrievers.

        A figure that the examples do not support is left out: NaN is no JSON.

        Args:
            labels: by further head, 1 or 0 by event, without those not yet known.
            samples: of the bootstrap.
            beside: what the other order is called.
        """
        heads = {}
        for head, (predicted, observed) in self._pairs(labels).items():
            bins = reliability(predicted, observed)
            low, high = predicted_over_observed(bins)
            figures = {
                "auc": auc(predicted, observed),
                "log_loss": log_loss(predicted, observed),
                "calibration_error": calibration_error(bins),
                "predicted_over_observed": predicted.mean(dtype=np.float64) / observed.mean()
                if observed.any()
                else np.nan,
                "predicted_over_observed_low": low,
                "predicted_over_observed_high": high,
            }
            if head != ENGAGED:
                told = auc_interval(predicted, observed, self._users_of(labels.get(head, {})))
                bounds = {"auc_low": told.low, "auc_high": told.high, "base_log_loss": base_log_loss(observed)}
                figures |= bounds
            counts = {"examples": len(predicted), "positives": int(observed.sum())}
            heads[head] = counts | {name: value for name, value in figures.items() if np.isfinite(value)}
        marks = {ENGAGED: None, **{head: labels.get(head, {}) for head in self.given}}
        orders = {head: self._ndcg(mark, samples, beside) for head, mark in marks.items()}
        found: dict[str, Any] = {"heads": heads, f"ndcg@{TOP}": orders}
        if self.shown:
            found["shown"] = {"slates": len(self.shown.users), **self.shown.measure(labels, samples, "logged")}
        return found

    def _pairs(self, labels: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[Floats, Floats]]:
        """By head: what was predicted and what came, `[examples]` each; of `engaged` float32 and bool, as there are
        many."""
        pairs = {ENGAGED: (np.concatenate([NONE, *self.engaged]), np.concatenate([NONE.astype(bool), *self.chosen]))}
        for head, values in self.given.items():
            known = labels.get(head, {})
            told = [(value, known[e]) for value, e in zip(values, self.events, strict=True) if e in known]
            predicted, observed = np.array(told, np.float64).reshape(-1, 2).T
            pairs[head] = predicted, observed
        return pairs

    def _users_of(self, known: Mapping[str, int]) -> np.ndarray:
        """Whose each of the examples of `_pairs` is, of a head whose labels are `known`."""
        owner = {e: user for user, events in zip(self.users, self.targets, strict=True) for e in events}
        return np.array([owner[event] for event in self.events if event in known], str)

    def _ndcg(self, labels: Mapping[str, int] | None, samples: int, beside: str) -> dict[str, Any]:
        """NDCG of the candidates where the targets count that `labels` marks (all where None), by user.

        Only queries that have such a target among their candidates: what retrieval misses is not the ranker's. Without
        any, there is their number alone.
        """
        rows: list[tuple[int, np.ndarray]] = []
        for query, (events, found) in enumerate(zip(self.targets, self.found, strict=True)):
            wanted = found if labels is None else found & np.array([labels.get(e, 0) == 1 for e in events], bool)
            if wanted.any():
                rows.append((query, wanted))
        if not rows:
            return {"queries": 0, "users": 0}
        place: dict[str, int] = {}
        users = np.array([place.setdefault(self.users[q], len(place)) for q, _ in rows], np.int64)
        orders: Mapping[str, Sequence[Floats]] = {"ranker": self.ranked, beside: self.retrieved}
        values = [
            mean_by_user(query_metric(f"ndcg@{TOP}", [ranks[q][wanted] for q, wanted in rows]), users, len(place))
            for ranks in orders.values()
        ]
        table = np.stack([*values, values[0] - values[1]], axis=1)
        told = dict(zip((*orders, "difference"), map(asdict, bootstrap_columns(table, samples, SEED)), strict=True))
        return {"queries": len(rows), "users": len(place), **told}


def draw(queries: int) -> frozenset[int]:
    """At most QUERIES of so many, by a seed: the same ones of each model."""
    return frozenset(np.random.default_rng(SEED).permutation(queries)[:QUERIES].tolist())


def places_among(ordered: Ints, targets: Ints) -> Floats:
    """`[targets]`: the place of each in `ordered`, from 1; `inf` where it is not there."""
    hits = ordered[None, :] == targets[:, None]
    return (
        np.where(hits.any(axis=1), 1.0 + hits.argmax(axis=1), np.inf) if len(ordered) else np.full(len(targets), np.inf)
    )
