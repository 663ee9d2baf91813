"""Files in the forms that other programs write: marks, archives, odd names, many malformed rows."""

import bz2
import gzip
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source, parse_config
from souk.errors import SoukError
from souk.ingest.faults import Reason
from souk.ingest.profile import sample
from souk.readers import delimited, find_files, read_batches, written
from tests.ingest_fixtures import read_rows

TEXT = "user_id,item_id\nu1,i1\nu2,i2\n"
ROWS = [{"user_id": "u1", "item_id": "i1"}, {"user_id": "u2", "item_id": "i2"}]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": partial(pa.compress, codec="zstd", asbytes=True),
}


def rows(path: Path, **keys: Any) -> list[dict[str, Any]]:
    batches = list(read_batches(Source(path=str(path), **keys)))
    assert not any(batch.malformed or batch.undecodable for batch in batches)
    return pa.concat_tables([batch.table for batch in batches]).to_pylist()


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("named", [True, False])
def test_a_mark_before_the_first_character_is_no_part_of_a_value(
    tmp_path: Path, encoding: str, mark: bytes, named: bool
) -> None:
    text = TEXT if named else TEXT.split("\n", 1)[1]
    (tmp_path / "e.csv").write_bytes(mark + text.encode())
    assert rows(tmp_path / "e.csv", encoding=encoding, header=() if named else ("user_id", "item_id")) == ROWS


def test_a_byte_that_takes_an_ascii_one_with_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(b"user_id,item_id\nu1,\x8fAx\n")  # EUC-JP refuses both bytes
    [batch] = read_batches(Source(path=str(tmp_path / "e.csv"), encoding="euc_jp"))
    assert batch.undecodable == ((0, "item_id"),)


def spoiled() -> pa.Array:
    """Two texts, of which the first has a byte that is not UTF-8."""
    ends = pa.py_buffer(np.array([0, 2, 6], np.int32).tobytes())
    return pa.StringArray.from_buffers(2, ends, pa.py_buffer(b"u\xffgood"))


def viewed() -> pa.Array:
    """The same texts as views, which Arrow takes no rows of."""
    return spoiled().view(pa.binary()).cast(pa.binary_view()).view(pa.string_view())


def coded() -> pa.Array:
    """The same texts behind numbers, as Arrow's writers keep them."""
    return pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), spoiled())


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (spoiled(), ["u\ufffd", "good"]),
        (spoiled().cast(pa.large_binary()).view(pa.large_string()), ["u\ufffd", "good"]),
        (pa.ListArray.from_arrays([0, 1, 2], spoiled()), [["u\ufffd"], ["good"]]),
        (pa.FixedSizeListArray.from_arrays(spoiled(), 1), [["u\ufffd"], ["good"]]),
        (pa.StructArray.from_arrays([spoiled()], ["a"]), [{"a": "u\ufffd"}, {"a": "good"}]),
        (pa.MapArray.from_arrays([0, 1, 2], spoiled(), spoiled()), [[("u\ufffd", "u\ufffd")], [("good", "good")]]),
        (viewed(), ["u\ufffd", "good"]),
        (pa.ListArray.from_arrays([0, 1, 2], viewed()), [["u\ufffd"], ["good"]]),
        (pa.StructArray.from_arrays([viewed()], ["a"]), [{"a": "u\ufffd"}, {"a": "good"}]),
        (coded(), ["u\ufffd", "good"]),
        (pa.ListArray.from_arrays([0, 1, 2], coded()), [["u\ufffd"], ["good"]]),
    ],
)
def test_texts_of_parquet_that_are_not_utf_8_are_told_by_their_cell(
    tmp_path: Path, column: pa.Array, values: list[Any]
) -> None:
    image = pa.array([b"\xff", b"a"], pa.binary_view())
    parquet.write_table(pa.table({"n": [1, 2], "note": column, "image": image}), tmp_path / "e.parquet")
    [batch] = read_batches(Source(path=str(tmp_path / "e.parquet")))
    assert (batch.table["note"].to_pylist(), batch.undecodable) == (values, ((0, "note"),))
    assert batch.table["image"].to_pylist() == [b"\xff", b"a"] and len(batch.originals(np.arange(2))) == 2
    assert batch.filter(np.array([True, False])).undecodable == ((0, "note"),)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "dictionary", "view"])
@pytest.mark.parametrize("used", [True, False])
def test_a_cell_that_is_not_utf_8_costs_its_row_where_it_is_used(tmp_path: Path, kind: str, used: bool) -> None:
    name = "user_id" if used else "note"
    rest = {"user_id": ["a", "b"], "item_id": ["i", "j"], "event_type": ["click"] * 2, "timestamp": [0, 1]}
    if kind != "jsonl":
        column = {"parquet": spoiled, "dictionary": coded, "view": viewed}[kind]()
        parquet.write_table(pa.table({**rest, name: column}), tmp_path / "e.parquet")
    else:
        lines = [{each: values[n] for each, values in rest.items()} for n in range(2)]
        lines[0]["user_id" if used else "\ud800x"] = "\ud800"
        (tmp_path / "e.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_rows("events", Source(path=str(next(tmp_path.iterdir()))), {})
    faults = [(each.reason, each.column, each.rows.tolist()) for each in found.faults]
    assert faults == ([(Reason.ENCODING, "user_id", [0])] if used else []) and len(found.texts()) == 2
    assert found.table["item_id"].to_pylist() == ["i", "j"]


@pytest.mark.parametrize("delimiter", ["é", '"', "\\n", "::\\n"])
def test_what_cannot_delimit_is_refused(delimiter: str) -> None:
    written = delimiter.replace('"', '\\"')
    text = f'name: a\ndata: {{events: {{path: e.csv, delimiter: "{written}"}}}}\n'
    with pytest.raises(SoukError, match="cannot delimit"):
        parse_config(text + "objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}")


def test_lines_that_end_with_a_carriage_return_alone(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(TEXT.replace("\n", "\r").encode())
    with pytest.raises(SoukError, match=r"first line of e\.csv.*line feed"):
        rows(tmp_path / "e.csv")


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_archives_of_several_parts_are_read_and_cut_ones_refused(tmp_path: Path, form: str, ending: str) -> None:
    """Of a .zst that an upload had cut, what was there was taken for all."""
    path = tmp_path / f"e.{form}.{ending}"
    found = [{"user_id": f"u{n}", "item_id": os.urandom(9).hex()} for n in range(9000)]
    lines = [json.dumps(row) if form == "jsonl" else ",".join(row.values()) for row in found]
    head = "" if form == "jsonl" else "user_id,item_id\n"
    parts = [PACK[ending](f"{text}\n".encode()) for text in (head + "\n".join(lines[:8999]), lines[8999])]
    path.write_bytes(parts[0])
    assert rows(path) == found[:8999]
    path.write_bytes(parts[0] + parts[1])
    assert rows(path) == found
    for content in (parts[0][:-3], parts[0][: len(parts[0]) // 2], parts[0] + parts[1][:-3]):
        path.write_bytes(content)
        with pytest.raises(SoukError, match=rf"e\.{form}\.{ending} to be {form}.*Is the file whole"):
            rows(path)


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
def test_damaged_archives_are_told_in_words(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"e.csv.{ending}"
    whole = PACK[ending](TEXT.encode() + b"".join(b"u,%s\n" % os.urandom(9).hex().encode() for _ in range(9000)))
    middle = len(whole) // 2
    for content in (b"no archive", whole[:middle], whole[:middle] + bytes(50) + whole[middle + 50 :]):
        path.write_bytes(content)
        with pytest.raises(SoukError, match=rf"e\.csv\.{ending} to be csv"):
            rows(path)


@pytest.mark.parametrize("head", ['"user\nid",item_id', 'user_id,"item\r\nid"'])
def test_a_name_with_a_line_break_is_told(tmp_path: Path, head: str) -> None:
    """As spreadsheets write it: all rows were malformed, by the delimiter as it was said."""
    (tmp_path / "e.csv").write_text(f"{head}\nu1,i1\n", newline="")
    with pytest.raises(SoukError, match=r"e\.csv in one line.*a quote that this line does not close.*`header`"):
        rows(tmp_path / "e.csv")


def test_a_closed_name_may_end_as_the_others(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text('user_id;"size;"\nu1;5\n')
    assert rows(tmp_path / "e.csv", delimiter=";") == [{"user_id": "u1", "size;": "5"}]


def test_a_quote_within_a_name_opens_none(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text('user_id,size in "\nu1,5\n')
    assert rows(tmp_path / "e.csv") == [{"user_id": "u1", 'size in "': "5"}]


def test_lists_of_one_length_of_which_one_is_missing_are_told(tmp_path: Path) -> None:
    """Arrow itself cannot read what it wrote there."""
    image = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2))
    parquet.write_table(pa.table({"item_id": ["a", "b", "c"], "image": image}), tmp_path / "i.parquet")
    with pytest.raises(SoukError, match=r"of size=2 .*Write lists of any length, as pa\.list_\(pa\.float32\(\)\)"):
        rows(tmp_path / "i.parquet")


@pytest.mark.parametrize(("names", "expected"), [((), "Received: 0"), (("a.csv", "b.csv"), "Received: 2")])
def test_a_zip_holds_one_file(tmp_path: Path, names: tuple[str, ...], expected: str) -> None:
    path = tmp_path / "e.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    with pytest.raises(SoukError, match=rf"one file inside e\.csv\.zip.*{expected}"):
        rows(path)
    path.write_bytes(b"no archive")
    with pytest.raises(SoukError, match="to be csv"):
        rows(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("inner")
        archive.writestr("inner/a.csv", TEXT)
    assert rows(path) == ROWS


def test_a_glob_below_a_hidden_folder_and_a_name_like_a_glob(tmp_path: Path) -> None:
    folder = tmp_path / ".souk" / "data [2017]"
    folder.mkdir(parents=True)
    for name in ("a.csv", "b.csv", "_left.csv"):
        (folder / name).write_text(TEXT)
    assert rows(folder / "a.csv") == ROWS
    assert [file.name for file in find_files(str(folder))] == ["a.csv", "b.csv"]
    hidden = tmp_path / ".souk" / "plain"
    folder.rename(hidden)
    assert [file.name for file in find_files(f"{hidden}/*.csv")] == ["a.csv", "b.csv"]


@pytest.mark.parametrize("glob", ["**", "**/*", "*", "2024*"])
def test_a_glob_that_names_a_folder_and_its_files_reads_each_once(tmp_path: Path, glob: str) -> None:
    for name in ("2024/05/a.csv", "2024/b.csv", "2024-c.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(TEXT)
    found = [file.name for file in find_files(f"{tmp_path}/{glob}")]
    assert sorted(found) == ["2024-c.csv", "2024/05/a.csv", "2024/b.csv"]


def test_many_malformed_rows_among_good_ones_are_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(delimited, "MALFORMED_BYTES", 40_000)  # of 2,000 rows at 204 bytes
    lines = ["torn" if n % 10 == 0 else f"{n},i" for n in range(20_000)]
    (tmp_path / "e.csv").write_text("user_id,item_id\n" + "\n".join(lines) + "\n")
    batches = list(read_batches(Source(path=str(tmp_path / "e.csv"))))
    assert sum(len(batch.malformed) for batch in batches) == 2000
    assert sorted(p for batch in batches for p in batch.positions.tolist()) == list(range(1, 20_001))


def test_a_source_is_of_its_oldest_and_its_newest_file_and_never_of_tomorrow(tmp_path: Path) -> None:
    for seconds in (1_000, 3_000, 2_000):
        (tmp_path / f"{seconds}.csv").write_text(TEXT)
        os.utime(tmp_path / f"{seconds}.csv", (seconds, seconds))
    assert written(str(tmp_path), 9_000_000) == (1_000_000, 3_000_000)
    assert written(str(tmp_path), 2_500_000) == (1_000_000, 2_500_000)
    assert written(str(tmp_path / "none.csv"), 7) == (7, 7)
    with fsspec.open("memory://items.csv", "w") as file:
        file.write(TEXT)
    assert all(1_700_000_000_000 < time < 1 << 50 for time in written("memory://items.csv", 1 << 50))


@pytest.mark.parametrize(
    ("content", "keys", "expected"),
    [
        (TEXT.encode("utf-16"), {}, "in UTF-8. Received: UTF-16"),
        (TEXT.encode(), {"delimiter": ";"}, "Set `delimiter` to ','"),
        (TEXT.encode(), {"delimiter": "::"}, "Set `delimiter` to ','"),
    ],
)
def test_what_the_first_line_gives_away(tmp_path: Path, content: bytes, keys: dict[str, str], expected: str) -> None:
    (tmp_path / "e.csv").write_bytes(content)
    with pytest.raises(SoukError, match=expected):
        rows(tmp_path / "e.csv", **keys)


def test_a_column_twice_is_told_by_init_too(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(b"user_id,item_id,item_id\nu,i,j\n")
    with pytest.raises(SoukError, match="two named item_id"):
        sample(Source(path=str(tmp_path / "e.csv")))
