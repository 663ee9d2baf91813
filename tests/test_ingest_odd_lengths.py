"""Columns of which many cells are longer than what is read are told."""

import pyarrow as pa
import pytest

from souk.ingest.odd.lengths import odd_lengths
from souk.schema import Kind
from souk.spec import LIST_LENGTH
from souk.values import entries

MORE = LIST_LENGTH + 1


def told(cells, kind):
    table = pa.table({"item_id": [f"i{n}" for n in range(len(cells))], "tags": cells})
    return list(odd_lengths("items", table.to_batches(max_chunksize=7), {"tags": kind, "gone": Kind.TEXT}))


@pytest.mark.parametrize(
    ("kind", "long", "short"),
    [
        (Kind.LIST, ["a"] * MORE, ["a"] * LIST_LENGTH),
        (Kind.TEXT, "Ab-1 " * 8 + "Grüße", "don't, " * 8),
        (Kind.PATH, "/ a b//" + "c/" * LIST_LENGTH, "/" + "a b/ /" * LIST_LENGTH),
    ],
)
def test_cells_that_are_cut_are_told_where_they_are_many(kind, long, short):
    assert (len(entries(long, kind)), len(entries(short, kind))) == (MORE, LIST_LENGTH)
    assert told([short] * 20 + [None], kind) == []
    assert told([long] * 4 + [short] * 77 + [None] * 5, kind) == []  # fewer than one in twenty of the filled ones
    (line,) = told([long] * 4 + [short] * 76 + [None] * 5, kind)
    words = {Kind.LIST: "entries", Kind.TEXT: "words", Kind.PATH: "levels"}[kind]
    assert line.startswith(f"items: 4 of 80 tags (5%) have more than 16 {words}, and the rest is not read. ")


def test_other_columns_are_of_any_length():
    assert told([[0.5] * MORE], Kind.VECTOR) == told(["a " * MORE], Kind.CATEGORICAL) == told([None], Kind.TEXT) == []
