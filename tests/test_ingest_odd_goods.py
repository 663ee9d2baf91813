"""Shipping and deposits among the purchases are told, and goods are not; so are purchases of less than nothing."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.goods import odd_goods
from souk.ingest.odd.quantities import odd_quantities

GOODS = [f"good{n}" for n in range(10)]


def told(
    folder: Path, orders: list[list[str]], titles: dict[str, str] | None = None, kind: str = "purchase", apart: int = 0
) -> str:
    """The lines on orders of a user each, `apart` seconds from each other, and orders of one 30 minutes apart."""
    lines = [
        (f"u{n % 7}", 1000 * (257 * n + apart * line), item)
        for n, order in enumerate(orders)
        for line, item in enumerate(order)
    ]
    users, times, items = zip(*lines, strict=True)
    rows = {"user_id": users, "timestamp": times, "item_id": items, "event_type": [kind] * len(lines)}
    parquet.write_table(pa.table(rows), folder / "events.parquet")
    names = sorted({*items})
    goods = {"item_id": names} | ({"title": [titles.get(name) for name in names]} if titles else {})
    parquet.write_table(pa.table(goods), folder / "items.parquet")
    return "\n".join(odd_goods(folder / "events.parquet", folder / "items.parquet"))


def orders(others: int = 300, alone: int = 100, fee: str = "x9") -> list[list[str]]:
    """Of two goods and the fee, and of one good alone: of 300 and 100 of these a tenth of all lines are alone."""
    return [[GOODS[n % 10], GOODS[(n + 1) % 10], fee] for n in range(others)] + [[GOODS[n % 10]] for n in range(alone)]


def test_what_most_orders_have_and_none_alone_is_asked_for(tmp_path: Path) -> None:
    """Shipping was the first of most slates, and half of what the models were asked for."""
    found = told(tmp_path, orders(), {"x9": "Versand"})
    assert found.startswith(
        "events: x9 (Versand) in 75% of the orders, and hardly ever alone: are these goods, and chosen?"
    )
    assert "`skip` its rows in data.events and data.items" in found and "good" not in found.split("are these")[0]


@pytest.mark.parametrize(("apart", "found"), [(20, True), (200, False)])
def test_what_comes_within_a_minute_is_of_one_order(tmp_path: Path, apart: int, found: bool) -> None:
    """Apps that come with a device are installed one after the other, at times of their own."""
    assert bool(told(tmp_path, orders(), apart=apart)) == found


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        (orders(fee=GOODS[3]), "purchase"),  # it comes alone, too
        (orders(alone=0), "purchase"),  # nothing does
        (orders(alone=20), "purchase"),  # few do: six and a half orders of it alone would be expected
        (orders(), "rating"),
        (orders(others=60, alone=2000), "purchase"),  # of 3% of the orders
        ([[GOODS[n % 10]] for n in range(400)], "purchase"),
    ],
)
def test_goods_are_not_asked_for(tmp_path: Path, log: list[list[str]], kind: str) -> None:
    assert told(tmp_path, log, kind=kind) == ""


@pytest.mark.parametrize(
    ("title", "fee"),
    [
        ("Pfand Kasten Bier 20 Fl.", True),
        ("Frachtkostenpauschale", True),
        ("Mindermengenzuschlag", True),
        ("POSTAGE", True),
        ("DOTCOM POSTAGE", True),
        ("Delivery Charge", True),
        ("Bottle deposit 0.25", True),
        ("Frais de livraison", True),
        ("Tauschpalette", True),
        ("Europalette Tausch", True),
        ("Porto Ruby 10 years", False),
        ("Eyeshadow palette", False),
        ("Shipping boxes, 10 pieces", False),
        ("Delivery of Light, a novel", False),
        ("Postage stamps album", False),
        ("Pfannkuchenmehl", False),
        ("Service plate", False),
    ],
)
def test_what_is_called_a_fee_is_asked_for(tmp_path: Path, title: str, fee: bool) -> None:
    found = told(tmp_path, orders(alone=0), {"x9": title})
    assert found.startswith(f"events: 33.3% of the purchases are of x9 ({title}): are these goods?") == fee
    assert bool(found) == fee


def test_a_fee_that_hardly_anybody_pays_is_not_told(tmp_path: Path) -> None:
    assert told(tmp_path, [*orders(alone=0, fee=GOODS[5]), ["x9"]], {"x9": "Postage"}) == ""


@pytest.mark.parametrize(
    ("negative", "kind", "found"),
    [(3, "purchase", True), (0, "purchase", False), (3, "return", False), (80, "purchase", False)],
)
def test_purchases_of_less_than_nothing_are_told(tmp_path: Path, negative: int, kind: str, found: bool) -> None:
    """What was taken back counted as bought once more."""
    values = [-1.0] * negative + [2.0] * (100 - negative)
    rows = {"event_type": [kind] * 100, "value": values}
    parquet.write_table(pa.table(rows), tmp_path / "events.parquet")
    lines = list(odd_quantities(tmp_path / "events.parquet"))
    assert [line.split(":")[1] for line in lines] == found * [
        " 3 of 100 purchases have a negative value, and count as bought"
    ]
    parquet.write_table(pa.table({"event_type": [kind] * 100}), tmp_path / "events.parquet")
    assert not list(odd_quantities(tmp_path / "events.parquet"))
