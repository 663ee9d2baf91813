"""Amounts of purchases in another unit than the prices of items: cents beside euros."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.ingest.sample import Sample
from souk.schema import EventType

AMOUNTS = {
    "value": "a min_value of `objectives` is in the unit of value",
    "price": "the report adds up the prices of events, and where one has none that of its item",
}  # of events, and what reads them
FEWEST = 100  # purchases
LEAST, MOST = 50, 200  # times the price, about a hundred: a discount and a second piece are within
MOST_OF_THEM = 0.5  # share of the purchases in these bounds
ALIKE = 0.5  # correlation of the logarithms: a quantity of 1 is a hundredth of many prices, and follows none


def odd_prices(events: Path, items: Path) -> Iterator[str]:
    """Whether what purchases say of money is about a hundred times the price of the items bought, or a hundredth.

    Args:
        events: `events.parquet`.
        items: `items.parquet`.
    """
    goods, rows = parquet.ParquetFile(items), parquet.ParquetFile(events)
    names = [name for name in AMOUNTS if name in rows.schema_arrow.names]
    if "price" not in goods.schema_arrow.names or not names:
        return
    known = goods.read(columns=["item_id", "price"]).combine_chunks()
    known = known.filter(pc.greater(known["price"], 0))
    if not known.num_rows:
        return
    bought = _purchases(rows, names)
    where = pc.index_in(bought["item_id"], value_set=known["item_id"].combine_chunks())
    prices = known["price"].take(where).to_numpy()
    for name in names:
        yield from _told(name, bought[name].cast(pa.float64()).to_numpy(), prices)


def _purchases(events: parquet.ParquetFile, names: list[str]) -> pa.Table:
    """A sample of them."""
    columns = ["item_id", *names]
    sample = Sample(pa.schema([events.schema_arrow.field(name) for name in columns]))
    for batch in events.iter_batches(columns=[*columns, "event_type"]):
        wanted = pc.equal(batch["event_type"], EventType.PURCHASE.value).to_numpy(zero_copy_only=False)
        sample.add(pa.Table.from_batches([batch.select(columns)]), wanted)
    return sample.table


def _told(name: str, amounts: np.ndarray, prices: np.ndarray) -> Iterator[str]:
    """`amounts`, `prices`: `[purchases]` float64, NaN where unknown."""
    both = np.nan_to_num(amounts) * np.nan_to_num(prices) > 0
    amounts, prices = amounts[both], prices[both]
    if len(amounts) < FEWEST or amounts.std() == 0 or prices.std() == 0:
        return
    ratio = amounts / prices
    more = float(np.median(ratio)) > 1
    times = ratio if more else 1 / ratio
    near = (times >= LEAST) & (times <= MOST)
    if near.mean() < MOST_OF_THEM or np.corrcoef(np.log(amounts), np.log(prices))[0, 1] < ALIKE:
        return
    larger, smaller = (f"{name} of purchases", "price of items")[:: 1 if more else -1]
    found = (
        f"events: the {larger} is {np.median(times):.0f} times the {smaller} in the median of {len(ratio):,} purchases "
        f"({np.median(amounts):,.6g} beside {np.median(prices):,.6g}): are there cents and euros?"
    )
    yield f"{found} Write both in one unit before they come here: {AMOUNTS[name]}"
