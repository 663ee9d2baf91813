"""`souk init` with one file as events and items: what has one value for each item is the item's."""

from pathlib import Path

import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from souk.schema import Kind
from tests.test_ingest_first_config import Table, read, write


def lines(count: int = 2000) -> Table:
    """Of 40 items each has a group and a name; a discount changes with each row; 400 more have one row each,
    which has one value of whatever."""
    rows: Table = [
        {
            "user_id": n // 20,
            "product_id": n * 7 % 40,
            "product_name": f"the lamp of {n * 7 % 40}",
            "product_group": f"g{n * 7 % 40 % 5}",
            "channel": "ab"[n // 40 % 2],
            "discount": n / 100,
            "ts": 1_700_000_000 + n * 60,
        }
        for n in range(count)
    ]
    return rows + [{**rows[n], "product_id": 1000 + n, "product_name": f"the only one {n}"} for n in range(400)]


def test_columns_with_one_value_for_each_item_are_the_items(tmp_path: Path) -> None:
    path = write(lines(), tmp_path / "orders.csv")
    text = first_config(path, path, None, "x").text
    config = parse_config(text)
    assert config.data.items is not None and config.data.items.repeated_ids == "first"
    assert config.data.items.columns["title"] == "product_name"
    assert config.columns.items == {"title": Kind.TEXT, "product_group": Kind.CATEGORICAL}
    items = read(config, "items").table
    assert items.num_rows == 2400 and len(set(items["item_id"].to_pylist())) == 440
    assert text.count("product_group") == 1, "the events say nothing of it"
    assert text.index("  events:") < text.index("  items:")


def test_without_items_the_line_says_so(tmp_path: Path) -> None:
    path = write(lines(), tmp_path / "orders.csv")
    assert "product_group (describes the item: give it in a file of items, or this file as --items, too; " in (
        first_config(path, None, None, "x").text
    )


def test_events_that_say_nothing_of_their_items_are_told(tmp_path: Path) -> None:
    bare = [{name: row[name] for name in ("user_id", "product_id", "discount", "ts")} for row in lines()]
    path = write(bare, tmp_path / "orders.csv")
    with pytest.raises(SoukError, match=r"one value for each product_id.*Leave --items out"):
        first_config(path, path, None, "x")


def test_a_name_keeps_the_year_at_its_end(tmp_path: Path) -> None:
    """Two sets in one workspace would be mixed."""
    path = write(lines(), tmp_path / "orders.csv")
    assert [parse_config(first_config(path, None, None, name).text).name for name in ("amazon14", "2_am-18_")] == [
        "amazon14",
        "am_18",
    ]
