"""Metrics of parts of the test window: who fares well, who does not, and with which items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import comb
from typing import Any

import numpy as np

from souk.evaluation.protocol import SEED, Ranking
from souk.evaluation.simultaneous import upper_bounds, widest_gap
from souk.evaluation.slices import FAMILIARITY, Slice, Targets
from souk.metrics import Floats, Interval, Ints, bootstrap_columns, flat_metric, mean_by_user
from souk.spec import FeatureSpec

LEAST_USERS = 50  # of a slice that may be called the worst
LEAST_SERVED = 30  # of these, users that either model serves at all, where the bound of their mean is enough
SIGN_LEVEL = 0.01  # of the sign test that is asked too where fewer are served


def measure_slices(
    parts: Sequence[Slice],
    targets: Targets,
    rankings: Sequence[Ranking],
    metrics: Sequence[str],
    primary: str,
    samples: int,
) -> dict[str, dict[str, Any]]:
    """Metrics of each slice: a query counts with its targets of the slice, and a user with such queries.

    Returns:
        Per slice its family and declared column, its queries and users; per model the mean and interval of each metric;
        how much more of `primary` the first model has than each other one, paired by user; and of how many users
        (`_signs`).
    """
    found = {}
    for part, queries, users, values in _by_user(parts, targets, rankings, metrics):
        told = {"side": part.side, "family": part.family, "column": part.column}
        sizes = {"queries": queries, "users": len(users)}
        found[part.name] = told | sizes | _with_intervals(values, [r.name for r in rankings], primary, samples)
    return found


def _by_user(
    parts: Sequence[Slice], targets: Targets, rankings: Sequence[Ranking], metrics: Sequence[str]
) -> Iterator[tuple[Slice, int, Ints, dict[tuple[str, str], Floats]]]:
    """Per slice the number of its queries, its users, and by model and metric `[users]` means."""
    flat = [np.concatenate([*ranking.ranks, np.zeros(0)]) for ranking in rankings]
    new = [np.concatenate([*ranking.new_ranks, np.zeros(0)]) for ranking in rankings]
    for part in parts:
        kept, sizes = np.unique(targets.query[part.chosen], return_counts=True)
        users, user = np.unique(targets.user[kept], return_inverse=True)
        ranks = new if part.among_new else [own[part.chosen] for own in flat]
        yield (
            part,
            len(kept),
            users,
            {
                (ranking.name, metric): mean_by_user(flat_metric(metric, own, sizes), user, len(users))
                for ranking, own in zip(rankings, ranks, strict=True)
                for metric in metrics
            },
        )


def user_losses(
    parts: Sequence[Slice], targets: Targets, ours: Ranking, theirs: Ranking, primary: str, samples: int
) -> dict[str, dict[str, float]]:
    """How far `ours` is from `theirs` in every slice that divides the users and has LEAST_USERS of them.

    The bound of a mean of few figures beside zeros fails too often. So a slice in which the two models serve fewer than
    LEAST_SERVED users is behind only where an exact sign test says so too (SIGN_LEVEL over the number of slices).

    Returns:
        Per slice its users, the mean of `primary` of both models, their difference, how many `gain` and `lose`, and
        `high`, its upper bound, which holds for all these slices at once (`souk.evaluation.simultaneous.upper_bounds`);
        at least 0 where the sign test sees no loss.
    """
    found: dict[str, dict[str, float]] = {}
    columns = []
    for part, _, users, values in _by_user([p for p in parts if p.side == "user"], targets, [ours, theirs], [primary]):
        own, other = values[ours.name, primary], values[theirs.name, primary]
        if len(users) >= LEAST_USERS and ((own > 0) | (other > 0)).any():
            column = np.full(int(targets.user.max()) + 1, np.nan)
            column[users] = own - other
            columns.append(column)
            means = {"challenger": float(own.mean()), "champion": float(other.mean())}
            told = {"users": len(users), **_signs(own, other), **means}
            found[part.name] = told | {"difference": float((own - other).mean())}
    if columns:
        bounds = upper_bounds(np.stack(columns, axis=1), samples, SEED).tolist()
        for told, high in zip(found.values(), bounds, strict=True):
            told["high"] = high if bound_holds(told, len(found)) else max(0.0, high)
    return found


def _signs(own: Floats, other: Floats) -> dict[str, int]:
    """How many users either model serves, and how many of them gain and lose."""
    served = int(((own > 0) | (other > 0)).sum())
    return {"served": served, "gain": int((own > other).sum()), "lose": int((own < other).sum())}


def bound_holds(signs: Mapping[str, float], parts: int = 1) -> bool:
    """Whether a loss beyond its bound is believed: enough users are served, or an exact sign test sees it too.

    Args:
        signs: users that are `served` by either model, that `gain` and that `lose`.
        parts: of how many parts this is the one that loses most.
    """
    counts = int(signs["gain"]), int(signs["lose"])
    return signs["served"] >= LEAST_SERVED or sign_test(*counts) < SIGN_LEVEL / parts


def sign_test(gain: int, lose: int) -> float:
    """The chance that at most `gain` of all who differ gain, where either is as likely (exact, one-sided)."""
    return sum(comb(gain + lose, each) for each in range(gain + 1)) / 2 ** (gain + lose)


def _with_intervals(
    values: Mapping[tuple[str, str], Floats], models: Sequence[str], primary: str, samples: int
) -> dict[str, Any]:
    first, *others = models
    leads = {(name, "lead"): values[first, primary] - values[name, primary] for name in others}
    columns = {**values, **leads}
    bounds = bootstrap_columns(np.stack(list(columns.values()), axis=1), samples, SEED)
    told = dict(zip(columns, map(asdict, bounds), strict=True))
    return {
        "models": {
            name: {m: own for (model, m), own in told.items() if model == name and m != "lead"} for name in models
        },
        "differences": {name: told[name, "lead"] for name in others},
        "signs": {name: _signs(values[first, primary], values[name, primary]) for name in others},
    }


def segment_gaps(
    slices: Mapping[str, Mapping[str, Any]], spec: FeatureSpec, model: str, primary: str
) -> dict[str, dict[str, Any]]:
    """By declared column of the users, how far apart `model` serves its values, of those with LEAST_USERS users.

    Returns:
        The two slices; their gap and its bounds for all pairs together (`widest_gap`), over the mean of the column's
        users.
    """
    found: dict[str, dict[str, Any]] = {}
    for column in spec.columns.users:
        mine = {n: s for n, s in slices.items() if (s["side"], s["column"]) == ("user", column)}
        own = {n: s for n, s in mine.items() if s["users"] >= LEAST_USERS}
        names, means = list(own), [Interval(**part["models"][model][primary]) for part in own.values()]
        whole = np.average([part.mean for part in means], weights=[p["users"] for p in own.values()]) if own else 0.0
        if len(own) > 1 and whole > 0:
            high, low, bound = widest_gap(means, [part["users"] for part in own.values()])
            gap = means[high].mean - means[low].mean
            bounds = {"gap": gap / whole, "low": bound / whole, "high": (2 * gap - bound) / whole}
            found[column] = {"highest": names[high], "lowest": names[low], **{n: float(v) for n, v in bounds.items()}}
    return found


def worst(slices: Mapping[str, Mapping[str, Any]], model: str, primary: str, whole: float) -> dict[str, Any]:
    """Of the users, and of the items, the slice of at least LEAST_USERS users in which `model` has least of `primary`.

    What is new to the user and what is not are another question, and are left out.

    Returns:
        `least_users`; and under "user" and "item" the slice's name, users, mean and interval, and its gap: the mean
        less `whole`, that of all queries. A side without such a slice is left out.
    """
    found: dict[str, Any] = {"least_users": LEAST_USERS}
    for side in ("user", "item"):
        means = {
            name: part["models"][model][primary]["mean"]
            for name, part in slices.items()
            if part["side"] == side and part["users"] >= LEAST_USERS and part["family"] != FAMILIARITY
        }
        if means:
            name = min(means, key=lambda each: means[each])
            bounds = slices[name]["models"][model][primary]
            found[side] = {"name": name, "users": slices[name]["users"], **bounds, "gap": means[name] - whole}
    return found
