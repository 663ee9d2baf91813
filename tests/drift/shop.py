"""A release with a drift reference, and traffic whose distribution is known: what a test plants is all that differs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.drift.cli import main
from souk.drift.columns import Cell, columns_of, fill
from souk.drift.detector import Detector, Settings
from souk.drift.reference import Reference
from souk.drift.rows import Row, RowReader
from souk.drift.state import State
from souk.drift.windows import Monitor
from souk.monitored import KIND, REFERENCE, score_columns
from souk.release.manifest import write_manifest
from souk.spec import FeatureSpec

RELEASE = "shop-0123456789ab"
NOON = 1_700_000_000_000
REGIONS = ("north", "south", "east", "west")
BRANDS = tuple(f"brand{n}" for n in range(40))
SPEC = FeatureSpec(
    dataset="shop",
    columns=Columns(
        events={"device": "categorical", "basket": "numeric"},
        users={"age": "numeric", "region": "categorical", "brand": "categorical", "tags": "list", "photo": "vector[2]"},
    ),
    objectives=Objectives(engaged=Objective(events=("click",)), satisfied=Objective(events=("click",))),
    repeat=Repeat(rule="always"),
    build=BuildFeatures(history_length=8),
)
SMALL = Settings(rows=400, min_rows=100)


def traffic(count: int, seed: int, **planted: Any) -> list[dict[str, Any]]:
    """Features and scores of requests, independent of each other.

    Args:
        count: how many.
        seed: of everything random.
        planted: by feature name, what replaces its values: a function of (values, generator) or one value for all.
    """
    random = np.random.default_rng(seed)
    zipf = 1 / np.arange(1, len(BRANDS) + 1)
    busy = random.normal(size=count)
    events = np.floor(np.exp(2 + busy))
    columns: dict[str, list[Any]] = {
        "user_age": [
            math.nan if miss else value
            for value, miss in zip(random.normal(40, 10, count), random.random(count) < 0.1, strict=True)
        ],
        "user_brand": random.choice(BRANDS, count, p=zipf / zipf.sum()).tolist(),
        "user_photo": [[0.0, 1.0]] * count,
        "user_region": random.choice(REGIONS, count, p=(0.4, 0.3, 0.2, 0.1)).tolist(),
        "user_tags": [["a", "b", "c"][: n % 4] for n in random.integers(0, 8, count).tolist()],
        "query_hour": random.integers(0, 24, count).tolist(),
        "query_weekday": random.integers(0, 7, count).tolist(),
        "query_since_last": random.exponential(3600, count).tolist(),
        "query_events": events.tolist(),
        "query_events_1d": np.floor(events / 8).tolist(),
        "query_events_7d": np.floor(events / 4).tolist(),
        "query_events_30d": np.floor(events / 2).tolist(),
        "context_basket": random.gamma(2, 10, count).tolist(),
        "context_device": random.choice(("mobile", "desktop"), count, p=(0.7, 0.3)).tolist(),
        "slate_score": (0.1 + 0.02 * busy + 0.01 * random.normal(size=count)).tolist(),
        "slate_engaged": (0.2 + 0.02 * busy + 0.01 * random.normal(size=count)).tolist(),
        "slate_satisfied": random.beta(5, 2, count).tolist(),
    }
    for name, change in planted.items():
        columns[name] = change(columns[name], random) if callable(change) else [change] * count
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def some(share: float, value: Any) -> Any:
    """Plants `value` in a `share` of the requests."""

    def plant(values: list[Any], random: np.random.Generator) -> list[Any]:
        hits = random.random(len(values)) < share
        return [value if hit else old for old, hit in zip(values, hits, strict=True)]

    return plant


def moved(by: float) -> Any:
    """Adds `by` to every number."""
    return lambda values, random: [v + by for v in values]


def write_release(folder: Path, rows: list[dict[str, Any]], name: str = RELEASE, kind: str = "") -> Path:
    """The parts of a release that the detector reads."""
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(SPEC.to_json())
    types = {"user_photo": pa.list_(pa.float32()), "user_tags": pa.list_(pa.string())}
    whole = {"query_hour", "query_weekday"}
    texts = {"user_region", "user_brand", "context_device"}
    schema = pa.schema(
        [
            (n, types.get(n, pa.int64() if n in whole else pa.string() if n in texts else pa.float32()))
            for n in traffic(1, 0)[0]
        ]
    )
    schema = schema.with_metadata({KIND: kind}) if kind else schema  # releases of before do not say what rows are of
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / REFERENCE)
    write_manifest(folder, name, {}, {})
    return folder


def cells(rows: list[dict[str, Any]]) -> list[dict[str, Cell]]:
    """Requests as a detector's window."""
    columns = columns_of(SPEC)
    return [fill(columns, row)[0] for row in rows]


def as_rows(requests: list[dict[str, Any]], start: int = 0, time: int = NOON) -> list[Row]:
    """Requests as rows of the impression log, a second apart."""
    return [Row("record", str(start + n), time + 1000 * n, row, 0) for n, row in enumerate(cells(requests))]


def monitor(release: Path, state: Path | None = None, settings: Settings = SMALL) -> Monitor:
    """A detector of the release, with its state."""
    reference = Reference.load(release, ("query_hour", "query_weekday"))
    return Monitor(Detector(reference, settings), State.open(state, reference.release))


def reader(release: Path) -> RowReader:
    """Makes rows for the release."""
    return RowReader(Reference.load(release, ("query_hour", "query_weekday")))


def record(request: Mapping[str, Any], number: int, time: int = NOON, release: str = RELEASE) -> dict[str, Any]:
    """An impression record whose scores have the means that the request says."""
    features = {k: None if v != v else v for k, v in request.items() if k not in score_columns(SPEC)}
    scores = {name.removeprefix("slate_"): [request[name]] * 5 for name in score_columns(SPEC)}
    return {
        "request_id": f"r{number}",
        "answered_at": time + 1000 * number,
        "release": release,
        "arm": "",
        "features": json.dumps(features),
        "scores": scores["score"],
        "engaged": scores["engaged"],
        "satisfied": scores["satisfied"],
        "request": '{"user_id": "u", "k": 5}',
    }


def write_part(folder: Path, name: str, records: list[dict[str, Any]]) -> Path:
    """One part file of an impression log, with the columns that are read."""
    lists = pa.list_(pa.float32())
    schema = pa.schema(
        [
            ("request_id", pa.string()),
            ("answered_at", pa.int64()),
            ("release", pa.string()),
            ("arm", pa.string()),
            ("features", pa.string()),
            ("scores", lists),
            ("engaged", lists),
            ("satisfied", lists),
            ("request", pa.string()),
        ]
    )
    path = folder / "2023-11-14" / "22" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records, schema=schema), path)
    return path


def log(folder: Path, parts: int = 1, rows: int = 400, first: int = 0, release: str = RELEASE, **planted: Any) -> None:
    """Adds part files to an impression log."""
    for part in range(first, first + parts):
        requests = traffic(rows, 100 + part, **planted)
        write_part(
            folder, f"w-{part:06d}", [record(r, part * rows + n, release=release) for n, r in enumerate(requests)]
        )


def check(release: Path, folder: Path, *more: str) -> int:
    """The exit code of `souk-drift check` on windows of 400 requests."""
    words = ["--release", str(release), "--impressions", str(folder), "--rows", "400", "--min-rows", "100", *more]
    return main(["check", *words, "--max-age", "1e12"])
