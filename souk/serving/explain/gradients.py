"""Why an item has its score: integrated gradients (Sundararajan et al. 2017) through both models of a release.

What is explained is the logarithm of the score, the weighted sum of the logarithms of the heads' probabilities. The
path leads from nothing known (a user without a name or a profile, as many events of which nothing is known, no pair
feature from a history; what items have in common with what the user states is that of the mean candidate) to the
request.
The query vector's part of the way is passed on to the ranker as it goes, so the contributions of events and features,
and nothing else, add up to log(score) - log(baseline score).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from souk.errors import SoukError, Unanswered
from souk.matches import MATCH, own_words
from souk.pair_query import PairQuery
from souk.pairs import pair_features, pair_names
from souk.serving.beside import Run, here
from souk.serving.explain.explanation import EventPart, Explanation, FeaturePart, measure
from souk.serving.explain.pairs import SCORE, beside, divided, guesses, plain_value, shares, start, votes
from souk.serving.explain.why_not import why_not
from souk.serving.inputs import pair_query, query_inputs
from souk.serving.plugged import OwnRanker
from souk.serving.ranking import Ranking
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.state import QueryFeatures, features_at

STEPS = (32, 128, 512, 2048)  # points of the path; more where fewer leave a gap
CLOSE = 0.01  # of `measure`: a gap that needs no more points
CHUNK = 32  # points in one call
MODELS_AWAY = frozenset(("query_tower_unavailable", "ranker_unavailable"))
MISTYPED = "Look for a typing error, or upsert it first."


@dataclass(frozen=True)
class _Case:
    """One candidate of one request: what the path ends in, and the candidates among whom it stands, itself too."""

    position: int
    features: QueryFeatures
    inputs: Mapping[str, np.ndarray]
    query: PairQuery
    own: np.ndarray
    candidates: tuple[np.ndarray, np.ndarray]
    others: np.ndarray
    guessed: Mapping[str, np.ndarray]

    @property
    def asker(self) -> dict[str, Any]:
        """Raw features of the user and the moment."""
        return self.features.user | self.features.query


@dataclass(frozen=True)
class _Sum:
    """The integral with some number of points: contributions by event, and by feature."""

    log_score: float
    log_baseline: float
    events: np.ndarray
    features: dict[str, float]

    @property
    def close(self) -> bool:
        way, parts = self.log_score - self.log_baseline, [*self.events.tolist(), *self.features.values()]
        return abs(math.fsum(parts) - way) <= CLOSE * measure(way, parts)


class Explainer:
    """Explains the scores of a loaded recommender.

    Args:
        recommender: of a release whose models have the signature `explain`.
        run: where these are computed.
    """

    def __init__(self, recommender: Recommender, run: Run = here) -> None:
        self._recommender, self._run = recommender, run
        self._items, self._tower, self._ranker = recommender.parts
        items = self._items
        own = items.matches, items.shares.names, items.form, items.acts, items.levels.names
        self._names = pair_names(*own, items.responses is not None)

    def explain(self, request: Request, item_id: str = "") -> Explanation:
        """Why `item_id` has its score for this request; "" for the first of the slate.

        Raises:
            SoukError: the catalogue has no such item, nothing was ranked, or the release cannot explain.
            Unanswered: a model does not answer now.
        """
        if isinstance(self._ranker, OwnRanker):
            self._ranker.explain()  # refuses, before the query tower has TensorFlow's process started
        (ranking,) = self._recommender.rank([request])
        case = self._case(request, ranking, self._position(ranking, item_id))
        for steps in STEPS:
            found = self._integrated(case, steps)
            if found.close:
                break
        return self._explanation(request, ranking, case, found, steps)

    def _position(self, ranking: Ranking, item_id: str) -> int:
        catalogue, release = self._recommender.catalogue, self._recommender.settings.release
        if item_id and item_id not in catalogue.positions:
            raise SoukError(f"an item of release {release}", repr(item_id[:80]), MISTYPED)
        if not ranking.heads and (not item_id or len(ranking.positions)):
            received = f"one without scores ({', '.join(ranking.degraded) or 'no candidate'})"
            away = item_id or MODELS_AWAY.intersection(ranking.degraded)
            said = "a slate that the ranker scored", received, "Ask again." if away else "Name an item."
            raise Unanswered(str(SoukError(*said))) if away else SoukError(*said)
        return catalogue.positions[item_id] if item_id else int(ranking.positions[0])

    def _case(self, request: Request, ranking: Ranking, position: int) -> _Case:
        spec = self._recommender.spec
        features = features_at(ranking.state, request.timestamp, spec, request.context)
        inputs = query_inputs([features], spec)
        query = pair_query(ranking.state, features, request.timestamp, self._items, spec)
        positions = ranking.candidates.positions if ranking.heads else np.zeros(0, np.int64)
        listed = np.ones(len(positions), bool)
        if position not in positions:
            positions, listed = np.append(positions, position), np.append(listed, not len(positions))
        scores = self._items.vectors[positions] @ self._tower.vectors(inputs)[0]
        owner = np.zeros(len(positions), np.int64)
        pair = pair_features(self._items, [query], owner, positions, scores, listed)
        mine = positions == position
        # An item that is none of them would be one, and share their chances, if it were to have a score.
        others, guessed = pair[listed & ~mine], guesses(self._items, query, position, features.user | features.query)
        return _Case(position, features, inputs, query, pair[mine][0], (positions, pair), others, guessed)

    def _integrated(self, case: _Case, steps: int) -> _Sum:
        """The integral by the midpoint rule."""
        alpha = np.concatenate([[0], (np.arange(steps) + 0.5) / steps, [1]]).astype(np.float32)
        vector = self._items.vectors[case.position]
        tower = _in_chunks(len(alpha), lambda part: self._tower.explain(case.inputs, vector, alpha[part], self._run))
        first = start(self._names, case.candidates[1], case.others, tower["score"][0], case.guessed)
        pair = first + alpha[:, np.newaxis] * (case.own - first)
        pair[:, SCORE] = tower["score"]
        weights = self._recommender.settings.weights
        ranker = _in_chunks(
            len(alpha),
            lambda part: self._ranker.explain(
                case.inputs, case.position, pair[part], case.candidates, alpha[part], weights, self._run
            ),
        )
        slopes, total = ranker.pop("pair"), ranker.pop("score")
        passed_on = slopes[1:-1, SCORE]
        tokens = passed_on @ tower["token"][1:-1, : len(case.features.window)] / steps
        own = {n: float(passed_on @ v[1:-1] / steps) for n, v in tower.items() if n not in ("score", "token")}
        for name, values in ranker.items():
            own[name] = own.get(name, 0.0) + float(values[1:-1].mean())
        by_pair = slopes[1:-1].mean(axis=0) * (case.own - first)
        return self._divided(case, total, tokens, own, dict(zip(self._names, by_pair.tolist(), strict=True)))

    def _divided(
        self, case: _Case, total: np.ndarray, tokens: np.ndarray, own: dict[str, float], pair: dict[str, float]
    ) -> _Sum:
        """Gives what pair features add to the events that they come from, and the place by score to what made it."""
        del pair["score"]
        moved = shares(np.concatenate([tokens, list(own.values())]))
        if moved.any():
            place = pair.pop("log_rank")
            tokens = tokens + place * moved[: len(tokens)]
            own = {n: v + place * part for (n, v), part in zip(own.items(), moved[len(tokens) :].tolist(), strict=True)}
        given = {**votes(self._items, case.query, case.position), **case.guessed}
        events, rest = divided(pair, given, len(tokens))
        return _Sum(float(total[-1]), float(total[0]), tokens + events, own | rest)

    def _explanation(self, request: Request, ranking: Ranking, case: _Case, found: _Sum, steps: int) -> Explanation:
        catalogue, at = self._recommender.catalogue, np.flatnonzero(ranking.candidates.positions == case.position)
        titles = catalogue.titles
        events = [
            EventPart(event, titles[place] if (place := catalogue.positions.get(event.item_id, -1)) >= 0 else "", part)
            for event, part in zip(case.features.window, found.events.tolist(), strict=True)
        ]
        compared = beside(self._names, case.own, case.candidates[1])
        features = [
            FeaturePart(name, self._value(case, name), part, compared.get(name, 0))
            for name, part in found.features.items()
        ]
        return Explanation(
            user_id=request.user_id,
            item_id=catalogue.ids[case.position],
            title=titles[case.position],
            release=self._recommender.settings.release,
            timestamp=request.timestamp,
            place=int(np.flatnonzero(ranking.order == at[0])[0]) if len(at) else None,
            place_by_score=int(np.flatnonzero(ranking.ranked == at[0])[0]) if len(at) else None,
            source=ranking.candidates.sources[int(at[0])] if len(at) else "",
            why_not=why_not(request, ranking, catalogue, case.position),
            ended=self._ended(request, case.position),
            log_score=found.log_score,
            log_baseline=found.log_baseline,
            events=tuple(events),
            features=tuple(sorted(features, key=lambda part: -abs(part.contribution))),
            steps=steps,
            degraded=ranking.degraded,
        )

    def _ended(self, request: Request, position: int) -> int | None:
        until = self._items.available_until[position]
        return int(until) if until < request.timestamp else None

    def _value(self, case: _Case, name: str) -> Any:
        """The raw value of a feature, a pair's in its unit (`plain_value`)."""
        if name.startswith(f"{MATCH}:"):
            _, own, theirs = name.split(":")
            if not case.asker.get(own) or not self._ranker.item_value(theirs, case.position):
                return None
            return own_words(self._items, case.asker, (own, theirs), case.position)
        if name in self._names:
            return plain_value(name, float(case.own[self._names.index(name)]), self._items.form)
        value = case.asker[name] if name in case.asker else self._ranker.item_value(name, case.position)
        missing = value == "" or (isinstance(value, float) and math.isnan(value))
        return None if missing else value


def _in_chunks(points: int, call: Any) -> dict[str, np.ndarray]:
    """Puts together what `call` answers for each CHUNK of points."""
    answers = [call(slice(start, min(points, start + CHUNK))) for start in range(0, points, CHUNK)]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
