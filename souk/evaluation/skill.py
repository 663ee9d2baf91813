"""Whether a head of the ranker tells what satisfies from what does not, beyond chance and beyond its share alone, and
whether the test window can say so."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from souk.metrics import Floats, Interval, auc
from souk.spec import ENGAGED, SATISFIED

COIN = 0.5
FAR = 3.0  # times what came: a chance so far off is told
NORMAL = 1.96  # standard errors on either side of a 95% interval
HELP = "More labels help, by more events or a larger split.validation, of which it learns, or another rule; else"


def auc_interval(scores: Floats, labels: Floats, users: np.ndarray) -> Interval:
    """AUC with its 95% interval over users, who may have many examples (Obuchowski 1997): NaN where there is none.

    An example's part is the share of the other class that it is on the right side of, less AUC; the parts of a user are
    summed, and the variance is that of these sums.

    Args:
        scores: `[examples]`.
        labels: `[examples]`, 1 or 0.
        users: `[examples]`, whose each is.
    """
    found, positive = auc(scores, labels), labels > 0
    place = np.unique(users, return_inverse=True)[1]
    count = place.max(initial=-1) + 1
    if not np.isfinite(found) or count < 2:
        return Interval(found, float("nan"), float("nan"))
    above = _share_below(scores[positive], scores[~positive]) - found
    below = 1 - _share_below(scores[~positive], scores[positive]) - found
    parts = np.zeros(len(scores))
    parts[positive], parts[~positive] = above / positive.sum(), below / (~positive).sum()
    sums = np.bincount(place, parts, minlength=count)
    error = float(np.sqrt(count / (count - 1) * (sums**2).sum()))
    return Interval(found, max(0.0, found - NORMAL * error), min(1.0, found + NORMAL * error))


def _share_below(values: Floats, others: Floats) -> Floats:
    """`[values]`: the share of `others` that each is above, ties half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")) / (2 * len(others))


def base_log_loss(labels: Floats) -> float:
    """The log loss of the share of positives, foretold for each; NaN without examples."""
    if not len(labels):
        return float("nan")
    shares = np.array([labels.mean(), 1 - labels.mean()])
    return float(-sum(share * np.log(share) for share in shares if share))


def without_skill(heads: Mapping[str, Mapping[str, Any]], not_learned: Container[str]) -> list[str]:
    """A sentence for each head given engagement that its labels do not show to tell anything, with what helps.

    Args:
        heads: `ranker` of `metrics.json`, of one model.
        not_learned: heads that serve the same for everything, which have their own sentence.
    """
    said = []
    for head, found in heads.items():
        if head == ENGAGED or head in not_learned or "auc_low" not in found:
            continue
        drop = f"set objectives.{head}.weight to 0" if head == SATISFIED else f"leave objectives.{head} out"
        labels = f"of {found['examples']:,} labels of the test window"
        if found["auc_low"] <= COIN:
            low, high = found["auc_low"], found["auc_high"]
            what = f"tells no better than a coin: AUC {found['auc']:.3f} (95% {low:.3f} to {high:.3f}) {labels}"
        elif found["log_loss"] >= found["base_log_loss"]:
            losses = f"log loss {found['log_loss']:.4f}, and {found['base_log_loss']:.4f} of their share alone"
            what = f"foretells no better than one chance for all: {losses}, {labels}"
        else:
            continue
        said.append(f"{head} {what}. {HELP} {drop}.")
    return said


def unmeasured(heads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each head given engagement of which the test window has no example, or none that is positive.

    Args:
        heads: `ranker` of `metrics.json`, of one model.
    """
    said = []
    for head, found in heads.items():
        if head == ENGAGED or found["positives"]:
            continue
        what = f"none of its {found['examples']:,} labels in the test window is positive"
        if not found["examples"]:
            what = "no label of it is known in the test window"
        help_ = f"a larger split.test, more events or, where it has objectives.{head}.within_days, a smaller one help"
        said.append(f"{head} is not measured: {what}; {help_}.")
    return said


def far_off(heads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each head whose chances are FAR times what came, or what came that of them, but for one of which
    some tenths of the predictions are too high and others too low.

    Args:
        heads: `ranker` of `metrics.json`, of one model.
    """
    said = []
    for head, found in heads.items():
        ratio = found.get("predicted_over_observed")
        if ratio is None or 1 / FAR <= ratio <= FAR:
            continue
        low, high = (found.get(f"predicted_over_observed_{end}", ratio) for end in ("low", "high"))
        if low <= 1 <= high:
            continue
        came = found["positives"] / found["examples"]
        rates = f"{came * ratio:.3g} foretold, {came:.3g} came, {ratio:.3g} times"
        if "predicted_over_observed_low" in found:
            rates += f" ({low:.3g} to {high:.3g} by tenth of the predictions)"
        why = "what is common changed since, or is not yet known; the order may be right"
        said.append(f"{head} is not to be taken as a chance: on {found['examples']:,} examples {rates}: {why}.")
    return said
