"""Items that training never saw: how often the towers retrieve them, beside neighbours by content.

    python -m benchmarks.cold CONFIG TABLES FOLDER [KEY=VALUE ...]

CONFIG is a dataset config, TABLES the folder of its `ingest`, FOLDER keeps the split and its features between calls. A
tenth of the items that have events is taken out of the tables with all their events; the towers are fitted on the rest
with the default settings and the given values of `train_two_tower`; the items then get vectors through the item tower,
as `souk items upsert` does it. `--no-content` takes the items' content away, to see what it costs those that are known.
The test window is looked at with `--test` only: choices are made without it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from benchmarks.__main__ import table
from benchmarks.cold.content_knn import ContentKnn, Settings, words
from benchmarks.cold.fitted import Fitted
from benchmarks.cold.held_out import ColdQuery, bounds, build, cold_queries, hold_out
from souk.config import TrainTwoTower, load_config
from souk.evaluation.windows import WindowName
from souk.metrics import mean_by_user, query_metric, target_ranks

METRIC = "recall@50"
WITHIN = ("cold", "whole")


def main() -> None:
    """Reads the arguments, fits and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("tables", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--share", type=float, default=0.1, help="of the items, held out (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=17, help="of the draw of items (default: %(default)s)")
    parser.add_argument("--no-content", action="store_true", help="towers that know items by their ids alone")
    parser.add_argument("--test", action="store_true", help="read the test window too")
    given = parser.parse_args()
    values = {name: yaml.safe_load(value) for name, value in (each.split("=", 1) for each in given.settings)}
    if not (given.folder / "cold").exists():
        hold_out(given.tables, given.folder, given.share, given.seed)
    build(load_config(given.config), given.folder)
    fitted = Fitted(given.folder, TrainTwoTower.model_validate(values), not given.no_content)
    print(json.dumps(values | {"content": not given.no_content}))
    for window in ("validation", "test") if given.test else ("validation",):
        warm = fitted.fit(window)
        print(f"{window}: NDCG@10 of known items {warm:.4f}")
        found, among = new_items(given.folder, fitted, window)
        print(f"{among:.4f} where the new ones stand among them")
        print(table(found), flush=True)


def new_items(folder: Path, fitted: Fitted, window: WindowName) -> tuple[list[dict[str, Any]], float]:
    """A row for the towers and for neighbours by content, whose settings are chosen on the validation window; and what
    the known items have beside the new ones."""
    cold = pq.read_table(folder / "cold" / "items.parquet").to_pylist()
    warm = pq.read_table(folder / "tables" / "items.parquet").sort_by("item_id").to_pylist()
    place = {row["item_id"]: at for at, row in enumerate([*warm, *cold])}
    never = fitted.spec.repeat.rule == "never"
    peer = ContentKnn([words(row, fitted.spec) for row in [*warm, *cold]], len(warm))
    best: dict[str, Settings] = {}
    for name in dict.fromkeys(("validation", window)):
        queries = cold_queries(folder, fitted.spec, bounds(fitted.windows, name))
        histories = [np.array([place[item] for item in query.history], np.int64) for query in queries]
        tried = {
            each: _recall(peer.scores(histories, each), queries, place, len(warm), never)
            for each in (dict.fromkeys(best.values()) if best else Settings.grid())
        }
        best = best or {w: max(tried, key=lambda each: tried[each][w][0]) for w in WITHIN}
    new = fitted.vectors(cold)
    vectors = np.concatenate([fitted.warm_vectors(), new])
    asked = fitted.queries([query.features for query in queries])
    towers = _recall((vectors @ query for query in asked), queries, place, len(warm), never)
    found = {"towers": towers, "content neighbours": {w: tried[best[w]][w] for w in WITHIN}}
    rows = [
        {"new items": name, "queries": len(queries)}
        | {f"{METRIC} {w}": f"{mean:.4f} ± {error:.4f}" for w, (mean, error) in values.items()}
        for name, values in found.items()
    ]
    return rows, fitted.among(new)


def _recall(
    scores: Iterator[np.ndarray], queries: Sequence[ColdQuery], place: dict[str, int], warm: int, never: bool
) -> dict[str, tuple[float, float]]:
    """METRIC within the unknown and within all items, averaged within users, and its standard error over them."""
    ranks: dict[str, list[np.ndarray]] = {within: [] for within in WITHIN}
    for query, line in zip(queries, scores, strict=True):
        line = np.array(line, np.float32)
        targets = np.array([place[item] for item in query.targets], np.int64)
        if never:
            line[[place[item] for item in query.history]] = -np.inf
        ranks["whole"].append(target_ranks(line, targets))
        ranks["cold"].append(target_ranks(line[warm:], targets - warm))
    users = np.unique([query.user for query in queries], return_inverse=True)[1]
    found = {}
    for within, own in ranks.items():
        values = mean_by_user(query_metric(METRIC, own), users, int(users.max()) + 1)
        found[within] = float(values.mean()), float(values.std() / np.sqrt(len(values)))
    return found


if __name__ == "__main__":
    main()
