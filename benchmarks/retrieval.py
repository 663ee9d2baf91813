"""What each source of candidates brings alone, and all together: recall and NDCG on the validation window.

    python -m benchmarks.retrieval FEATURES TOWERS [--new]

FEATURES and TOWERS are the folders of `build_features` and of the twin's `train_two_tower`. Everything is as of the
start of the window, as the ranker learns from it. `--new` ranks only what is new to the user.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.__main__ import table
from souk.candidates import SHARES, TOWERS, Sources, merged
from souk.features.transform import load_transform
from souk.items import ItemTable
from souk.metrics import mean_by_user, query_metric, top
from souk.models.draw import moments_of, newcomers_of
from souk.models.sequences import Sequences
from souk.models.targets import read_targets
from souk.pair_query import PairQuery
from souk.spec import Entity, read_spec

BOUNDARY = "validation_start"
LIST = 500
METRICS = ("ndcg@10", "hr@10", "recall@100", "recall@500")


@dataclass(frozen=True)
class Moment:
    """A query and what was taken at its time."""

    user: str
    query: PairQuery
    vector: np.ndarray
    barred: np.ndarray
    targets: np.ndarray


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description="Recall of each source.")
    parser.add_argument("features", type=Path)
    parser.add_argument("towers", type=Path)
    parser.add_argument("--new", action="store_true", help="leave out what the user engaged with before")
    given = parser.parse_args()
    print(table(measure(given.features, given.towers, given.new)))


def measure(features: Path, towers: Path, new: bool) -> list[dict[str, Any]]:
    """A row for each source, and for all merged.

    Args:
        features: the features folder.
        towers: the twin's towers folder.
        new: whether what the user engaged with before is left out.
    """
    items = ItemTable.load(features, BOUNDARY, np.load(towers / "candidate_vectors.npy"))
    ranks: dict[str, list[np.ndarray]] = {name: [] for name in (*SHARES, "merged")}
    users: list[str] = []
    sources = Sources(items)
    for moment in moments(features, towers, items, new):
        lists = _lists(sources, items, moment)
        users.append(moment.user)
        for name, found in lists.items():
            ranks[name].append(_ranks(found, moment.targets))
    numbers = np.unique(users, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    rows = []
    for name, own in ranks.items():
        values = {m: f"{mean_by_user(query_metric(m, own), numbers, count).mean():.4f}" for m in METRICS}
        rows.append({"source": name, "queries": len(users), **values})
    return rows


def _lists(sources: Sources, items: ItemTable, moment: Moment) -> dict[str, np.ndarray]:
    """The whole list of each source, and the merged one as a request would have it."""
    shown = ~(items.created_at > moment.query.time)
    shown[moment.barred] = False
    near = top(np.where(shown, items.vectors @ moment.vector, -np.inf), LIST)
    alone, _ = sources.listed(moment.query, moment.vector, 10 * LIST, lambda positions: shown[positions])
    lists, _ = sources.listed(moment.query, moment.vector, LIST, lambda positions: shown[positions])
    return {TOWERS: near, **alone, "merged": merged({TOWERS: near, **lists}, LIST, sources.shares).positions}


def _ranks(found: np.ndarray, targets: np.ndarray) -> np.ndarray:
    place = {item: float(rank) for rank, item in enumerate(found.tolist(), 1)}
    return np.array([place.get(target, np.inf) for target in targets.tolist()])


def moments(features: Path, towers: Path, items: ItemTable, new: bool) -> Iterator[Moment]:
    """The moments of the window that have something to find."""
    spec = read_spec(features / "spec.json")
    table = pq.read_table(towers / "candidates.parquet")
    drawn, newcomers = moments_of(table), newcomers_of(table)
    vectors = np.load(towers / "candidate_queries.npy")
    windows = json.loads((features / "windows.json").read_text(encoding="utf-8"))
    first = {moment.events[0]: moment for moment in drawn if moment.events[0] not in newcomers}
    transforms = {str(entity): load_transform(features, entity) for entity in Entity}
    sequences = Sequences.open(features, spec, transforms, tuple(items.position))
    past = _past(features, {moment.user for moment in drawn}, items) if new or not spec.engaged_again else {}
    for target in read_targets(sequences, (windows[BOUNDARY], windows["test_start"]), first):
        asked = first[target.event_id]
        seen = np.array([item for at, item in past.get(asked.user, ()) if at < asked.time], np.int64)
        wanted = np.setdiff1d([items.position[item] for item in asked.items], seen)
        if len(wanted):
            yield Moment(asked.user, target.pair_query(items), vectors[asked.rows[0]], seen, wanted)


def _past(features: Path, users: set[str], items: ItemTable) -> dict[str, list[tuple[int, int]]]:
    """What the users engaged with, and when."""
    rows = pq.read_table(features / "examples.parquet", columns=["user_id", "timestamp", "item_id"])
    found: dict[str, list[tuple[int, int]]] = {}
    for user, time, item in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        if user in users:
            found.setdefault(user, []).append((time, items.position[item]))
    return found


if __name__ == "__main__":
    main()
