"""What one user with very many events costs: the reference of drift, and ranks of many targets.

`python -m benchmarks.heavy_user EVENTS REQUESTS...` prints processor seconds, which a loaded machine changes little.
`python -m benchmarks.heavy_user EVENTS FOLDER [EPOCHS]` writes a shop with such a user into FOLDER and takes it through
the steps from ingest to evaluate in this process, the towers with EPOCHS passes (default: those of the config).
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from souk import outputs
from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat, load_config
from souk.metrics import target_ranks
from souk.release.moments import asked_moments
from souk.release.reference import reference_requests
from souk.schema import DAY_MS, EventType
from souk.spec import FeatureSpec

DAYS, ITEMS, WIDE = 60, 2_000, 100_000
OTHERS, OWN = 200, 30  # users beside, and their events
MADE = ("workspace", "tables", "quarantine", "features", "towers", "ranker", "index", "bundle", "evaluation")
BEGIN = 1_700_006_400_000  # UTC epoch milliseconds
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


def write_shop(folder: Path, events: int) -> Path:
    """A data set for `souk run`: a user with so many clicks, and OTHERS with OWN each, all drawn by lot.

    Returns:
        the path of the config.
    """
    outputs.free_artifact(folder, lambda place: (place / "heavy.yaml").is_file(), "the shop of before")
    rng = np.random.default_rng(2)
    users = np.array(["big"] * events + [f"u{n:03d}" for n in range(OTHERS) for _ in range(OWN)])
    order = rng.permutation(len(users))
    table = {
        "user_id": users[order],
        "item_id": [f"i{item:04d}" for item in rng.integers(0, ITEMS, len(users)).tolist()],
        "event_type": ["click"] * len(users),
        "timestamp": BEGIN + np.sort(rng.integers(0, DAYS * DAY_MS, len(users))),
    }
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), folder / "events.parquet")
    config = {
        "name": "heavy",
        "data": {"events": {"path": "events.parquet"}},
        "objectives": {name: {"events": ["click"]} for name in ("engaged", "satisfied")},
        "repeat": "always",
    }
    path = folder / "heavy.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def calls(folder: Path, epochs: int) -> dict[str, tuple[object, ...]]:
    """By step, what it is given behind its config, in the order of the steps."""
    at = {name: str(folder / name) for name in (*MADE, "report.html", "summary.md")}
    tables, features, *twin = (at[name] for name in ("tables", "features", "towers", "ranker", "index"))
    return {
        "ingest": ("", at["workspace"], tables, at["quarantine"], at["report.html"]),
        "build_features": (at["workspace"], "FnApiRunner", "", tables, features),
        "train_two_tower": ("twin", epochs, at["workspace"], features, twin[0]),
        "load_index": (features, twin[0], twin[2]),
        "train_ranker": ("twin", at["workspace"], features, twin[0], twin[1]),
        "evaluate": (
            "", at["workspace"], tables, features, *twin, at["bundle"], at["report.html"], at["summary.md"],
            at["evaluation"],
        ),
    }  # fmt: skip


def take(config_path: Path, folder: Path, epochs: int) -> None:
    """Prints the processor seconds of each step up to evaluate, and the greatest memory so far."""
    config = load_config(config_path)
    for name, paths in calls(folder, epochs).items():
        step = getattr(importlib.import_module(f"souk.steps.{name}"), name)
        took = seconds(lambda step=step, name=name, paths=paths: step(config.for_step(name), *paths))  # type: ignore[misc]
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{name}: {took:.1f} s of processor, {most:,} MiB at most so far", flush=True)


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _reference(folder: Path, count: int) -> None:
    reference_requests(asked_moments(folder, folder, SPEC), folder, SPEC, 10, count)


def main(events: int, requests: list[int]) -> None:
    """Prints a line for each measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_user(folder, events)
        for count in requests:
            took = seconds(lambda count=count: _reference(folder, count))  # type: ignore[misc]
            print(f"reference of {count:,} requests, a user of {events:,} events: {took:.2f} s", flush=True)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=WIDE).astype(np.float32)
    for count in TARGETS:
        wanted = rng.permutation(WIDE)[:count]
        took = seconds(lambda wanted=wanted: target_ranks(scores, wanted))  # type: ignore[misc]
        print(f"ranks of {count:,} targets among {WIDE:,} items: {took:.3f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heavy_user", description=(__doc__ or "").split(":")[0])
    parser.add_argument("events", type=int, help="of the user")
    parser.add_argument("more", nargs="+", metavar="REQUESTS... | FOLDER [EPOCHS]", help="numbers, or where to write")
    given = parser.parse_args()
    place, *epochs = given.more
    if place.isdecimal():
        main(given.events, [int(count) for count in given.more])
    else:
        take(write_shop(Path(place), given.events), Path(place), int(epochs[0]) if epochs else 0)
