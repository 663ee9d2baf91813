"""`souk init`: objects of a database of documents in the place of an id or a time, and how they become columns."""

import json
from pathlib import Path
from typing import Any

import pytest

from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import init


def dump(path: Path, change: dict[str, Any]) -> str:
    """Sixty documents, of which some keys are objects."""
    rows = ({"user": f"u{n % 9}", "item": f"i{n % 7}", "ts": f"2025-03-01T10:{n:02d}:00Z"} | change for n in range(60))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("change", "expected", "received"),
    [
        (
            {"user": {"id": "u1", "device": "ios"}},
            "one value in each row for user_id",
            'user with objects such as {"id"',
        ),
        ({"item": {"$oid": "65ab"}}, "one value in each row for item_id", 'item with objects such as {"$oid"'),
        ({"ts": {"$date": "2025-03-01T10:00:00Z"}}, "the time of an event", 'ts with objects such as {"$date"'),
    ],
)
def test_an_object_is_no_id_and_no_time(tmp_path: Path, change: dict[str, Any], expected: str, received: str) -> None:
    with pytest.raises(SoukError) as refused:
        first_config(dump(tmp_path / "e.jsonl", change), None, None, "x")
    said = str(refused.value)
    assert f"Expected {expected}" in said and received in said
    assert 'pandas.json_normalize(pandas.read_json("e.jsonl", lines=True' in said


def test_what_the_remedy_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = {"user": {"id": "u1", "device": "ios"}, "ts": {"$date": "2025-03-01T10:00:00Z"}}
    path = dump(tmp_path / "e.jsonl", change)
    with pytest.raises(SoukError) as refused:
        first_config(path, None, None, "x")
    _, _, remedy = str(refused.value).partition("with pandas, ")
    monkeypatch.chdir(tmp_path)
    exec(f"import pandas\n{remedy.partition(', and give that file')[0]}")
    _, config = init(tmp_path, str(tmp_path / "flat.jsonl"))
    columns = config.data.events.columns
    assert (columns.get("user_id", "user_id"), columns["timestamp"]) == ("user_id", "ts_$date")


@pytest.mark.parametrize(
    ("column", "target"),
    [("props_position", "position"), ("event_params_rank", "position"), ("Payload.Rating", "value"), ("place", None)],
)
def test_the_parts_of_an_event_go_by_their_own_names(tmp_path: Path, column: str, target: str | None) -> None:
    _, config = init(tmp_path, dump(tmp_path / "e.jsonl", {column: 3}))
    assert [key for key, name in config.data.events.columns.items() if name == column] == [target] * bool(target)
