"""The users that a ranker's fit is judged by: who they are, when it ends, and whether its body is worth anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from souk.models.rank_lists import RankLists
from souk.models.rank_scoring import held_out_losses

HELD_OUT = 0.2  # share of the users
CHOOSING = 2000  # held-out examples that an epoch is judged by
PATIENCE = 3  # times that the body is judged without a better one
FOLDS = 20  # of users, each of which an error is taken without


def split_users(users: np.ndarray, seed: int, newcomer: np.ndarray | bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The rows of fitted and of held-out users; with one user alone, they are the same.

    Args:
        users: `[rows]`, user ids.
        seed: of the draw.
        newcomer: `[rows] bool`, what is told as a newcomer's: where held-out users have other rows, these alone judge.
    """
    names = np.unique(users)
    drawn = np.random.default_rng(seed).permutation(len(names))[: max(1, round(HELD_OUT * len(names)))]
    held_out = np.isin(users, names[drawn])
    if len(names) == 1:
        return (np.arange(len(users)),) * 2
    judging = held_out & ~newcomer
    return np.flatnonzero(~held_out), np.flatnonzero(judging if judging.any() else held_out)


def judging(held_out: np.ndarray, seed: int) -> np.ndarray:
    """The rows that epochs are judged by: a draw, since the first ones are those of the earliest days."""
    return np.sort(np.random.default_rng(seed).permutation(held_out)[:CHOOSING])


def spent(losses: Sequence[float]) -> bool:
    """Whether the body stopped getting better than it was itself: it may pass the straight path only after a while.

    Args:
        losses: of held-out users, as often as the body was judged.
    """
    return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= PATIENCE


def folds_of(users: np.ndarray) -> list[np.ndarray]:
    """The rows of each of at most `FOLDS` parts of the users, all rows of a user in one."""
    numbers = np.unique(users, return_inverse=True)[1]
    return [np.flatnonzero(numbers % FOLDS == fold) for fold in range(min(FOLDS, numbers.max(initial=-1) + 1))]


def jackknife_losses(logits: Mapping[str, np.ndarray], data: RankLists, rows: np.ndarray) -> np.ndarray:
    """`[1 + folds]`: the loss of the order of all rows, and without each of the `folds_of` their users.

    Args:
        logits: `[rows, columns]` by head, of `rows`.
        data: the lists.
        rows: lists of at least two held-out users.
    """
    parts = [
        np.arange(len(rows)),
        *(np.delete(np.arange(len(rows)), fold) for fold in folds_of(data.examples.users[rows])),
    ]
    each = [({head: values[part] for head, values in logits.items()}, rows[part]) for part in parts]
    return np.array([held_out_losses(some, data, own)[0] for some, own in each])


def ahead(simple: np.ndarray, better: np.ndarray) -> tuple[float, float]:
    """How much less loss `better` has than `simple`, and the standard error of that by the jackknife over groups of
    users (Efron and Tibshirani 1993, eq. 11.5): a loss is a mean over lists, of which users have different numbers.

    Args:
        simple: of `jackknife_losses`.
        better: of the same rows.
    """
    gain = simple - better
    parts = gain[1:]
    spread = float(((parts - parts.mean()) ** 2).sum())
    return float(gain[0]), math.sqrt(spread * (len(parts) - 1) / len(parts))
