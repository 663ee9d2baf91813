"""The time zone of events that name none, by those beside them that do: orders in local times, a log in UTC."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.columns import Table
from souk.ingest.guess.dates import NO_ZONE
from souk.next_steps import PAUSE_MS

# One for each way in which clocks go, the likeliest first of those that a few weeks do not tell apart.
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "America/Chicago",
         "America/Denver", "America/Phoenix", "America/Sao_Paulo", "America/Bogota", "Europe/Athens", "Europe/Istanbul",
         "Africa/Lagos", "Africa/Johannesburg", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka",
         "Asia/Bangkok", "Asia/Shanghai", "Asia/Tokyo", "Australia/Brisbane", "Australia/Sydney",
         "Pacific/Auckland")  # fmt: skip
FEWEST = 50  # events with a zone, and without
SAMPLE = 3000  # events without one that are looked at
CLEAR = 0.3  # least share of them that come within half an hour of what the user does with the item, by their zone
TIMES = 3  # as many as by UTC


def map_zone(events: Table) -> None:
    """Sets the zone by which events that name none come near to those that do, of the same user and item.

    Read as UTC, an order came hours after the look that it followed, or before it: no step of its visit."""
    column = events.mapped["timestamp"][0]
    if column.time_unit != "iso":
        return
    texts = cells.parse_text(column.values)[0]
    local = pc.fill_null(pc.match_substring_regex(texts, NO_ZONE), False).to_numpy(zero_copy_only=False)
    rows = _rows(events, texts)
    zoned, others = rows[~local].dropna(), rows[local].dropna()
    if min(len(zoned), len(others)) < FEWEST:
        return
    zoned = zoned.sort_values("time").astype({"time": np.int64})
    others = others.iloc[:: max(1, len(others) // SAMPLE)]
    shares = {zone: _near(others, zoned, zone) for zone in ("UTC", *ZONES)}
    best = max(shares, key=lambda zone: shares[zone])
    if shares[best] >= max(CLEAR, TIMES * shares["UTC"]):
        events.source = events.source.model_copy(update={"timezone": best})
        within = "within half an hour of what the user does with the item"
        events.notes["timezone"] = (
            f"{int(local.sum()):,} of {len(rows):,} times name no zone: by this one {shares[best]:.0%} are {within}"
            f", by UTC {shares['UTC']:.0%}. Is it another place with these hours?"
        )


def _rows(events: Table, texts: pa.Array) -> pd.DataFrame:
    ids = [cells.parse_text(events.mapped[key][0].values)[0].to_pandas() for key in ("user_id", "item_id")]
    times = cells.parse_time(texts, "iso")[0].to_pandas()
    return pd.DataFrame({"user": ids[0], "item": ids[1], "text": texts.to_pandas(), "time": times})


def _near(others: pd.DataFrame, zoned: pd.DataFrame, zone: str) -> float:
    """The share of `others`, by the clock of `zone`, that are at most half an hour from one of `zoned`."""
    times = cells.parse_time(pa.array(others["text"]), "iso", zone)[0].to_pandas()
    moved = others.assign(time=times.to_numpy()).dropna().astype({"time": np.int64}).sort_values("time")
    by, found = ["user", "item"], zoned[["user", "item", "time"]].assign(found=True)
    near = pd.merge_asof(moved, found, on="time", by=by, direction="nearest", tolerance=PAUSE_MS)
    return float(near["found"].notna().sum() / max(1, len(others)))
