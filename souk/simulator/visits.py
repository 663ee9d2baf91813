"""One day of the marketplace: who comes, what they are shown, and what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from souk.schema import DAY_MS
from souk.simulator.behaviour import World, moved_trust, odds, patience, respond, visit_probability
from souk.simulator.catalogue import DEPARTMENTS, LEAVES
from souk.simulator.events import Numbers, delayed_rows, in_order, request_rows
from souk.simulator.parameters import START
from souk.simulator.people import REGIONS, taste
from souk.simulator.policies import Policy, pools_of
from souk.simulator.slates import WHOLE, Requests
from souk.simulator.times import draw_timing

HOUR_MS = 3_600_000
OPENING_HOUR, LATEST_START = 7.0, 20.0  # a visit takes three hours at most, so none passes midnight
GAP_SECONDS = (20.0, 120.0)  # between the requests of a visit


@dataclass(frozen=True)
class Day:
    """What a day brought.

    Args:
        rows: `events.ROW`s of the day, in order of time.
        later: those of the days after: returns and ratings.
        trust: `[users]` uint8, levels at the end of the day.
        numbers: the first session and request of the next day.
    """

    rows: np.ndarray
    later: np.ndarray
    trust: np.ndarray
    numbers: Numbers


def run_day(
    world: World,
    day: int,
    trust: np.ndarray,
    policy: Policy,
    numbers: Numbers,
    behaviour: np.random.Generator,
    choice: np.random.Generator,
    pending: np.ndarray,
) -> Day:
    """Simulates one day.

    Args:
        world: the marketplace.
        day: since the start.
        trust: `[users]` uint8, levels as the day begins.
        policy: chooses the slates.
        numbers: the first session and request of the day.
        behaviour: random numbers of the users.
        choice: random numbers of the policy.
        pending: what the days before left for later.
    """
    p = world.parameters
    users, times = _visitors(world, day, trust, behaviour)
    mobile = behaviour.random(len(users)) < world.users.mobile[users]
    away = behaviour.random(len(users)) < p.travelling
    locations = np.where(away, behaviour.integers(len(REGIONS), size=len(users)), world.users.region[users])
    policy.open_day(pools := pools_of(world.items, world.items.offered(day)))
    due, pending = _parted(pending, day)
    untold = in_order(due)
    change, rows, follow = np.zeros(len(users), np.int64), [], []
    visits = np.arange(len(users))
    request = numbers.request
    for _ in range(p.most_requests):
        wanted = _pools(world, users[visits], times[visits], pools, behaviour)
        asked = Requests(users[visits], times[visits], wanted, mobile[visits], locations[visits])
        before = _before(asked, untold, len(trust))
        policy.observe(untold[before])
        untold = untold[~before]
        slates = policy.slates(asked, p.slate_size, choice)
        chances = odds(world, asked.users, slates.items, asked.times)
        response = respond(behaviour, world, chances, patience(world, asked.users, asked.mobile))
        timing = draw_timing(behaviour, world, slates.items, asked.times, response)
        shown = request_rows(asked, slates, timing, response, numbers.session + visits, request)
        rows.append(shown)
        follow.append(delayed_rows(behaviour, p, shown, response))
        policy.observe(shown)
        change[visits] += response.kept.sum(axis=1) - response.regretted.sum(axis=1)
        times[visits] = timing.end + (behaviour.uniform(*GAP_SECONDS, len(visits)) * 1000).astype(np.int64)
        request += len(visits)
        visits = visits[behaviour.random(len(visits)) < p.more_requests]
    soon, later = _parted(np.concatenate(follow), day)
    policy.observe(in_order(np.concatenate([untold, soon])))
    policy.close_day()
    after = trust.copy()
    after[users] = moved_trust(behaviour, p, trust[users], change)
    done, to_come = in_order(np.concatenate([*rows, due, soon])), np.concatenate([pending, later])
    return Day(done, to_come, after, Numbers(numbers.session + len(users), request))


def _parted(rows: np.ndarray, day: int) -> tuple[np.ndarray, np.ndarray]:
    """What happens until the end of a day, and what after it."""
    until = rows["time"] < START + (day + 1) * DAY_MS
    return rows[until], rows[~until]


def _before(asked: Requests, rows: np.ndarray, users: int) -> np.ndarray:
    """`[rows]` bool: what those of the `users` who ask now did before."""
    now = np.zeros(users, np.int64)
    now[asked.users] = asked.times
    return np.asarray(rows["time"] < now[rows["user"]])


def _visitors(world: World, day: int, trust: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Who comes on a day, and when: `[n]` users and `[n]` UTC epoch milliseconds. Who joins today comes tomorrow."""
    comes = rng.random(len(trust)) < visit_probability(world, np.arange(len(trust)), trust)
    users = np.flatnonzero(comes & (world.users.created_at < START + day * DAY_MS))
    hours = OPENING_HOUR + (LATEST_START - OPENING_HOUR) * rng.beta(3.0, 2.0, len(users))
    return users, START + day * DAY_MS + (hours * HOUR_MS).astype(np.int64)


def _pools(
    world: World, users: np.ndarray, times: np.ndarray, pools: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """`[n]`: the department that each request is for, drawn by taste (softmax), or the whole catalogue."""
    liked = taste(world.users.tastes[:, users], ((times - START) / DAY_MS)[:, None], world.parameters.drift_days)
    by_department = liked.reshape(len(users), len(DEPARTMENTS), len(LEAVES) // len(DEPARTMENTS)).mean(axis=2)
    wanted = np.argmax(by_department + rng.gumbel(size=by_department.shape), axis=1)
    large = np.array([len(pool) >= world.parameters.slate_size for pool in pools])
    browses = (rng.random(len(users)) < world.parameters.browse) & large[wanted]
    return np.where(browses, wanted, WHOLE)
