"""Rows that come outside of a run: a value of another form is refused, whichever way round."""

from typing import Any

import pytest

from souk.ingest.live import ItemCheck
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
