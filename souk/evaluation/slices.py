"""Metrics of parts of the test window: who fares well, who does not, and with which items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from typing import Any, Literal

import numpy as np

from souk.evaluation.content import Content, Labels, labels
from souk.evaluation.protocol import SEED, Ranking, new_to_user
from souk.evaluation.queries import Catalogue, Query
from souk.evaluation.simultaneous import upper_bounds, widest_gap
from souk.metrics import Floats, Interval, Ints, bootstrap_columns, flat_metric, mean_by_user
from souk.schema import Kind
from souk.spec import FeatureSpec

ACTIVITY = ((0, 0), (1, 5), (6, 20), (21, 100), (101, None))  # events before the query
VALUES = 12  # of a declared column; the rest are one slice
LEAST_USERS = 50  # of a slice that may be called the worst
LEAST_SERVED = 30  # of these, users that either model serves at all, where the bound of their mean is enough
SIGN_LEVEL = 0.01  # of the sign test that is asked too where fewer are served
Side = Literal["user", "item"]
KNOWN, FAMILIARITY = "known or new", "new to the user"  # families


@dataclass(frozen=True)
class Targets:
    """The targets of all queries, one after the other.

    Args:
        query: `[targets]`, the index of each one's query.
        item: `[targets]`, positions.
        fresh: `[targets]` bool: the user never engaged with it before.
        user: `[queries]`, the user of each query as a number.
        queries: the queries.
    """

    query: Ints
    item: Ints
    fresh: np.ndarray
    user: Ints
    queries: Sequence[Query]

    @classmethod
    def of(cls, queries: Sequence[Query]) -> Targets:
        """Those of `queries`."""
        place: dict[str, int] = {}
        none = np.zeros(0, np.int64)
        return cls(
            query=np.repeat(np.arange(len(queries)), [len(query.targets) for query in queries]),
            item=np.concatenate([*(query.targets for query in queries), none]),
            fresh=np.concatenate([*map(new_to_user, queries), none.astype(bool)]),
            user=np.array([place.setdefault(query.user_id, len(place)) for query in queries], np.int64),
            queries=queries,
        )


@dataclass(frozen=True)
class Slice:
    """A part of the targets.

    Args:
        side: whether it is a part of the "user"s or of the "item"s.
        family: what divides the targets.
        name: of this part.
        chosen: `[targets]` bool.
        among_new: whether the targets are ranked among what is new to the user only.
    """

    side: Side
    family: str
    name: str
    chosen: np.ndarray
    among_new: bool = False


def slices_of(targets: Targets, catalogue: Catalogue, content: Content, spec: FeatureSpec) -> list[Slice]:
    """Every slice that has a target.

    New users and items, activity of the user, popularity of the item, and the values of the declared columns; where
    users come back to items, also what is new to the user and what is not.
    """
    found = [
        *_known(targets, catalogue),
        *_activity(targets),
        *_deciles(targets, catalogue),
        *_declared(targets, content, spec),
    ]
    if not targets.fresh.all():
        found.append(Slice("item", FAMILIARITY, "new to the user", targets.fresh, among_new=True))
        found.append(Slice("item", FAMILIARITY, "engaged with before", ~targets.fresh))
    return [part for part in found if part.chosen.any()]


def _known(targets: Targets, catalogue: Catalogue) -> Iterator[Slice]:
    cold = np.array([query.state.count == 0 for query in targets.queries], bool)[targets.query]
    new = ~catalogue.old[targets.item]
    yield Slice("user", KNOWN, "cold users", cold)
    yield Slice("item", KNOWN, "new items", new)
    yield Slice("user", KNOWN, "known users and items", ~cold & ~new)


def _activity(targets: Targets) -> Iterator[Slice]:
    counts = np.array([query.state.count for query in targets.queries], np.int64)[targets.query]
    for low, high in ACTIVITY:
        text = f"{low} or more" if high is None else f"{low}" if high == low else f"{low} to {high}"
        yield Slice(
            "user",
            "user activity",
            f"events so far: {text}",
            (counts >= low) & (counts <= (np.inf if high is None else high)),
        )


def _deciles(targets: Targets, catalogue: Catalogue) -> Iterator[Slice]:
    """Tenths of the available items; items of equal popularity in their order."""
    available = np.flatnonzero(catalogue.available)
    order = available[np.argsort(-catalogue.popularity[available], kind="stable")]
    decile = np.zeros(len(catalogue.ids), np.int64)
    decile[order] = 1 + np.arange(len(order)) * 10 // max(1, len(order))
    ends = {1: " (most popular)", 10: " (least popular)"}
    for number in range(1, 11):
        name = f"item popularity: tenth {number}{ends.get(number, '')}"
        yield Slice("item", "item popularity", name, decile[targets.item] == number)


def _declared(targets: Targets, content: Content, spec: FeatureSpec) -> Iterator[Slice]:
    first = dict(zip(targets.user.tolist(), targets.queries, strict=True))
    profiles = [first[user].profile for user in range(len(first))]
    for column, kind in spec.columns.users.items():
        if kind not in (Kind.TEXT, Kind.VECTOR):
            values = labels([profile.get(column) for profile in profiles], kind)
            yield from _split("user", column, values, targets.user[targets.query])
    for column, values in content.columns.items():
        yield from _split("item", column, values, targets.item)


def _split(side: Side, column: str, values: Labels, of_target: Ints) -> Iterator[Slice]:
    """A slice for each frequent label; none where all share one."""
    counts: Counter[str] = Counter()
    for own, times in zip(values, np.bincount(of_target, minlength=len(values)).tolist(), strict=True):
        counts.update(dict.fromkeys(own, times) if times else {})
    frequent = sorted(counts, key=lambda label: (-counts[label], label))[:VALUES]
    if len(counts) < 2:
        return
    family = f"{side} {column}"
    for label in sorted(frequent, key=_number) if all(_number(label) < np.inf for label in frequent) else frequent:
        yield Slice(side, family, f"{family}: {label}", np.array([label in own for own in values], bool)[of_target])
    kept = set(frequent)
    rest = np.array([not kept.intersection(own) for own in values], bool)
    yield Slice(side, family, f"{family}: all others", rest[of_target])


def _number(label: str) -> float:
    """Where a label stands among labels of numbers; `inf` for words."""
    try:
        return float(label.split(" to ")[0])
    except ValueError:
        return np.inf


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
        Per slice its family, its queries and users; per model the mean and interval of each metric; and how much more
        of `primary` the first model has than each other one, paired by user.
    """
    found = {}
    for part, queries, users, values in _by_user(parts, targets, rankings, metrics):
        sizes_of = {"side": part.side, "family": part.family, "queries": queries, "users": len(users)}
        found[part.name] = sizes_of | _with_intervals(values, [r.name for r in rankings], primary, samples)
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
            signs = {"gain": int((own > other).sum()), "lose": int((own < other).sum())}
            served = int(((own > 0) | (other > 0)).sum())
            told = {"users": len(users), "served": served, **signs, **means}
            found[part.name] = told | {"difference": float((own - other).mean())}
    if columns:
        bounds = upper_bounds(np.stack(columns, axis=1), samples, SEED).tolist()
        for told, high in zip(found.values(), bounds, strict=True):
            counts = int(told["gain"]), int(told["lose"])
            sure = told["served"] >= LEAST_SERVED or sign_test(*counts) < SIGN_LEVEL / len(found)
            told["high"] = high if sure else max(0.0, high)
    return found


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
    }


def segment_gaps(
    slices: Mapping[str, Mapping[str, Any]], spec: FeatureSpec, model: str, primary: str
) -> dict[str, dict[str, Any]]:
    """By declared column of the users, how far apart `model` serves its values, of those with LEAST_USERS users.

    Returns:
        The two slices; their gap and its lower bound (`widest_gap`), both over the mean of the column's users.
    """
    found: dict[str, dict[str, Any]] = {}
    for column in spec.columns.users:
        own = {n: s for n, s in slices.items() if s["family"] == f"user {column}" and s["users"] >= LEAST_USERS}
        names, means = list(own), [Interval(**part["models"][model][primary]) for part in own.values()]
        whole = np.average([part.mean for part in means], weights=[p["users"] for p in own.values()]) if own else 0.0
        if len(own) > 1 and whole > 0:
            high, low, bound = widest_gap(means)
            gap = {"gap": (means[high].mean - means[low].mean) / whole, "low": bound / whole}
            found[column] = {"highest": names[high], "lowest": names[low], **{n: float(v) for n, v in gap.items()}}
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
