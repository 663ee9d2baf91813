"""What `souk init` takes the columns of a file without names for, and how it finds out how a file is written."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source, parse_config
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.form import formed
from souk.ingest.guess.roles import roles
from souk.ingest.profile import Column
from tests.test_ingest_first_config import read, write
from tests.test_ingest_init_headers import written

COUNT, ITEMS = 1200, 60
VISITS = [(n // 12 % 40, (n * 7 + n // 12) % ITEMS) for n in range(COUNT)]  # twelve items a visit, of one of 40 users
USERS = [f"u{user}" for user, _ in VISITS]
THINGS = [f"i{item}" for _, item in VISITS]
TIMES = [str(1_500_000_000 + n // 12 * 864_000 + n % 12 * 60) for n in range(COUNT)]
STARS = [f"{1 + n % 5}.0" for n in range(COUNT)]
GROUPS = [str(9000 + item // 2) for _, item in VISITS]  # two items each
ACTS = [["pv", "pv", "buy", "cart"][n % 4] for n in range(COUNT)]
LATITUDES, LONGITUDES = ([f"{first + item / 7:.6f}" for _, item in VISITS] for first in (30, -120))


def named(*columns: list[str], table: str = "events") -> tuple[list[str], bool]:
    return roles(table, [Column("", pa.array(column)) for column in columns])


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ((USERS, THINGS, STARS, TIMES), ["user_id", "item_id", "rating", "timestamp"]),
        ((THINGS, USERS, STARS, TIMES), ["item_id", "user_id", "rating", "timestamp"]),
        ((USERS, THINGS, GROUPS, ACTS, TIMES), ["user_id", "item_id", "column_3", "event_type", "timestamp"]),
        ((GROUPS, USERS, THINGS, TIMES), ["column_1", "user_id", "item_id", "timestamp"]),
        ((USERS, TIMES, LATITUDES, LONGITUDES, THINGS), ["user_id", "timestamp", "latitude", "longitude", "item_id"]),
    ],
)
def test_columns_without_names_are_known_by_their_values(columns: tuple[list[str], ...], names: list[str]) -> None:
    assert named(*columns) == (names, True)


def test_where_no_visits_tell_the_first_ids_are_the_users_and_that_is_doubted(tmp_path: Path) -> None:
    shuffled = random.Random(3).sample([str(1_500_000_000 + 40_000 * n) for n in range(COUNT)], COUNT)
    assert named(THINGS, USERS, shuffled) == (["user_id", "item_id", "timestamp"], False)
    assert not named(THINGS, USERS, [str(1_500_000_000 + n) for n in range(COUNT)])[1], "all is of one visit"
    assert named(USERS, THINGS, ACTS) == (["user_id", "item_id", "event_type"], False)
    lines = [",".join(row) for row in zip(THINGS, USERS, shuffled, strict=True)]
    with pytest.raises(SoukError) as error:
        first_config(written(tmp_path, lines), None, None, "x")
    assert "--events-header user_id,item_id,timestamp, or user_id and item_id the other way round." in str(error.value)


def test_ids_as_large_as_times_are_none() -> None:
    ids = [str(310_000_000 + user) for user, _ in VISITS]  # seconds of 1979
    assert named(ids, THINGS, STARS)[0] == ["user_id", "item_id", "rating"]


def test_rows_of_items_and_users_have_their_ids_and_titles_named() -> None:
    ids, titles = [str(n) for n in range(90)], [f"The House of {n} (1999)" for n in range(90)]
    assert named(ids, titles, ["a|b"] * 90, table="items")[0] == ["item_id", "title", "column_3"]
    assert named(titles, ids, table="items")[0] == ["title", "item_id"]
    assert named(["F", "M"] * 45, ids, table="users")[0] == ["column_1", "user_id"]


LINES = [f"{n % 9}::{n % 7}::4::{1_500_000_000 + n}" for n in range(90)]


@pytest.mark.parametrize(
    ("name", "lines", "form", "delimiter"),
    [
        ("ratings.dat", LINES, "auto", "::"),
        ("movies.dat", ["1::Ah::a|b|c", "2::Oh, Ah::a"], "auto", "::"),
        ("notes.csv", ["id,code", "1,std::string"], "auto", ""),
        ("u.data", ["1\t2\t3", "1\t3\t4"], "csv", ""),
        ("u.item", ["1|Toy Story|01-Jan-1995", "2|Ah|"], "csv", ""),
        ("ml.item", ["item_id:token\tclass:token_seq", "1\ta b"], "auto", ""),
        ("part-0000", ['{"a": 1}'], "jsonl", ""),
    ],
)
def test_how_a_file_is_written_is_told_by_its_beginning(
    tmp_path: Path, name: str, lines: list[str], form: str, delimiter: str
) -> None:
    source = formed(Source(path=written(tmp_path, lines, name)))
    assert (source.format, source.delimiter) == (form, delimiter)


def test_a_file_of_no_known_form_is_refused_and_parquet_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04\0\0")
    with pytest.raises(SoukError, match="a file name that ends in"):
        formed(Source(path=str(tmp_path / "a.xlsx")))
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "b.data")
    assert formed(Source(path=str(tmp_path / "b.data"))).format == "parquet"


def test_a_config_says_how_the_file_is_written(tmp_path: Path) -> None:
    headers = {"events": ["user_id", "item_id", "rating", "timestamp"]}
    config = parse_config(first_config(written(tmp_path, LINES, "u.data"), None, None, "x", headers).text)
    assert (config.data.events.format, config.data.events.delimiter) == ("csv", "::")
    assert read(config, "events").table.num_rows == len(LINES)


def test_lines_of_python_are_told_with_what_makes_json_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, ["{'asin': 'B00', 'title': u\"it's\"}"] * 9, "meta.json")
    with pytest.raises(SoukError) as error:
        first_config(path, None, None, "x")
    assert "Received: objects as Python writes them" in str(error.value)
    command = re.search(r"cat \S+/meta.json \| python -c '(.*)' > meta.jsonl", str(error.value))
    assert command is not None
    with open(path) as file:
        done = subprocess.run(
            [sys.executable, "-c", command[1]], stdin=file, capture_output=True, check=True, text=True
        )
    assert json.loads(done.stdout.splitlines()[0]) == {"asin": "B00", "title": "it's"}


def test_rows_in_one_cell_and_rows_for_each_property_are_told(tmp_path: Path) -> None:
    several = [{"user_id": n, "reviews": [{"item": 1, "posted": "x"}]} for n in range(9)]
    with pytest.raises(SoukError, match="reviews has a list of objects in each row: write a line for each of these"):
        first_config(write(several, tmp_path / "u.jsonl"), None, None, "x")
    events = [{"visitorid": n % 9, "itemid": n % 30, "timestamp": 1_700_000_000 + n} for n in range(300)]
    goods = [{"timestamp": 1_700_000_000, "itemid": n // 3, "property": f"p{n % 3}", "value": "x"} for n in range(90)]
    with pytest.raises(SoukError) as error:
        first_config(write(events, tmp_path / "e.csv"), write(goods, tmp_path / "p.csv"), None, "x")
    told = str(error.value)
    assert "60 of 90 repeat. It has a row for each property: make a column of each" in told
    code = re.search(r"with pandas, (.*)\. ?$", told)
    assert code is not None
    wide = eval(f"frame.{code[1]}", {"frame": pd.DataFrame(goods)})
    assert wide.shape == (30, 3)
