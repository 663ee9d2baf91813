"""What `souk init` makes of files without a line of names."""

from pathlib import Path

import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import read

ROWS = [f"{n % 9},2024-03-{n % 28 + 1:02}T10:00:00Z,{214_000_000 + n % 7},{n % 3}" for n in range(90)]


def written(folder: Path, lines: list[str], name: str = "clicks.dat") -> str:
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def test_a_first_line_that_is_a_row_asks_for_names(tmp_path: Path) -> None:
    with pytest.raises(SoukError) as error:
        first_config(written(tmp_path, ROWS), None, None, "x")
    told = str(error.value)
    assert "the names of the columns in the first line of clicks.dat" in told
    assert "--events-header column_1,timestamp,column_3,column_4" in told


def test_given_names_make_a_config_that_reads_every_row(tmp_path: Path) -> None:
    headers = {"events": ["session_id", "timestamp", "item_id", "kind"]}
    text = first_config(written(tmp_path, ROWS), None, None, "x", headers).text
    assert "header: [session_id, timestamp, item_id, kind]" in text
    events = read(parse_config(text), "events")
    assert events.table.num_rows == len(ROWS) and events.faults == []
    with pytest.raises(SoukError, match="3 names, and rows such as"):
        first_config(written(tmp_path, ROWS), None, None, "x", {"events": ["user", "time", "item"]})


def test_names_that_look_like_values_are_names(tmp_path: Path) -> None:
    """A year is a name, and so is any number beside a name that is the contract's."""
    lines = [f"u{n % 9};i{n % 7};2024-03-01;{n}" for n in range(90)]
    assert first_config(written(tmp_path, ["visitor;item;day;1.5", *lines]), None, None, "x").text
    items = written(tmp_path, ["sort;2019", *[f"i{n};{n}" for n in range(7)]], "items.csv")
    assert "sort" in first_config(written(tmp_path, ["visitor;item;day;1.5", *lines]), items, None, "x").text


def test_a_name_of_digits_among_names_is_one(tmp_path: Path) -> None:
    """As of MARC: its language and its place are never called so, and every row has one that comes again."""
    lines = [
        "001\t245$a\t041$a\t264$b",
        *[f"{n:09}\tDas Buch {n}\t{('ger', 'eng')[n % 2]}\tOrt {n % 5}" for n in range(90)],
    ]
    looks = [f"u{n % 9},{n:09},2024-03-01T10:00:00Z" for n in range(90)]
    log = written(tmp_path, ["user,item,time", *looks])
    text = first_config(log, written(tmp_path, lines, "books.tsv"), None, "x").text
    assert 'item_id: "001"' in text and 'c_041_a: "041$a"' in text
    with pytest.raises(SoukError, match="a row, as it seems"):
        first_config(log, written(tmp_path, lines[1:], "rows.tsv"), None, "x")


def test_a_first_line_may_be_said_to_be_the_names(tmp_path: Path) -> None:
    lines = ["001\t245$a", *[f"{n:09}\tDas Buch {n}" for n in range(90)]]
    looks = [f"u{n % 9},{n:09},2024-03-01T10:00:00Z" for n in range(90)]
    log, books = written(tmp_path, ["user,item,time", *looks]), written(tmp_path, lines, "books.tsv")
    with pytest.raises(SoukError, match="If these are the names: --items-header first"):
        first_config(log, books, None, "x")
    config = parse_config(first_config(log, books, None, "x", {"items": ["first"]}).text)
    assert config.data.items is not None and config.data.items.header == ()
    assert read(config, "items").table.num_rows == 90


def test_a_tsv_has_tabs_whatever_stands_in_its_first_row(tmp_path: Path) -> None:
    lines = [f"N{n}\tnews, of all, kinds, no {n}\thttps://x.org/{n}" for n in range(9)]
    with pytest.raises(SoukError, match="--items-header item_id,title,column_3"):
        first_config(
            written(tmp_path, ROWS),
            written(tmp_path, lines, "news.tsv"),
            None,
            "x",
            {"events": ["session", "time", "item", "kind"]},
        )
