"""Figures of the shop, where its data has them: what was bought in the window, and how much of it slates would show.

Nothing here is a promise of sales: who was shown what in the window was decided by others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from souk.evaluation.content import Content
from souk.evaluation.protocol import Ranking, Users
from souk.evaluation.queries import Query
from souk.evaluation.summary import intervals
from souk.evaluation.window import Window
from souk.features.labels import engaging_rows
from souk.metrics import Floats, mean_by_user
from souk.schema import DAY_MS, EventType
from souk.spec import FeatureSpec

VALUED = "purchases"  # what value_per_slate counts; evaluations of before, which do not say, whatever engages
NEARLY_ALL = 0.95  # of the logged slates: no shop has so many taken from, a log without the others has
COLUMNS = (
    "event_id", "user_id", "item_id", "event_type", "timestamp", "session_id", "request_id", "position", "price",
    "value", "dwell_seconds",
)  # fmt: skip


def window_events(tables: Path, window: Window) -> pd.DataFrame:
    """The events of the window, of all types."""
    present = pq.read_schema(tables / "events.parquet").names
    filters = [("timestamp", ">=", window.start), ("timestamp", "<", window.end)]
    columns = [name for name in COLUMNS if name in present]
    frame = pq.read_table(tables / "events.parquet", columns=columns, filters=filters).to_pandas()
    return frame.reindex(columns=list(COLUMNS))


def figures(events: pd.DataFrame, spec: FeatureSpec) -> dict[str, float]:
    """What the log itself says of the window; a figure that it does not support is left out.

    - `conversion`: of the logged slates (requests that showed something), the share with an engaging event of that
      request, but where `unknown` says why it cannot be known;
    - `average_order_value`: the mean sum of prices of a user's purchases in one order: those of one `session_id`, which
      may be a basket's or an invoice's number, or without it of one time; quantities are not known;
    - `repeat_visits`: of the users who engage, the share that does so on a second day of the window (UTC).
    """
    found: dict[str, float] = {}
    engaging = _engaging(events, spec)
    if shown := _slates(events, spec):
        found["logged_slates"] = float(len(shown))
        if not unknown(events, spec):
            found["conversion"] = len(shown & set(engaging["request_id"].dropna())) / len(shown)
    bought = events[(events["event_type"] == EventType.PURCHASE) & events["price"].notna()]
    if len(bought):
        order = bought["session_id"].fillna(bought["timestamp"].astype(str))
        orders = bought.groupby([bought["user_id"], order])["price"].sum()
        found |= {"orders": float(len(orders)), "average_order_value": float(orders.mean())}
    days = engaging["timestamp"] // DAY_MS
    if days.nunique() > 1:  # of one day, or a moment, nobody could come back
        found["repeat_visits"] = float((days.groupby(engaging["user_id"]).nunique() > 1).mean())
    return found


def unknown(events: pd.DataFrame, spec: FeatureSpec) -> dict[str, str]:
    """Of the figures that the log seems to have, those that it cannot tell, each with the reason.

    What a log has is told by the acts that may engage, whatever their value and dwell time.
    """
    shown, named = _slates(events, spec), set(_acts(events, spec)["request_id"].dropna())
    if not shown:
        return {}
    if not named:
        return {"conversion": "no engagement has the request_id of the slate that it came of"}
    if len(shown & named) < NEARLY_ALL * len(shown):
        return {}
    why = f"{len(shown & named):,} of {len(shown):,} logged slates were acted upon"
    return {"conversion": f"{why}, as where a log leaves out those of which nothing came: log these, too"}


def not_told(found: Mapping[str, Any]) -> str:
    """Sentences on the figures that are left out; `found`: `business` of metrics.json."""
    return "".join(f" {name} is not told: {why}." for name, why in found.get("unknown", {}).items())


def _slates(events: pd.DataFrame, spec: FeatureSpec) -> set[str]:
    """The requests that showed something: those with impressions.

    A log with a row for each item shown, and a column that says whether it was clicked, has no impression of what was:
    there what was taken at a place was shown at it, too. Where most of it has an impression of its own, a request
    without any is one whose impressions come before the window.
    """
    shown = events[(events["event_type"] == EventType.IMPRESSION) & events["request_id"].notna()]
    requests, acts = set(shown["request_id"]), _acts(events, spec)
    placed = acts[acts["position"].notna() & acts["request_id"].notna()]
    placed = placed.drop_duplicates(["request_id", "item_id"])
    near = shown[shown["request_id"].isin(placed["request_id"])]
    own = set(zip(near["request_id"], near["item_id"], strict=True))
    apart = sum(pair not in own for pair in zip(placed["request_id"], placed["item_id"], strict=True))
    return requests | set(placed["request_id"]) if requests and 2 * apart > len(placed) else requests


def _acts(events: pd.DataFrame, spec: FeatureSpec) -> pd.DataFrame:
    """The events of the types that engage."""
    return events[events["event_type"].isin([str(kind) for kind in spec.objectives.engaged.events])]


def _engaging(events: pd.DataFrame, spec: FeatureSpec) -> pd.DataFrame:
    """Those of them that engage by `objectives.engaged`, thresholds included."""
    kinds = pa.array(events["event_type"], pa.string())
    numbers = {name: pa.array(events[name], pa.float64(), from_pandas=True) for name in ("value", "dwell_seconds")}
    return events[engaging_rows(pa.table({"event_type": kinds, **numbers}), spec.objectives.engaged)]


def value_per_slate(
    rankings: Sequence[Ranking],
    queries: Sequence[Query],
    events: pd.DataFrame,
    content: Content,
    samples: int,
) -> dict[str, Any]:
    """The price of the bought items that stand in the slate, among the places of `Ranking.top`, per query, by user.

    A target counts that the user bought at that moment, with the price of the purchase, else that of the item; any
    other, and one without a price, as 0. Empty where none counts.

    Returns:
        Per model `value_per_slate@10` (of ten places) with its interval, and `value_share@10`: its part of the price of
        all targets.
    """
    paid = _paid(events)
    prices = [_prices(query, paid, content) for query in queries]
    users = Users.of(queries)
    total = mean_by_user(np.array([own.sum() for own in prices]), users.of_query, len(users.names)).mean()
    if not total > 0:
        return {}
    found = {}
    for ranking in rankings:
        places = ranking.top.shape[1]
        hits = np.array([own[ranks <= places].sum() for own, ranks in zip(prices, ranking.ranks, strict=True)])
        by_user = mean_by_user(hits, users.of_query, len(users.names))
        found[ranking.name] = intervals({f"value_per_slate@{places}": by_user}, samples) | {
            f"value_share@{places}": float(by_user.mean() / total)
        }
    return found


def _paid(events: pd.DataFrame) -> dict[str, float]:
    """By event the price of the purchase that it is, or is of one moment with; NaN where the log has none for it."""
    moment = ["user_id", "item_id", "timestamp"]
    bought = events[events["event_type"] == EventType.PURCHASE].groupby(moment, as_index=False)["price"].first()
    found = events[["event_id", *moment]].merge(bought, on=moment)
    return dict(zip(found["event_id"].tolist(), found["price"].astype(float).tolist(), strict=True))


def _prices(query: Query, paid: Mapping[str, float], content: Content) -> Floats:
    known = [
        content.prices[item] if np.isnan(price := paid.get(event, 0.0)) else price
        for event, item in zip(query.target_events, query.targets, strict=True)
    ]
    return np.nan_to_num(np.array(known, np.float64))
