"""What one user with very many events costs: the reference of drift, and ranks of many targets.

`python -m benchmarks.heavy_user EVENTS REQUESTS...` prints processor seconds, which a loaded machine changes little.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.metrics import target_ranks
from souk.release.reference import reference_requests
from souk.schema import DAY_MS, EventType
from souk.spec import FeatureSpec

DAYS, ITEMS, WIDE = 60, 2_000, 100_000
TARGETS = (1_000, 4_000)
CLICK = Objective(events=(EventType.CLICK,))
SPEC = FeatureSpec(
    dataset="heavy",
    columns=Columns(),
    objectives=Objectives(engaged=CLICK, satisfied=CLICK),
    repeat=Repeat(rule="always"),
    build=BuildFeatures(history_length=128),
)


def write_user(folder: Path, events: int) -> None:
    """The files that the reference reads, of one user whose `events` fill DAYS days; the last tenth is the window."""
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "event_id": [f"e{n:09d}" for n in range(events)],
            "user_id": ["big"] * events,
            "item_id": [f"i{item}" for item in rng.integers(0, ITEMS, events).tolist()],
            "event_type": ["click"] * events,
            "timestamp": np.sort(rng.integers(0, DAYS * DAY_MS, events)),
        }
    )
    for name in ("events", "examples"):
        pq.write_table(table, folder / f"{name}.parquet")
    pq.write_table(pa.table({"user_id": ["big"]}), folder / "users.parquet")
    (folder / "windows.json").write_text(json.dumps({"test_start": DAYS * DAY_MS * 9 // 10}), encoding="utf-8")


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main(events: int, requests: list[int]) -> None:
    """Prints a line for each measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_user(folder, events)
        for count in requests:
            took = seconds(lambda count=count: reference_requests(folder, folder, SPEC, 10, count))  # type: ignore[misc]
            print(f"reference of {count:,} requests, a user of {events:,} events: {took:.2f} s", flush=True)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=WIDE).astype(np.float32)
    for count in TARGETS:
        wanted = rng.permutation(WIDE)[:count]
        took = seconds(lambda wanted=wanted: target_ranks(scores, wanted))  # type: ignore[misc]
        print(f"ranks of {count:,} targets among {WIDE:,} items: {took:.3f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(count) for count in sys.argv[2:]])
