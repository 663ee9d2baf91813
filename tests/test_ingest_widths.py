"""Vectors of another width than before, as of a new model of embeddings, beside the schema that a run has kept."""

import json
import re
from pathlib import Path

import pytest
from pyarrow import parquet

from souk.errors import SoukError
from souk.ingest.schemas import read_schema
from souk.schema import Kind
from tests.test_ingest_bad_input import events, run, written

KINDS = {"image": Kind.VECTOR}


@pytest.mark.parametrize("asked", ["value_count { min: 3 max: 3 }", "shape { dim { size: 3 } }"])
def test_a_schema_of_another_width_is_an_error(asked: str) -> None:
    text = f'feature {{ name: "image" type: FLOAT {asked} }}'
    for widths in ({}, {"image": 3}):
        read_schema("users", text, KINDS, "users.pbtxt", widths)
    with pytest.raises(SoukError, match=r"users\.pbtxt to have vectors image of 4 numbers\. Received: 3\..*delete"):
        read_schema("users", text, KINDS, "users.pbtxt", {"image": 4})


@pytest.mark.parametrize("asked", ["", "value_count { min: 3 }", "value_count { min: 3 max: 5 }"])
def test_a_schema_that_takes_the_width_is_none(asked: str) -> None:
    read_schema("users", f'feature {{ name: "image" type: FLOAT {asked} }}', KINDS, "users.pbtxt", {"image": 4})


@pytest.mark.slow
def test_a_schema_that_nobody_edited_follows_the_config(tmp_path: Path) -> None:
    """Every row was refused, by a schema that no message named."""
    written(tmp_path, events())

    def ingest(width: int) -> set[int]:
        lines = [json.dumps({"item_id": str(n), "image": [float(n)] * width}) for n in range(11)]
        (tmp_path / "i.jsonl").write_text("\n".join(lines))
        data = "data: {events: {path: events}, items: {path: i.jsonl}}"
        counts = run(tmp_path, f"{data}\ncolumns: {{items: {{image: 'vector[{width}]'}}}}")["items"]
        assert counts["accepted"] == 11
        return {
            len(vector) for vector in parquet.read_table(tmp_path / "out/tables/items.parquet")["image"].to_pylist()
        }

    assert (ingest(3), ingest(4)) == ({3}, {4})
    [file] = tmp_path.glob("ws/**/bad/items.pbtxt")
    file.write_text(file.read_text() + "# reviewed\n")
    with pytest.raises(
        SoukError, match=rf"items\.pbtxt in {re.escape(str(file.parent))} to have .* 5 numbers\. Received: 4\."
    ):
        ingest(5)
