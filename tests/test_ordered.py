"""Tables in order, against pyarrow's own sort."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from souk import ordered
from souk.ingest.sorting import SortedRows
from souk.ordered import in_order


def made(count: int, chunk: int) -> pa.Table:
    rng = np.random.default_rng(5)
    rows = {
        "time": rng.integers(0, 5, count),
        "id": [f"i{n}" for n in rng.permutation(count)],
        "words": [None if n % 7 == 0 else ["a"] * (n % 4) for n in range(count)],
    }
    schema = pa.schema([("time", pa.int64()), ("id", pa.string()), ("words", pa.list_(pa.string()))])
    table = pa.table(rows, schema)
    return pa.concat_tables(table.slice(start, chunk) for start in range(0, max(1, count), chunk))


@pytest.mark.parametrize("keys", [("id",), ("time", "id")])
@pytest.mark.parametrize(("count", "chunk"), [(0, 1), (1, 1), (500, 13), (500, 500)])
def test_a_table_in_parts_is_in_the_same_order(
    monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], count: int, chunk: int
) -> None:
    table = made(count, chunk)
    expected = table.sort_by([(key, "ascending") for key in keys])
    monkeypatch.setattr(ordered, "PART_BYTES", 2000)
    found = in_order(table, keys)
    assert found == expected and in_order(found, keys) == expected
    assert max((batch.num_rows for batch in found.to_batches()), default=0) <= 100 or count < 2


def test_rows_that_are_in_order_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    table = made(500, 50).sort_by("id")
    monkeypatch.setattr(ordered, "PART_BYTES", 2000)
    assert in_order(table, ["id"]) is table


def test_what_ingest_sorts_is_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2.3 GB of text it ended in `offset overflow while concatenating arrays`."""
    table = made(500, 50)
    rows = SortedRows(tmp_path, table.schema, ["id"])
    rows.add(table, np.arange(500))
    monkeypatch.setattr(ordered, "PART_BYTES", 2000)
    [found] = rows.tables()
    assert found.drop_columns("row") == table.sort_by("id") and found["id"].num_chunks > 1
