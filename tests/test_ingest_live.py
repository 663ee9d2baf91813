"""Rows that come outside of a run: a value of another form is refused, whichever way round."""

from typing import Any

import pytest

from souk.config import Source
from souk.ingest.live import ItemCheck
from souk.ingest.mapping import TableSource
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


def test_an_item_may_be_older_than_1970() -> None:
    """As its row in a file; a release of before says otherwise in its schema."""
    schema = 'feature { name: "created_at" type: INT int_domain { min: 0 } }'
    rows = [{"item_id": "7", "created_at": -347_155_200_000, "title": "Kind of Blue"}]
    for check in (CHECK, ItemCheck({}, {}, schema)):
        found, refused = check.check(rows, ())
        assert (found["created_at"].to_pylist(), refused) == ([-347_155_200_000], {})
