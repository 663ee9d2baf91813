"""Fits the straight path of a head that is given engagement: a logistic regression of the engaged examples, to its end.

The order of a request learns from lists, by steps that held-out users stop. The labels of satisfaction, and of any
further objective, are fewer, and neither the rate nor the stop of the order's fit is theirs: what is convex needs none.
How strong the prior is, held-out users say. Where labels are too few to learn from, or of one kind, a head serves the
same for everything: what it had learned of them, nobody could check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from souk.metrics import log_loss
from souk.models.calibration import base_rate
from souk.models.rank_lists import RankLists
from souk.models.ranker import Ranker

LEAST_LABELS = 20  # of a head that is learned, fitted and held out
HELP = "more events, another rule or, where it has within_days, a smaller one help"
STRENGTHS = (1000.0, 100.0, 30.0, 10.0, 3.0)  # of the prior: examples that say what it says
BENT = 30.0  # times as strong for hinges: a line, until there are examples enough for more
STEPS = 30
LONGEST = 2.0  # of a step, by weight: far from the answer Newton's overshoots

Score = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def not_learned(labels: np.ndarray, fitted: np.ndarray, judged: np.ndarray) -> str:
    """Why a head cannot be learned; "" where it can.

    Args:
        labels: `[examples]`: 1, 0, or -1 where it is not known.
        fitted: rows to fit.
        judged: rows of held-out users.
    """
    known = int(np.sum(labels >= 0))
    if known < LEAST_LABELS:
        return f"{known} of its labels are known, fewer than {LEAST_LABELS}"
    for users, rows in (("the users that it is fitted to", fitted), ("the held-out users that judge it", judged)):
        own = labels[rows][labels[rows] >= 0]
        if not len(own):
            return f"of its {known} known labels none is of {users}"
        if own.min() == own.max():
            return f"of its {known} known labels the {len(own)} of {users} are all {own[0]}"
    return ""


def fit_given(
    model: Ranker,
    head: str,
    lists: RankLists,
    score: Score,
    fitted: np.ndarray,
    judged: np.ndarray,
    report: Callable[[str], None],
) -> str:
    """Fits, and keeps what foretells held-out users best; the weights as they are compete.

    A head that is `not_learned` becomes one chance for every item, and its variables are no longer trainable. What it
    learned of another window goes too: this one's labels cannot say whether it still holds.

    Args:
        model: the ranker; the prior draws to the weights that it has.
        head: an objective that is given engagement.
        lists: the examples.
        score: of rows, the logits of all columns (`souk.models.rank_scoring.scoring`).
        fitted: rows to fit.
        judged: rows of held-out users.
        report: takes a line of progress.

    Returns:
        Why the head is not learned, and what it serves; "" where it is.
    """
    told = lists.examples.labels[head]
    why = not_learned(told, fitted, judged)
    for layers in (model.straight, model.body.heads, model.body.gates):
        layers[head].trainable = not why
    layer = model.straight[head]
    if why:
        chance = base_rate(told)
        leave_body_out(model, head, [np.zeros_like(layer.kernel), np.log([chance / (1 - chance)])])
        why = f"{why}, so it is {chance:.3f} for every item; {HELP}"
        report(f"{head}: not learned: {why}")
        return why
    fitted, judged = fitted[told[fitted] >= 0], judged[told[judged] >= 0]
    begun = np.concatenate([layer.kernel.numpy()[:, 0], layer.bias.numpy()]).astype(np.float64)
    (design, rest), (other, other_rest) = (_design(model, head, lists, score, rows, begun) for rows in (fitted, judged))
    labels, others = told[fitted], told[judged]
    weights, kept, relative = begun, begun, np.where(model.bends(), BENT, 1.0)
    first = best = log_loss(_chance(other @ begun + other_rest), others)
    for strength in STRENGTHS:
        weights = logistic(design, labels, rest, begun, strength * relative, weights)
        found = log_loss(_chance(other @ weights + other_rest), others)
        if found < best:
            best, kept = found, weights
    layer.set_weights([kept[:-1, None], kept[-1:]])
    report(f"{head}: cross-entropy {first:.4f} without, {best:.4f} with the fit, on held-out users")
    return ""


def leave_body_out(model: Ranker, head: str, straight: Sequence[np.ndarray]) -> None:
    """Lets a head be what the straight path makes of it, with the weights `straight`."""
    body = model.body.heads[head]
    body.set_weights([np.zeros_like(weights) for weights in body.get_weights()])
    model.straight[head].set_weights(straight)


def logistic(
    design: np.ndarray, labels: np.ndarray, rest: np.ndarray, begun: np.ndarray, prior: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The weights of a logistic regression, the last of them the free constant, by Newton's method.

    Args:
        design: `[rows, columns]`, the last column ones.
        labels: `[rows]`, 1 or 0.
        rest: `[rows]`, a part of the logit that stays as it is.
        begun: `[columns]`, what the prior draws to.
        prior: `[columns - 1]`, its strength.
        weights: `[columns]`, where to start.
    """
    strength = np.append(prior, 1e-6)
    for _ in range(STEPS):
        chance = _chance(design @ weights + rest)
        slope = design.T @ (chance - labels) + strength * (weights - begun)
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(strength)
        move = np.clip(np.linalg.solve(curvature, slope), -LONGEST, LONGEST)
        weights = weights - move
        if np.abs(move).max() < 1e-6:
            break
    return weights


def _design(
    model: Ranker, head: str, lists: RankLists, score: Score, rows: np.ndarray, begun: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The straight path's inputs for the examples' items and a column of ones, and the body's part of the logit."""
    examples = lists.examples
    pair = model.normalise(tf.constant(examples.pair[rows, examples.own[rows]]))
    spread = tf.constant(lists.mean[rows]), tf.constant(lists.deviation[rows])
    inputs = model.straight_inputs(model.relative(pair, *spread), pair).numpy().astype(np.float64)
    design = np.concatenate([inputs, np.ones((len(rows), 1))], axis=1)
    return design, score(rows)[head][np.arange(len(rows)), examples.own[rows]] - design @ begun


def _chance(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))
