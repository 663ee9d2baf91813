"""Ranking metrics over full rankings, averages by user, exposure, AUC, calibration, and the paired bootstrap.

A query has one or more targets. What a metric needs of it are the ranks of its targets, from 1, in the whole ranking;
a target that is not ranked at all has rank `inf`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from souk.errors import SoukError, unknown

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
NAMES = ("hr", "ndcg", "recall", "mrr")
BLOCK = 64  # scores of which `top` first looks at the highest
CELLS = 4_000_000  # counts that the bootstrap holds at once
MOST_PLACES = 10_000  # that a metric looks at
LEAST_USERS = 20  # of a lead that counts: the bootstrap's interval of fewer is too narrow (docs/evaluation.md)


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def target_ranks(scores: Floats, targets: Ints) -> Floats:
    """The ranks of `targets` in the ranking by `scores`, highest first, ties in the order of the items.

    Args:
        scores: `[items]`; `-inf` takes an item out of the ranking.
        targets: `[targets]` positions in `scores`.

    Returns:
        `[targets]` float64, `inf` for a target out of the ranking.
    """
    own, targets = scores[targets], np.asarray(targets)
    ranked = own > -np.inf
    if not ranked.any():
        return np.full(len(own), np.inf)
    others = np.sort(scores[np.flatnonzero(scores >= own[ranked].min())])  # nothing below the last target moves a rank
    first, end = np.searchsorted(others, own), np.searchsorted(others, own, "right")
    ranks = 1.0 + len(others) - end
    for tied in np.unique(own[ranked & (end > first + 1)]):
        at = own == tied
        ranks[at] += np.searchsorted(np.flatnonzero(scores == tied), targets[at])
    return np.where(ranked, ranks, np.inf)


def top(scores: Floats, k: int) -> Ints:
    """The positions of the `k` highest finite `scores` `[items]`, best first, ties by position."""
    blocks = len(scores) // BLOCK
    if k < len(scores):
        # The k-th best of the blocks' best is no better than the k-th best of all, and found in a fraction of the time.
        heads = scores[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1) if k <= blocks else scores
        bound = np.partition(heads, len(heads) - k)[len(heads) - k]
        candidates = np.flatnonzero((scores >= bound) & (scores > -np.inf))
    else:
        candidates = np.flatnonzero(scores > -np.inf)
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k]


def query_metric(name: str, ranks: Sequence[Floats]) -> Floats:
    """One metric of each query.

    `hr@k` is 1 where a target is among the first k; `recall@k` is the share of the targets there; `mrr` is the
    reciprocal rank of the first target in the whole ranking; `ndcg@k` (Järvelin and Kekäläinen) has gain 1 a target,
    over that of the best possible ranking.

    Args:
        name: `mrr`, or `hr@k`, `ndcg@k`, `recall@k` with a whole number k.
        ranks: per query `[targets]`, from 1; at least one target.

    Returns:
        `[queries]` float64.
    """
    sizes = np.array([len(own) for own in ranks], dtype=np.int64)
    return flat_metric(name, np.concatenate([*ranks, np.zeros(0)]).astype(np.float64), sizes)


def flat_metric(name: str, flat: Floats, sizes: Ints) -> Floats:
    """`query_metric` of ranks that stand one query after the other.

    Args:
        name: the metric.
        flat: `[targets]` ranks, from 1.
        sizes: `[queries]`, how many targets each query has.
    """
    kind, k = parse_metric(name)
    if not len(sizes):
        return np.zeros(0)
    if (sizes == 0).any():
        raise SoukError("every query to have a target", f"{int((sizes == 0).sum())} without", "Drop these queries.")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    if kind == "mrr":
        return 1.0 / np.minimum.reduceat(flat, starts)
    within = flat <= k
    if kind == "hr":
        return np.maximum.reduceat(within, starts).astype(np.float64)
    if kind == "recall":
        return np.add.reduceat(within.astype(np.float64), starts) / sizes
    gains = np.add.reduceat(np.where(within, 1.0 / np.log2(1.0 + flat), 0.0), starts)
    ideal = np.cumsum(1.0 / np.log2(2.0 + np.arange(k)))
    return gains / ideal[np.minimum(sizes, k) - 1]


def parse_metric(name: str) -> tuple[str, int]:
    """A metric's kind and its k, which is 0 for `mrr`."""
    match = re.fullmatch(r"(hr|ndcg|recall)@([1-9]\d*)", name)
    if match and len(match[2]) <= len(str(MOST_PLACES)) and int(match[2]) <= MOST_PLACES:
        return match[1], int(match[2])
    if match:
        raise SoukError(f"a metric of at most the first {MOST_PLACES:,} places", name, f"Take {match[1]}@10.")
    if name == "mrr":
        return "mrr", 0
    raise unknown("a metric", name, ("hr@10", "ndcg@10", "recall@100", "mrr"))


def mean_by_user(values: Floats, users: Ints, count: int) -> Floats:
    """The mean of each user's queries: `values` and `users` `[queries]`, users from 0 to `count` → `[count]`.

    A user without queries has NaN.
    """
    totals = np.bincount(users, weights=values, minlength=count)
    sizes = np.bincount(users, minlength=count)
    return np.divide(totals, sizes, out=np.full(count, np.nan), where=sizes > 0)


def coverage(shown: Ints, catalogue: int) -> float:
    """The share of a catalogue of `catalogue` items that is shown to anyone; `shown` is any array of item positions."""
    return len(np.unique(shown)) / catalogue if catalogue else 0.0


def gini(exposure: Floats) -> float:
    """The Gini coefficient of `exposure` `[items]`: 0 where all get the same, near 1 where one item gets everything."""
    ordered, count = np.sort(exposure.astype(np.float64)), len(exposure)
    if not count or not ordered.sum():
        return float("nan")
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * ordered.sum()))


def auc(scores: Floats, labels: Floats) -> float:
    """The chance that a positive scores above a negative, ties half; NaN where there is but one class."""
    positive = labels > 0
    if not positive.any() or positive.all():
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(above / (positive.sum() * (~positive).sum()))


def log_loss(predicted: Floats, observed: Floats) -> float:
    """The mean negative log likelihood of `observed` (0 or 1) under `predicted`, in nats; NaN without examples."""
    if not len(predicted):
        return float("nan")
    chance = np.clip(predicted.astype(np.float64), 1e-12, 1 - 1e-12)
    return float(-np.where(observed > 0, np.log(chance), np.log1p(-chance)).mean())


def calibration_error(bins: Sequence[Mapping[str, float]]) -> float:
    """The expected calibration error of the bins of `reliability` (Naeini et al. 2015, with bins of equal size)."""
    total = sum(part["count"] for part in bins)
    if not total:
        return float("nan")
    return float(sum(part["count"] * abs(part["predicted"] - part["observed"]) for part in bins) / total)


def predicted_over_observed(bins: Sequence[Mapping[str, float]], positives: int = 200) -> tuple[float, float]:
    """The least and the greatest ratio of the bins of `reliability` that have so many positives; NaN without any."""
    ratios = [b["predicted"] / b["observed"] for b in bins if b["count"] * b["observed"] > positives - 0.5]
    return (min(ratios), max(ratios)) if ratios else (float("nan"), float("nan"))


def reliability(predicted: Floats, observed: Floats, bins: int = 10) -> list[dict[str, float]]:
    """Mean prediction and observed share in bins of equal size, in the order of the predictions. Examples of one
    prediction have their mean label, so that a bin's edge among them depends on nothing but how many there are.

    Args:
        predicted: `[examples]` probabilities.
        observed: `[examples]` 0 or 1.
        bins: at most this many.
    """
    _, equal = np.unique(predicted, return_inverse=True)
    observed = (np.bincount(equal, observed) / np.bincount(equal))[equal]
    order = np.argsort(equal, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        {"predicted": float(predicted[part].mean()), "observed": float(observed[part].mean()), "count": len(part)}
        for part in parts
    ]


def bootstrap(values: Floats, samples: int, seed: int, level: float = 0.95) -> Interval:
    """The percentile bootstrap of a mean over users (Efron 1979).

    For a comparison of two models, `values` are the differences of each user: the bootstrap is then paired.

    Args:
        values: `[users]`.
        samples: resamplings.
        seed: of the resampling.
        level: of the interval.
    """
    return bootstrap_columns(values[:, None], samples, seed, level)[0]


def bootstrap_columns(values: Floats, samples: int, seed: int, level: float = 0.95) -> list[Interval]:
    """`bootstrap` of each column of `values` `[users, columns]`, with the same resamplings of the users for all."""
    count, columns = values.shape
    if not count:
        return [Interval(float("nan"), float("nan"), float("nan"))] * columns
    rng = np.random.default_rng(seed)
    means, block = np.empty((samples, columns)), max(1, CELLS // count)
    for start in range(0, samples, block):
        drawn = [rng.integers(count, size=count) for _ in range(min(block, samples - start))]
        times = np.array([np.bincount(users, minlength=count) for users in drawn], np.float64)
        means[start : start + len(drawn)] = times @ values / count
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean = values.mean(axis=0)  # sums in another order: where all users have the same, rounding puts it outside
    bounds = np.minimum(low, mean), np.maximum(high, mean)
    return [Interval(*own) for own in zip(mean.tolist(), *(bound.tolist() for bound in bounds), strict=True)]
