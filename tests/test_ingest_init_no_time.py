"""What `souk init` says of events without a time, and what makes times of their order."""

import re
from pathlib import Path

import pandas as pd
import pytest

from souk.errors import SoukError
from tests.test_ingest_first_config import Table, init, write

DOCS = Path(__file__).parents[1] / "docs" / "data.md"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "Where only their order is known: docs/data.md, A log without times"),
        ({"days_since_prior_order": 7}, "days_since_prior_order may tell their order: docs/data.md"),
        ({"DAY": 711, "TRANS_TIME": 1631}, "DAY may tell their order: docs/data.md"),
        ({"barcode": 4_006_381_333}, "Where only their order is known"),  # seconds of 2096
        ({"day": "July 12, 2013"}, "as seconds, milliseconds or microseconds since 1970."),
    ],
)
def test_a_log_without_times_is_told_what_may_tell_their_order(tmp_path: Path, more: Table, told: str) -> None:
    rows = [{"user_id": n % 9, "item_id": n % 7, **more} for n in range(90)]
    with pytest.raises(SoukError) as error:
        init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert told in str(error.value)
    assert ("A log without times" in str(error.value)) == ("day" not in more)


def test_a_month_and_a_day_are_asked_for_their_year(tmp_path: Path) -> None:
    rows = [{"user_id": n % 9, "item_id": n % 7, "time_stamp": 100 * (5 + n % 7) + n % 28 + 1} for n in range(90)]
    with pytest.raises(SoukError, match="need the year before them, as 20240531"):
        init(tmp_path, write(rows, tmp_path / "e.csv"))


def snippets() -> list[str]:
    """The code of the section that the message names."""
    section = DOCS.read_text().partition("### A log without times")[2].partition("\n### ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


def test_the_orders_of_the_docs_get_times_that_end_with_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_text(
        "order_id,user_id,order_number,order_hour_of_day,days_since_prior_order\n"
        "5,a,2,08,3.0\n7,a,1,10,\n9,a,3,11,30.0\n6,b,1,23,\n"
    )
    (tmp_path / "order_products.csv").write_text("order_id,product_id\n7,x\n5,y\n9,x\n6,y\n")
    exec(snippets()[0], {})
    log = pd.read_csv("events.csv").set_index("order_id")
    expected = {7: "2024-11-28 10:00:00", 5: "2024-12-01 08:00:00", 9: "2024-12-31 11:00:00", 6: "2024-12-31 23:00:00"}
    assert log["timestamp"].to_dict() == expected and log["user_id"].to_dict() == {7: "a", 5: "a", 9: "a", 6: "b"}


def test_the_rows_of_the_docs_are_a_day_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"user_id": ["a", "b"] * 60, "item_id": [n % 30 for n in range(120)]}).to_csv("log.csv", index=False)
    exec(snippets()[1], {})
    log = pd.read_csv("events.csv")
    assert set(log.groupby("user_id")["timestamp"].diff().dropna()) == {86_400}
    assert log["timestamp"].max() == 1_700_000_000, "nothing of a user with many rows is of the future"
    _, config = init(tmp_path, str(tmp_path / "events.csv"))
    assert config.data.events.columns["timestamp"] == "timestamp" and config.data.events.timestamp_unit == "s"
