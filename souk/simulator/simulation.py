"""Simulates a marketplace and writes it: events, items, users, the truth about them, and a dataset config."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from souk import outputs
from souk.errors import SoukError
from souk.folders import placed
from souk.simulator.behaviour import World
from souk.simulator.catalogue import draw_items
from souk.simulator.dataset import config_text
from souk.simulator.events import CLICK, KINDS, ROW, Numbers
from souk.simulator.parameters import Parameters, Size
from souk.simulator.people import REGIONS, draw_users
from souk.simulator.policies import FADING, Policy, pools_of
from souk.simulator.slates import WHOLE
from souk.simulator.truth import FOLDER, Course, Truth, write_truth
from souk.simulator.visits import run_day
from souk.simulator.writer import DEVICES, SURFACES, EventWriter

# Streams of random numbers. Each is its own, so that another policy changes neither users nor items.
USERS, ITEMS, BEHAVIOUR, CHOICE, ARRIVAL = range(5)
Report = Callable[[str], None]


@dataclass(frozen=True)
class Beginning:
    """Where a simulation sets out from.

    Args:
        world: users, items and constants.
        course: of what was simulated before; `days` is 0 for a new marketplace.
        trust: `[users]` uint8, levels now.
        clicks: `[items]` float64, faded clicks so far.
    """

    world: World
    course: Course
    trust: np.ndarray
    clicks: np.ndarray


def new_marketplace(size: Size, parameters: Parameters) -> Beginning:
    """Draws users and items.

    Raises:
        SoukError: a size out of bounds.
    """
    size.check(parameters)
    world = World(
        parameters,
        draw_users(stream(size.seed, USERS), size, parameters),
        draw_items(stream(size.seed, ITEMS), size, parameters),
    )
    trust = np.full(size.users, parameters.trust_start, np.uint8)
    return Beginning(world, Course(size.seed, 0, 0, "", Numbers(), 0), trust, np.zeros(size.items))


def going_on(truth: Truth) -> Beginning:
    """The same marketplace at the end of its data."""
    return Beginning(truth.world, truth.course, truth.trust[-1], truth.clicks)


def stream(seed: int, *key: int) -> np.random.Generator:
    """Random numbers of one purpose, independent of those of others (numpy's SeedSequence)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def simulate(
    target: Path, beginning: Beginning, days: int, seed: int, policy: Policy, name: str, report: Report
) -> dict[str, int]:
    """Writes a folder of data, whole or not at all.

    Args:
        target: the folder; a simulated marketplace there is replaced.
        beginning: where to set out from.
        days: how many.
        seed: of what users do and of the policy.
        policy: chooses the slates.
        name: the policy's, for the truth.
        report: is told how far it is.

    Returns:
        How many events of each type there are.

    Raises:
        SoukError: something else stands there, the folder cannot be written, or the policy does not answer.
    """
    outputs.free_folder(target)
    try:
        with placed(target) as folder:
            return _fill(folder, beginning, days, seed, policy, name, report)
    except OSError as error:
        raise SoukError(f"to write {target}", f"{error}", "Make room, or name another folder.") from error


def _fill(
    folder: Path, beginning: Beginning, days: int, seed: int, policy: Policy, name: str, report: Report
) -> dict[str, int]:
    folder.mkdir()
    truth, counts = _run(folder, beginning, days, seed, policy, name, report)
    pq.write_table(truth.world.items.table(truth.course.end_day), folder / "items.parquet")
    pq.write_table(truth.world.users.table(), folder / "users.parquet")
    write_truth(folder / FOLDER, truth)
    about = f"A simulated marketplace: {len(beginning.trust):,} users, {len(beginning.clicks):,} items, {days} days."
    text = config_text(about, "souk run --config simulated.yaml")
    (folder / "simulated.yaml").write_text(text, encoding="utf-8")
    (folder / "requests.jsonl").write_text("".join(_requests(truth)), encoding="utf-8")
    outputs.mark(folder)
    return counts


def _run(
    folder: Path, beginning: Beginning, days: int, seed: int, policy: Policy, name: str, report: Report
) -> tuple[Truth, dict[str, int]]:
    world, before, trust = beginning.world, beginning.course, beginning.trust
    first, numbers, seen = before.end_day, before.numbers, _Seen(world, beginning.clicks)
    pending, levels, popular = np.zeros(0, ROW), [trust], [seen.popular(first)]
    counts = np.zeros(len(KINDS), np.int64)
    writer = EventWriter(folder / "events.parquet", world, policy.sources, stream(seed, ARRIVAL, first), before.events)
    with writer:
        for day in range(first, first + days):
            rngs = stream(seed, BEHAVIOUR, day), stream(seed, CHOICE, day)
            done = run_day(world, day, trust, policy, numbers, *rngs, pending)
            trust, numbers, pending = done.trust, done.numbers, done.later
            writer.append(done.rows)
            counts += np.bincount(done.rows["kind"], minlength=len(KINDS))
            seen.add(done.rows)
            levels.append(trust)
            popular.append(seen.popular(day + 1))
            if (day - first + 1) % max(1, days // 10) == 0:
                report(f"day {day - first + 1} of {days}: {counts.sum():,} events")
    course = replace(
        before, first_day=first, days=days, policy=name, numbers=numbers, events=before.events + writer.written
    )
    truth = Truth(world, course, np.stack(levels), np.stack(popular), seen.clicks)
    return truth, dict(zip(KINDS, counts.tolist(), strict=True))


def _requests(truth: Truth) -> Iterator[str]:
    """What each user would ask for the first page at the end of the data, for `souk recommend`: JSON lines."""
    users = truth.world.users
    for user, mobile, region in zip(users.ids.tolist(), users.mobile, users.region, strict=True):
        context = {"device": DEVICES[int(mobile > 0.5)], "location": REGIONS[region], "surface": SURFACES[1]}
        yield json.dumps({"user_id": user, "timestamp": truth.end, "context": context}) + "\n"


class _Seen:
    """Counts clicks, whatever the policy, to tell what is popular."""

    def __init__(self, world: World, clicks: np.ndarray) -> None:
        self.clicks = clicks
        self._world = world

    def add(self, rows: np.ndarray) -> None:
        """The rows of a day."""
        clicked = rows["item"][rows["kind"] == CLICK]
        self.clicks = FADING * self.clicks + np.bincount(clicked, minlength=len(self.clicks))

    def popular(self, day: int) -> np.ndarray:
        """The most clicked items on offer on `day`, as many as a slate holds."""
        pool = pools_of(self._world.items, self._world.items.offered(day))[WHOLE]
        best: np.ndarray = pool[np.argsort(-self.clicks[pool], kind="stable")][: self._world.parameters.slate_size]
        return best
