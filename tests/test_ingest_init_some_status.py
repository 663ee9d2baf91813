"""`souk init`: a status that only some rows have makes orders of these alone, or of none, and is told."""

from pathlib import Path

import pytest

from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, write

DOCUMENTS = ["part_search", "ORDER", "availability", "part_search", "QUOTE", "view", "part_search", "ORDER_CANCEL"]


def log(words: list[str], name: str = "Document", shares: bool = True) -> Table:
    """Documents of a wholesaler, of which orders and quotes alone say what became of them."""
    return [
        {
            "ts": 1_700_000_000 + n,
            "customer_id": f"c{n % 17}",
            "item_id": f"i{n * 7 % 89}",
            "qty": 1 + n % 4,
            name: word,
            "line_status": ["COMPLETED", "CANCELLED", "EXPIRED"][n % 3]
            if not shares or word in ("ORDER", "QUOTE")
            else "",
        }
        for n, word in enumerate(words * 100)
    ]


def test_the_type_says_which_rows_have_the_status(tmp_path: Path) -> None:
    """Searches and cancellations were purchases, and nothing said so."""
    text, config = init(tmp_path, write(log(DOCUMENTS), tmp_path / "e.csv"))
    events = config.data.events
    assert events.columns["event_type"] == "Document" and "event_type" not in events.constants
    assert [str(events.event_types[word]) for word in ("ORDER", "ORDER_CANCEL", "view")] == [
        "purchase",
        "return",
        "click",
    ]
    assert "6 values, of which only some have line_status" in text


def test_without_words_for_acts_the_last_line_asks(tmp_path: Path) -> None:
    words = ["zoeken", "bon", "offerte", "zoeken", "zoeken"]
    rows = [{**row, "line_status": "COMPLETED" if row["Document"] == "bon" else ""} for row in log(words)]
    told = first_config(write(rows, tmp_path / "e.csv"), None, None, "x").untyped
    assert told.startswith("PURCHASE, impressions, clicks and returns too, UNLESS Document (bon, offerte, zoeken) IS")


@pytest.mark.parametrize(("words", "told"), [(["ORDER", "RETURN", "ORDER"], True), (["blue", "red"], False)])
def test_a_column_of_acts_beside_a_status_of_all_rows_is_asked_for(
    tmp_path: Path, words: list[str], told: bool
) -> None:
    """What says of nothing that was done is no type beside a status of orders, as the channel is none."""
    rows = log(words, "Channel_of_it", shares=False)
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert ("Channel_of_it" in first.untyped) == told
    assert "orders, by line_status" in first.text


def test_what_is_taken_back_beside_a_status_is_a_return(tmp_path: Path) -> None:
    rows = [{**row, "qty": -1 if n % 10 == 0 else 2} for n, row in enumerate(log(["blue", "red"], shares=False))]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert {key: str(kind) for key, kind in config.data.events.event_types.items()} == {"-*": "return", "*": "purchase"}
