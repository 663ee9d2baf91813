"""Everything that an evaluation measures: all models, both protocols, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from souk.config import Evaluate
from souk.errors import SoukError
from souk.evaluation.baselines import ItemKnn, Popularity, Scorer
from souk.evaluation.gate import CHALLENGER, CHAMPION, Champion
from souk.evaluation.protocol import METRICS, rank, recall_curves, slices, summarise
from souk.evaluation.queries import (
    Catalogue,
    Query,
    frozen_queries,
    read_window,
    rolling_queries,
)
from souk.progress import report
from souk.release.bundle import Bundle


def measure(
    settings: Evaluate, bundle: Bundle, champion: Champion, tables: Path, features: Path
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Ranks the catalogue with every model under both protocols.

    Returns:
        The content of `metrics.json`, and a row per user and model under the rolling protocol.
    """
    from souk.evaluation.twins import Slates, Towers  # TensorFlow: not for a verdict of `unchanged`

    spec = bundle.spec
    catalogue, window = read_window(tables, features, spec)
    towers = Towers("two_tower", bundle, catalogue, spec).load()
    slates = Slates(CHALLENGER, towers).load()
    scorers: list[Scorer] = [slates, towers, ItemKnn(catalogue), Popularity(catalogue)]
    if champion.twin:
        scorers.insert(1, Slates(CHAMPION, Towers(CHAMPION, Bundle.load(champion.twin), catalogue, spec).load()).load())
    rolling, per_user = _protocol(
        "rolling", scorers, rolling_queries(window, catalogue, spec, settings.max_queries_per_user), catalogue, settings
    )
    calibration = slates.observed.calibration(_satisfied(features))
    frozen, _ = _protocol("frozen", scorers, frozen_queries(window, catalogue, spec), catalogue, settings)
    return {
        "dataset": spec.dataset,
        "primary": settings.primary,
        "items": int(catalogue.available.sum()),
        "test_start": window.start,
        "champion": champion.name,
        "protocols": {"rolling": rolling, "frozen": frozen},
        "calibration": calibration,
    }, per_user


def main_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures that the Pipelines UI shows."""
    rolling = metrics["protocols"]["rolling"]
    values = {f"{model}_{m}": v[m]["mean"] for model, v in rolling["models"].items() for m in METRICS}
    coverage = {f"{model}_coverage@10": v["coverage@10"] for model, v in rolling["models"].items()}
    return {**values, **coverage, "queries": float(rolling["queries"]), "users": float(rolling["users"])}


def _protocol(
    name: str, scorers: Sequence[Scorer], queries: Sequence[Query], catalogue: Catalogue, settings: Evaluate
) -> tuple[dict[str, Any], pd.DataFrame]:
    users = len({query.user_id for query in queries})
    if not queries:
        raise SoukError("engagements in the test window", "none that could be recommended", "Enlarge split.test.")
    report(f"{name}: {len(queries):,} queries of {users:,} users, {len(catalogue.ids):,} items")
    rankings = [rank(scorer, queries, catalogue) for scorer in scorers]
    names = tuple(dict.fromkeys((*METRICS, settings.primary)))
    models, per_user = summarise(rankings, queries, catalogue, names, settings.bootstrap)
    return {
        "queries": len(queries),
        "users": users,
        "models": models,
        "recall_curve": recall_curves(rankings, queries),
        "slices": slices(rankings, queries, catalogue, names),
    }, per_user


def _satisfied(features: Path) -> dict[str, int]:
    """The label of each event that has one by now."""
    table = pq.read_table(features / "examples.parquet", columns=["event_id", "satisfied"]).to_pydict()
    return {event: label for event, label in zip(table["event_id"], table["satisfied"], strict=True) if label >= 0}
