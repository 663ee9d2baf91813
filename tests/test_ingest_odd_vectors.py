"""What is told of vectors that are amounts."""

import pyarrow as pa
import pytest

from souk.ingest.odd.vectors import odd_vectors
from souk.schema import Kind


@pytest.mark.parametrize(
    ("rows", "kind", "told"),
    [
        ([[300.0, 400.0], [300.0, 400.0], None], Kind.VECTOR, True),  # of a root mean square of 353.6
        ([[0.1, -0.9], [3.0, None]], Kind.VECTOR, False),
        ([None, None], Kind.VECTOR, False),
        ([[300.0, 400.0]], Kind.LIST, False),
    ],
)
def test_large_vectors_are_told(rows: list[list[float] | None], kind: Kind, told: bool) -> None:
    table = pa.table({"nutrition": pa.array(rows, pa.list_(pa.float32()))})
    found = [*odd_vectors("items", table, {"nutrition": kind, "image": kind})]
    expected = ["items: the numbers of nutrition are about 354, and vectors are read as they are. "]
    assert [line[: len(expected[0])] for line in found] == expected * told
