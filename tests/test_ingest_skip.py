"""What `skip` leaves out: the same rows whatever the format, and a refusal in words where a column is of no texts."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source, parse_config
from souk.errors import SoukError
from souk.ingest.item_file import item_rows_of
from souk.ingest.patterns import fits_skip
from tests.ingest_fixtures import read_rows

ROWS: list[dict[str, Any]] = [
    {"item_id": "a", "test": True, "stars": 0.0},
    {"item_id": "b", "test": False, "stars": 4.5},
    {"item_id": "c", "test": None, "stars": None},
    {"item_id": "d", "test": False, "stars": 0.0},
    {"item_id": "e", "test": True, "stars": 5.0},
]


def written(folder: Path, kind: str, rows: list[dict[str, Any]]) -> str:
    """The rows in a file; a CSV as Python writes it."""
    path = folder / f"i.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "csv":
        lines = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
        path.write_text("\n".join([",".join(rows[0]), *lines, ""]))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def config_of(path: str, skip: str) -> Any:
    objectives = "{engaged: {events: [click]}, satisfied: {events: [click]}}"
    items = f"{{path: {path}, skip: {skip}}}"
    return parse_config(f"name: shop\ndata: {{events: {{path: e}}, items: {items}}}\nobjectives: {objectives}\n")


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize(
    ("skip", "left"),
    [
        ("{test: true}", "bcd"),
        ('{test: "True"}', "bcd"),
        ('{test: ["TRUE", ""]}', "bd"),
        ("{test: [false]}", "ace"),
        ("{stars: 0.0}", "bce"),
        ("{stars: [0, 5]}", "bc"),
        ("{stars: [4.5, 5.0]}", "acd"),
    ],
)
def test_truth_values_and_numbers_leave_out_the_same_rows_of_every_format(
    tmp_path: Path, kind: str, skip: str, left: str
) -> None:
    path = written(tmp_path, kind, ROWS)
    config = config_of(path, skip)
    read = read_rows("items", config.data.items, {})
    assert "".join(read.table["item_id"].to_pylist()) == left
    assert sum(read.skipped.values()) == len(ROWS) - len(left)
    assert "".join(row.value["item_id"] for row in item_rows_of(path, config) if not row.skipped) == left


@pytest.mark.parametrize(
    "cell",
    [
        *("010", "007", "12:30", "1_000", "0x10", "+49170", "0000-00-00", "2024-02-30", "2024-05-31T12:00:00Z"),
        *("NO", "on", "1.10", ".5", "0.00", "1.50e+3"),
    ],
)
def test_what_yaml_takes_for_something_else_leaves_out_the_rows_of_that_text(tmp_path: Path, cell: str) -> None:
    """YAML 1.1 reads 010 as 8, 12:30 as 750, 1.10 as 1.1, NO as false, and ends at a day that there is not."""
    others = ["8", "750", "false", "true", "1.1", "0.5", "0.0", "0", "1500.0"]
    path = written(tmp_path, "csv", [{"item_id": str(n), "code": code} for n, code in enumerate([*others, cell])])
    config = config_of(path, f"{{code: {cell}}}")
    assert config.data.items.skip == {"code": (cell,)}
    assert len(read_rows("items", config.data.items, {}).table) == len(others)


@pytest.mark.parametrize(
    ("cells", "asked"),
    [
        ([True, False], "yes"),
        ([False, True], "OFF"),
        ([0.0, 1.5], "0.00"),
        ([1.5, 0.0], "1.50"),
        ([10, 8], "010"),
        ([2**53 + 1, 2**53], str(2**53 + 1)),
        ([1e16, 2.0**53], "10000000000000000"),
        ([12345678901234567.0, 2.0**53], "12345678901234567"),
        ([1e18, 0.5], "1e18"),
        ([2.0**53, 2.0**53 + 2], str(2**53)),
        ([12345678901.5, 1.5], "12345678901.5"),
        ([1e-05, 1e-06], "0.00001"),
        ([-0.0, 1.5], "0"),
        ([float("nan"), 1.5], ""),
        ([Decimal("1.000000000"), Decimal("0.000000000")], "1"),
        ([Decimal("0.000000000"), Decimal("1.000000000")], "0.0"),
        ([Decimal("1.500000000"), Decimal("1.000000000")], "1.50"),
    ],
)
def test_cells_that_are_no_texts_are_compared_as_what_they_are(tmp_path: Path, cells: list[Any], asked: str) -> None:
    path = written(tmp_path, "parquet", [{"item_id": "a", "code": cells[0]}, {"item_id": "b", "code": cells[1]}])
    config = config_of(path, f"{{code: {asked}}}")
    assert read_rows("items", config.data.items, {}).table["item_id"].to_pylist() == ["b"]


@pytest.mark.parametrize("bits", [np.float16, np.float32, np.float64])
def test_what_is_too_large_for_a_column_of_fewer_bits_is_none_of_its_cells(bits: type[np.floating]) -> None:
    cells = pa.array(np.array([0.5, np.inf, 0.1], bits))
    assert fits_skip(cells, ["1e300", "0.10"], "skip.price", "items.parquet").tolist() == [False, False, True]
    assert fits_skip(cells, [""], "skip.price", "items.parquet").tolist() == [False] * 3


def test_what_is_too_large_for_a_number_is_the_text_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet", [{"item_id": "a", "code": 12.0}, {"item_id": "b", "code": 0.5}])
    config = config_of(path, "{code: '12e1234567'}")
    assert read_rows("items", config.data.items, {}).table["item_id"].to_pylist() == ["a", "b"]


def test_a_truth_value_is_one_as_a_whole_and_other_words_have_their_case(tmp_path: Path) -> None:
    rows = [{"item_id": str(n), "word": word} for n, word in enumerate(("true blue", "Post", "post", "TRUE"))]
    path = written(tmp_path, "csv", rows)
    source = Source(path=path, skip={"word": ("true", "post")})
    assert read_rows("items", source, {}).table["item_id"].to_pylist() == ["0", "1"]


@pytest.mark.parametrize("nested", [pa.list_(pa.string()), pa.large_list(pa.string()), pa.struct([("a", pa.string())])])
def test_of_lists_those_that_are_missing_or_empty_are_left_out_and_no_others(
    tmp_path: Path, nested: pa.DataType
) -> None:
    full: list[Any] = [{"a": "x"}, {"a": None}] if pa.types.is_struct(nested) else [["x", "y"], [None]]
    values = pa.array([*full, None] if pa.types.is_struct(nested) else [*full, None, []], nested)
    ids = [f"i{n}" for n in range(len(values))]
    path = tmp_path / "i.parquet"
    parquet.write_table(pa.table({"item_id": ids, "genres": values}), path)
    config = config_of(str(path), '{genres: ""}')
    assert read_rows("items", config.data.items, {}).table["item_id"].to_pylist() == ids[:2]
    assert [row.value["item_id"] for row in item_rows_of(str(path), config) if not row.skipped] == ids[:2]
    wrong = config_of(str(path), '{genres: ["", x]}')
    expected = r"texts or numbers in data\.items\.skip\.genres\. Received: a column of .* in .*i\.parquet"
    with pytest.raises(SoukError, match=expected):
        read_rows("items", wrong.data.items, {})
    with pytest.raises(SoukError, match=expected):
        list(item_rows_of(str(path), wrong))


def test_bytes_that_are_no_text_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "i.parquet"
    parquet.write_table(pa.table({"item_id": ["a", "b"], "raw": [b"\xff", None]}), path)
    with pytest.raises(SoukError, match=r"data\.items\.skip\.raw\. Received: a column of binary"):
        read_rows("items", config_of(str(path), "{raw: x}").data.items, {})
    assert read_rows("items", config_of(str(path), '{raw: ""}').data.items, {}).table["item_id"].to_pylist() == ["a"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_of_skip_that_a_file_has_twice_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"i.{kind}"
    if kind == "csv":
        path.write_text("item_id,status,status\na,x,y\n")
    else:
        columns = [pa.array(["a"]), pa.array(["x"]), pa.array(["y"])]
        parquet.write_table(pa.Table.from_arrays(columns, names=["item_id", "status", "status"]), path)
    config = config_of(str(path), "{status: cancelled}")
    for read in (lambda: read_rows("items", config.data.items, {}), lambda: list(item_rows_of(str(path), config))):
        with pytest.raises(SoukError, match=r"columns of different names in .*status"):
            read()


@pytest.mark.parametrize(("rule", "left"), [("first", ["Cap", "Bag"]), ("last", ["Cap", "Bag", "Tie"])])
def test_of_rows_of_one_item_a_server_is_sent_the_first_where_that_is_the_rule(
    tmp_path: Path, rule: str, left: list[str]
) -> None:
    """A row that is left out is no first one. By another rule all are sent: there the last one wins."""
    (tmp_path / "i.csv").write_text("item_id,title,test\n1,Hat,yes\n1,Cap,no\n2,Bag,no\n 1,Tie,no\n,Sock,no\n")
    config = config_of(str(tmp_path / "i.csv"), f"{{test: yes}}, repeated_ids: {rule}")
    rows = [*item_rows_of(str(tmp_path / "i.csv"), config)]
    assert [row.value["title"] for row in rows if not row.skipped] == [*left, "Sock"]
    assert [row.skipped for row in rows if row.skipped] == ["skip.test", *["repeated_ids"] * (rule == "first")]
