"""From logits to probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

ROC_POINTS = 100
BINS = 2000  # of equally many rows, that a curve is fitted to
POSITIVES_A_KNOT = 50  # the curve bends once for so many
MOST_KNOTS = 12
SWEEPS = 200
DOUBTED = 100.0  # rows that a curve has to outweigh
FLATTEST = 1e-3  # slope: the order of logits stays that of probabilities


@dataclass(frozen=True)
class Calibration:
    """A rising, piecewise linear curve from a head's logit to that of its probability.

    Args:
        offset: its value where it begins.
        knots: where its slope changes, rising.
        slopes: of the line before the first knot, and of those behind each.
    """

    offset: float
    knots: tuple[float, ...]
    slopes: tuple[float, ...]

    def bends(self) -> list[tuple[float, float]]:
        """Knots, each with the `change` of slope: offset + slopes[0] x + the sum of change · max(0, x - knot)."""
        changes = np.diff(self.slopes).tolist()
        return list(zip(self.knots, changes, strict=True))

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Of each logit, any shape."""
        z = self.offset + self.slopes[0] * np.asarray(logits, np.float64)
        for knot, change in self.bends():
            z = z + change * np.maximum(0, logits - knot)
        return np.asarray(1 / (1 + np.exp(-np.clip(z, -30, 30))))


IDENTITY = Calibration(0.0, (), (1.0,))  # of a head whose logits mean what they say


def base_rate(labels: np.ndarray) -> float:
    """The share of the known labels that are positive, drawn to one half as by DOUBTED rows more.

    Args:
        labels: `[rows]`: 1, 0, or -1 where it is not known.
    """
    return float((np.sum(labels > 0) + DOUBTED / 2) / (np.sum(labels >= 0) + DOUBTED))


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """A curve that fits the labels: Platt's line, bent where there are positives enough to see that it must.

    The bent curve is the logistic regression on the ramps between quantiles of the positives, with coefficients that
    are not negative: isotonic regression's shape (Zadrozny and Elkan 2002) with fewer parameters and no flat steps.

    Args:
        logits: `[rows]`.
        labels: `[rows]`, 1 or 0.
    """
    slope, offset = platt(logits, labels)
    few = int(min(labels.sum(), (1 - labels).sum())) if len(labels) else 0
    count = min(MOST_KNOTS, few // POSITIVES_A_KNOT)
    if slope <= 0 or count < 2:
        return Calibration(offset, (), (slope,))
    return bent(logits, labels, count, slope, offset)


def bent(logits: np.ndarray, labels: np.ndarray, count: int, slope: float, offset: float) -> Calibration:
    """The rising curve with `count` knots that fits best, from the line `slope`, `offset` on."""
    x, rows, hits = _binned(logits, labels)
    knots = np.unique(np.quantile(logits[labels > 0], np.linspace(0, 1, count + 2)[1:-1]))
    origin = knots[0]
    ramps = [np.minimum(x, origin) - origin]
    ramps += [np.clip(x, low, high) - low for low, high in pairwise([*knots, np.inf])]
    design, weights, level = np.stack(ramps, axis=1), np.full(len(ramps), slope), offset + slope * origin
    for _ in range(SWEEPS):
        moved = 0.0
        for column in range(len(ramps) + 1):  # one coordinate at a time: Newton's step, kept above FLATTEST
            p = 1 / (1 + np.exp(-np.clip(level + design @ weights, -30, 30)))
            one = design[:, column - 1] if column else np.ones(len(x))
            gradient = float(one @ (rows * p - hits))
            curvature = float(np.square(one) @ (rows * p * (1 - p))) + 1e-9
            if column:
                gradient += weights[column - 1] - slope  # a prior as strong as one row: Platt's slope
                curvature += 1.0
                new = max(FLATTEST, weights[column - 1] - np.clip(gradient / curvature, -1, 1))
                moved, weights[column - 1] = max(moved, abs(new - weights[column - 1])), new
            else:
                step = np.clip(gradient / curvature, -1, 1)
                moved, level = max(moved, abs(step)), level - step
        if moved < 1e-5:
            break
    return Calibration(float(level - weights[0] * origin), tuple(knots.tolist()), tuple(weights.tolist()))


def _binned(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean logit, rows and positives of bins of neighbours; those of the highest logits, where positives are, small."""
    order = np.argsort(logits, kind="stable")
    weight = np.cumsum(0.5 / len(order) + 0.5 * (labels[order] > 0) / max(1, labels.sum()))
    bins = np.minimum((weight * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    hits = np.bincount(bins, labels[order] > 0, minlength=BINS)
    total = np.bincount(bins, logits[order].astype(np.float64), minlength=BINS)
    used = rows > 0
    return total[used] / rows[used], rows[used].astype(np.float64), hits[used]


def platt(logits: np.ndarray, labels: np.ndarray, steps: int = 50) -> tuple[float, float]:
    """The slope and offset of sigmoid(slope · logit + offset) that fit the labels best (Platt 1999).

    Newton steps with a line search (Lin, Lin and Weng 2007, A note on Platt's probabilistic outputs). The logits' own
    word counts like that of DOUBTED rows: each label is drawn to the probability that its logit means, so that few
    labels do not turn what was fitted to many, and separable data has an answer. Logits that tell nothing, or the
    contrary, are given no say: slope 0, the mean alone.

    Args:
        logits: `[rows]`.
        labels: `[rows]`, 1 or 0; without any row, the answer is the identity.
        steps: Newton steps at most.
    """
    if not len(logits):
        return 1.0, 0.0
    design = np.stack([logits, np.ones(len(logits))], axis=1).astype(np.float64)
    own = DOUBTED / len(logits)
    wanted = (labels + own / (1 + np.exp(-np.clip(design[:, 0], -30, 30)))) / (1 + own)
    mean = float(np.log(wanted.mean() / (1 - wanted.mean())))

    def loss(weights: np.ndarray) -> float:
        z = design @ weights
        return float((np.logaddexp(0, z) - wanted * z).sum())

    weights = np.array([0.0, mean])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        gradient = design.T @ (p - wanted)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        move, rate, now = np.linalg.solve(curvature, gradient), 1.0, loss(weights)
        while loss(weights - rate * move) > now - 1e-4 * rate * float(gradient @ move) and rate > 1e-10:
            rate /= 2
        if rate <= 1e-10 or np.abs(rate * move).max() < 1e-8:
            break
        weights = weights - rate * move
    return (float(weights[0]), float(weights[1])) if weights[0] > 0 else (0.0, mean)


def roc(scores: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """At most ROC_POINTS + 1 points of the receiver operating characteristic: `fpr`, `tpr`, `threshold`."""
    order = np.argsort(-scores, kind="stable")
    hits, misses = np.cumsum(labels[order] > 0), np.cumsum(labels[order] == 0)
    if not len(order) or not hits[-1] or not misses[-1]:
        return {"fpr": [], "tpr": [], "threshold": []}
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    last = last[np.unique(np.linspace(0, len(last) - 1, ROC_POINTS).astype(int))]
    return {
        "fpr": [0.0, *(misses[last] / misses[-1]).tolist()],
        "tpr": [0.0, *(hits[last] / hits[-1]).tolist()],
        "threshold": [1.0, *scores[order][last].tolist()],
    }
