"""The users that measure a trial: nothing of it is fitted on them or chosen by them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from souk.errors import SoukError
from souk.models.calibration import Calibration
from souk.models.fit_ranker import RankerFit
from souk.models.rank_examples import RankExamples
from souk.models.rank_lists import rank_lists
from souk.models.rank_quality import gains
from souk.models.rank_scoring import scoring, spread_of
from souk.models.ranker import Ranker
from souk.models.sequences import Catalogue
from souk.rerank import Reranker
from souk.slate_score import log_chances, log_scores

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


def parted(examples: RankExamples) -> tuple[RankExamples, RankExamples]:
    """The examples that a trial's ranker is fitted to, and those that measure it: as they are, where there are such.

    Raises:
        SoukError: the users that measure have no moment to measure.
    """
    fitted, measured = map(examples.take, measuring(examples.users))
    known = measured.as_they_are()
    measured = known if known.first.any() else measured
    if not measured.first.any():
        raise SoukError(
            "a moment at which one of the users that measure a trial took something that may be recommended",
            f"none of {len(np.unique(measured.users))} users, a fifth of those of the validation window",
            "Enlarge split.validation, or look at `repeat` and at what is available.",
        )
    return fitted, measured


@dataclass(frozen=True)
class Reranked:
    """The served order of ranked lists, by the same code as serving and evaluation.

    Args:
        reranker: of the items that the lists are of.
        size: items of a slate.
    """

    reranker: Reranker
    size: int

    def __call__(self, scores: np.ndarray, examples: RankExamples, rows: np.ndarray) -> np.ndarray:
        """Scores `[rows, width]` that fall as the lists are served.

        Args:
            scores: `[rows, width]`, logarithms.
            examples: all of them.
            rows: a list of each moment.
        """
        if not self.reranker.controls:
            return scores
        found = np.full(scores.shape, -np.inf)
        for line, row, out in zip(scores, rows.tolist(), found, strict=True):
            listed = np.flatnonzero(examples.candidate[row])
            ranked = listed[np.argsort(-line[listed], kind="stable")]
            positions, time = examples.positions[row, ranked], int(examples.times[row])
            order = self.reranker.order(positions, line[ranked], time, self.size)
            out[ranked[order]] = -np.arange(len(ranked))
        return found


def measured_slates(
    model: Ranker,
    fit: RankerFit,
    examples: RankExamples,
    catalogue: Catalogue,
    weights: Mapping[str, float],
    reranked: Reranked,
) -> np.ndarray:
    """NDCG@10 of the slate of each moment, `[moments]`, in the order of the moments' first examples.

    Args:
        model: the fitted ranker.
        fit: what came of its fit, with the calibration of each head.
        examples: of the users that measure.
        catalogue: the items.
        weights: the exponent of each head's probability.
        reranked: what serving would make of the ranker's order.
    """
    lists = rank_lists(examples, spread_of(model, examples), np.ones(examples.candidate.shape, np.float32), False)
    rows = np.flatnonzero(examples.first)
    logits = scoring(model, catalogue, fit.with_body)(lists, rows)
    return slate_gains(logits, fit.quality.calibration, weights, reranked, examples, rows)


def slate_gains(
    logits: Mapping[str, np.ndarray],
    curves: Mapping[str, Calibration],
    weights: Mapping[str, float],
    reranked: Reranked,
    examples: RankExamples,
    rows: np.ndarray,
) -> np.ndarray:
    """NDCG@10 `[rows]` of slates as they are served: by the score of the probabilities, and re-ranked.

    Args:
        logits: `[rows, width]` by head.
        curves: from logits to probabilities, by head.
        weights: exponents, by head.
        reranked: what serving would make of that order.
        examples: all of them.
        rows: a list of each moment.
    """
    chances = {head: curves[head].probability(logits[head]) for head in weights}
    scores = log_scores(log_chances(chances), weights)
    return gains(reranked(scores, examples, rows), examples, rows, examples.chosen, examples.taken)
