"""What each part of the co-visitation rules is worth: the retriever alone on the validation window, parts changed.

    python -m benchmarks.rules FEATURES

FEATURES is a folder of `build_features`. Only what is new to the user is ranked. Moments are those of 2,000 draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.__main__ import table
from souk.features import rules
from souk.features.co_visitation import LIVES
from souk.features.trends import half_life, trends
from souk.features.windows import read_windows
from souk.metrics import mean_by_user, query_metric
from souk.sources import co_visitation

METRICS = ("ndcg@10", "hr@10", "recall@100", "recall@500")
MOMENTS = 2000
HISTORY = 128
SEED = 7
# By name: constants of souk.features.rules and souk.sources.co_visitation, half-lives of a vote, whether items have
# trends.
SETTINGS: dict[str, tuple[dict[str, float], float, bool]] = {
    "as they are": ({}, LIVES, True),
    "without trends": ({}, LIVES, False),
    "votes that do not age": ({}, np.inf, True),
    "neither": ({}, np.inf, False),
    "votes age twice as fast": ({}, LIVES / 2, True),
    "forward only": ({"BACK": 0.0}, LIVES, True),
    "both directions alike": ({"BACK": 1.0}, LIVES, True),
    "next event only": ({"DISTANCE": 1}, LIVES, True),
    "50 steps": ({"DISTANCE": 50}, LIVES, True),
    "decay 1 / (1 + moments)": ({"STEPS": 1.0}, LIVES, True),
    "decay (1 + moments)^-2": ({"STEPS": 2.0}, LIVES, True),
    "last 20 events": ({"WINDOW": 20}, LIVES, True),
    "50 followers": ({"FOLLOWERS": 50}, LIVES, True),
    "100 followers": ({"FOLLOWERS": 100}, LIVES, True),
    "all followers": ({"FOLLOWERS": 10**9}, LIVES, True),
}


@dataclass(frozen=True)
class Log:
    """Engaging events, those of a user together and in order, and the boundaries of the window."""

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    size: int
    start: int
    end: int


@dataclass(frozen=True)
class Moment:
    """A query of the window: its history, and what was taken that was new."""

    user: int
    items: np.ndarray
    moments: np.ndarray
    targets: np.ndarray


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rules", description="What parts of the rules are worth."
    )
    parser.add_argument("features", type=Path)
    log = read_log(parser.parse_args().features)
    asked = list(moments(log))
    rows = [{"setting": name, **measure(log, asked, *setting)} for name, setting in SETTINGS.items()]
    print(table(rows))


def read_log(features: Path) -> Log:
    """The examples of a features folder."""
    windows = read_windows(features / "windows.json")
    ids = pq.read_table(features / "items.parquet", columns=["item_id"])["item_id"].to_pylist()
    events = pq.read_table(features / "examples.parquet", columns=["event_id", "user_id", "timestamp", "item_id"])
    rows = events.to_pandas().sort_values(["user_id", "timestamp", "event_id"], kind="stable")
    items = rows["item_id"].map({item: place for place, item in enumerate(ids)}).to_numpy(np.int64)
    users = np.unique(rows["user_id"], return_inverse=True)[1]
    times = rows["timestamp"].to_numpy(np.int64)
    return Log(users, items, times, len(ids), windows.validation_start, windows.test_start)


def moments(log: Log) -> Iterator[Moment]:
    """A draw of the window's moments, with what was new to the user."""
    inside = np.flatnonzero((log.times >= log.start) & (log.times < log.end))
    taken: dict[tuple[int, int], list[int]] = {}
    for row in inside.tolist():
        taken.setdefault((int(log.users[row]), int(log.times[row])), []).append(row)
    drawn = np.random.default_rng(SEED).permutation(len(taken))[:MOMENTS]
    for (user, _), rows in (list(taken.items())[place] for place in np.sort(drawn).tolist()):
        past = log.items[np.searchsorted(log.users, user) : rows[0]]
        new = np.setdiff1d(log.items[rows], past)
        if len(past) and len(new):
            times = log.times[rows[0] - len(past) : rows[0]][-HISTORY:]
            behind = np.cumsum(np.concatenate([[0], np.diff(times[::-1]) != 0]))[::-1]
            yield Moment(user, past, behind, new)


def measure(log: Log, asked: list[Moment], constants: dict[str, float], lives: float, moving: bool) -> dict[str, Any]:
    """The metrics under changed constants."""
    ends = np.array([log.start])
    early = log.times < log.start
    half = half_life(log.items[early], log.times[early], log.size)
    trend = trends(log.items, log.times, log.size, log.start, half)[None] if moving else np.ones((1, log.size))
    with changed(constants):
        votes = np.ones(len(log.users), bool)
        keys, sums = rules.pair_sums(log.users, log.items, log.times, votes, ends, log.size, half * lives)
        made = next(rules.rules(keys, sums, trend, ends, half * lives, 0, log.size))
        ranks = []
        for moment in asked:
            found, scores = co_visitation.follow(made, moment.items[-HISTORY:], moment.moments, log.size)
            kept = ~np.isin(found, moment.items)
            order = found[kept][np.argsort(-scores[kept], kind="stable")]
            place = {item: float(rank) for rank, item in enumerate(order.tolist(), 1)}
            ranks.append(np.array([place.get(item, np.inf) for item in moment.targets.tolist()]))
    users = np.unique([moment.user for moment in asked], return_inverse=True)[1]
    means = {m: mean_by_user(query_metric(m, ranks), users, int(users.max()) + 1).mean() for m in METRICS}
    return {name: f"{mean:.4f}" for name, mean in means.items()}


@contextmanager
def changed(constants: dict[str, float]) -> Iterator[None]:
    """Other constants in the two modules, for a while."""
    owners = {name: rules if hasattr(rules, name) else co_visitation for name in constants}
    before = {name: getattr(owner, name) for name, owner in owners.items()}
    for name, value in constants.items():
        setattr(owners[name], name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owners[name], name, value)


if __name__ == "__main__":
    main()
