"""`souk init` finds the type of the events by what most rows say, and takes no place of a shop for it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from souk.config import DatasetConfig, Source, parse_config
from souk.ingest.guess.columns import Table, table_of
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.spoken import act_in, spoken
from souk.ingest.profile import columns_of

ACTS = ["lot_view"] * 6 + ["watchlist_add"] * 2 + ["auction_won"]
STRANGE = [f"step_{n}" for n in range(13)]  # far more words than acts, of few rows
PAGES = ["home", "cart", "cart", "checkout", "wishlist", "product_detail", "search"]


def table(**columns: list[Any]) -> Table:
    count = 130
    rows = {
        "user_id": [f"u{n % 17}" for n in range(count)],
        "lot_id": [f"L{n % 23}" for n in range(count)],
        **{name: [values[n % len(values)] for n in range(count)] for name, values in columns.items()},
    }
    found = table_of("events", Source(path="e.csv"), columns_of([pa.table(rows)]))
    for target, name in (("user_id", "user_id"), ("item_id", "lot_id")):
        found.mapped[target] = next(c for c in found.columns if c.name == name), "by its name"
    return found


def found(**columns: list[Any]) -> str:
    column = spoken(table(**columns))
    return column.name if column else ""


def test_the_column_most_of_whose_rows_are_acts_is_the_type() -> None:
    assert found(color=["red", "blue"], what=[*ACTS * 6, *STRANGE], size=["S", "M"]) == "what"
    assert found(what=[*ACTS, *STRANGE]) == ""  # of most rows nobody knows


def test_what_is_taken_back_and_befell_a_bidder_says_that_it_is_the_type() -> None:
    assert found(what=[*ACTS[5:], *["outbid", "watchlist_remove"] * 3, *STRANGE[:5]]) == "what"


def test_a_place_of_a_shop_is_no_type() -> None:
    assert found(visited=[*PAGES, *(f"promo{n}" for n in range(9))]) == ""
    assert found(visited=["cart", "checkout", "wishlist", *PAGES * 9, *STRANGE]) == ""
    for name in ("page", "surface", "last_page", "traffic_source"):
        assert found(**{name: [*ACTS * 6, *STRANGE]}) == ""


def test_one_act_or_one_value_of_each_item_is_no_type() -> None:
    assert found(what=["view"] * 40 + STRANGE) == ""
    of_items = [["view", "order", "save"][n % 3] if n < 13 else STRANGE[n - 13] for n in range(23)]
    assert found(what=of_items) == ""
    assert found(what=[*of_items, "view"]) == "what"


@pytest.mark.parametrize(("text", "act"), [("lots_viewed", "click"), ("offering_view", None), ("lot", None)])
def test_what_the_ids_are_named_for_changes_nothing_of_an_act(text: str, act: str | None) -> None:
    assert act_in(table(), text) == act


def test_what_the_ids_are_named_for_may_be_any_word() -> None:
    own = table()
    column, why = own.mapped["item_id"]
    own.mapped["item_id"] = type(column)("offering_no", column.values), why
    assert act_in(own, "offering_view") == "click"


def init(tmp_path: Path, rows: list[dict[str, Any]]) -> DatasetConfig:
    pd.DataFrame(rows).to_csv(tmp_path / "e.csv", index=False)
    return parse_config(first_config(str(tmp_path / "e.csv"), None, None, "x").text)


def test_a_type_of_another_thing_is_no_type_of_events(tmp_path: Path) -> None:
    words = ["view", "view", "view", "cart", "purchase"]
    rows = [
        {"user_id": f"u{n % 19}", "item_id": f"i{n % 31}", "ts": 1_700_000_000 + 600 * n, "done": words[n % 5]}
        for n in range(300)
    ]
    rows = [{"type": ["timed", "now"][n % 2], **row} for n, row in enumerate(rows)]
    assert init(tmp_path, rows).data.events.columns["event_type"] == "done"
