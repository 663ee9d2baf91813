"""Where each model puts the targets of the test queries: the one file that all environments write and the table reads.

Two views: `all` ranks every target in the whole catalogue; `new` ranks the targets that the user never engaged with
among all such items, and is there where users come back to items.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from souk.evaluation.protocol import Ranking
from souk.evaluation.queries import Query
from souk.folders import placed
from souk.metrics import Floats, mean_by_user, query_metric

METRICS = ("ndcg@10", "hr@10", "recall@100")
VIEWS = ("all", "new")


def views_of(ranking: Ranking, queries: Sequence[Query]) -> dict[str, pd.DataFrame]:
    """A row per query with a target, for each view that the data has.

    Returns:
        Per view the columns `user_id`, `timestamp` (UTC epoch milliseconds) and `ranks` (`[targets]` float64).
    """
    frames = {"all": _frame(queries, ranking.ranks)}
    if any(len(new) < len(every) for new, every in zip(ranking.new_ranks, ranking.ranks, strict=True)):
        frames["new"] = _frame(queries, ranking.new_ranks)
    return frames


def _frame(queries: Sequence[Query], ranks: Sequence[Floats]) -> pd.DataFrame:
    rows = [(query.user_id, query.timestamp, own) for query, own in zip(queries, ranks, strict=True) if len(own)]
    return pd.DataFrame(rows, columns=["user_id", "timestamp", "ranks"])


def by_user(frame: pd.DataFrame, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """The mean of each user's queries: a row per user, a column per metric."""
    users, place = np.unique(frame["user_id"].to_numpy(str), return_inverse=True)
    ranks = list(frame["ranks"])
    values = {name: mean_by_user(query_metric(name, ranks), place, len(users)) for name in metrics}
    return pd.DataFrame(values, index=pd.Index(users, name="user_id"))


def write_ranks(path: Path, model: str, frames: dict[str, pd.DataFrame]) -> None:
    """Writes `path` (`NAME.parquet`): the rows of all views, with `model` and `view`."""
    parts = [frame.assign(model=model, view=view) for view, frame in frames.items()]
    with placed(path) as fresh:
        pd.concat(parts, ignore_index=True).to_parquet(fresh, index=False)


def read_ranks(folder: Path) -> dict[str, dict[str, pd.DataFrame]]:
    """The ranks of every model in a folder: per model and view the columns of `views_of`."""
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for path in sorted(folder.glob("[!.]*.parquet")):  # what begins with a dot is half written
        table = pd.read_parquet(path)
        for (model, view), rows in table.groupby(["model", "view"], sort=False):
            found.setdefault(str(model), {})[str(view)] = rows[["user_id", "timestamp", "ranks"]]
    return found
