"""What a challenger may not lose to the champion, however much better it is on average.

A figure with an interval breaks its rule only where the whole interval lies beyond what is allowed, so that chance
seldom stops an equal model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from souk.config import Evaluate
from souk.evaluation.places import places_of
from souk.evaluation.slice_metrics import LEAST_USERS, bound_holds
from souk.evaluation.verdict import CHALLENGER, CHAMPION, Rule, digits, skipped
from souk.metrics import Interval

LEAST_EXAMPLES, LEAST_OF_EACH = 1000, 200  # of a head: with fewer, positives or not, the error of a right one is large
LEAST_CALLS = 5  # of the models: with fewer, one pause decides
NO_CHAMPION = "no champion was compared with"
Metrics = Mapping[str, Any]


def guardrails(metrics: Metrics, config: Evaluate) -> tuple[Rule, ...]:
    """Every guardrail, in the order of the config; those that are off or cannot be asked are passed, and say so.

    Args:
        metrics: the content of `metrics.json`.
        config: what each allows; None turns one off. A rule that was asked names the keys that set its limit.
    """
    found = []
    for name, rule in RULES.items():
        allowed = getattr(config, name)
        if allowed is None:
            found.append(skipped(name, f"evaluate.{name} is null"))
        elif CHAMPION not in metrics["protocols"]["rolling"]["models"]:
            found.append(skipped(name, NO_CHAMPION))
        else:
            keys = {name: allowed} | {key: getattr(config, key) for key in FLOORS.get(name, ())}
            found.append(_with_keys(rule(metrics, *keys.values()), keys))
    parity = (_segment_parity(metrics, column, gap) for column, gap in sorted(config.segment_parity.items()))
    return (*found, *parity)


def _with_keys(rule: Rule, keys: Mapping[str, Any]) -> Rule:
    """With the keys of the config that set its limit, for whoever reads that it broke."""
    told = ", ".join(f"evaluate.{key} {value}" for key, value in keys.items())
    return rule if rule.skipped else replace(rule, detail=f"{rule.detail} ({told})")


def _worst_slice(metrics: Metrics, allowed: float) -> Rule:
    """The users' slice that certainly loses most; bounds hold for all slices together."""
    slices = metrics["protocols"]["rolling"]["against_champion"]
    if not slices:
        return skipped("worst_slice", f"no slice has {LEAST_USERS} users, some of them served")
    name = min(slices, key=lambda each: slices[each]["high"] + allowed * slices[each]["champion"])
    part = slices[name]
    limit = -allowed * part["champion"]
    d = digits(part["high"], limit)
    numbers = {"slice": name, "slices": len(slices), **part, "limit": limit, "allowed": allowed}
    detail = (
        f"{metrics['primary']} of {name} ({part['users']} users) {part['challenger']:.4f} beside "
        f"{part['champion']:.4f}: difference {part['difference']:+.4f}, at most {part['high']:+.{d}f} (95%, all "
        f"{len(slices)} slices together), may not lie below {limit:+.{d}f}"
    )
    return Rule("worst_slice", bool(part["high"] >= limit), numbers, detail)


def _cold_items(metrics: Metrics, allowed: float) -> Rule:
    part = metrics["protocols"]["rolling"]["slices"].get("new items")
    if not part or part["users"] < LEAST_USERS:
        return skipped("cold_items", f"fewer than {LEAST_USERS} users engage with an item that is new")
    ours, theirs = (part["models"][name][metrics["primary"]]["mean"] for name in (CHALLENGER, CHAMPION))
    lead, limit = part["differences"][CHAMPION], -allowed * theirs
    d = digits(lead["high"], limit)
    signs = part["signs"][CHAMPION]
    behind, sure = bool(lead["high"] < limit), bound_holds(signs)
    numbers = {"users": part["users"], **signs, "challenger": ours, CHAMPION: theirs, **_of(lead), "limit": limit}
    detail = (
        f"{metrics['primary']} of new items {ours:.4f} beside {theirs:.4f}: difference {lead['mean']:+.4f} (95% "
        f"{lead['low']:+.{d}f} to {lead['high']:+.{d}f}), may not lie wholly below {limit:+.{d}f}"
    )
    if behind and not sure:
        detail += (
            f"; it does, but only {signs['served']} users are served at all: that {signs['lose']} of them lose and "
            f"{signs['gain']} gain may be chance"
        )
    return Rule("cold_items", not (behind and sure), numbers | {"allowed": allowed}, detail)


def _coverage(metrics: Metrics, allowed: float) -> Rule:
    rolling = metrics["protocols"]["rolling"]
    name = f"coverage@{places_of(rolling)}"
    ours, theirs = (rolling["models"][model][name] for model in (CHALLENGER, CHAMPION))
    limit = (1 - allowed) * theirs
    d = digits(100 * ours, 100 * limit, least=1)
    detail = f"{ours:.{d}%} of the catalogue is shown beside {theirs:.1%}, asked to be at least {limit:.{d}%}"
    numbers = {"challenger": ours, CHAMPION: theirs, "limit": limit, "allowed": allowed}
    return Rule("coverage", bool(ours >= limit), numbers, detail)


def _popularity_bias(metrics: Metrics, allowed: float, floor: float) -> Rule:
    """The share of the most popular 1%; one that an even exposure would give them too, or below `floor`, is no bias."""
    rolling = metrics["protocols"]["rolling"]
    name = f"top1_share@{places_of(rolling)}"
    ours, theirs = (rolling["models"][model][name]["mean"] for model in (CHALLENGER, CHAMPION))
    rise, items = rolling["differences"][CHAMPION][name], metrics["items"]
    even = max(1, round(0.01 * items)) / items
    limit = max((1 + allowed) * max(theirs, even), floor) - theirs
    d = digits(rise["low"], limit)
    bounds = {"even": even, "floor": floor, **_of(rise), "limit": limit, "allowed": allowed}
    detail = (
        f"the most popular 1% get {ours:.1%} of the places beside {theirs:.1%}: difference {rise['mean']:+.4f} (95% "
        f"{rise['low']:+.{d}f} to {rise['high']:+.{d}f}), may not lie wholly above {limit:+.{d}f}"
    )
    return Rule("popularity_bias", bool(rise["low"] <= limit), {"challenger": ours, CHAMPION: theirs, **bounds}, detail)


def _calibration(metrics: Metrics, allowed: float, floor: float) -> Rule:
    """The head that is furthest beyond its limit; one that errs less than the champion's does not stop a challenger."""
    heads, served = (metrics["ranker"][name]["heads"] for name in (CHALLENGER, CHAMPION))
    told = {
        name: (
            head["calibration_error"],
            served.get(name, {}).get("calibration_error"),
            max(allowed * (_fewer(head) / head["examples"]), floor),
        )
        for name, head in heads.items()
        if head["examples"] >= LEAST_EXAMPLES and _fewer(head) >= LEAST_OF_EACH
    }
    if not told:
        return skipped(
            "calibration", f"no head has {LEAST_EXAMPLES} examples, {LEAST_OF_EACH} of them positive and as many not"
        )
    broken = {
        name for name, (ours, theirs, limit) in told.items() if ours > limit and (theirs is None or ours > theirs)
    }
    name = max(told, key=lambda each: (each in broken, told[each][0] / told[each][2]))
    ours, theirs, limit = told[name]
    d = max(digits(ours, other) for other in (limit, theirs) if other is not None)
    beside = "" if theirs is None else f" beside {theirs:.{d}f}"
    detail = f"expected calibration error of {name} {ours:.{d}f}{beside}, asked to be at most {limit:.{d}f}"
    detail += " or the champion's" if theirs is not None else ""
    numbers = {"head": name, "challenger": ours, "limit": limit, "allowed": allowed, "floor": floor}
    return Rule("calibration", not broken, numbers | ({CHAMPION: theirs} if theirs is not None else {}), detail)


def _fewer(head: Metrics) -> int:
    """The positives, or what is none, whichever are fewer. Their share is the error of who predicts 0, or 1, for
    everything: what is allowed is a part of it, however rare or common the head is."""
    return min(head["positives"], head["examples"] - head["positives"])


def _latency(metrics: Metrics, allowed: float) -> Rule:
    ours, theirs = (metrics["cost"][name] for name in (CHALLENGER, CHAMPION))
    if min(ours["calls"], theirs["calls"]) < LEAST_CALLS:
        return skipped("latency", f"fewer than {LEAST_CALLS} calls of the models")
    return _dearer("latency", "milliseconds", ours, theirs, allowed, "{:.2f} ms a request")


def _size(metrics: Metrics, allowed: float) -> Rule:
    ours, theirs = (metrics["cost"][name] for name in (CHALLENGER, CHAMPION))
    if not ours["bytes"] or not theirs["bytes"]:
        return skipped("size", "the models lie in no folder")
    return _dearer("size", "bytes", ours, theirs, allowed, "{:,.0f} bytes")


def _dearer(name: str, key: str, ours: Metrics, theirs: Metrics, allowed: float, form: str) -> Rule:
    limit = (1 + allowed) * theirs[key]
    numbers = {"challenger": ours[key], CHAMPION: theirs[key], "limit": limit, "allowed": allowed}
    detail = f"{form.format(ours[key])} beside {form.format(theirs[key])}, asked to be at most {form.format(limit)}"
    return Rule(name, bool(ours[key] <= limit), numbers, detail)


def _segment_parity(metrics: Metrics, column: str, allowed: float) -> Rule:
    """The certain part of the widest gap between the segments of a users' column, over their mean."""
    name, gap = f"segment_parity_{column}", metrics["protocols"]["rolling"]["parity"].get(column)
    if gap is None:
        return skipped(name, f"fewer than two values of {column} have {LEAST_USERS} users")
    d = digits(100 * gap["low"], 100 * allowed, least=1)
    detail = (
        f"{metrics['primary']} of {gap['highest']} beside {gap['lowest']}: {gap['gap']:.1%} of the mean apart, at "
        f"least {gap['low']:.{d}%} (95%, all pairs together), asked to be at most {allowed:.{d}%}"
    )
    rule = Rule(name, bool(gap["low"] <= allowed), {**gap, "allowed": allowed}, detail)
    return _with_keys(rule, {"segment_parity": {column: allowed}})


def _of(bounds: Mapping[str, float]) -> dict[str, float]:
    found = Interval(**bounds)
    return {"difference": found.mean, "low": found.low, "high": found.high}


FLOORS = {"popularity_bias": ("popularity_bias_floor",), "calibration": ("calibration_floor",)}  # keys of the config
RULES: dict[str, Callable[..., Rule]] = {  # of the metrics, what is allowed, and the floors
    "worst_slice": _worst_slice,
    "cold_items": _cold_items,
    "coverage": _coverage,
    "popularity_bias": _popularity_bias,
    "calibration": _calibration,
    "latency": _latency,
    "size": _size,
}
