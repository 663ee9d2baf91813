"""What the ONNX graphs of a release spare its server: `python -m benchmarks.graphs WORKSPACE`.

The query tower and the ranker, called with the users of the workspace's store, as ONNX graphs and by TensorFlow, in
turns in one process with one thread each; milliseconds of processor a call.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.__main__ import table, write
from benchmarks.serving.process import user_ids
from souk.cli.quiet import load_tensorflow, one_thread
from souk.pairs import names_of
from souk.release.bundle import Bundle
from souk.serving.inputs import item_inputs, query_inputs
from souk.serving.served import open_store
from souk.serving.signatures import SavedModel
from souk.state import features_at
from souk.workspace import Workspace

REQUESTS, CANDIDATES, TURNS, CALLS = (1, 4, 16), 500, 5, 40
Inputs = dict[str, np.ndarray]
Call = Callable[[Mapping[str, np.ndarray]], Any]


def main() -> None:
    """Reads the arguments, measures, prints and writes `benchmarks/results/graphs.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphs", description=(__doc__ or "").split(":")[0])
    parser.add_argument("workspace", type=Path, help="with a release, and the tables of its run")
    given = parser.parse_args()
    one_thread()
    load_tensorflow()
    workspace = Workspace(given.workspace.resolve())
    bundle = Bundle.load(workspace.served_folder())
    states = [s for s in open_store(workspace, bundle).read(user_ids(workspace.root)[: 16 * CALLS]) if s]
    now = max(state.events[-1].timestamp for state in states if state.events) + 1
    queries = [features_at(state, now, bundle.spec) for state in states]
    models = {"query tower": SavedModel(bundle.query_tower), "ranker": SavedModel(bundle.ranker)}
    read = models["ranker"].signature("goods")
    goods = read(item_inputs(bundle.items.to_pydict(), bundle.spec))["goods"]
    rows = []
    for count in REQUESTS:
        batches = [query_inputs(queries[at : at + count], bundle.spec) for at in range(0, CALLS * count, count)]
        calls = {
            "query tower": batches,
            "ranker": [
                batch
                | candidates(
                    goods,
                    len(names_of(bundle.spec, bundle.settings.form)),
                    count,
                )
                for batch in batches
            ],
        }
        for name, model in models.items():
            ways = {"ONNX": model.signature("serve"), "TensorFlow": model.by_tensorflow("serve")}
            spent = {way: min(costs) for way, costs in measured(ways, calls[name]).items()}
            ratio = spent["TensorFlow"] / spent["ONNX"]
            rows.append({"model": name, "requests": count, **spent, "TensorFlow / ONNX": round(ratio, 2)})
    print(table(rows))
    write("graphs", rows, workspace.current_release())


def candidates(goods: np.ndarray, pairs: int, requests: int) -> Inputs:
    """The ranker's inputs for made-up candidates of so many requests, with so many pair features."""
    draw = np.random.default_rng(0)
    places = draw.integers(0, len(goods), requests * CANDIDATES)
    pair = draw.random((len(places), pairs), np.float32)
    return {"goods": goods[places], "pair": pair, "request": np.repeat(np.arange(requests), CANDIDATES)}


def measured(ways: Mapping[str, Call], calls: Sequence[Inputs]) -> dict[str, list[float]]:
    """Milliseconds of processor a call by way, of each turn but the first."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(TURNS + 1):
        for way, call in ways.items():
            began = time.process_time()
            for inputs in calls:
                call(inputs)
            if turn:
                found[way].append(round(1000 * (time.process_time() - began) / len(calls), 2))
    return found


if __name__ == "__main__":
    main()
