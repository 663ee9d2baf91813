"""What `souk init` says of cells that hold several events, or several ids."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from souk.errors import SoukError
from souk.ingest.first_config import first_config
from souk.ingest.guess_several import several
from souk.ingest.profile import Column

REMEDY = r"in each row: write a line for each of these \(docs/data.md, Rows that hold several events\)"


@pytest.mark.parametrize(
    ("cell", "held"),
    [
        (lambda n: f"N{n % 25} N{n % 30}-1 N{n % 28}-0", True),
        (lambda n: f"{n % 25}|{n % 30}", True),
        (lambda n: f"[{n % 25}, {n % 30}]", True),
        (lambda n: json.dumps([{"aid": n}]), True),
        (lambda n: f"red lamp {n % 25} for you", False),  # words
        (lambda n: f"0.{n % 25} 0.{n % 30}", False),  # a vector
        (lambda n: f"N{n % 25}", False),  # one
        (lambda n: f"N{n} M{n}", False),  # of which none comes again
        (lambda n: f"2024-05-{n % 28 + 1:02} 10:00:00", False),
        (lambda n: f"{n % 3} {n % 5}", False),  # too few to be ids
    ],
)
def test_what_holds_several_is_told_from_words_and_vectors(cell: object, held: bool) -> None:
    assert callable(cell)
    assert several(Column("", pa.array([cell(n) for n in range(300)]))) == held


def test_a_list_of_objects_is_told(tmp_path: Path) -> None:
    lines = [json.dumps({"session": n, "events": [{"aid": n % 7, "ts": 1, "type": "clicks"}]}) for n in range(90)]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    with pytest.raises(SoukError, match=f"events has a list of objects {REMEDY}"):
        first_config(str(tmp_path / "s.jsonl"), None, None, "x")


def test_a_file_without_names_tells_its_users_and_what_holds_several(tmp_path: Path) -> None:
    """The number of the row is no user, and the ids in a list are no item."""
    lines = [f"{n}\tU{n % 40}\t11/13/2019 5:09:43 PM\tN{n % 25}-0 N{n % 30}-1" for n in range(1, 301)]
    (tmp_path / "b.tsv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SoukError) as error:
        first_config(str(tmp_path / "b.tsv"), None, None, "x")
    assert (
        "--events-header column_1,user_id,timestamp,column_4, and item_id where it is. column_4 has several ids"
        in str(error.value)
    )
