"""Beyond accuracy: what of the catalogue is shown, and how popular, surprising and varied it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.evaluation.content import Content, diversity
from souk.evaluation.protocol import Ranking, Users
from souk.evaluation.queries import Catalogue, Query
from souk.metrics import Floats, Ints, coverage, gini
from souk.rerank import POPULAR

PERCENT = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
BY_QUERY = ("popularity", "novelty", "diversity", "top1_share")


def by_query(top: Ints, catalogue: Catalogue, content: Content) -> dict[str, Floats]:
    """Values of each slate, `[queries]` by name; NaN where one cannot be told.

    Of slates of ten, `popularity@10` is the mean number of engagements before the window, `novelty@10` the mean
    self-information -log2 of an item's share of them (Zhou et al. 2010; an item without any counts as one with one),
    `diversity@10` is `souk.evaluation.content.diversity`, `top1_share@10` the share of the most popular 1% of the
    available items.
    """
    shown, size = top >= 0, np.maximum(1, (top >= 0).sum(axis=1))
    counts = catalogue.popularity
    surprise = -np.log2(np.maximum(counts, 1) / max(1, counts.sum()))
    popular = np.zeros(len(counts), bool)
    ordered = _by_popularity(catalogue)
    popular[ordered[: max(1, round(POPULAR * len(ordered)))]] = True
    means = [np.where(shown, values[top], 0.0).sum(axis=1) / size for values in (counts, surprise, popular)]
    values = means[0], means[1], diversity(top, content), means[2]
    return {f"{name}@{top.shape[1]}": own for name, own in zip(BY_QUERY, values, strict=True)}


def of_catalogue(top: Ints, users: Users, catalogue: Catalogue) -> dict[str, float]:
    """Coverage of the available items, and the Gini coefficient of their exposure, where users weigh the same."""
    shown = exposure(top, users.weights, len(catalogue.ids))
    covered, places = coverage(top[top >= 0], int(catalogue.listed.sum())), top.shape[1]
    return {f"coverage@{places}": covered, f"gini@{places}": gini(shown[catalogue.listed])}


def exposure(top: Ints, weights: Floats, items: int) -> Floats:
    """`[items]`, how often each item is shown; a query counts by its weight."""
    shown = top >= 0
    each = np.broadcast_to(weights[:, None], top.shape)[shown]
    return np.bincount(top[shown], weights=each, minlength=items).astype(np.float64)


def popularity_curve(
    rankings: Sequence[Ranking], queries: Sequence[Query], users: Users, catalogue: Catalogue
) -> dict[str, Any]:
    """The share of all exposure that the most popular items get, by their percentage of the available ones.

    Returns:
        `percent`; per model under `models`; and under `data` the share of the engagements of the window.
    """
    ordered, items = _by_popularity(catalogue), len(catalogue.ids)
    curves: Mapping[str, Floats] = {r.name: exposure(r.top, users.weights, items) for r in rankings}
    sizes = np.array([len(query.targets) for query in queries], np.int64)
    targets = np.concatenate([*(query.targets for query in queries), np.zeros(0, np.int64)])
    wanted = exposure(targets[:, None], np.repeat(users.weights / sizes, sizes), items)
    return {
        "percent": list(PERCENT),
        "models": {name: _shares(shown[ordered]) for name, shown in curves.items()},
        "data": _shares(wanted[ordered]),
    }


def _by_popularity(catalogue: Catalogue) -> Ints:
    """Positions of the available items, most popular first, ties by position."""
    available = np.flatnonzero(catalogue.listed)
    return available[np.argsort(-catalogue.popularity[available], kind="stable")]


def _shares(exposed: Floats) -> list[float]:
    total = max(float(exposed.sum()), 1e-300)
    firsts = [max(1, round(percent / 100 * len(exposed))) for percent in PERCENT]
    return [float(exposed[:first].sum() / total) for first in firsts]
