"""The parts of the test window that are told apart: of the users, and of the items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from souk.evaluation.content import Content, Labels, labels
from souk.evaluation.protocol import new_to_user
from souk.evaluation.queries import Catalogue, Query
from souk.metrics import Ints
from souk.schema import Kind
from souk.spec import FeatureSpec

ACTIVITY = (*((n, n) for n in range(6)), (6, 20), (21, 100), (101, None))  # events before the query
VALUES = 12  # of a declared column; the rest are one slice
OTHERS = "all others"
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
        column: the declared column that it is a value of; "" where it is of none.
    """

    side: Side
    family: str
    name: str
    chosen: np.ndarray
    among_new: bool = False
    column: str = ""


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
    available = np.flatnonzero(catalogue.listed)
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
        chosen = np.array([label in own for own in values], bool)[of_target]
        yield Slice(side, family, f"{family}: {label}", chosen, column=column)
    kept = set(frequent)
    rest = np.array([not kept.intersection(own) for own in values], bool)
    name = OTHERS
    while name in kept:  # a value has this name
        name = f"({name})"
    yield Slice(side, family, f"{family}: {name}", rest[of_target], column=column)


def _number(label: str) -> float:
    """Where a label stands among labels of numbers; `inf` for words."""
    try:
        return float(label.split(" to ")[0])
    except ValueError:
        return np.inf
