"""UUIDs of Parquet are texts from the reading on."""

from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from souk.config import Source
from souk.ingest.mapping import TableSource
from souk.ingest.odd.untyped import Untyped
from souk.ingest.reading import Reading
from souk.readers.texts import decoded
from tests.ingest_fixtures import read_rows


def test_uuids_of_parquet_are_their_texts(tmp_path: Path) -> None:
    ids = [UUID(int=n) for n in range(2)]
    table = {"user_id": pa.array([*ids, None], pa.uuid()), "item_id": ["i", "j", "k"], "event_type": ["click"] * 3}
    parquet.write_table(pa.table({**table, "timestamp": [1_700_000_000_000] * 3}), tmp_path / "e.parquet")
    read = read_rows("events", Source(path=str(tmp_path / "e.parquet")), {})
    assert read.table["user_id"].to_pylist() == [*map(str, ids), None]
    assert str(ids[1]) in read.texts()[1]


def test_uuids_are_the_texts_that_python_makes_of_them() -> None:
    ids = [uuid4() if n % 3 else None for n in range(20)]
    for part in (slice(0, 20), slice(4, 11), slice(5, 5)):
        column = pa.array(ids, pa.uuid())[part]
        table, wrong = decoded(pa.RecordBatch.from_arrays([column], names=["id"]))
        assert table["id"].to_pylist() == [each and str(each) for each in ids[part]] and not wrong


def test_uuids_that_nothing_maps_and_that_are_refused_end_no_run(tmp_path: Path) -> None:
    """Arrow tells no different ones of a column of them."""
    ids = pa.array([UUID(int=n) for n in range(8)], pa.uuid())
    users = pa.array([None, *ids[1:].to_pylist()], pa.uuid())
    table = {"user_id": users, "order": ids, "item_id": ["i"] * 8, "timestamp": [1_700_000_000_000] * 8}
    parquet.write_table(pa.table(table), tmp_path / "e.parquet")
    source = Source(path=str(tmp_path / "e.parquet"), constants={"event_type": "purchase"})
    found = TableSource("events", source, {})
    [batch] = Reading(found)
    Untyped(found).note(batch.raw.table)
    assert batch.texts("user_id", np.arange(3)) == [str(UUID(int=n)) for n in (1, 2)]
