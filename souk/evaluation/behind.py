"""Parts of the test window in which the slate is behind another model, each by an interval of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from souk.candidates import TOWERS
from souk.evaluation.baselines import BASELINES, Fresh, Popularity, SegmentPopularity, Trending
from souk.evaluation.slice_metrics import LEAST_USERS
from souk.evaluation.slices import FAMILIARITY

Parts = Mapping[str, Any]
# Much the same for everybody: among targets that are what these show, none of them can be wrong.
ALIKE = (Fresh.name, Popularity.name, SegmentPopularity.name, Trending.name)


def large(slices: Parts) -> dict[str, Any]:
    """The slices of at least LEAST_USERS users: the intervals of smaller ones are too narrow."""
    return {name: part for name, part in slices.items() if part["users"] >= LEAST_USERS}


def behind(slices: Parts, model: str) -> list[tuple[str, Any]]:
    """The slices in which the slate is behind another model, each by an interval of its own."""
    return [(n, part) for n, part in slices.items() if part["differences"].get(model, {"high": 0})["high"] < 0]


def most_behind(slices: Parts, primary: str) -> list[str]:
    """Of its own two towers, and of the simple rules, a sentence where the slate is behind them: the slice in which it
    is so most surely, and in how many it is. Rules that are ALIKE for everybody are passed over in slices by what the
    targets are; what is new to a user may be anything.

    Args:
        slices: all of them.
        primary: the metric whose differences they have.
    """
    kept = large(slices)
    beside = {"its own two towers": [TOWERS], "a simple rule": list(BASELINES)}
    return [line for others, models in beside.items() for line in _most(kept, others, models, primary)]


def _most(slices: Parts, others: str, models: list[str], primary: str) -> list[str]:
    found = [
        (model, name, part)
        for model in models
        for name, part in behind(slices, model)
        if not (model in ALIKE and part["side"] == "item" and part["family"] != FAMILIARITY)
    ]
    if not found:
        return []
    model, name, part = min(found, key=lambda each: float(each[2]["differences"][each[0]]["high"]))
    named = others if models == [model] else f"{model}, {others},"
    found_in = f"{primary} {signed(part['differences'][model])}, {part['users']} users"
    of_all = f"{len({slice_ for _, slice_, _ in found})} of {len(slices)} slices of at least {LEAST_USERS} users"
    return [f"Behind {named} in {name}: {found_in}; behind {others} in {of_all}, each by an interval of its own."]


def signed(value: Mapping[str, float], digits: int = 4) -> str:
    """A difference with its interval."""
    return f"{value['mean']:+.{digits}f} (95% {value['low']:+.{digits}f} to {value['high']:+.{digits}f})"
