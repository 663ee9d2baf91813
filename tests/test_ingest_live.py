"""Rows that come outside of a run: a value of another form is refused, whichever way round."""

import json
from typing import Any

import pyarrow as pa
import pytest

from souk.config import Outliers, Source
from souk.ingest.live import ItemCheck
from souk.ingest.mapping import TableSource
from souk.ingest.outliers import Bounds, Limits, find_bounds
from souk.readers import RawBatch
from souk.readers.json_lines import json_batch
from souk.schema import Kind

CHECK = ItemCheck({"colour": Kind.CATEGORICAL, "tags": Kind.LIST, "title": Kind.TEXT, "category": Kind.PATH}, {})


@pytest.mark.parametrize(
    ("column", "value", "form"),
    [
        ("colour", ["red"], "string"),
        ("colour", {"main": "red"}, "string"),
        ("title", ["Boots"], "string"),
        ("category", ["a", "b"], "string"),
        ("brand", {"name": "x"}, "string"),  # of the contract, and not declared
        ("tags", "warm", "list<item: string>"),
        ("colour", "red", ""),
        ("colour", 3, ""),
        ("title", None, ""),
        ("tags", ["warm"], ""),
    ],
)
def test_a_list_for_a_text_is_refused_as_a_text_for_a_list_is(column: str, value: Any, form: str) -> None:
    rows = [{"item_id": "7", column: value}, {"item_id": "8", "colour": "blue"}]
    _, refused = CHECK.check(rows, {"7", "8"})
    expected = f"Expected {column} to be of type {form}. Received: {value!r}. See docs/data.md."
    assert refused == ({0: expected} if form else {})


@pytest.mark.parametrize(
    ("path", "meant"), [("Tech > Python", "Tech/Python"), ("Tech > A/B", "Tech/A/B"), ("Tech/Python", ""), (None, "")]
)
def test_a_path_as_the_files_write_it_is_refused_with_the_one_to_send(path: str | None, meant: str) -> None:
    """It was taken as a category of its own, which no filter and no other item has."""
    check = ItemCheck({"category": Kind.PATH}, {}, separators={"category": " > "})
    _, refused = check.check([{"item_id": "7", "category": path}], ())
    expected = f"Expected category with / between its parts. Received: {path!r}, as the files have it. Send {meant}."
    assert refused == ({0: expected} if meant else {})


def test_only_paths_have_separators_that_a_server_is_told() -> None:
    kinds = {"category": Kind.PATH, "area": Kind.PATH, "tags": Kind.LIST}
    source = Source(path="i.csv", separators={"category": " > ", "area": "/", "tags": "|"})
    assert TableSource("items", source, kinds).path_separators == {"category": " > "}


def test_a_number_is_clipped_as_ingest_clips_it_or_refused_as_it_is_quarantined() -> None:
    """Of the same row a server made another vector than the run."""
    kinds, outliers = {"price": Kind.NUMERIC, "weight": Kind.NUMERIC}, Outliers(columns={"weight": "quarantine"})
    outliers = outliers.model_copy(update={"action": "clip"})
    values = pa.array([float(n % 9) for n in range(100)])
    found = find_bounds(pa.table({"price": values, "weight": values}), ["price", "weight"], outliers)
    check = ItemCheck(kinds, {}, bounds=json.loads(json.dumps(Limits.of(found).told)))
    numbers = [99_999.0, 3, None]
    rows: list[dict[str, Any]] = [{"item_id": str(n), "price": each} for n, each in enumerate(numbers)]
    table, refused = check.check([*rows, {"item_id": "3", "weight": 5.0}, {"item_id": "4", "weight": 1e5}], "")
    assert table["price"].to_pylist()[:3] == [found[0].high, 3.0, None]
    assert table["weight"].to_pylist()[3] == 5.0 and list(refused) == [4]
    span = f"{found[1].low:.6g} to {found[1].high:.6g}"
    why = f"Expected weight within the bounds of ingest.outliers, {span}. Received: 100000.0. See docs/data.md."
    assert refused[4] == why
    numeric = "".join(f'feature {{ name: "{name}" type: FLOAT }} ' for name in kinds)
    needs = f'{numeric} feature {{ name: "colour" type: BYTES presence {{ min_fraction: 1 }} }}'
    short = ItemCheck({**kinds, "colour": Kind.CATEGORICAL}, {}, needs, bounds=Limits.of(found).told)
    table, refused = short.check(rows[:1], {"0"})
    assert (table["price"].to_pylist(), refused) == ([found[0].high], {}), "a row that leaves out a column of its item"


def test_what_ingest_only_tells_of_bounds_no_server() -> None:
    assert Limits.of([Bounds("price", 0, 1, 3, action) for action in ("warn", "off")]).told == {}


def test_an_item_may_be_older_than_1970() -> None:
    """As its row in a file; a release of before says otherwise in its schema."""
    schema = 'feature { name: "created_at" type: INT int_domain { min: 0 } }'
    rows = [{"item_id": "7", "created_at": -347_155_200_000, "title": "Kind of Blue"}]
    for check in (CHECK, ItemCheck({}, {}, schema)):
        found, refused = check.check(rows, ())
        assert (found["created_at"].to_pylist(), refused) == ([-347_155_200_000], {})


@pytest.mark.parametrize("column", ["created_at", "available_until"])
def test_a_time_in_seconds_is_refused(column: str) -> None:
    """A new item would be as one of January 1970, which nothing shows as new."""
    row = {"item_id": "7", "title": "Oak Desk", column: 1_796_142_000}
    _, refused = CHECK.check([row, {**row, column: 1_796_142_000_000}], ())
    received = "Received: 1796142000, which looks like seconds. Multiply it by 1000."
    assert refused == {0: f"Expected {column} to be milliseconds since 1970. {received}"}


def test_names_that_are_no_columns_make_none() -> None:
    """A body may hold hundreds of thousands of them: the columns that are read are those of the table."""
    read: list[list[str]] = []

    def seen(file: str, lines: list[bytes], start: int) -> RawBatch:
        batch = json_batch(file, lines, start)
        read.append(batch.table.column_names)
        return batch

    rows = [{"item_id": str(row), **{f"k{row}-{name}": 0 for name in range(400)}} for row in range(1_000)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("souk.ingest.live.json_batch", seen)
        _, refused = CHECK.check([*rows, {"item_id": "8", "colour": "blue"}], {"8"})
    assert sorted(refused) == list(range(1_000)) and "Expected a column of items" in refused[0]
    assert read == [["item_id", "colour"]], "of the last row alone"


@pytest.mark.parametrize("entries", ["[" + "1," * 10_000 + "]", ["a"] * 10_001])
def test_a_list_is_as_long_as_can_be_checked_beside_requests(entries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    monkeypatch.setattr("ast.literal_eval", read.append)  # which holds up every thread for as long as the text is
    _, refused = CHECK.check([{"item_id": "7", "tags": entries}], {"7"})
    [why] = refused.values()
    assert not read
    assert why.startswith("Expected tags of at most 10,000 entries, or characters where it is a text. Received: ")


def test_the_id_of_an_item_has_no_white_space_around_it() -> None:
    table, refused = CHECK.check([{"item_id": " 7 ", "colour": "red"}], {"7"})
    assert not refused and table["item_id"].to_pylist() == ["7"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-1, "available_until of at least 0. Received: -1."),
        ("x", "available_until to be UTC epoch milliseconds (int64). Received: 'x'."),
    ],
)
def test_an_end_that_is_no_time_and_one_out_of_range_are_told_apart(value: Any, said: str) -> None:
    _, refused = CHECK.check([{"item_id": "7", "available_until": value}], {"7"})
    assert said in refused[0]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        ("1", "5", "stars from 1 to 5. Received: 7.5."),
        ("8", None, "stars of at least 8. Received: 7.5."),
        (None, "5", "stars of at most 5. Received: 7.5."),
    ],
)
def test_a_number_out_of_range_is_told_the_range(low: str | None, high: str | None, said: str) -> None:
    bounds = " ".join(f"{name}: {value}" for name, value in (("min", low), ("max", high)) if value)
    schema = f'feature {{ name: "stars" type: FLOAT float_domain {{ {bounds} }} }}'
    check = ItemCheck({"stars": Kind.NUMERIC}, {}, schema)
    _, refused = check.check([{"item_id": "7", "stars": 7.5}], {"7"})
    assert refused[0] == f"Expected {said} See docs/data.md."


@pytest.mark.parametrize(("value", "taken"), [(0.1, True), (0.7, True), (0.0999, False), (0.7001, False)])
def test_a_bound_that_float32_does_not_hold_is_the_decimal_that_was_written(value: float, taken: bool) -> None:
    check = ItemCheck(
        {"stars": Kind.NUMERIC}, {}, 'feature { name: "stars" type: FLOAT float_domain { min: 0.1 max: 0.7 } }'
    )
    _, refused = check.check([{"item_id": "7", "stars": value}], {"7"})
    said = {0: f"Expected stars from 0.1 to 0.7. Received: {value}. See docs/data.md."}
    assert refused == ({} if taken else said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, 'Received: true. Write "true", in quotes.'),
        (["i"], "Received: ['i']. Send it as the data have it."),
        ("i" * 513, f"Received: '{'i' * 76}.... Shorten it."),
    ],
)
def test_an_id_that_is_none_is_told_what_to_do(value: Any, said: str) -> None:
    _, refused = CHECK.check([{"item_id": value}], set())
    assert refused[0] == f"Expected item_id to be a text of 1 to 512 characters. {said}"
