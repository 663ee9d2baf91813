"""Amounts of purchases in another unit than the prices of items are told, and what to do."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.prices import odd_prices

COUNT = 400
PRICES = np.geomspace(2, 900, 50).round(2)
BOUGHT = np.arange(COUNT) % len(PRICES)


def told(folder: Path, prices: object = PRICES, kind: str = "purchase", **amounts: object) -> list[str]:
    """Of events of a kind, each of the next item in turn, with some amounts."""
    made = {name: pa.array(values, pa.float64()) for name, values in amounts.items()}
    rows = {"item_id": [f"i{place}" for place in BOUGHT], "event_type": [kind] * COUNT, **made}
    parquet.write_table(pa.table(rows), folder / "events.parquet", row_group_size=64)
    items = {"item_id": [f"i{place}" for place in range(len(PRICES))]}
    items |= {} if prices is None else {"price": pa.array(prices, pa.float64())}
    parquet.write_table(pa.table(items), folder / "items.parquet")
    return list(odd_prices(folder / "events.parquet", folder / "items.parquet"))


def test_cents_beside_euros_are_told_with_what_to_do(tmp_path: Path) -> None:
    found = told(tmp_path, value=PRICES[BOUGHT] * 100)
    assert found == [
        "events: the value of purchases is 100 times the price of items in the median of 400 purchases (4,251 beside "
        "42.51): are there cents and euros? Write both in one unit before they come here: a min_value of `objectives` "
        "is in the unit of value"
    ]
    pieces = 1 + np.arange(COUNT) % 3 // 2  # of every third purchase two
    (line,) = told(tmp_path, price=PRICES[BOUGHT] * 95 * pieces)
    assert line.startswith("events: the price of purchases is 95 times the price of items in the median")
    (line,) = told(tmp_path, prices=PRICES * 100, value=PRICES[BOUGHT])
    assert line.startswith("events: the price of items is 100 times the value of purchases in the median")


ONE, SOME = np.ones(COUNT), 1.0 + np.arange(COUNT) % 7


@pytest.mark.parametrize(
    ("prices", "amounts"),
    [
        (PRICES, PRICES[BOUGHT]),
        (PRICES, PRICES[BOUGHT] * 10),
        (PRICES, PRICES[BOUGHT] * 1000),
        (50 + PRICES / 6, ONE),  # a quantity
        (50 + PRICES / 6, SOME / 4),
        (PRICES[::-1], PRICES[BOUGHT] * 100),  # that do not go with the price
        (PRICES, np.where(np.arange(COUNT) < 90, PRICES[BOUGHT] * 100, np.nan)),  # so few
        (PRICES, np.zeros(COUNT)),
        (np.full(len(PRICES), np.nan), PRICES[BOUGHT] * 100),
        (np.full(len(PRICES), 5.0), np.full(COUNT, 500.0)),
        (None, PRICES[BOUGHT] * 100),
    ],
)
def test_of_other_amounts_nothing_is_told(tmp_path: Path, prices: object, amounts: object) -> None:
    assert told(tmp_path, prices, value=amounts) == []


def test_ratings_are_no_amounts(tmp_path: Path) -> None:
    assert told(tmp_path, kind="rating", value=PRICES[BOUGHT] * 100) == []
    assert told(tmp_path) == []
