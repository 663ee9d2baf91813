"""`souk init`: which of several times is that of the events."""

from pathlib import Path

import pytest

from tests.test_ingest_first_config import Table, init, write

AT = "2025-03-{:02d}T10:{:02d}:00Z"


def meals(more: dict[str, list[str]]) -> Table:
    """Views, and now and then a meal that is planned for a day of next month."""
    return [
        {"userId": n % 9, "recipe": f"r{n % 7}", **{name: values[n % len(values)] for name, values in more.items()}}
        for n in range(100)
    ]


DONE = [AT.format(n % 28 + 1, n % 60) for n in range(100)]
SELDOM = ["", "", "", "2025-04-09", ""]
OFTEN = ["2025-04-09", "2025-04-11", "2025-04-17"]
ISSUED = [f"2019-0{recipe + 1}-03" for recipe in range(7)]


@pytest.mark.parametrize(
    ("columns", "time"),
    [
        ({"date": SELDOM, "createdAt": DONE}, "createdAt"),  # `date` is the likelier name, of few rows
        ({"createdAt": DONE, "date": SELDOM}, "createdAt"),
        ({"date": ["2025-01-04", "2025-01-05", "2025-01-06", ""], "createdAt": DONE}, "date"),  # few rows lack it
        ({"planned_for": OFTEN, "saved": DONE}, "saved"),  # names tell neither
        ({"planned_date": OFTEN}, "planned_date"),  # there is no other
        ({"date": DONE, "due": OFTEN}, "date"),
        ({"due_date": OFTEN, "issued": ISSUED}, "due_date"),  # each recipe has one day: nothing was done then
        ({"issued": DONE, "due_date": OFTEN}, "issued"),
        ({"date": ISSUED, "registered": DONE}, "date"),  # of auctions, each of a day, the bids are of it
        ({"datetime": DONE, "order": ["1700000000", "1700000001"]}, "datetime"),  # a number is no time for want of rows
    ],
)
def test_the_time_is_when_it_was_done_and_not_what_it_was_planned_for(
    tmp_path: Path, columns: dict[str, list[str]], time: str
) -> None:
    text, config = init(tmp_path, write(meals(columns), tmp_path / "e.csv"))
    assert config.data.events.columns.get("timestamp", "timestamp") == time
    assert ("A TIME OF LATER THAN WHAT WAS DONE, BY ITS NAME?" in text) == (time in ("planned_date", "due_date"))
