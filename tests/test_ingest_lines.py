"""Columns that lines of JSON lack: each line names its own, so a file says only at its end what no line has."""

import json
from pathlib import Path
from typing import Any

import pytest

from souk.config import Source
from souk.errors import SoukError
from souk.ingest.mapping import TableSource
from souk.ingest.reading import Reading, look
from souk.readers import json_lines, read_batches

LINE = {"user_id": "u", "item_id": "i", "event_type": "click", "timestamp": 1_700_000_000_000}


def lines(path: Path, count: int, *without: str, **more: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    row = {name: value for name, value in (LINE | more).items() if name not in without}
    path.write_text((json.dumps(row) + "\n") * count)


def events(path: Path, **keys: Any) -> TableSource:
    return TableSource("events", Source(path=str(path), **keys), {})


def test_a_file_whose_lines_all_lack_a_column_is_told_as_one_without_it(tmp_path: Path) -> None:
    lines(tmp_path / "e/a.jsonl", 5)
    lines(tmp_path / "e/b.jsonl", 5, "event_type", kind="click")
    lines(tmp_path / "e/c.jsonl", 5)
    with pytest.raises(
        SoukError, match=r"events\.event_type in b\.jsonl to be one of item_id, kind, timestamp, user_id"
    ):
        list(Reading(events(tmp_path / "e")))
    (tmp_path / "e/c.jsonl").unlink()  # it is the last one now
    with pytest.raises(SoukError, match=r"events\.event_type in b\.jsonl"):
        list(Reading(events(tmp_path / "e")))


def test_a_file_may_lack_what_a_line_may_lack(tmp_path: Path) -> None:
    """What a line lacks that others of its file have is a fault of the line; a file of skipped lines needs nothing."""
    lines(tmp_path / "e/a.jsonl", 5, device="web", sort="")
    lines(tmp_path / "e/b.jsonl", 5)
    (tmp_path / "e/b.jsonl").write_text((tmp_path / "e/b.jsonl").read_text() + '{"user_id": "u"}\n')
    lines(tmp_path / "e/c.jsonl", 5, "item_id", sort="open")
    (tmp_path / "e/d.jsonl").write_text("{\n")
    source = events(tmp_path / "e", columns={"device": "device"}, skip={"sort": ("open",)})
    assert sum(rows.table.num_rows for rows in Reading(source)) == 5 + 6 + 1


def test_not_a_number_is_missing_as_in_a_table_of_numbers(tmp_path: Path) -> None:
    """As Python writes the empty cells of a frame; one user of all visitors was called nan."""
    (tmp_path / "e.jsonl").write_text('{"user_id": NaN, "item_id": "i", "n": 1.5}\n{"user_id": "nan", "n": Infinity}\n')
    [batch] = read_batches(Source(path=str(tmp_path / "e.jsonl")))
    assert batch.table.to_pydict() == {"user_id": [None, "nan"], "item_id": ["i", None], "n": ["1.5", "inf"]}


def test_what_the_first_lines_lack_is_told_before_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 200)
    lines(tmp_path / "e.jsonl", 50, "event_type", kind="click")
    table = events(tmp_path / "e.jsonl", columns={"event_type": "knd", "device": "web"})
    said = look(table)
    count = int(said.partition(" lines")[0].rpartition(" ")[2])
    assert 0 < count < 10
    has = "lines has web for events.device, knd for events.event_type; they have item_id, kind, timestamp, user_id"
    assert said == f"events: none of the first {count} {has}"
    assert look(events(tmp_path / "e.jsonl", columns={"event_type": "kind"})) == ""
    monkeypatch.undo()
    with pytest.raises(SoukError, match=r"events\.device"):
        look(table)
