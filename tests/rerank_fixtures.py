"""Items of which a re-ranking needs to know: their vectors, engagements and ages."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat, Rerank
from souk.items import ItemTable
from souk.rerank import Reranker
from souk.schema import DAY_MS
from souk.slate_score import log_chances, log_scores
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows
from souk.spec import FeatureSpec

NOW = 1_000 * DAY_MS
CLICKED = Objective(events=("click",))
SPEC = FeatureSpec(
    dataset="shop",
    columns=Columns(items={"category": "path", "seller_id": "categorical"}),
    objectives=Objectives(engaged=CLICKED, satisfied=CLICKED),
    repeat=Repeat(),
    build=BuildFeatures(history_length=8),
)


def shop(vectors, events=None, ages=None, now=NOW):
    """Items with vectors, engagements and ages in days at `now`."""
    vectors = np.asarray(vectors, np.float32)
    count = len(vectors)
    counters = np.zeros((count, 2), np.float32)
    counters[:, 0] = np.log1p(np.zeros(count) if events is None else events)
    age = np.full(count, np.nan) if ages is None else np.asarray(ages, np.float64)
    none = np.zeros(count + 1, np.int64)
    return ItemTable(
        {},
        vectors,
        counters,
        now - age * DAY_MS,
        np.full(count, np.inf),
        none,
        none[:0],
        SparseRows.empty(count),
        Segments.empty(),
    )


def reranker(items, rules, values=None):
    """Of the shop's items, with the values of the capped columns as numbers, one column after the other."""
    count = len(items.vectors)
    plain = Reranker.of(Rerank(), items, pa.table({"available": np.ones(count, bool)}), SPEC)
    columns = np.zeros((count, 0), np.int64) if values is None else np.array(values).reshape(-1, count).T
    return replace(plain, rules=rules if isinstance(rules, Rerank) else Rerank(**rules), values=columns)


def logs(scores):
    """The logarithms of scores, as a ranking has them."""
    return log_scores(log_chances({"engaged": np.asarray(scores)}), {})
