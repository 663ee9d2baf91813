"""What a ranker is worth to users that it was not fitted on: its order, its probabilities, and the weights of both."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from souk.metrics import auc, calibration_error, log_loss, reliability
from souk.models.calibration import IDENTITY, Calibration, calibrate, roc
from souk.models.rank_examples import RankExamples
from souk.slate_score import log_chances, log_scores
from souk.spec import ENGAGED, SATISFIED

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # of satisfaction, beside 1 for engagement
FIGURES = ("ndcg@10", "satisfied_ndcg@10")  # of a weight


@dataclass(frozen=True)
class RankerQuality:
    """On held-out users.

    Args:
        calibration: by head.
        weights: exponents of `engaged` and `satisfied` that make the order: of `satisfied` the one that is fixed, else
            `tuned`.
        tuned: the exponent of `satisfied`, beside 1 for `engaged`, that satisfies most at a bounded loss of clicks.
        front: for each weight of satisfaction `weight`, `ndcg@10`, `satisfied_ndcg@10`, `expected_ndcg@10` and
            `expected_satisfied_ndcg@10` (`tune_weight`), and `chosen`: whether it is the one of `weights`, as none is
            where `engaged` has no weight; empty where satisfaction is not learned.
        metrics: AUC, log loss and calibration error by head, NDCG by objective; slates are those of `weights`.
        roc: points by head.
    """

    calibration: dict[str, Calibration]
    weights: dict[str, float]
    tuned: float
    front: list[dict[str, float]]
    metrics: dict[str, float]
    roc: dict[str, dict[str, list[float]]]


def quality(
    logits: Mapping[str, np.ndarray],
    examples: RankExamples,
    rows: np.ndarray,
    max_click_loss: float,
    fixed: Mapping[str, float],
    not_learned: Container[str] = (),
) -> RankerQuality:
    """Calibrates, tunes the weight of satisfaction and measures. The curves are of all rows; log loss and calibration
    error are those of curves that were fitted to the other half of the users.

    `engaged` is asked of all candidates of each moment, the other heads of the engaged items whose label is known.

    Args:
        logits: `[rows, width]` by head.
        examples: all of them.
        rows: which of them the logits are of.
        max_click_loss: the share of NDCG@10 that satisfaction may cost.
        fixed: the exponents that stay what they are, of the heads beside these two and, where nothing is to be tuned,
            of `satisfied`; of `engaged` where that is not 1.
        not_learned: heads whose logit is the same for everything: no curve is fitted to it, no weight changes an order.
    """
    moments = np.flatnonzero(examples.first[rows])
    queries = examples.candidate[rows] & examples.first[rows][:, None]
    pairs = {ENGAGED: (logits[ENGAGED][queries], examples.chosen[rows][queries].astype(np.int64))}
    asked = {ENGAGED: np.nonzero(queries)[0]}
    for head, label in examples.labels.items():
        asked[head] = known = np.flatnonzero(label[rows] >= 0)
        pairs[head] = logits[head][known, examples.own[rows[known]]], label[rows[known]]
    half = np.unique(examples.users[rows], return_inverse=True)[1] % 2
    calibration, metrics, curves, chances = {}, {}, {}, {}
    for head, (values, labels) in pairs.items():
        constant = head in not_learned
        calibration[head] = IDENTITY if constant else calibrate(values, labels)
        probability = calibration[head].probability(values)
        curves[head] = roc(probability, labels)
        metrics[f"{head}_auc"] = auc(probability, labels)
        unseen = probability if constant else cross_fitted(values, labels, half[asked[head]])
        metrics[f"{head}_log_loss"] = log_loss(unseen, labels)
        metrics[f"{head}_ece"] = calibration_error(reliability(unseen, labels))
        chances[head] = calibration[head].probability(logits[head][moments])
    chances = log_chances(chances)
    metrics["ndcg@10"] = ndcg(logits[ENGAGED][moments], examples, rows[moments])
    tuned, front = 0.0, list[dict[str, float]]()
    if SATISFIED not in not_learned:
        others = {name: weight for name, weight in fixed.items() if name not in (ENGAGED, SATISFIED)}
        tuned, front = tune_weight(chances, others, examples, rows[moments], max_click_loss)
    engaged, weight = fixed.get(ENGAGED, 1.0), fixed.get(SATISFIED, tuned)
    front = [point | {"chosen": float(engaged > 0 and abs(point["weight"] - weight) < 1e-9)} for point in front]
    metrics |= _slates(chances, {**fixed, SATISFIED: weight}, examples, rows[moments])
    return RankerQuality(calibration, {ENGAGED: engaged, SATISFIED: weight}, tuned, front, metrics, curves)


def _slates(
    chances: Mapping[str, np.ndarray], exponents: Mapping[str, float], examples: RankExamples, rows: np.ndarray
) -> dict[str, float]:
    """NDCG@10 of the slate: of what was taken, and by head of what pleased, with and without its exponent."""
    slate = log_scores(chances, exponents)
    found = {"slate_ndcg@10": ndcg(slate, examples, rows)}
    for head in examples.labels:
        without = log_scores(chances, {**exponents, head: 0.0})
        for name, scores in ((f"slate_{head}_ndcg@10", slate), (f"{head}_ndcg@10", without)):
            own = gains(scores, examples, rows, examples.pleased[head], examples.liked[head])
            told = examples.liked[head][rows] > 0
            found[name] = float(own[told].mean()) if told.any() else 0.0
    return found


def cross_fitted(logits: np.ndarray, labels: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The probability of each row by the curve of the rows of the other half; of one half alone, by its own.

    Args:
        logits: `[rows]`.
        labels: `[rows]`, 1 or 0.
        half: `[rows]`, 0 or 1; a user's rows are in one.
    """
    if len(np.unique(half)) < 2:
        return calibrate(logits, labels).probability(logits)
    found = np.empty(len(logits))
    for side in (0, 1):
        curve = calibrate(logits[half != side], labels[half != side])
        found[half == side] = curve.probability(logits[half == side])
    return found


def tune_weight(
    chances: Mapping[str, np.ndarray],
    others: Mapping[str, float],
    examples: RankExamples,
    rows: np.ndarray,
    max_click_loss: float,
) -> tuple[float, list[dict[str, float]]]:
    """The weight of satisfaction, and the front that it was chosen from.

    Of the weights that are expected to cost at most `max_click_loss` of the NDCG@10 of what is taken, the one that is
    expected to satisfy most; of equal ones the smallest. Expected is what the slates are worth where each candidate
    counts by its chance: by what they took, a few hundred users do not tell a loss of a hundredth from none. What they
    took can forbid, though: a weight that costs more than that by a standard error over users is not chosen.

    Args:
        chances: `[rows, width]` by head, log P(engaged) and log P(head | engaged), calibrated.
        others: the exponents of the heads beside `engaged` and `satisfied`.
        examples: all of them.
        rows: a list of each moment.
        max_click_loss: a share.
    """
    if not len(rows):
        return 0.0, [_point(w, (0, 0), (0, 0)) | {"chosen": float(w == 0)} for w in WEIGHTS]
    candidate, taken = examples.candidate[rows], examples.taken[rows]
    liked, pleasing = examples.liked[SATISFIED][rows], examples.pleased[SATISFIED][rows]
    told, chosen = liked > 0, examples.chosen[rows]
    clicks, front = np.empty((len(WEIGHTS), len(rows))), []
    for own, weight in zip(clicks, WEIGHTS, strict=True):  # the order of one at a time, for all that is asked of it
        order = _first(log_scores(chances, {**others, SATISFIED: weight}), candidate)
        own[:] = _worth(_placed(chosen, order, candidate), taken)
        pleased = _worth(_placed(pleasing, order, candidate), liked)[told]
        engaging = np.exp(_placed(chances[ENGAGED], order, candidate, -np.inf))
        satisfying = engaging * np.exp(_placed(chances[SATISFIED], order, candidate))
        seen = own.mean(), pleased.mean() if told.any() else 0.0
        front.append(_point(weight, seen, [_worth(each, taken).mean() for each in (engaging, satisfying)]))
    costs, bound = clicks[0] - clicks, max_click_loss * clicks[0].mean()
    forbidden = costs.mean(axis=1) - user_errors(costs, examples.users[rows]) > bound
    expected, pleasure = (np.array([point[f"expected_{name}"] for point in front]) for name in FIGURES)
    allowed = np.flatnonzero((expected >= (1 - max_click_loss) * expected[0]) & ~forbidden)
    weight = WEIGHTS[allowed[np.argmax(pleasure[allowed])]]
    return weight, [point | {"chosen": float(point["weight"] == weight)} for point in front]


def _point(weight: float, seen: Sequence[float], expected: Sequence[float]) -> dict[str, float]:
    names = *FIGURES, *(f"expected_{name}" for name in FIGURES)
    return {"weight": weight, **dict(zip(names, map(float, [*seen, *expected]), strict=True))}


def user_errors(values: np.ndarray, users: np.ndarray) -> np.ndarray:
    """`[...]`: the standard error of the mean over all rows, whose users were drawn and not they; infinite of one user.

    Args:
        values: `[..., rows]`.
        users: `[rows]`.
    """
    names, own = np.unique(users, return_inverse=True)
    if len(names) < 2:
        return np.full(values.shape[:-1], np.inf)
    apart = values - values.mean(axis=-1, keepdims=True)
    sums = np.stack([np.bincount(own, row) for row in apart.reshape(-1, len(users))])
    spread = (sums**2).sum(axis=1) * len(names) / (len(names) - 1)
    return np.asarray(np.sqrt(spread) / len(users)).reshape(values.shape[:-1])


def gains(
    scores: np.ndarray, examples: RankExamples, rows: np.ndarray, wanted: np.ndarray, count: np.ndarray, k: int = 10
) -> np.ndarray:
    """NDCG@k of each list, where every wanted item is worth the same; 0 for what retrieval missed.

    Args:
        scores: `[rows, width]`.
        examples: all of them.
        rows: a list of each moment.
        wanted: `[examples, width] bool`, what is worth something.
        count: `[examples]`, how many such items there are, retrieved or not.
        k: places that count.
    """
    candidate = examples.candidate[rows]
    return _worth(_placed(wanted[rows], _first(scores, candidate, k), candidate), count[rows])


def _first(scores: np.ndarray, candidate: np.ndarray, k: int = 10) -> np.ndarray:
    """`[rows, k]`: the columns of the best candidates, best first; equal ones, and then the others, as they are."""
    return np.argsort(np.where(candidate, -scores, np.inf), axis=1, kind="stable")[:, :k]


def _placed(values: np.ndarray, order: np.ndarray, candidate: np.ndarray, other: float = 0) -> np.ndarray:
    """`[rows, k]`: the values of the columns of an order, `other` of those that are no candidates."""
    there = np.take_along_axis(candidate, order, axis=1)
    return np.where(there, np.take_along_axis(values, order, axis=1), other)


def _worth(placed: np.ndarray, count: np.ndarray) -> np.ndarray:
    """`[rows]`: the discounted sum of what the places are worth, by that of `count` first places; 0 of none."""
    discount = 1 / np.log2(np.arange(placed.shape[1]) + 2)
    ideal = np.concatenate([[np.inf], np.cumsum(discount)])
    return np.asarray((placed * discount).sum(axis=1) / ideal[np.minimum(count, len(discount))])


def ndcg(scores: np.ndarray, examples: RankExamples, rows: np.ndarray, k: int = 10) -> float:
    """The mean over moments of the NDCG@k of what was taken, among the candidates; 0 for what retrieval missed."""
    return float(gains(scores, examples, rows, examples.chosen, examples.taken, k).mean()) if len(rows) else 0.0


def retrieval_order(examples: RankExamples, rows: np.ndarray) -> np.ndarray:
    """Scores `[rows, width]` that keep the candidates as they were retrieved, best first."""
    width = examples.positions.shape[1]
    return np.broadcast_to(-np.arange(width, dtype=np.float64), (len(rows), width))
