"""Purchases that nobody chose: shipping, deposits on bottles, surcharges, which orders of a shop have as lines, and the
apps that come with a device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.ingest.cells import as_mask
from souk.ingest.profile import latin
from souk.schema import EventType

ORDER = ["user_id", "timestamp"]
WITHIN_MS = 60_000  # what a user buys within a minute after the purchase before is of one order
MOST_ROWS = 2_000_000  # that are looked at
OFTEN = 0.05  # share of the orders that have it, from which an item that never comes alone is told
EXPECTED = 20  # orders of it alone that there would be, were it a good like others
ALONE = 0.05  # share of these that there may be
SAID = 0.005  # share of the purchases, from which items are told that are called so
# In small letters, without accents and umlauts.
CALLED = "|".join(
    (
        r"\b(postage|shipping|freight|delivery|handling|service|carriage)( and handling)? (cost|fee|charge|rate)s?\b",
        r"^((dotcom )?postage|shipping( and handling)?|freight|carriage)$|\bsurcharge\b|\bdeposit\b",
        r"\b(leergut|pfand)|\b(fracht|versand|liefer|transport)(kosten|pauschale|gebuehr)",
        r"(mindermengen|energie)zuschlag|\bmaut\b|bearbeitungsgebuehr|\bporto$",
        r"\bpallet exchange\b|\b(euro)?palette tausch|\btausch-?palette",
        r"\bfrais de (port|livraison)\b|\bconsigne\b|\bgastos de envio\b|\bspese di spedizione\b",
    )
)
SHOWN = 3
REMEDY = (
    "What nobody chooses is learned, asked for and recommended like a good: `skip` its rows in data.events and "
    "data.items, by a column that tells it"
)


def odd_goods(events: Path, items: Path) -> Iterator[str]:
    """Which items that are bought seem to be no goods: most orders have them and none has them alone, or they are
    called so.

    Args:
        events: `events.parquet`, by time.
        items: `items.parquet`.
    """
    rows = parquet.ParquetFile(events)
    counts = _counts(rows)
    if counts.empty:
        return
    names = _names(items)
    lines, orders = counts["lines"].sum(), counts.attrs["orders"]
    expected = counts["lines"] * counts["alone"].sum() / lines
    beside = counts[
        (expected >= EXPECTED) & (counts["alone"] <= ALONE * expected) & (counts["lines"] >= OFTEN * orders)
    ]
    if len(beside):
        shares = (beside["lines"] / orders).sort_values(ascending=False)
        shown = _shown([f"{_called(item, names)} in {share:.0%}" for item, share in shares.items()])
        yield f"events: {shown} of the orders, and hardly ever alone: are these goods, and chosen? {REMEDY}"
    others = counts["lines"].drop(beside.index)
    said = pa.array([latin(names.get(str(item), "")).strip() for item in others.index], pa.string())
    bought = others[as_mask(pc.match_substring_regex(said, CALLED))].sort_values(ascending=False)
    if bought.sum() >= SAID * lines:
        shown = _shown([_called(item, names) for item in bought.index])
        share = f"{bought.sum() / lines:.1%} of the purchases are of {shown}"
        yield f"events: {share}: are these goods? {REMEDY}"


def _counts(rows: parquet.ParquetFile) -> pd.DataFrame:
    """By item, the orders that have it (`lines`) and those that have nothing else (`alone`); `attrs` has the number of
    the orders."""
    found: list[pd.DataFrame] = []
    orders, step = 0, 1 + rows.metadata.num_rows // MOST_ROWS
    for number, batch in enumerate(rows.iter_batches(columns=[*ORDER, "item_id", "event_type"])):
        if number % step:
            continue
        bought = pa.table(batch).filter(pc.equal(batch["event_type"], EventType.PURCHASE.value))
        pairs = bought.select([*ORDER, "item_id"]).sort_by([(key, "ascending") for key in ORDER]).to_pandas()
        if pairs.empty:
            continue
        times = pairs["timestamp"].astype("int64")
        pairs["order"] = ((pairs["user_id"] != pairs["user_id"].shift()) | (times.diff() > WITHIN_MS)).cumsum()
        orders += int(pairs["order"].nunique())
        pairs = pairs.drop_duplicates(["order", "item_id"])
        pairs["alone"] = ~pairs["order"].duplicated(keep=False)
        found.append(pairs.groupby("item_id")["alone"].agg(lines="size", alone="sum"))
    counts = pd.concat(found).groupby(level=0).sum() if found else pd.DataFrame()
    counts.attrs["orders"] = orders
    return counts


def _names(items: Path) -> dict[str, str]:
    """By item, its title; "" where it has none."""
    goods = parquet.ParquetFile(items)
    if "title" not in goods.schema_arrow.names:
        return {}
    known = goods.read(columns=["item_id", "title"])
    return dict(zip(known["item_id"].to_pylist(), known["title"].fill_null("").to_pylist(), strict=True))


def _called(item: object, names: dict[str, str]) -> str:
    name = names.get(str(item), "")
    return f"{item} ({name[:40]})" if name else str(item)


def _shown(found: list[str]) -> str:
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
