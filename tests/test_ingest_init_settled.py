"""What each user or each item has one value of is no type of an event."""

from pathlib import Path

from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, write


def sales(**more: list[str]) -> Table:
    """Thirty users with 20 rows each, of 20 items; a further column has a value for each user's number."""
    known = [{"user_id": n % 30, "item_id": n % 20, "date": f"2024-05-{n % 28 + 1:02}", "qty": 1} for n in range(600)]
    return [row | {name: each[int(str(row["user_id"])) % len(each)] for name, each in more.items()} for row in known]


def test_what_describes_the_user_is_not_asked_for_as_the_type(tmp_path: Path) -> None:
    rows = sales(AGE_GROUP=["<25", "25-29", ">65"])
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert first.untyped == "" and "# left out: AGE_GROUP (describes the user: give it in a file of users" in first.text


def test_what_changes_for_a_few_is_asked_for(tmp_path: Path) -> None:
    """Of a hundred rows one comes back: nearly each user and item has one word, and it is the type all the same."""
    rows = sales(soort=["verkoop"])
    rows = [row | {"soort": "terug"} if n % 100 == 7 else row for n, row in enumerate(rows)]
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert "UNLESS soort (terug, verkoop) IS THE TYPE" in first.untyped
    assert "# left out: soort (MAY SAY WHAT THE USER DID" in first.text
