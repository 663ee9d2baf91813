"""The users that measure a trial: nothing of it is fitted on them or chosen by them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from souk.models.calibration import Calibration
from souk.models.fit_ranker import RankerFit
from souk.models.rank_examples import RankExamples
from souk.models.rank_lists import rank_lists
from souk.models.rank_quality import gains
from souk.models.rank_scoring import scoring, spread_of
from souk.models.ranker import Ranker
from souk.models.sequences import Catalogue

MEASURED = 0.2  # share of the users


def measuring(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the users that a trial is fitted on and chosen by, and of those that measure it.

    A hash of their ids tells them, so that towers and ranker leave out the same ones. With one user alone, the rows are
    the same.

    Args:
        users: `[rows]`, user ids.
    """
    names, place = np.unique(users, return_inverse=True)
    if len(names) == 1:
        return (np.arange(len(users)),) * 2
    order = sorted(range(len(names)), key=lambda n: hashlib.sha256(str(names[n]).encode()).digest())
    measured = np.isin(place, order[: max(1, round(MEASURED * len(names)))])
    return np.flatnonzero(~measured), np.flatnonzero(measured)


def measured_slates(
    model: Ranker, fit: RankerFit, examples: RankExamples, catalogue: Catalogue, weights: Mapping[str, float]
) -> np.ndarray:
    """NDCG@10 of the slate of each moment, `[moments]`, in the order of the moments' first examples.

    Args:
        model: the fitted ranker.
        fit: what came of its fit, with the calibration of each head.
        examples: of the users that measure.
        catalogue: the items.
        weights: the exponent of each head's probability.
    """
    lists = rank_lists(examples, spread_of(model, examples), np.ones(examples.candidate.shape, np.float32), False)
    rows = np.flatnonzero(examples.first)
    logits = scoring(model, catalogue, fit.with_body)(lists, rows)
    return slate_gains(logits, fit.quality.calibration, weights, examples, rows)


def slate_gains(
    logits: Mapping[str, np.ndarray],
    curves: Mapping[str, Calibration],
    weights: Mapping[str, float],
    examples: RankExamples,
    rows: np.ndarray,
) -> np.ndarray:
    """NDCG@10 `[rows]` of lists in the order in which they are served: by the weighted product of the probabilities.

    Args:
        logits: `[rows, width]` by head.
        curves: from logits to probabilities, by head.
        weights: exponents, by head.
        examples: all of them.
        rows: a list of each moment.
    """
    scores = sum(weight * np.log(curves[head].probability(logits[head])) for head, weight in weights.items())
    return gains(np.asarray(scores), examples, rows, examples.chosen)
