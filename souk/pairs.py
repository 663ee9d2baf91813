"""Features of a query and a candidate together: one definition, for training and for serving.

They are computed from the raw features that both have (`souk.state.features_at`) and from arrays of the items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from souk.acts import ACT, repeats
from souk.affinity import affinities, tastes_of
from souk.items import FORM, ItemTable
from souk.levels import NEAR
from souk.matches import MATCH, matched
from souk.pair_query import PairQuery
from souk.satisfaction import satisfaction
from souk.schema import DAY_MS
from souk.sources.rows import totals_of, weights_of
from souk.spec import FeatureSpec
from souk.valued import Valued

RECENT = 10  # events whose items a candidate is compared with
RESPONSE = "response"  # log of how often it is taken where it is shown, over what places promise; where the log tells
SOURCES = PairQuery.followers, PairQuery.again, PairQuery.popular  # each with a score and a place by it
TEN_THOUSAND = 1e4  # shares of what several segments take are of every size
PAIR_FEATURES = (
    "score",  # query vector · item vector
    "log_rank",  # log(1 + place among the request's candidates by score)
    "log_events",  # log(1 + engaging events with the item before the query)
    "log_lately",  # log(1 + the sum of what each of them counts now) (souk.counts)
    "satisfied_rate",
    "window_events",  # log(1 + events of the window with the item)
    "window_recency",  # 1 / (1 + days since the last of them); 0 without one
    "similarity_mean",  # cosine of the candidate and the items of the last RECENT events
    "similarity_max",
    "similarity_last",
    "shared_mean",  # share of the window's events whose item has a value of the candidate, mean over its values
    "shared_max",
    "age",  # log(1 + days since the item's creation); 0 where unknown, of few items that of the median
    "age_known",
    "co_visitation",  # what others went on to after the window's items (souk.sources.co_visitation)
    "co_visitation_rank",  # log(1 + place among the request's candidates by it), one place for equals
    "again",  # sum over the events with the item of their decay, habits among them (souk.repeats)
    "again_rank",
    "popularity",  # log(1 + TEN_THOUSAND * the item's share of what the query's segments take lately)
    "popularity_rank",
    "satisfied_before",  # how satisfied the user was, beyond what the items do for everyone (souk.satisfaction)
    "satisfied_lately",
    "satisfied_alike",  # with items like the candidate
    "satisfied_shared",  # with items that have its values
    "past_events",  # log(1 + engagements with the item, however long ago)
    "past_recency",  # 1 / (1 + days since the last of them); 0 without one
    "due",  # days since then, as r / (1 + r) for r of the user's mean days between two
    *(HOURS := ("past_hour", "past_weekday")),  # how near all of them were to this time of day and of the week: 0 to 1
    *(LINEAR := ("ease", "ease_rank")),  # what those take who took the window's items (souk.features.ease)
)


@dataclass(frozen=True)
class _Asked:
    """The candidates of one query, and which of all they are."""

    query: PairQuery
    part: slice
    candidates: Valued

    @property
    def positions(self) -> np.ndarray:
        return self.candidates.positions


def pair_names(
    matches: Sequence[tuple[str, str]],
    shared: Sequence[str],
    form: int = FORM,
    acts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    shown: bool = False,
) -> tuple[str, ...]:
    """The columns of `pair_features` in a form.

    Args:
        matches: of the spec.
        shared: the names of its shared item features, and
        form: what is computed of a release, `souk.items.FORM` of a new one.
        acts: of the spec.
        numbers: of the spec, the names of item features.
        shown: of the spec.
    """
    own = PAIR_FEATURES[: len(PAIR_FEATURES) - len(LINEAR) * (form < 8) - len(HOURS) * (form < 3)]
    affine = [f"{taste}:{name}" for taste in tastes_of(form, acts) for name in shared]
    told = (f"{ACT}:{kind}" for kind in acts)
    near = (f"{NEAR}:{name}" for name in numbers if form > 6)
    return (*own, *told, *(f"{MATCH}:{own}:{theirs}" for own, theirs in matches), *affine, *near, *[RESPONSE] * shown)


def names_of(spec: FeatureSpec, form: int = FORM) -> tuple[str, ...]:
    """The columns of `pair_features` of a release."""
    shared = [feature.name for feature in spec.shared]
    return pair_names(spec.matches, shared, form, spec.acts, spec.numbers, spec.shown)


def pair_features(
    items: ItemTable,
    queries: Sequence[PairQuery],
    request: np.ndarray,
    positions: np.ndarray,
    scores: np.ndarray,
    listed: np.ndarray | None = None,
) -> np.ndarray:
    """The features of candidates.

    Args:
        items: the item table.
        queries: B queries.
        request: `[M]` int64, ascending: which query each candidate belongs to.
        positions: `[M]` int64, the candidates.
        scores: `[M]` float32, query vector · item vector.
        listed: `[M]` bool, those that count in the ranks of others; None for all. One that does not has the rank that
            it would have had.

    Returns:
        `[M, P] float32`, columns as `pair_names` has them.
    """
    owner = np.repeat(np.arange(len(queries)), [len(query.items) for query in queries])
    window = np.concatenate([np.zeros(0, np.int64), *(query.items for query in queries)])
    ages = np.concatenate([np.zeros(0), *(query.ages for query in queries)])
    kinds = np.concatenate([np.zeros(0, np.int64), *(query.kinds for query in queries)]) if items.acts else window
    lengths = np.maximum(1, np.bincount(owner, minlength=len(queries)))
    known, size = window >= 0, len(items.vectors)
    owner, window, ages, kinds = owner[known], window[known], ages[known], kinds[known]
    seen, acts = repeats(request * size + positions, owner * size + window, ages, kinds, len(items.acts))
    asked = np.array([query.time for query in queries], np.float64)[request]
    own, numbers = None if items.form > 2 else -len(HOURS), len(items.levels.names) if items.form > 6 else 0
    affine = len(tastes_of(items.form, items.acts)) * len(items.shares.names)
    candidates = Valued.of(items, positions)
    each = _by_query(queries, request, candidates)
    columns = (
        [scores, np.log1p(_ranks(request, scores, listed))],
        items.counted(positions, asked),
        seen,
        _similarity(items.vectors, each, len(request)),
        _shared(items, request, candidates, owner, window, lengths),
        _age(items.created_at[positions], items.assumed_birth, asked),
        _sourced(items, each, listed, SOURCES, len(request)),
        _joined(each, (4, len(request)), lambda own: _satisfied(items, own)),
        _joined(each, (5, len(request)), lambda own: own.query.past.columns(own.positions))[:own],
        _sourced(items, each, listed, (PairQuery.taken_together,), len(request)) if items.form > 7 else [],
        acts,
        matched(items, [query.own for query in queries], request, candidates),
        _joined(each, (affine, len(request)), lambda own: _affine(items, own)),
        _joined(each, (numbers, len(request)), lambda own: own.query.near(items, own.positions)),
        [] if items.responses is None else [items.responses[positions]],
    )
    return np.array([column for group in columns for column in group], np.float32).T.copy()


def _by_query(queries: Sequence[PairQuery], request: np.ndarray, candidates: Valued) -> list[_Asked]:
    """The queries that have candidates, each with its own."""
    bounds = np.searchsorted(request, np.arange(len(queries) + 1)).tolist()
    parts = (slice(start, end) for start, end in pairwise(bounds))
    return [_Asked(q, part, candidates[part]) for q, part in zip(queries, parts, strict=True) if part.stop > part.start]


def _satisfied(items: ItemTable, asked: _Asked) -> np.ndarray:
    query = asked.query
    return satisfaction(items, query.items, query.surprise, query.moments, asked.candidates)


def _affine(items: ItemTable, asked: _Asked) -> np.ndarray:
    """By taste and feature, `[tastes * features, M]`."""
    tastes = [asked.query.tastes[name] for name in tastes_of(items.form, items.acts)]
    return affinities(tastes, items, asked.candidates).reshape(-1, len(asked.positions))


def _ranks(request: np.ndarray, scores: np.ndarray, listed: np.ndarray | None) -> np.ndarray:
    """`[M]`: one more than the listed with a better score in the same request; ties in their order."""
    order = np.lexsort((np.arange(len(scores)), -scores, request))
    counts = np.ones(len(scores), np.int64) if listed is None else listed[order].astype(np.int64)
    before = np.cumsum(counts) - counts
    ranks = np.empty(len(scores))
    ranks[order] = before - before[np.searchsorted(request, request)] + 1
    return ranks


def _similarity(vectors: np.ndarray, each: Sequence[_Asked], count: int) -> list[np.ndarray]:
    """Cosines of each candidate with the items of the query's last events: their mean, their maximum, the last."""
    columns = np.zeros((3, count), np.float32)
    for asked in each:
        recent = asked.query.items[asked.query.items >= 0][-RECENT:]
        if len(recent):
            cosines = vectors[asked.positions] @ vectors[recent].T
            columns[:, asked.part] = cosines.mean(axis=1), cosines.max(axis=1), cosines[:, -1]
    return list(columns)


def _shared(
    items: ItemTable,
    request: np.ndarray,
    candidates: Valued,
    owner: np.ndarray,
    window: np.ndarray,
    lengths: np.ndarray,
) -> list[np.ndarray]:
    """Of each candidate's values, the share of its query's window that has them: mean and maximum."""
    size = max(1, items.value_count)
    row, value = items.expanded(window)
    asker = request[candidates.row]
    counts = totals_of(owner[row] * size + value, None, len(lengths) * size, asker * size + candidates.value)
    shares = counts / lengths[asker]
    most = np.zeros(len(candidates))
    np.maximum.at(most, candidates.row, shares)
    return [candidates.means(shares), most]


def _sourced(
    items: ItemTable,
    each: Sequence[_Asked],
    listed: np.ndarray | None,
    sources: Sequence[Callable[[PairQuery, ItemTable], tuple[np.ndarray, np.ndarray]]],
    count: int,
) -> list[np.ndarray]:
    """The score of each candidate by each of the sources, 0 where it has none, and log(1 + its place by it)."""
    columns = np.zeros((2 * len(sources), count), np.float32)
    for asked in each:
        counted = None if listed is None else listed[asked.part]
        for row, source in enumerate(sources):
            scores = weights_of(*source(asked.query, items), asked.positions)
            columns[2 * row, asked.part] = scores
            columns[2 * row + 1, asked.part] = np.log1p(_shared_ranks(scores, counted))
    if items.form > 2 and PairQuery.popular in sources:
        row = 2 * sources.index(PairQuery.popular)
        columns[row] = np.log1p(TEN_THOUSAND * columns[row])
    return list(columns)


def _joined(each: Sequence[_Asked], shape: tuple[int, int], of: Callable[[_Asked], np.ndarray]) -> list[np.ndarray]:
    """Columns, `shape` together, those of one query's candidates at a time."""
    columns = np.zeros(shape)
    for asked in each if len(columns) else ():
        columns[:, asked.part] = of(asked)
    return list(columns)


def _shared_ranks(scores: np.ndarray, listed: np.ndarray | None) -> np.ndarray:
    """Of one request's candidates: one more than the listed with a better score; equals share a place."""
    counted = np.sort(scores if listed is None else scores[listed])
    return 1.0 + len(counted) - np.searchsorted(counted, scores, side="right")


def _age(created_at: np.ndarray, assumed: float, times: np.ndarray) -> list[np.ndarray]:
    created_at = np.where(np.isnan(created_at), assumed, created_at)
    known = np.isfinite(created_at)
    days = np.maximum(0, np.where(known, times - created_at, 0)) / DAY_MS
    return [np.log1p(days), known.astype(np.float32)]
