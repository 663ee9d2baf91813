"""`souk init`: what names a slate under another name than request_id, and names that become one in a config."""

from pathlib import Path

import pytest

from souk.config import parse_config
from souk.ingest.guess.names import numbered
from tests.test_ingest_first_config import Table, init, write
from tests.test_ingest_init_rows import MOMENT, guess

TOLD = "IT SEEMS TO NAME WHAT WAS SHOWN TOGETHER, since impressions and what came of them share it: then map it, "


def slates(count: int, name: str = "slate_id", users: int = 9, every: int = 1) -> Table:
    """Slates of three items, of which `every` so many have one that is clicked."""
    rows = []
    for slate in range(count):
        own = {"user_id": f"u{slate % users}", name: f"s{slate}", "timestamp": MOMENT + 60 * slate}
        for place in range(3):
            rows.append(own | {"item_id": f"i{(slate + place) % 7}", "event_type": "impression", "position": place})
        if slate % every == 0:
            click = {"item_id": f"i{slate % 7}", "event_type": "click", "position": None}
            rows.append(own | click | {"timestamp": MOMENT + 60 * slate + 20})
    return [{"event_id": f"e{n}", **row} for n, row in enumerate(rows)]


@pytest.mark.parametrize("count", [60, 7_000], ids=["few values", "more than 5,000"])
@pytest.mark.parametrize("position", [True, False], ids=["places", "no places"])
def test_what_impressions_and_clicks_share_is_told_with_the_key(tmp_path: Path, count: int, position: bool) -> None:
    rows = [{k: v for k, v in row.items() if position or k != "position"} for row in slates(count)]
    text, config = guess(rows, tmp_path)
    assert f"# left out: slate_id ({TOLD}request_id: slate_id)\n" in text and "nearly one" not in text
    assert "slate_id" not in {**config.columns.events, **config.data.events.columns}
    assert ("NO request_id SAYS WHAT WAS SHOWN TOGETHER: logged slates are not used; slate_id may" in text) == position
    mapped = text.replace("    columns:\n", "    columns:\n      request_id: slate_id\n", 1)
    assert parse_config(mapped).data.events.columns["request_id"] == "slate_id"


def test_what_names_a_user_a_visit_or_an_event_names_no_slate(tmp_path: Path) -> None:
    rows = [
        row
        | {
            "account": f"a{row['user_id']}",
            "visit": f"v{n // 40}-{row['user_id']}",
            "row": f"x{n}",
            "campaign": "abc"[n % 3],
        }
        for n, row in enumerate(slates(60))
    ]
    text, config = guess(rows, tmp_path)
    told = [line for line in text.splitlines() if TOLD in line]
    assert [line.split("(")[0].strip() for line in told] == ["# left out: slate_id"]
    assert "campaign" in config.columns.events


def test_what_is_shown_to_several_at_once_or_names_the_only_visit_of_a_user_names_no_slate(tmp_path: Path) -> None:
    """Two users get each mailing at one time; and of users with one slate each nobody can tell the two apart."""
    rows = [row | {"timestamp": row["timestamp"] // 120 * 120} for row in slates(60, "mailing")]
    mailings = [{k: v for k, v in row.items() if k != "position"} for row in rows]
    for row in mailings:
        row["mailing"] = f"m{row['timestamp']}"
    assert TOLD not in guess(mailings, tmp_path)[0]
    once = [row | {"account": f"a{row['user_id']}"} for row in slates(60, users=60)]
    assert TOLD not in guess(once, tmp_path)[0]


def test_slates_that_have_a_request_or_no_impressions_need_no_other(tmp_path: Path) -> None:
    both = [row | {"request_id": row["slate_id"]} for row in slates(60)]
    assert TOLD not in guess(both, tmp_path)[0]
    clicks = [row | {"event_type": "click"} for row in slates(60)]
    assert TOLD not in guess(clicks, tmp_path)[0]


def test_a_column_with_many_values_and_not_one_a_row_is_told_as_that(tmp_path: Path) -> None:
    goods = [{"item_id": f"i{n}", "code": f"c{n // 5 * 3 + n % 3}", "tag": f"t{n}"} for n in range(60)]
    text, _ = init(tmp_path, write([{"user_id": "u", "item_id": f"i{n}", "timestamp": MOMENT + n} for n in range(60)],
                                   tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))  # fmt: skip
    assert "# left out: code (too many to learn from; 36 values in 60 rows" in text
    assert "# left out: tag (nearly one a row; 60 values in 60 rows" in text


def test_names_that_become_one_are_numbered_and_all_are_kept(tmp_path: Path) -> None:
    values = {"Größe": "SML", "groesse": "xyz", "GROESSE": "pqr", "groesse 2": "klm", "颜色": "abc", "尺码": "def"}
    goods = [{"item_id": f"i{n}"} | {name: of[n % 3] for name, of in values.items()} for n in range(60)]
    events = [{"user_id": "u", "item_id": f"i{n}", "timestamp": MOMENT + n} for n in range(60)]
    text, config = init(tmp_path, write(events, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None
    found = {name: config.data.items.columns.get(name, name) for name in config.columns.items}
    assert found == {
        "groesse": "Größe",
        "groesse_2": "groesse",
        "groesse_3": "GROESSE",
        "groesse_2_2": "groesse 2",
        "column": "颜色",
        "column_2": "尺码",
    }
    assert text.count("ITS NAME IS THAT OF Größe IN SMALL LETTERS: numbered; ") == 4, "beside both keys of two"
    assert "ITS NAME IS THAT OF groesse IN SMALL LETTERS" in text and "ITS NAME IS THAT OF 颜色 IN SMALL" in text


def test_a_number_is_the_first_that_is_free() -> None:
    assert [numbered("a", taken) for taken in ((), ("a",), ("a", "a_2"), ("b",))] == ["a", "a_2", "a_3", "a"]
