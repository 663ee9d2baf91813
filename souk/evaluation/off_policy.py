"""What another policy would have been worth, of a log that says how likely each item was shown at its place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from souk.errors import SoukError
from souk.metrics import LEAST_USERS, Floats, Ints

NORMAL = 1.96  # standard errors on either side of a 95% interval
FEW_ROWS, FEW_REWARDED = 100, 50  # effective ones; of fewer, intervals are too narrow (docs/experiments.md)
SHORT = "Give 1 as logged and target, and 0 as reward, where a slate had no such place."
UNLIKELY = 4.5  # standard errors that the mean weight is from 1


@dataclass(frozen=True)
class Estimate:
    """A value a row, with its 95% interval, of a normal distribution."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PolicyValue:
    """What a policy is worth, and how much of the log says so.

    Args:
        ips: by inverse propensity: unbiased where each weight is as it came and the log could show what the policy
            would.
        snips: self-normalised, by place: of less variance, and of a bias that goes with the rows.
        effective_rows: so many rows of weight 1 the weights are worth (Kish 1965), at the worst place.
        effective_rewarded: so many rows of which something came, of one weight, the weighted rewards are worth.
        mean_weight: that of the place where it is the most standard errors from 1; near 1 where the propensities are
            those of the log and the policy shows nothing that the log could not.
        largest_weight: before it is cut.
        clipped: share of the weights that were cut.
        doubts: sentences on what makes the intervals tell less than they seem to.
    """

    ips: Estimate
    snips: Estimate
    effective_rows: float
    effective_rewarded: float
    mean_weight: float
    largest_weight: float
    clipped: float
    doubts: tuple[str, ...]


def policy_value(
    rewards: ArrayLike,
    logged: ArrayLike,
    target: ArrayLike,
    most: float = math.inf,
    users: Sequence[object] | None = None,
) -> PolicyValue:
    """The value of a target policy, item by place (Li et al. 2018, Offline Evaluation of Ranking Policies with Click
    Models, section 5; self-normalised as Swaminathan and Joachims 2015).

    Args:
        rewards: `[rows]` or `[rows, places]`, what came of what was shown, such as 1 for a click. A place that a slate
            lacks has a reward of 0, and 1 as logged and target.
        logged: likewise, the probability with which it was shown at its place, above 0.
        target: likewise, that with which the target policy would show it there: 0 for another item.
        most: weights, target over logged, are cut to it: less variance, and a bias downwards.
        users: `[rows]`, who was asked: rows of one user go together, and the intervals are those of a draw of users
            (the sandwich of clusters; Liang and Zeger 1986). None where each row is of another.

    Raises:
        SoukError: shapes that differ or are empty, a number that is none, a probability out of its range, or another
            number of users than of rows.
    """
    reward, shown, wanted = (_places(values) for values in (rewards, logged, target))
    _check(reward, shown, wanted, most)
    whole = wanted / shown
    weights = np.minimum(whole, most)
    rows, mean = len(weights), weights.mean(axis=0)
    asked = _numbered(users, rows)
    each = (weights * reward).sum(axis=1)
    known = np.where(mean > 0, mean, 1.0)
    by_place = (weights * reward).mean(axis=0) / known
    influence = (weights * (reward - by_place) / known).sum(axis=1)
    effective, rewarded = float(_effective(weights).min()), float(_effective(each[:, np.newaxis])[0])
    errors = np.array([_error(place, asked) for place in whole.T])
    away = np.abs(whole.mean(axis=0) - 1) / np.maximum(errors, 1e-9)
    doubts = []
    if (count := int(asked.max()) + 1) < min(FEW_ROWS, rows):
        doubts.append(f"the rows are of {count:,} users: a few of them decide")
    if effective < FEW_ROWS:
        doubts.append(f"the weights are worth {effective:,.0f} rows of {rows:,}: a few rows decide")
    if rewarded < FEW_REWARDED:
        doubts.append(
            f"what came of it is worth {rewarded:,.0f} rows with something alone: the intervals are too narrow"
        )
    if count >= LEAST_USERS and away.max() > UNLIKELY:
        why = "the propensities are not those of this log, or the policy shows what the log never could"
        doubts.append(f"the mean weight is {whole.mean(axis=0)[away.argmax()]:.3g} and not 1: {why}")
    return PolicyValue(
        ips=_estimate(float(each.mean()), each, asked),
        snips=_estimate(float(by_place.sum()), influence, asked),
        effective_rows=effective,
        effective_rewarded=rewarded,
        mean_weight=float(whole.mean(axis=0)[away.argmax()]),
        largest_weight=float(whole.max()),
        clipped=float((whole > most).mean()),
        doubts=tuple(doubts),
    )


def _places(values: ArrayLike) -> Floats:
    try:
        array: Floats = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        array = _of_lists(list(cast(Iterable[ArrayLike], values)))
    return array[:, np.newaxis] if array.ndim == 1 else array


def _of_lists(rows: Sequence[ArrayLike]) -> Floats:
    """Of rows that are lists or arrays each, as pandas reads them from a log."""
    sizes = {np.size(row) for row in rows}
    if len(sizes) > 1:
        raise SoukError("as many places in each row", f"{min(sizes)} to {max(sizes)}", SHORT)
    try:
        return np.array([np.asarray(row, np.float64) for row in rows])
    except (TypeError, ValueError) as error:
        raise SoukError("numbers, [rows] or [rows, places]", f"{error}", "Give a number for each place.") from error


def _check(reward: Floats, shown: Floats, wanted: Floats, most: float) -> None:
    shapes = [array.shape for array in (reward, shown, wanted)]
    if len(set(shapes)) > 1 or reward.ndim != 2 or not reward.size:
        expected = "rewards, logged and target of one shape, [rows] or [rows, places], with a row"
        raise SoukError(expected, ", ".join(map(str, shapes)), "Give one of each for what was shown.")
    if not np.isfinite(reward).all():
        raise SoukError("finite rewards", "some that are none", "Give 0 where nothing came of it.")
    if not ((shown > 0) & (shown <= 1)).all():
        remedy = "Leave out what has no propensity; what was shown had a chance."
        raise SoukError("logged probabilities above 0 and up to 1", f"{shown.min():g} to {shown.max():g}", remedy)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        remedy = "Give 0 for what the policy would not show there."
        raise SoukError("target probabilities from 0 to 1", f"{wanted.min():g} to {wanted.max():g}", remedy)
    if not most > 0:
        raise SoukError("most above 0", str(most), "Leave it out to cut no weight.")


def _effective(weights: Floats) -> Floats:
    """Of each column."""
    squares = (weights**2).sum(axis=0)
    return np.divide(weights.sum(axis=0) ** 2, squares, out=np.zeros(weights.shape[1]), where=squares > 0)


def _numbered(users: Sequence[object] | None, rows: int) -> Ints:
    """`[rows]`, a number from 0 on for each user."""
    if users is None:
        return np.arange(rows)
    if len(users) != rows:
        raise SoukError(f"a user for each of {rows:,} rows", f"{len(users):,}", "Give who was asked, row by row.")
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(user, len(numbers)) for user in users], np.int64)


def _estimate(value: float, each: Floats, asked: Ints) -> Estimate:
    error = _error(each, asked)
    return Estimate(value, value - NORMAL * error, value + NORMAL * error)


def _error(each: Floats, asked: Ints) -> float:
    """The standard error of the mean of rows, of which those of one user go together; of one user alone infinite."""
    apart = np.bincount(asked, each - each.mean())
    if len(apart) < 2:
        return math.inf
    return math.sqrt(float((apart**2).sum()) * len(apart) / (len(apart) - 1)) / len(each)
