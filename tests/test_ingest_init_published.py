"""`souk init` on logs in the forms in which data sets are published: several files, odd lines, ids of variants."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, write

START = 1_700_000_000
DOCS = Path(__file__).parents[1] / "docs" / "data.md"


def rows(count: int = 600, **more: Any) -> Table:
    """Of 20 users and 61 items; a function of the number makes each further column."""
    own = ({"user_id": n % 20, "item_id": 7 * n % 61, "timestamp": START + 300 * n} for n in range(count))
    return [row | {key: of(n) for key, of in more.items()} for n, row in enumerate(own)]


def renamed(table: Table, **names: str) -> Table:
    return [{names.get(key, key): value for key, value in row.items()} for row in table]


def refused(*paths: str | None, headers: dict[str, list[str]] | None = None) -> str:
    with pytest.raises(SoukError) as error:
        first_config(str(paths[0]), (*paths, None)[1], None, "x", headers or {})
    return str(error.value)


@pytest.mark.parametrize("varied", [30, 2])  # of the 61 items, those with a variant
def test_the_id_that_the_file_of_items_names_is_the_item_beside_those_of_its_variants(
    tmp_path: Path, varied: int
) -> None:
    """`asin` was taken, and a fourth of the events was of items without a row."""
    log = renamed(rows(asin=lambda n: f"B{7 * n % 61}{'-2' * (7 * n % 61 < varied and n % 2)}"), item_id="parent_asin")
    log = [row | {"parent_asin": f"B{row['parent_asin']}"} for row in log]
    goods = [{"parent_asin": f"B{n}", "title": f"the lamp {n}"} for n in range(61)]
    _, config = init(tmp_path, write(log, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.events.columns["item_id"] == "parent_asin"
    same = [row | {"asin": row["parent_asin"]} for row in log]
    config = parse_config(first_config(write(same, tmp_path / "e.csv"), str(tmp_path / "i.csv"), None, "x").text)
    assert config.data.events.columns["item_id"] == "asin", "which has its ids: the last line asks about the other"


def test_the_name_of_a_part_of_a_data_set_tells_what_its_rows_are(tmp_path: Path) -> None:
    text = first_config(write(rows(), tmp_path / "train_purchases.csv"), None, None, "x").text
    assert "event_type: purchase  # no type column, but by the name of train_purchases.csv" in text
    text = first_config(write(rows(), tmp_path / "train_sessions.csv"), None, None, "x").text
    assert "event_type: click  # there is no type column" in text


def test_files_of_several_acts_are_told_and_the_number_of_some_orders_makes_no_purchases_of_all(
    tmp_path: Path,
) -> None:
    """All views were purchases, since a tenth of the rows had the number of an order."""
    folder = tmp_path / "log"
    folder.mkdir()
    write(rows(), folder / "train-item-views.csv")
    write(rows(60, ordernumber=lambda n: 9000 + n // 3), folder / "train-purchases.csv")
    found = first_config(str(folder), None, None, "x")
    assert "event_type: click" in found.text
    assert found.untyped.startswith("CLICK, AND train-purchases.csv IS CALLED FOR purchases: ")
    assert "Files of several acts" in found.untyped and "**Files of several acts**" in DOCS.read_text()
    (folder / "train-purchases.csv").rename(folder / "train-views-2.csv")
    assert first_config(str(folder), None, None, "x").untyped == ""


def test_the_files_of_several_acts_of_the_docs_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(rows()).to_csv("views.csv", index=False)
    pd.DataFrame(rows(60)).to_csv("purchases.csv", index=False)
    code = re.search(r"```python\n(.*?)```", DOCS.read_text().partition("**Files of several acts**")[2], re.S)
    assert code is not None
    exec("\n".join(line.removeprefix("  ") for line in code[1].splitlines()), {})
    _, config = init(tmp_path, str(tmp_path / "events.csv"))
    assert dict(config.data.events.event_types) == {"purchase": "purchase", "view": "click"}


def test_a_place_in_a_page_numbers_no_orders_and_a_username_stands_for_users(tmp_path: Path) -> None:
    log = rows(page_order=lambda n: n % 10, username=lambda n: f"u{n % 20}")
    log = [row | {"user_id": row["user_id"] if n % 5 < 2 else ""} for n, row in enumerate(log)]
    found = first_config(write(log, tmp_path / "reviews.csv"), None, None, "x")
    assert "event_type: click" in found.text
    assert "ONLY 40.0% OF THE ROWS HAVE A USER: with user_id: username" in found.groups


def test_my_score_is_a_rating(tmp_path: Path) -> None:
    """What was rated 2 was a click as what was rated 9."""
    scores = [0, 0, 9, 8, 7, 10, 0, 2, 8, 9]
    _, config = init(tmp_path, write(rows(my_score=lambda n: scores[n * 7 % 61 % 10]), tmp_path / "list.csv"))
    assert config.data.events.columns["value"] == "my_score" and config.objectives.satisfied.min_value == 8
    assert dict(config.data.events.event_types) == {"0": "click", "*": "rating"}


def test_rare_acts_beside_a_click_are_no_columns_of_the_item(tmp_path: Path) -> None:
    """A config told to give them in a file of items, where the first row of each would have been learned from."""
    flags = {
        "is_click": lambda n: n % 2,
        "is_hate": lambda n: int(n % 97 == 1),
        "is_follow": lambda n: int(n % 89 == 1),
    }
    more = {"is_kids": lambda n: int(7 * n % 61 == 3), "length": lambda n: 7 * n % 61 % 9}
    text, _ = init(tmp_path, write(rows(2000, **flags, **more), tmp_path / "e.csv"))
    assert "left out: is_hate (ANOTHER ACT IN THE SAME ROW, a hide, of 1.1% of the rows" in text
    assert "left out: is_follow (no context of a request" in text
    assert "left out: is_kids (describes the item" in text and "left out: length (describes the item" in text


def test_lines_that_say_what_the_rows_below_are_of_are_written_into_these(tmp_path: Path) -> None:
    path = tmp_path / "combined data.txt"
    films = {
        film: [f"{6 + 7 * (film * 13 + n) % 300},{n % 5 + 1},2005-09-{n % 28 + 1:02}" for n in range(9)]
        for film in range(40)
    }
    path.write_text("".join(f"{film}:\r\n" + "".join(f"{row}\r\n" for row in films[film]) for film in films))
    told = refused(str(path))
    assert "lines such as 0: above rows such as 6,1,2005-09-01" in told
    command = re.search(r"behind each row, (awk .*) > events.csv", told)
    assert command is not None
    done = subprocess.run(command[1], shell=True, capture_output=True, check=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["6,1,2005-09-01,0", "13,2,2005-09-02,0"] and len(lines) == 360 and lines[-1].endswith(",39")
    (tmp_path / "rows.csv").write_text(done.stdout)
    assert "--events-header user_id,rating,timestamp,item_id" in refused(str(tmp_path / "rows.csv"))


def test_a_list_in_a_column_is_not_taken_for_columns(tmp_path: Path) -> None:
    path = tmp_path / "user_data.txt"
    ids = [f"{n * 7919 % 10**6:032x}" for n in range(300)]
    path.write_text("".join(f"{ids[n % 50]},{';'.join(ids[n : n + 3 + n % 5])},{ids[n % 90]}\n" for n in range(280)))
    told = refused(str(path))
    assert "Give a name for each of its 3 columns" in told and "--events-header" in told


def test_a_row_for_each_feature_is_told_whatever_stands_before_the_word(tmp_path: Path) -> None:
    features = [{"item_id": n // 3, "feature_category_id": n % 3, "feature_value_id": n} for n in range(183)]
    told = refused(write(rows(), tmp_path / "e.csv"), write(features, tmp_path / "f.csv"))
    code = re.search(r"with pandas, (.*)\. ?$", told)
    assert code is not None and eval(f"frame.{code[1]}", {"frame": pd.DataFrame(features)}).shape == (61, 3)


def test_the_names_of_items_may_be_misspelt_in_some_rows(tmp_path: Path) -> None:
    """`--items` with the file of the events was refused, since a few rows had a remark in the place of the name."""
    more = {
        "Description": lambda n: (
            "damaged" if n % 41 == 0 else f"the lamp {7 * n % 61}, {n % 7 if n % 43 == 0 else 'set'}"
        ),
        "Country": lambda n: "France" if n % 31 == 0 else "United Kingdom",
    }
    path = write(rows(2000, **more), tmp_path / "e.csv")
    text = first_config(path, path, None, "x").text
    assert (
        "title: Description" in text and "country: Country" not in text.partition("items:")[2].partition("columns:")[0]
    )


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("posted", "log['timestamp'] = pandas.to_datetime(log['posted'].str.extract("),
        ("timestamp", "Steps or days that are counted: docs/data.md, A log without times"),
    ],
)
def test_what_is_no_time_is_told_how_it_becomes_one(tmp_path: Path, header: str, told: str) -> None:
    values = {"posted": lambda n: f"Posted November {n % 28 + 1}, 2011.", "timestamp": lambda n: n // 7}
    log = [{"user_id": n % 20, "item_id": 7 * n % 61, header: values[header](n)} for n in range(300)]
    message = refused(write(log, tmp_path / "e.csv"))
    assert told in message
    if header == "posted":
        code = re.search(r"log\['timestamp'\] = (.*); drop", message)
        assert code is not None
        times = eval(code[1], {"pandas": pd, "log": pd.DataFrame(log)})
        assert str(times[0].date()) == "2011-11-01" and times.notna().all()


def test_the_time_since_a_visit_began_is_asked_for(tmp_path: Path) -> None:
    more = {
        "timeframe": lambda n: 10_000 + 3_517 * n,
        "eventdate": lambda n: f"2016-0{n // 200 + 1}-{n // 9 % 28 + 1:02}",
    }
    log = [{key: value for key, value in row.items() if key != "timestamp"} for row in rows(**more)]
    text, _ = init(tmp_path, write(log, tmp_path / "e.csv"))
    assert "IS timeframe THE TIME SINCE A VISIT OR A DAY BEGAN?" in text


def test_who_did_something_with_an_item_and_how_often_is_of_later(tmp_path: Path) -> None:
    """`comment_cnt` and `collect_user_num` were learned from."""
    counts = ("members", "comment_cnt", "reply_comment_user_num", "collect_cnt", "follow_user_num", "report_user_num")
    kept = ("page_cnt", "max_user_num", "episode_num")
    goods = [{"item_id": n, **dict.fromkeys(counts + kept, n * 31 % 57)} for n in range(61)]
    text, config = init(tmp_path, write(rows(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert {*config.columns.items} == {*kept}
    assert all(f"left out: {name} (IT TELLS EVENTS OF LATER" in text for name in counts)


def test_a_workbook_is_told_how_its_sheets_become_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "two years.xlsx"
    path.write_bytes(b"PK\x03\x04\0\0")
    code = re.search(r'python -c "(.*)" \(needs', refused(str(path)))
    assert code is not None
    sheets = {"2009": pd.DataFrame(rows(30)), "2010": pd.DataFrame(rows(30))}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pd, "read_excel", lambda name, sheet_name: sheets if name == str(path) else None)
    exec(code[1], {})
    assert len(pd.read_csv("two years.csv")) == 60


def test_how_long_in_no_unit_is_asked_for(tmp_path: Path) -> None:
    """`playtime_forever` was left out as no context of a request."""
    more = {"playtime_forever": lambda n: n * 37 % 4001, "playtime_2weeks": lambda n: 0}
    text, _ = init(tmp_path, write(rows(**more), tmp_path / "games.csv"))
    assert "left out: playtime_forever (HOW LONG, IN A UNIT THAT YOU KNOW? Map it to value, and give satisfied" in text
    assert "left out: playtime_2weeks (no context of a request" in text


def test_times_that_may_stand_in_lists_of_objects_are_looked_for_there(tmp_path: Path) -> None:
    """`items_count` was the item, and of the list nothing was said."""
    games = [
        {"user_id": f"u{n}", "items_count": n % 9, "items": [{"item_id": n % 61, "posted": "x"}]} for n in range(90)
    ]
    told = refused(write(games, tmp_path / "games.jsonl"))
    assert "items has a list of objects in each row: write a line for each of these" in told
