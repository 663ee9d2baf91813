"""The candidates of one request on their way to a slate."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from souk.candidates import Allowed
from souk.rerank import Reranker
from souk.serving.catalogue import Catalogue
from souk.serving.exploration import OFF, explored
from souk.serving.request import Request
from souk.serving.slate import Slate, SlateItem
from souk.slate_score import log_chances, log_scores
from souk.sources.popularity import Segments
from souk.stages import Stage, staged
from souk.state import UserState


@dataclass(frozen=True)
class Settings:
    """What a bundle says about its slates.

    Args:
        release: its name.
        weights: the exponent of each head in the score.
        candidates: how many items of the merged sources the ranker looks at.
    """

    release: str
    weights: Mapping[str, float]
    candidates: int


@dataclass(frozen=True)
class Candidates:
    """What the sources brought for one request, in the order of the merged list.

    Args:
        positions: `[C]` int64.
        scores: `[C]` float32, dot products of query and item; None without a query vector.
        sources: `[C]`, which brought each: names of `souk.candidates.SHARES` with + between them, or `candidates`.
    """

    positions: np.ndarray
    scores: np.ndarray | None
    sources: Sequence[str]


NO_MATCH = "filter_matches_nothing"
NOTHING = "nothing_available"
UNKNOWN_CANDIDATES = "unknown_candidates"
NO_CANDIDATE = "no_candidate_available"
KEPT_OUT = "all_kept_out"
BLOCK = 4096
NO_CANDIDATES = Candidates(np.empty(0, np.int64), None, ())


def noted(request: Request, catalogue: Catalogue) -> list[str]:
    """What `degraded` says of a request from the start: what parsing found, and ids among the candidates that no item
    of the catalogue has. These are passed over: a caller may know of an item before this server does."""
    unknown = any(item not in catalogue.positions for item in request.candidates or ())
    return [*request.degraded, *[UNKNOWN_CANDIDATES] * unknown]


def named(
    catalogue: Catalogue, vectors: np.ndarray, names: Sequence[str], vector: np.ndarray | None, allowed: Allowed
) -> Candidates:
    """The request's own candidates, best first by the towers; none without a query vector."""
    if vector is None:
        return NO_CANDIDATES
    known = np.array(sorted(catalogue.known(names)), np.int64)
    chosen = known[allowed(known)]
    scores = vectors[chosen] @ vector
    order = np.argsort(-scores, kind="stable")
    return Candidates(chosen[order], scores[order], ["candidates"] * len(chosen))


def by_request(heads: Mapping[str, np.ndarray], counts: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """The heads of each request's candidates, of which there are so many; {} where there are none."""
    ends = np.cumsum(counts)[:-1]
    split = {head: np.split(values, ends) for head, values in heads.items()}
    return [{head: parts[row] for head, parts in split.items()} if count else {} for row, count in enumerate(counts)]


def _in_blocks(shown: np.ndarray) -> Iterator[int]:
    """The positions that are shown, looked for as they are asked for: a slate seldom lacks more than a few."""
    for start in range(0, len(shown), BLOCK):
        yield from (start + np.flatnonzero(shown[start : start + BLOCK])).tolist()


@dataclass(frozen=True)
class Ranking:
    """Ranked candidates of one request, before the slate is cut and filled.

    Args:
        candidates: in the order of the merged list.
        order: `[C]` int64, indices into the candidates, best first.
        ranked: the same in the ranker's own order, before the re-ranking.
        log_scores: `[C]` float64 by candidate: what `ranked` follows. Without heads of 1 / place in the merged list.
        heads: `[C]` float32 by candidate for each objective; empty where the ranker did not answer.
        excluded: positions that are no candidates.
        tired: those of them that may appear when nothing else is left, in this order.
        state: what was known of the user.
        degraded: why this is less than it could be.
        features: raw features of user and query.
    """

    candidates: Candidates
    order: np.ndarray
    ranked: np.ndarray
    log_scores: np.ndarray
    heads: Mapping[str, np.ndarray]
    excluded: frozenset[int]
    state: UserState
    degraded: tuple[str, ...]
    features: Mapping[str, Any]
    tired: tuple[int, ...] = ()

    @property
    def positions(self) -> np.ndarray:
        """Positions in the catalogue, best first, `[C]` int64."""
        return self.candidates.positions[self.order]


def ordered(
    request: Request, candidates: Candidates, heads: Mapping[str, np.ndarray], settings: Settings, reranker: Reranker
) -> dict[str, np.ndarray]:
    """`log_scores`, `ranked` and `order` of a Ranking: by the score of the heads (souk.slate_score), ties, and all
    without heads, as merged; and re-ranked. The request's treatment may have other weights and other rules."""
    if heads:
        logs = log_scores(log_chances(heads), {**settings.weights, **request.treatment.weights})
    else:
        logs = -np.log(np.arange(1, len(candidates.positions) + 1))
    ranked = np.argsort(-logs, kind="stable")
    reranker = reranker.named(request.treatment.rerank)
    with Stage("rerank"):
        order = reranker.order(candidates.positions[ranked], logs[ranked], request.timestamp, request.k)
    return {"log_scores": logs, "ranked": ranked, "order": ranked[order]}


@dataclass(frozen=True)
class SlateMaker:
    """Cuts rankings to slates, and fills those that are short: popular items of the segment, of all, then any, at last
    what was shown too often.

    Args:
        catalogue: the items.
        popular: popular items by segment.
        release: its name.
    """

    catalogue: Catalogue
    popular: Segments
    release: str

    @staged("slate")
    def slate(self, request: Request, ranking: Ranking) -> Slate:
        """The answer to `request`."""
        rules = request.treatment.exploration if ranking.heads else OFF
        best, propensities = explored(ranking.order, ranking.log_scores, request.k, rules, request.request_id)
        sources = [ranking.candidates.sources[place] for place in best.tolist()]
        positions, scores = ranking.candidates.positions[best].tolist(), np.exp(ranking.log_scores[best]).tolist()
        columns = [values[best].tolist() for values in ranking.heads.values()]
        heads = zip(*columns, strict=True) if columns else repeat((), len(positions))
        items = [
            self._item(position, score, dict(zip(ranking.heads, values, strict=True)), source, place, propensity)
            for place, (position, score, values, source, propensity) in enumerate(
                zip(positions, scores, heads, sources, propensities.tolist(), strict=True)
            )
        ]
        if len(items) < request.k:
            taken = ranking.excluded.union(positions)
            for position, source in self._fill(request, ranking.features, taken, ranking.tired):
                items.append(self._item(position, 0.0, {}, source, len(items)))
                if len(items) == request.k:
                    break
        return Slate(
            request.request_id,
            request.user_id,
            request.timestamp,
            self.release,
            request.treatment.arm,
            tuple(items),
            ranking.degraded if items else (*ranking.degraded, *self._why_none(request)),
            ranking.features,
            request,
        )

    def safe(self, request: Request, hidden: Collection[str] = ()) -> Slate:
        """The answer where nothing is known but the catalogue, and what the request's own events hide: all fill."""
        none = NO_CANDIDATES.positions
        itself = (request.item_id,) if request.similar else ()
        excluded = frozenset(self.catalogue.known((*request.exclude, *itself, *hidden)))
        logs, degraded = np.zeros(0), (*noted(request, self.catalogue), "internal_error")
        return self.slate(request, Ranking(NO_CANDIDATES, none, none, logs, {}, excluded, UserState(""), degraded, {}))

    def _why_none(self, request: Request) -> tuple[str, ...]:
        """Whether an empty slate comes of the catalogue, of the candidates of the request, of which none is to be had,
        of the filter, which lets nothing through of what is, or of what is kept out of this slate: all that is left."""
        shown, matching = (self.catalogue.shown(wanted, request.timestamp) for wanted in ((), request.filter))
        if not shown.any():
            return (NOTHING,)
        if request.candidates is not None:
            known = sorted(self.catalogue.known(request.candidates))
            if not known:
                return ()  # `unknown_candidates` says it
            if not shown[known].any():
                return (NO_CANDIDATE,)
            matching = matching[known]
        return (KEPT_OUT,) if matching.any() else (NO_MATCH,)

    def _fill(
        self, request: Request, features: Mapping[str, Any], excluded: Collection[int], tired: Collection[int]
    ) -> Iterator[tuple[int, str]]:
        taken = set(excluded)
        allowed = None if request.candidates is None else self.catalogue.known(request.candidates)
        shown = self.catalogue.shown(request.filter, request.timestamp)
        rest = _in_blocks(shown) if allowed is None else sorted(allowed)
        popular = self.popular.leading(self.popular.of(features))
        for source, positions in (("popular", popular), ("catalogue", rest)):
            for position in positions:
                if position in taken or not shown[position]:
                    continue
                if allowed is None or position in allowed:
                    taken.add(position)
                    yield position, source
        yield from ((p, "shown_often") for p in tired if shown[p] and (allowed is None or p in allowed))

    def _item(
        self, position: int, score: float, heads: dict[str, float], source: str, place: int, propensity: float = 1.0
    ) -> SlateItem:
        item, title = self.catalogue.ids[position], self.catalogue.titles[position]
        return SlateItem(item, title, score, heads, source, place, propensity)
