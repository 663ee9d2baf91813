"""What a config says of files: templates, patterns, skipped rows, forms of text files, time zones."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source, parse_config
from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.faults import Reason
from souk.ingest.mapping import MOST_TYPES, TableSource
from souk.ingest.patterns import rename
from souk.readers import delimited, read_batches
from souk.schema import EventType, Kind
from tests.ingest_fixtures import read_rows


def items(folder: Path, rows: list[dict[str, Any]], kind: str, **keys: Any) -> Any:
    path = folder / f"i.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        present = [{name: value for name, value in row.items() if value is not None} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in present))
    return read_rows("items", Source(path=str(path), **keys), {"title": Kind.TEXT, "category": Kind.PATH})


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_template_leaves_out_what_is_missing(tmp_path: Path, kind: str) -> None:
    rows = [
        {"id": 7, "part": 1.0, "type": "ICE - CRUSHED/CUBED", "size": "22 LB", "dept": "GROCERY"},
        {"id": 7, "part": 2.0, "type": None, "size": "5 OZ", "dept": "DELI/HOT"},
        {"id": 7, "part": None, "type": "MILK", "size": None, "dept": None},
        {"id": None, "part": 4.0, "type": None, "size": None, "dept": None},
    ]
    templates = {"item_id": "p{id}-{part}", "title": "{type}, {size}", "category": "{dept}/{size}/{type}"}
    found = items(tmp_path, rows, kind, templates=templates)
    assert found.table["item_id"].to_pylist() == ["p7-1", "p7-2", None, None]
    assert found.table["title"].to_pylist() == ["ICE - CRUSHED/CUBED, 22 LB", "5 OZ", "MILK", None]
    paths = ["GROCERY/22 LB/ICE - CRUSHED|CUBED", "DELI|HOT/5 OZ", "MILK", None]
    assert found.table["category"].to_pylist() == paths
    assert found.ignored == []


def test_bytes_that_are_no_text_are_named_where_a_template_joins_them(tmp_path: Path) -> None:
    rows = [{"id": "1", "type": "x", "size": b"\xff", "category": "c"}]
    with pytest.raises(SoukError, match=r"templates\.title\. Received: column size of binary in .*i\.parquet"):
        items(tmp_path, rows, "parquet", columns={"item_id": "id"}, templates={"title": "{type}, {size}"})


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_the_first_of_several_columns_that_has_a_value_is_a_part(tmp_path: Path, kind: str) -> None:
    """Lines of JSON may lack any of them, as those of tracks do that of an episode."""
    rows = [
        {"track": "t1", "episode": None, "show": None, "category": "c"},
        {"track": None, "episode": "e1", "show": "s1"},
        {"track": "", "episode": 7, "show": "s2"},
        {"track": None, "episode": None, "show": "s3"},
    ]
    rows = [row | {"episode": str(row["episode"]) if row["episode"] else None} for row in rows]
    templates = {"item_id": "{track|episode}", "title": "{show|track} of {episode}"}
    found = items(tmp_path, rows, kind, templates=templates)
    assert found.table["item_id"].to_pylist() == ["t1", "e1", "7", None]
    assert found.table["title"].to_pylist() == ["t1", "s1 of e1", "s2 of 7", "s3"]
    assert found.ignored == []


def test_a_file_of_several_may_have_any_of_the_columns_of_a_part(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,event_type,timestamp,track\nu,click,1700000000000,t1\n")
    (tmp_path / "b.csv").write_text("user_id,event_type,timestamp,episode\nu,click,1700000000000,e1\n")
    found = read_rows("events", Source(path=str(tmp_path), templates={"item_id": "{track|episode}"}), {})
    assert found.table["item_id"].to_pylist() == ["t1", "e1"]


def test_all_columns_of_a_part_must_be_in_the_file_and_ends_have_none(tmp_path: Path) -> None:
    rows = [{"track": "t1", "title": "x", "category": "c"}]
    with pytest.raises(SoukError, match=r"templates\.item_id to name columns of .*Received: 'episode'"):
        items(tmp_path, rows, "parquet", templates={"item_id": "{track|episode}"})
    with pytest.raises(SoukError, match=r"available_until to name columns, of which the earliest counts"):
        items(tmp_path, rows, "parquet", columns={"item_id": "track"}, templates={"available_until": "{a|b}"})


def test_dwell_times_of_a_file_may_be_in_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(
        "user_id,item_id,event_type,timestamp,ms_played\nu,i,click,1700000000000,4500\nu,i,click,1700000000000,\n"
    )
    found = read_rows("events", Source(path=str(path), columns={"dwell_seconds": "ms_played"}, dwell_unit="ms"), {})
    assert found.table["dwell_seconds"].to_pylist() == [4.5, None]


@pytest.mark.parametrize("unit", ["iso", "dmy"])
def test_months_and_years_are_dates_of_items(tmp_path: Path, unit: str) -> None:
    """As catalogues of records have them. An end is the last moment of them; no event is of a year."""
    rows = [
        {"item_id": n, "title": "x", "category": "c", "created_at": d, "available_until": d}
        for n, d in enumerate(["2011-02", "1971"])
    ]
    found = items(tmp_path, rows, "parquet", timestamp_unit=unit)
    born, ends = (
        [datetime.fromtimestamp(time / 1000, UTC).isoformat() for time in found.table[name].to_pylist()]
        for name in ("created_at", "available_until")
    )
    assert born == ["2011-02-01T00:00:00+00:00", "1971-01-01T00:00:00+00:00"]
    assert ends == ["2011-02-28T23:59:59.999000+00:00", "1971-12-31T23:59:59.999000+00:00"] and not found.faults
    path = tmp_path / "e.csv"
    path.write_text("user_id,item_id,event_type,timestamp\nu,i,click,2024-01-31\nu,i,click,2024-01\n")
    events = read_rows("events", Source(path=str(path), timestamp_unit=unit), {})
    assert [(each.column, each.rows.tolist()) for each in events.faults] == [("timestamp", [1])]


@pytest.mark.parametrize("template", ["{{a}}-{type}", "{type}{{x}}{size}", "{type}{{b}}", "}}{type}x{{", "<{size}>"])
def test_doubled_braces_of_a_template_are_braces(tmp_path: Path, template: str) -> None:
    rows = [{"item_id": "1", "category": "c", "type": "MILK", "size": "1 L"}]
    found = items(tmp_path, rows, "parquet", templates={"title": template})
    assert found.table["title"].to_pylist() == [template.format(type="MILK", size="1 L")]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"templates": {"title": "{tipe}, {size}"}}, "Did you mean 'type'"),
        ({"templates": {"titel": "{type}"}}, "Did you mean 'title'"),
        ({"templates": {"title": "{type}"}, "columns": {"title": "type"}}, "a column and a template"),
        ({"templates": {"title": "{tags}"}}, "a column|column tags of list"),
        ({"columns": {"item_id": "item"}}, r"Did you mean 'item_id'\? Map it in data.items.columns\.$"),
        ({"columns": {"title": "titel"}}, r"Did you mean 'title'\? Map .*, or give data.items.constants.title\.$"),
        ({"skip": {"tipe": [""]}}, "Did you mean 'type'"),
        ({"delimiter": "::"}, "Leave `delimiter` out"),
        ({"encoding": "latin-1"}, "Leave `encoding` out"),
    ],
)
def test_a_description_that_fits_no_column_or_file_is_an_error(
    tmp_path: Path, keys: dict[str, Any], expected: str
) -> None:
    rows = [{"item_id": "1", "type": "x", "size": "y", "tags": ["a"], "title": "t", "category": "c"}]
    keys = {"columns": {}} | keys
    with pytest.raises(SoukError, match=expected):
        items(tmp_path, rows, "parquet", **keys)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("templates: {title: 'no braces'}", "names no column in braces"),
        ("templates: {title: '{a'}", "templates"),
        ("templates: {title: '{a!r}'}", "nothing else"),
        ("encoding: utf-16", "does not write a line end as one byte"),
        ("encoding: latin1000", "no encoding that Python knows"),
        ("timezone: Europe/Lundon", "did you mean 'Europe/London'"),
        ("repeated_ids: newest", "first or last"),
    ],
)
def test_a_description_that_says_nothing_is_refused(line: str, expected: str) -> None:
    text = f"name: a\ndata: {{events: {{path: e.csv, {line}}}}}\n"
    with pytest.raises(SoukError, match=expected):
        parse_config(text + "objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}")


def test_of_several_patterns_the_most_exact_counts() -> None:
    text = pa.array(["C1", "536", "C1x", "C.x", None, "view"])
    names = {"*": "purchase", "C*": "return", "C1": "cart", "C*x": "rating", "": "click"}
    expected = ["cart", "purchase", "rating", "rating", "click", "purchase"]
    for order in (list(names), list(reversed(names)), sorted(names)):
        assert rename(text, {key: names[key] for key in order}).to_pylist() == expected
    assert rename(pa.array(["Cx", "C.x"]), {"C.*": "return"}).to_pylist() == ["Cx", "return"]  # no regular expression


def test_a_release_remembers_the_types_that_count_before_the_others() -> None:
    exact, patterns = [f"w{n}" for n in range(MOST_TYPES - 1)], ["*", "wx*", "w*"]
    kinds = [list(EventType)[n % 3] for n in range(len(exact) + 3)]
    source = Source(path="e.csv", event_types=dict(zip([*patterns, *exact], kinds, strict=True)))
    own = TableSource("events", source, {}).own_types
    assert set(own) == {"wx*", *exact}
    text = pa.array(["w3", "wx", f"w{MOST_TYPES - 2}", "wx1"])
    assert rename(text, own).to_pylist() == rename(text, source.event_types).to_pylist()
    assert TableSource("events", Source(path="e.csv", event_types={"*": EventType.CLICK}), {}).own_types == {
        "*": "click"
    }


def test_skipped_rows_are_counted_and_the_others_keep_their_positions(tmp_path: Path) -> None:
    lines = ["u,i1,1.7e9", ",i1,6", "u,POST,7", "u,TEST9,8", "torn", "u,i2,1.7e9"]
    (tmp_path / "e.csv").write_text("user_id,code,timestamp\n" + "\n".join(lines) + "\n")
    keys: dict[str, Any] = {"columns": {"item_id": "code"}, "constants": {"event_type": "click"}}
    rows = read_rows(
        "events",
        Source(
            path=str(tmp_path / "e.csv"), skip={"user_id": "", "code": ["POST", "TEST*"]}, timestamp_unit="s", **keys
        ),
        {},
    )
    assert rows.skipped == {"user_id": 1, "code": 2}
    positions = [position for batch in rows.batches for position in batch.positions.tolist()]
    assert sorted(positions) == [1, 5, 6]
    assert [fault.reason for fault in rows.faults] == [Reason.MALFORMED]  # a line without columns misses none
    assert json.loads(rows.texts()[positions.index(5)]) == {"line": "torn"}


@pytest.mark.parametrize("block", [8, 11, 13, 16, 1 << 20])
def test_a_long_delimiter_is_found_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", max(block, 64))
    monkeypatch.setattr(delimited, "ESCAPE_BYTES", max(1, 64 // block))
    rows = [f'{n}::Les "Misérables": {n}::Drama|{n}' for n in range(60)]
    (tmp_path / "m.dat").write_bytes(("\n".join(rows) + "\n").encode("latin-1"))
    source = Source(
        path=str(tmp_path / "m.dat"), format="csv", delimiter="::", encoding="latin-1", header=("n", "title", "genres")
    )
    batches = list(read_batches(source))
    tables = pa.concat_tables([batch.table for batch in batches]).to_pylist()
    assert not any(batch.malformed or batch.undecodable for batch in batches)
    assert ["::".join(row.values()) for row in tables] == rows


LONDON = [
    ("2024-03-31T00:30:00", "2024-03-31T00:30:00+00:00"),
    ("2024-03-31T01:30:00", None),  # the clocks went from 01:00 to 02:00
    ("2024-03-31T02:30:00", "2024-03-31T01:30:00+00:00"),
    ("2024-10-27T01:30:00", "2024-10-27T00:30:00+00:00"),  # shown twice: the first
    ("2024-07-01", "2024-06-30T23:00:00+00:00"),
]


def ms(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def test_local_times_become_utc_and_those_that_name_a_zone_stay() -> None:
    aware = ["2024-07-01T12:00:00Z", "2024-07-01 12:00+02:00", "2024-03-31T01:30:00 UTC"]
    texts = [local for local, _ in LONDON] + aware
    time, wrong = cells.parse_time(pa.array([*texts, None, "soon"]), "iso", "Europe/London")
    instants = [ms("2024-07-01T12:00:00+00:00"), ms("2024-07-01T10:00:00+00:00"), ms("2024-03-31T01:30:00+00:00")]
    assert time.to_pylist() == [*(ms(utc) for _, utc in LONDON), *instants, None, None]
    assert wrong.tolist() == [utc is None for _, utc in LONDON] + [False, False, False, False, True]


@pytest.mark.parametrize(
    ("zone", "day"), [("America/Santiago", "2024-09-08"), ("Africa/Cairo", "2024-04-26"), ("Asia/Beirut", "2024-03-31")]
)
def test_a_day_begins_where_clocks_skip_midnight(zone: str, day: str) -> None:
    texts = [day, f"{day}T00:30:00", f"{day}T01:00:00"]
    time, wrong = cells.parse_time(pa.array(texts), "iso", zone)
    first = datetime.fromisoformat(texts[2]).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000
    assert time.to_pylist() == [first, None, first] and wrong.tolist() == [False, True, False]
    time, wrong = cells.parse_time(pa.array([date.fromisoformat(day)]), "iso", zone)
    assert time.to_pylist() == [first] and not wrong.any()


def test_times_of_parquet_with_and_without_a_zone() -> None:
    naive = pa.array([datetime.fromisoformat(local) for local, _ in LONDON], pa.timestamp("us"))
    time, wrong = cells.parse_time(naive, "ms", "Europe/London")
    assert time.to_pylist() == [ms(utc) for _, utc in LONDON]
    assert wrong.tolist() == [utc is None for _, utc in LONDON]
    instant = datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
    for zone in ("UTC", "Europe/London", "Asia/Tokyo"):
        time, wrong = cells.parse_time(pa.array([instant], pa.timestamp("us", "America/New_York")), "s", zone)
        assert (time.to_pylist(), wrong.tolist()) == ([ms(instant.isoformat())], [False])


def test_event_types_by_pattern_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user_id,item_id,invoice,timestamp\nu,i,536,1700000000\nu,i,C536,1700000001\n")
    types = {"C*": EventType.RETURN, "*": EventType.PURCHASE}
    source = Source(
        path=str(tmp_path / "e.csv"), columns={"event_type": "invoice"}, event_types=types, timestamp_unit="s"
    )
    assert read_rows("events", source, {}).table["event_type"].to_pylist() == ["purchase", "return"]


def test_numbers_with_a_decimal_comma(tmp_path: Path) -> None:
    """Points part thousands. A point that parts none, as in 1.5, is a fault; numbers that are none of text stay."""
    prices = ["3,50", "1.250,00", "1.250", " 7 ", "+0,5", "1,5e2", "", "1.5", "1,250.00", "dear", "0.125"]
    expected = [3.5, 1250, 1250, 7, 0.5, 150, None, None, None, None, None]
    lines = [f"i{n};{price};1.5 kg, red" for n, price in enumerate(prices)]
    (tmp_path / "i.csv").write_text("\n".join(["item_id;price;title", *lines]))
    kinds = {"price": Kind.NUMERIC, "title": Kind.TEXT, "size": Kind.NUMERIC}
    keys: dict[str, Any] = {"decimal": ",", "constants": {"size": 2.5}}
    read = read_rows("items", Source(path=str(tmp_path / "i.csv"), **keys), kinds)
    assert read.table["price"].to_pylist() == expected
    assert [(f.reason, f.column, f.rows.tolist()) for f in read.faults] == [(Reason.TYPE, "price", [7, 8, 9, 10])]
    assert set(read.table["title"].to_pylist()) == {"1.5 kg, red"} and set(read.table["size"].to_pylist()) == {2.5}
    (tmp_path / "i.jsonl").write_text('{"item_id": "a", "price": 1.5, "size": 1}\n')
    source = Source(path=str(tmp_path / "i.jsonl"), decimal=",")
    assert read_rows("items", source, {"price": Kind.NUMERIC, "size": Kind.NUMERIC}).table["price"].to_pylist() == [1.5]
