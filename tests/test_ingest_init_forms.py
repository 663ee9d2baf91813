"""`souk init`: columns whose values are of several forms, and what is half empty."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.errors import SoukError
from tests.test_ingest_first_config import Table, init, write


def looks(times: list[object]) -> Table:
    return [{"user_id": n % 9, "item_id": f"i{n % 30}", "when": time} for n, time in enumerate(times)]


@pytest.mark.parametrize("other", ["1717146000000", "1717146000", "05/06/2024 10:00"])
def test_times_of_two_forms_are_told_with_one_of_each(tmp_path: Path, other: str) -> None:
    """The error showed three values, all of the form that it asked for, or said that there was no column of times."""
    with pytest.raises(SoukError) as error:
        init(tmp_path, write(looks(["2024-05-31T10:00:00Z"] * 80 + [other] * 20), tmp_path / "e.csv"))
    assert f"when with times of several forms, 2024-05-31T10:00:00Z and {other}. Give all times as" in str(error.value)


@pytest.mark.parametrize(("other", "unit"), [("31.05.2024 10:00", "dmy"), ("5/31/2024 10:00", "mdy")])
def test_times_of_an_order_of_days_beside_those_of_iso_are_read(tmp_path: Path, other: str, unit: str) -> None:
    """An app's log beside the orders of a shop's own system; a run reads both by one unit."""
    times = ["2024-05-31T10:00:00Z"] * 80 + [other] * 20
    _, config = init(tmp_path, write(looks([*times]), tmp_path / "e.csv"))
    assert config.data.events.timestamp_unit == unit and config.data.events.columns["timestamp"] == "when"


def test_what_few_items_have_is_no_id_of_them(tmp_path: Path) -> None:
    """The column of what an item replaces was taken for the ids, and 80 of 90 rows had none."""
    goods = [{"name": f"Lamp {n}", "replaces": f"i{n}" if n < 10 else ""} for n in range(90)]
    with pytest.raises(
        SoukError, match=r"could be item_id. Received: name, replaces, none with ids of events such as i0"
    ):
        init(tmp_path, write(looks(["2024-05-31"] * 90), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))


@pytest.mark.parametrize("words", [["never"], ["never", "open", ""]])
def test_dates_among_a_few_words_are_told_and_not_learned_from(tmp_path: Path, words: list[str]) -> None:
    """What most items have as a word was a category, whose other values say what became of an item."""
    ends = [f"2024-06-{n + 1:02}" if n < 9 else words[n % len(words)] for n in range(60)]
    goods = [{"item_id": f"i{n}", "retired_on": end} for n, end in enumerate(ends)]
    text, config = init(
        tmp_path, write(looks(["2024-05-31"] * 90), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv")
    )
    assert "retired_on" not in config.columns.items
    assert "# left out: retired_on (TIMES, BUT FOR" in text and "leave these empty in the file, then map it" in text


def test_what_cannot_be_what_its_name_says_is_told_with_the_reason(tmp_path: Path) -> None:
    """Of stars in words nothing said that there are no ratings for them."""
    rows = [
        {**row, "action": "rate", "stars": ["four", "5"][n % 2]} for n, row in enumerate(looks(["2024-05-31"] * 90))
    ]
    text, _ = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert "# left out: stars (NO value: no numbers, such as four; " in text


def test_the_examples_of_times_are_whole(tmp_path: Path) -> None:
    """`2024-05-31 20:26:06.9792` and `2024-05-31 00:00:00.0000` were the beginnings of two."""
    times = pa.array([1_717_187_166_979_255_603 + n * 10**9 for n in range(30)], pa.timestamp("ns"))
    goods = pa.table({"item_id": [f"i{n}" for n in range(30)], "posted_at": times})
    pq.write_table(goods, tmp_path / "i.parquet")
    events = write(looks(["2024-05-31T10:00:00Z"] * 90), tmp_path / "e.csv")
    text, _ = init(tmp_path, events, str(tmp_path / "i.parquet"))
    assert "such as 2024-05-31 20:26:06, 2024-05-31 20:26:07, 2024-05-31 20:26:08" in text
