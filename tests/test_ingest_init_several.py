"""What `souk init` says of cells that hold several events, or several ids."""

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.several import several
from souk.ingest.profile import Column
from tests.test_ingest_first_config import write

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


def snippets() -> list[str]:
    """The code of the section that the messages name."""
    section = (Path(__file__).parents[1] / "docs" / "data.md").read_text().partition("### Rows that hold several")[2]
    return re.findall(r"```python\n(.*?)```", section.partition("\n### ")[0], re.S)


def test_the_code_of_the_docs_writes_a_line_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    visits = [{"session": 1, "events": [{"aid": 5}, {"aid": 6}]}, {"session": 2, "events": [{"aid": 5}]}]
    Path("sessions.jsonl").write_text("".join(json.dumps(visit) + "\n" for visit in visits))
    Path("behaviors.tsv").write_text(
        "1\tU1\t11/13/2019 5:09:43 PM\tN7\tN5-0 N6-1\n2\tU2\t11/9/2019 8:52:16 AM\t\tN5-1\n"
    )
    for code in snippets():
        exec(code, {})
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert events == [{"session": 1, "aid": 5}, {"session": 1, "aid": 6}, {"session": 2, "aid": 5}]
    shown = pd.read_csv("events.csv")
    assert shown[["request_id", "item_id", "click", "position"]].values.tolist() == [
        [1, "N5", 0, 0],
        [1, "N6", 1, 1],
        [2, "N5", 1, 0],
    ]


def test_an_unknown_type_whose_items_the_file_does_not_have_is_left_out(tmp_path: Path) -> None:
    kinds = [("look", "i{}"), ("sort order", "price only"), ("search for a town", "Sydney")]
    rows = [
        {
            "user_id": n % 11,
            "item_id": kinds[n % 3][1].format(n % 30),
            "ts": 1_700_000_000 + n,
            "action": kinds[n % 3][0],
        }
        for n in range(300)
    ]
    goods = [{"item_id": f"i{n}", "title": f"a lamp {n}"} for n in range(30)]
    first = first_config(write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"), None, "x")
    assert parse_config(first.text).data.events.skip == {"action": ("search for a town", "sort order")}
    assert first.unknown == ("look",)
    alone = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert parse_config(alone.text).data.events.skip == {}, "without the file nobody knows"
