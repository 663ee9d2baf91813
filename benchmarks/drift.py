"""False alarms and delay of the drift detector at its defaults: `.venv-drift/bin/python -m benchmarks.drift`.

Traffic is drawn from a known distribution (independent requests, correlated columns, ties, missing values, a long tail
of categories), so what is planted is all that differs. Writes benchmarks/results/drift.json.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.drift.columns import Cell, Column, columns_of
from souk.drift.detector import Detector, Settings
from souk.drift.reference import CALENDAR, Reference
from souk.schema import EventType, Kind
from souk.spec import FeatureSpec

RESULTS = Path(__file__).parent / "results" / "drift.json"
REFERENCES, WINDOWS = 20, 50  # stationary: a thousand windows, against twenty references
ROWS_OF_REFERENCE = (5000, 1000)
ROWS_OF_WINDOW = (1000, 300)  # the default, and a third of it
SEEDS = 40  # of each planted shift
LONGEST = 20  # windows after which an alarm is given up
SPEC = FeatureSpec(
    dataset="benchmark",
    columns=Columns(
        events={"device": Kind.CATEGORICAL, "basket": Kind.NUMERIC},
        users={"age": Kind.NUMERIC, "occupation": Kind.CATEGORICAL, "region": Kind.CATEGORICAL},
    ),
    objectives=Objectives(engaged=Objective(events=(EventType.CLICK,)), satisfied=Objective(events=(EventType.CLICK,))),
    repeat=Repeat(rule="always"),
    build=BuildFeatures(history_length=8),
)
COLUMNS = columns_of(SPEC, CALENDAR)
AGE_SIGMA = 10.0
Sample = dict[str, list[Cell]]
Plant = Callable[[Sample, np.random.Generator], None]


def sample(count: int, random: np.random.Generator) -> Sample:
    """Cells of `count` independent requests."""
    busy = random.normal(size=count)
    events = np.floor(np.exp(2 + busy))
    tail = 1 / np.arange(1, 61)
    age = random.normal(40, AGE_SIGMA, count)
    values: dict[str, Any] = {
        "user_age": np.where(random.random(count) < 0.1, np.nan, age),
        "user_occupation": random.choice([f"occupation {n}" for n in range(60)], count, p=tail / tail.sum()),
        "user_region": random.choice(["north", "south", "east", "west"], count, p=(0.4, 0.3, 0.2, 0.1)),
        "context_device": random.choice(["mobile", "desktop"], count, p=(0.7, 0.3)),
        "context_basket": random.gamma(2, 10, count),
        "query_since_last": random.exponential(3600, count),
        "query_events": events,
        "query_events_1d": np.floor(events / 8),
        "query_events_7d": np.floor(events / 4),
        "query_events_30d": np.floor(events / 2),
        "slate_score": 0.1 + 0.02 * busy + 0.01 * random.normal(size=count),
        "slate_engaged": 0.2 + 0.02 * busy + 0.01 * random.normal(size=count),
        "slate_satisfied": random.beta(5, 2, count),
    }
    return {c.name: _cells(values[c.name].tolist(), c) for c in COLUMNS}


def category(share: float, column: str, value: str) -> Plant:
    """A `share` of the requests have `value`, whatever they had before."""

    def plant(cells: Sample, random: np.random.Generator) -> None:
        hit = random.random(len(cells[column])) < share
        cells[column] = [value if h else v for v, h in zip(cells[column], hit.tolist(), strict=True)]

    return plant


def sigmas(by: float) -> Plant:
    """Every known age is `by` standard deviations higher."""

    def plant(cells: Sample, random: np.random.Generator) -> None:
        cells["user_age"] = [None if v is None else float(v) + by * AGE_SIGMA for v in cells["user_age"]]

    return plant


SHIFTS: dict[str, tuple[str, Plant]] = {
    "10% of a categorical (4 values)": ("user_region", category(0.1, "user_region", "south")),
    "20% of a categorical (4 values)": ("user_region", category(0.2, "user_region", "south")),
    "10% of a categorical (60 values)": ("user_occupation", category(0.1, "user_occupation", "occupation 1")),
    "20% of a categorical (60 values)": ("user_occupation", category(0.2, "user_occupation", "occupation 1")),
    "0.25 sigma of a numeric": ("user_age", sigmas(0.25)),
    "0.5 sigma of a numeric": ("user_age", sigmas(0.5)),
}


def detector(rows: int, seed: int, settings: Settings) -> Detector:
    """A detector with a reference of its own."""
    cells = sample(rows, np.random.default_rng([1, seed]))
    return Detector(Reference("benchmark", SPEC, COLUMNS, cells, rows), settings)


def drifted(built: Detector, seed: tuple[int, ...], plant: Plant | None = None) -> tuple[set[str], str]:
    """The columns that drift in one window, and the first of all."""
    random = np.random.default_rng(seed)
    cells = sample(built.settings.rows, random)
    if plant:
        plant(cells, random)
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    results = built.test(rows)
    return {r.name for r in results if r.drifted}, results[0].name


def stationary(rows: int, settings: Settings) -> dict[str, Any]:
    """Shares of windows with any drifted column, and that alarm, over REFERENCES × WINDOWS windows without drift."""
    any_drift, alarms = np.zeros(REFERENCES), np.zeros(REFERENCES)
    for reference in range(REFERENCES):
        built, in_a_row = detector(rows, reference, settings), dict.fromkeys((c.name for c in COLUMNS), 0)
        for window in range(WINDOWS):
            found, _ = drifted(built, (2, reference, window))
            in_a_row = {name: (count + 1) * (name in found) for name, count in in_a_row.items()}
            any_drift[reference] += bool(found)
            alarms[reference] += max(in_a_row.values()) >= settings.consecutive
    return {
        "reference rows": rows,
        "references": REFERENCES,
        "windows": REFERENCES * WINDOWS,
        "drifted windows": int(any_drift.sum()),
        "alarming windows": int(alarms.sum()),
        "most drifted windows of one reference": f"{int(any_drift.max())} of {WINDOWS}",
    }


def delays(name: str, settings: Settings) -> dict[str, Any]:
    """Windows from the shift to the alarm for its column, over SEEDS references and streams."""
    column, plant = SHIFTS[name]
    found, first_named = [], 0
    for seed in range(SEEDS):
        built, in_a_row, first = detector(ROWS_OF_REFERENCE[0], 1000 + seed, settings), 0, ""
        for window in range(1, LONGEST + 1):
            names, first = drifted(built, (3, list(SHIFTS).index(name), seed, window), plant)
            in_a_row = in_a_row + 1 if column in names else 0
            if in_a_row == settings.consecutive:
                found.append(window)
                first_named += first == column
                break
        else:
            found.append(LONGEST + 1)
    median, ninth = np.percentile(found, (50, 90), method="higher").tolist()
    late = sum(delay > LONGEST for delay in found)
    return {
        "shift": name,
        "rows": settings.rows,
        "seeds": SEEDS,
        "median": median,
        "90%": ninth,
        "never": late,
        "first named": first_named,
    }


def main() -> None:
    """Measures, prints and writes."""
    begin, settings = time.perf_counter(), Settings()
    results: dict[str, Any] = {
        "settings": vars(settings),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "stationary": [_shown(stationary(rows, settings)) for rows in ROWS_OF_REFERENCE],
        "delays": [_shown(delays(name, replace(settings, rows=rows))) for rows in ROWS_OF_WINDOW for name in SHIFTS],
    }
    results["seconds"] = round(time.perf_counter() - begin, 1)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def _cells(values: list[Any], column: Column) -> list[Cell]:
    return [column.cell(value) for value in values]


if __name__ == "__main__":
    main()
