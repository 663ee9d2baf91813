"""Where the time of a request goes, in process: `python -m benchmarks.serving.stages WORKSPACE ... --requests 1,8`.

Milliseconds of processor a request by stage (souk.stages), of calls with one thread, with so many requests each; and
the memory of the process, whose slope over workspaces is what an item costs (benchmarks.serving.enlarge makes them).
What is in no stage is `rest`. No HTTP: that is benchmarks.serving's.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import json
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.__main__ import table, write

WARM, CALLS, K = 20, 200, 20


def main() -> None:
    """Reads the arguments, measures each workspace in a process of its own, prints and writes `results/stages.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.stages", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("workspaces", type=Path, nargs="+")
    parser.add_argument("--requests", default="1,8", help="of a call")
    given = parser.parse_args()
    counts = [int(count) for count in given.requests.split(",")]
    rows: list[dict[str, Any]] = []
    for workspace in given.workspaces:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows += pool.apply(measured, (workspace.resolve(), counts))
    print(table(rows))
    write("stages", rows, ", ".join(path.name for path in given.workspaces))


def measured(workspace: Path, counts: list[int]) -> list[dict[str, Any]]:
    """A row for each number of requests in a call."""
    import orjson

    from benchmarks.serving.process import memory, user_ids
    from souk import stages
    from souk.cli.quiet import one_thread, quiet_loading
    from souk.release.bundle import Bundle
    from souk.serving.recommender import Recommender
    from souk.serving.request import Request
    from souk.serving.served import open_index, open_store
    from souk.workspace import Workspace

    one_thread()
    vars(stages)["time"] = SimpleNamespace(perf_counter=time.process_time)  # the processor's clock for the wall's
    place = Workspace(workspace)
    with quiet_loading():
        bundle = Bundle.load(place.served_folder())
        index = open_index(place, bundle, "", print)
        recommender = Recommender.load(bundle, None, None).connected(index, open_store(place, bundle))
    users, now, rows = user_ids(workspace), time.time_ns() // 1_000_000, list[dict[str, Any]]()
    for count in counts:
        spent: dict[str, float] = {}
        began = 0.0
        for call in range(WARM + CALLS):
            if call == WARM:
                spent, began = {}, time.process_time()
            asked = [Request(users[(call * count + n) % len(users)], K, now, request_id="x") for n in range(count)]
            with stages.heard() as heard:
                slates = recommender.recommend(asked)
            orjson.dumps([slate.to_json() for slate in slates])
            for name, seconds in heard.seconds.items():
                spent[name] = spent.get(name, 0.0) + seconds
        whole = time.process_time() - began
        spent["rest"] = whole - sum(spent.values())
        each = {name: round(1000 * seconds / CALLS / count, 2) for name, seconds in {**spent, "all": whole}.items()}
        size = {"items": len(bundle.vectors), "candidates": bundle.settings.candidates, "requests": count}
        rows.append({**size, **each, "MiB": memory(os.getpid())})
    return json.loads(json.dumps(rows))


if __name__ == "__main__":
    main()
