"""From rankings to tables: each model's metrics with intervals, each user's, and the paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from souk.evaluation import exposure
from souk.evaluation.content import Content
from souk.evaluation.protocol import SEED, Ranking, Users
from souk.evaluation.queries import Catalogue, Query
from souk.metrics import Floats, bootstrap_columns, mean_by_user, query_metric


def summarise(
    rankings: Sequence[Ranking],
    queries: Sequence[Query],
    catalogue: Catalogue,
    content: Content,
    metrics: Sequence[str],
    samples: int,
) -> tuple[dict[str, dict[str, Any]], pd.DataFrame]:
    """Metrics of each model and of each user.

    Returns:
        Per model: the mean of each metric with its 95% interval over users, coverage and Gini of what is shown (which
        are of a whole catalogue and have no interval); and a table with a row per user and model, a column per metric.
    """
    users = Users.of(queries)
    count = len(users.names)
    models: dict[str, dict[str, Any]] = {}
    tables = []
    for ranking in rankings:
        found = {name: query_metric(name, ranking.ranks) for name in metrics}
        own = {name: mean_by_user(values, users.of_query, count) for name, values in found.items()}
        for name, values in exposure.by_query(ranking.top, catalogue, content).items():
            told = np.isfinite(values)
            own[name] = mean_by_user(values[told], users.of_query[told], count)
        models[ranking.name] = intervals(own, samples) | exposure.of_catalogue(ranking.top, users, catalogue)
        tables.append(pd.DataFrame({"user_id": users.names, "model": ranking.name, **own}))
    return models, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def intervals(values: dict[str, Floats], samples: int) -> dict[str, dict[str, float]]:
    """The mean and interval of each `[users]`; users without a value (NaN) are left out, and what nobody has, too."""
    whole = {name: own for name, own in values.items() if np.isfinite(own).all()}
    groups = [whole, *({name: own[np.isfinite(own)]} for name, own in values.items() if name not in whole)]
    found: dict[str, dict[str, float]] = {}
    for group in groups:
        if group and len(next(iter(group.values()))):
            columns = np.stack(list(group.values()), axis=1)
            found |= dict(zip(group, map(asdict, bootstrap_columns(columns, samples, SEED)), strict=True))
    return {name: found[name] for name in values if name in found}


def differences(per_user: pd.DataFrame, model: str, samples: int) -> dict[str, dict[str, dict[str, float]]]:
    """How much more `model` has than each other one, paired by user: other model → metric → mean and interval."""
    tables = {str(name): own.set_index("user_id").drop(columns="model") for name, own in per_user.groupby("model")}
    ours = tables.pop(model)
    order = [name for name in dict.fromkeys(per_user["model"]) if name in tables]
    return {name: intervals({str(m): (ours[m] - tables[name][m]).to_numpy() for m in ours}, samples) for name in order}
