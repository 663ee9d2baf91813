"""The item feature table."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import BuildFeatures, Columns, Objectives, Repeat
from souk.features import tables
from souk.features.tables import item_table
from souk.ingest import files
from souk.ingest.files import write_parquet
from souk.spec import FeatureSpec
from tests.features_fixtures import bazaar, spec_of

SPEC = spec_of(bazaar())


def items(until, available=None):
    ids = [f"i{n}" for n in range(len(until))]
    return pa.table(
        {"item_id": ids, "available_until": pa.array(until, pa.int64()), "available": available or [True] * len(ids)}
    )


def test_the_table_says_what_is_so_now():
    made = item_table(items([99, None], [False, True]), SPEC)
    assert made["available"].to_pylist() == [False, True] and made["available_until"].to_pylist() == [99, None]


WIDTH = 64
OBJECTIVES = Objectives(engaged={"events": ["click"]}, satisfied={"events": ["click"]})
VECTORS = FeatureSpec("x", Columns(items={"image": f"vector[{WIDTH}]"}), OBJECTIVES, Repeat(), BuildFeatures())


def pictures(count):
    numbers = np.random.default_rng(3).random(count * WIDTH).astype(np.float32)
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, count * WIDTH + 1, WIDTH, dtype=np.int32)), numbers)
    return pa.table({"item_id": [f"i{n:05d}" for n in range(count)], "image": lists})


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_rows_taken_some_at_a_time_are_the_table(monkeypatch, count):
    whole = item_table(pictures(count), VECTORS)
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 4)
    assert item_table(pictures(count), VECTORS) == whole and whole.num_rows == count


def test_objects_of_python_are_made_of_few_items_at_once(monkeypatch):
    """An embedding of a million items of 512 numbers took 14 times its 2 GB."""
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 100)
    given = pictures(4000)
    tracemalloc.start()
    try:
        item_table(given, VECTORS)
        assert tracemalloc.get_traced_memory()[1] < 2 * given.nbytes  # Arrow's own memory is not traced
    finally:
        tracemalloc.stop()


def test_a_row_group_of_items_with_vectors_is_small(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "GROUP_BYTES", 1 << 16)
    write_parquet(pictures(1000), tmp_path / "items.parquet")
    found = parquet.ParquetFile(tmp_path / "items.parquet")
    assert found.metadata.num_row_groups == 5 and found.read() == pictures(1000)
    write_parquet(pictures(0), tmp_path / "items.parquet")
    assert parquet.read_table(tmp_path / "items.parquet") == pictures(0)
