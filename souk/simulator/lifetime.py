"""The truth of a slate in closed form: expected clicks, satisfaction, and what the user's lifetime is worth.

Nothing here is drawn. `docs/simulator.md` derives the equations; a test compares them with drawn lifetimes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from souk.simulator.behaviour import Odds, World, odds, patience, visit_probability

CHUNK = 4_096  # slates at once


@dataclass(frozen=True)
class SlateTruth:
    """Expected values of slates, `[n]` float64 each.

    Args:
        clicks: of the slate, shown once.
        satisfaction: purchases that are kept, of the slate, shown once.
        lifetime_value: discounted value, from this visit on, of a user whom every visit shows slates as good as this.
    """

    clicks: np.ndarray
    satisfaction: np.ndarray
    lifetime_value: np.ndarray


def slate_truth(
    world: World, users: np.ndarray, slates: np.ndarray, times: np.ndarray, trust: np.ndarray, offered: np.ndarray
) -> SlateTruth:
    """What slates are really worth to their users.

    Args:
        world: the marketplace.
        users: `[n]` int64.
        slates: `[n, k]` int64, best first; -1 for an empty position.
        times: `[n]` int64, UTC epoch milliseconds: tastes are those of then.
        trust: `[n]` levels at these times.
        offered: `[items]` bool; nothing happens on an item that is not.
    """
    parts = []
    for start in range(0, len(users), CHUNK):
        rows = slice(start, start + CHUNK)
        parts.append(_truth(world, users[rows], slates[rows], times[rows], trust[rows], offered))
    return SlateTruth(*(np.concatenate([part[field] for part in parts]) for field in range(3)))


def _truth(
    world: World, users: np.ndarray, slates: np.ndarray, times: np.ndarray, trust: np.ndarray, offered: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p = world.parameters
    chances = odds(world, users, slates, times)
    there = (slates >= 0) & offered[slates]
    price = world.items.price[slates]
    worth = p.commission * price * chances.kept - p.return_cost * chances.sent_back
    clicks, satisfaction, value = (np.zeros(len(users)) for _ in range(3))
    change = np.zeros((len(users), 2 * p.most_requests * slates.shape[1] + 1))
    for mobile, share in ((True, world.users.mobile[users]), (False, 1 - world.users.mobile[users])):
        looking = patience(world, users, np.full(len(users), mobile))
        seen = there * looking[:, None] ** np.arange(slates.shape[1])
        clicks += share * (seen * chances.click).sum(axis=1)
        satisfaction += share * (seen * chances.kept).sum(axis=1)
        value += share * (seen * worth).sum(axis=1)
        change += share[:, None] * _visit_change(world, _slate_change(chances, there, looking))
    return clicks, satisfaction, _lifetime(world, users, trust, value * _requests(world)[1], change)


def _slate_change(chances: Odds, there: np.ndarray, looking: np.ndarray) -> np.ndarray:
    """`[n, 2k + 1]`: probabilities that a slate moves trust by -k, ..., k.

    Position by position: who still looks has an outcome there, then goes on with the probability `looking`.
    """
    count, places = there.shape
    up, down = chances.kept * there, chances.regretted * there
    still, ended = np.zeros((2, count, 2 * places + 1))
    still[:, places] = 1.0
    for place in range(places):
        gain, loss = up[:, place, None], down[:, place, None]
        still = _moved(still, gain, loss)
        ended += (1 - looking[:, None]) * still
        still = looking[:, None] * still
    return ended + still


def _moved(distribution: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """A distribution `[n, width]` over whole numbers after a step up or down with these probabilities `[n, 1]`."""
    after = (1 - up - down) * distribution
    after[:, 1:] += up * distribution[:, :-1]
    after[:, :-1] += down * distribution[:, 1:]
    return after


def _requests(world: World) -> tuple[np.ndarray, float]:
    """The probabilities of 1, 2, ... requests in a visit, and their mean number."""
    p = world.parameters
    shares = p.more_requests ** np.arange(p.most_requests)
    shares[:-1] *= 1 - p.more_requests
    return shares, float(shares @ np.arange(1, p.most_requests + 1))


def _visit_change(world: World, slate: np.ndarray) -> np.ndarray:
    """`[n, 2Rk + 1]`: the change of trust in a visit of 1 to R requests, each answered by such a slate."""
    p = world.parameters
    count, width = slate.shape
    total = np.zeros((count, p.most_requests * (width - 1) + 1))
    summed = np.ones((count, 1))
    for number, share in enumerate(_requests(world)[0], 1):
        summed = _convolved(summed, slate)
        margin = (p.most_requests - number) * (width // 2)
        total[:, margin : margin + summed.shape[1]] += share * summed
    return total


def _convolved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Row by row, the distribution of a sum: `[n, a]` and `[n, b]` → `[n, a + b - 1]`."""
    result = np.zeros((len(first), first.shape[1] + second.shape[1] - 1))
    for place in range(second.shape[1]):
        result[:, place : place + first.shape[1]] += second[:, place, None] * first
    return result


def _lifetime(world: World, users: np.ndarray, trust: np.ndarray, reward: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The value from a visit on: reward now, and the discounted days to come.

    Levels of trust are the states of a Markov chain with a step a day. With v the hazard of a visit, M the moves of a
    visit and d the discount, V = v (r + d M V) + (1 - v) d V: a small linear system a user.

    Args:
        world: the marketplace.
        users: `[n]`.
        trust: `[n]` levels now.
        reward: `[n]` expected value of one visit.
        change: `[n, 2m + 1]` distribution of the change of trust in a visit, before forgetting.
    """
    p, count = world.parameters, len(users)
    levels = np.arange(p.trust_levels)
    moves = _moves(change, p.trust_levels, p.forgetting)
    visits = visit_probability(world, users[:, None], levels[None, :])
    ahead = visits[:, :, None] * moves + (1 - visits)[:, :, None] * np.eye(p.trust_levels)
    future = np.linalg.solve(np.eye(p.trust_levels) - p.discount * ahead, (visits * reward[:, None])[:, :, None])[
        :, :, 0
    ]
    now = moves[np.arange(count), trust.astype(np.int64)]
    result: np.ndarray = reward + p.discount * (now * future).sum(axis=1)
    return result


def _moves(change: np.ndarray, levels: int, forgetting: float) -> np.ndarray:
    """`[n, levels, levels]`: from level to level in a visit, where levels below 0 or above the last are cut off."""
    forgotten = np.pad((1 - forgetting) * change, ((0, 0), (1, 0)))
    forgotten[:, :-1] += forgetting * change
    steps = np.arange(forgotten.shape[1]) - change.shape[1] // 2 - 1
    moves = np.zeros((len(change), levels, levels))
    for level in range(levels):
        target = np.clip(level + steps, 0, levels - 1)
        for place, where in enumerate(target):
            moves[:, level, where] += forgotten[:, place]
    return moves
