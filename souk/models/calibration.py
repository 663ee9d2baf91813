"""From logits to probabilities, and how well they tell engaged from not engaged."""

from __future__ import annotations

import numpy as np

ROC_POINTS = 100


def platt(logits: np.ndarray, labels: np.ndarray, steps: int = 50) -> tuple[float, float]:
    """The slope and offset of sigmoid(slope · logit + offset) that fit the labels best (Platt 1999).

    Newton steps with a line search (Lin, Lin and Weng 2007, A note on Platt's probabilistic outputs). The labels are
    drawn to (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2) as in the paper, so that separable data has an answer. Logits that
    tell nothing, or the contrary, are given no say: slope 0, the mean alone.

    Args:
        logits: `[rows]`.
        labels: `[rows]`, 1 or 0; without any row, the answer is the identity.
        steps: Newton steps at most.
    """
    if not len(logits):
        return 1.0, 0.0
    positive = labels.sum()
    wanted = np.where(labels > 0, (positive + 1) / (positive + 2), 1 / (len(labels) - positive + 2))
    design = np.stack([logits, np.ones(len(logits))], axis=1).astype(np.float64)
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


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a positive scores above a negative, ties half; NaN where there is but one class."""
    positive = labels > 0
    if not positive.any() or positive.all():
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(above / (positive.sum() * (~positive).sum()))
