"""Bad files through the whole step: a clear error and nothing half-written, or a quarantine with reasons."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source, load_config
from souk.errors import SoukError
from souk.ingest.memory import check_fits, free_bytes
from souk.readers import delimited, json_lines, read_batches
from souk.steps import ingest as step

ROWS = 300
OBJECTIVES = "objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}"


def events(first: int = 0, rows: int = ROWS, **columns: Any) -> pa.Table:
    numbers = np.arange(first, first + rows)
    values = {
        "event_id": [f"e{n}" for n in numbers],
        "user_id": numbers % 7,
        "item_id": numbers % 11,
        "event_type": ["click"] * rows,
        "timestamp": 1_700_000_000_000 + numbers,
        "price": np.full(rows, 2.5),
    }
    return pa.table({name: value for name, value in (values | columns).items() if value is not None})


def run(folder: Path, config: str = "data: {events: {path: events}}") -> dict[str, Any]:
    """Ingests; returns the manifest's tables."""
    (folder / "c.yaml").write_text(f"name: bad\n{config}\n{OBJECTIVES}\n")
    out = folder / "out"
    paths = (str(out / "tables"), str(out / "quarantine"), str(out / "report.html"))
    step.ingest(load_config(folder / "c.yaml").for_step("ingest"), "", str(folder / "ws"), *paths)
    return json.loads((out / "tables/manifest.json").read_text())["tables"]


def written(folder: Path, table: pa.Table, name: str = "a.parquet") -> Path:
    (folder / "events").mkdir(exist_ok=True)
    parquet.write_table(table, folder / "events" / name)
    return folder / "events" / name


def nothing_half_written(folder: Path) -> None:
    """No table, no refused row and no file on its way."""
    left = [path.name for path in (folder / "out").rglob("*") if path.is_file()]
    assert left == []
    assert [path.name for path in (folder / "out").iterdir()] in ([], ["quarantine"])


def ruin_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def ruin_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200:1200] = bytes(1000)
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("ruin", [ruin_the_end, ruin_the_middle, lambda path: path.write_bytes(b"")])
def test_an_unreadable_parquet_file_leaves_nothing(tmp_path: Path, ruin: Any) -> None:
    written(tmp_path, events())
    ruin(written(tmp_path, events(ROWS), "b.parquet"))
    with pytest.raises(SoukError, match=r"b\.parquet to be parquet"):
        run(tmp_path)
    nothing_half_written(tmp_path)


@pytest.mark.slow
def test_part_files_may_differ_in_types_but_not_lack_a_column(tmp_path: Path) -> None:
    written(tmp_path, events())
    texts = events(ROWS).cast(pa.schema([(field.name, pa.string()) for field in events().schema]))
    written(tmp_path, texts.append_column("new", pa.nulls(ROWS, pa.int8())), "b.parquet")
    assert run(tmp_path)["events"]["accepted"] == 2 * ROWS
    table = parquet.read_table(tmp_path / "out/tables/events.parquet")
    assert table["event_id"].to_pylist() == [f"e{n}" for n in range(2 * ROWS)]
    assert set(table["user_id"].to_pylist()) == {str(n) for n in range(7)}
    written(tmp_path, events(rows=5).rename_columns({"user_id": "user_di"}), "c.parquet")
    with pytest.raises(SoukError, match=r"user_id for events\.user_id in c\.parquet, too.*Did you mean 'user_di'"):
        run(tmp_path)
    written(tmp_path, events(rows=5, user_id=[{"a": 1}] * 5), "c.parquet")
    with pytest.raises(SoukError, match=r"events\.user_id to be string.*struct.* in c\.parquet"):
        run(tmp_path)


@pytest.mark.slow
def test_bad_cells_are_quarantined_under_their_reason(tmp_path: Path) -> None:
    times: list[Any] = ["2024-01-05T10:00:00", "2024-01-05T10:00:00+02:00", "2024-01-05"] * (ROWS // 3)
    prices: list[Any] = ["1"] * ROWS
    times[5], times[6], times[7] = "2024-03-31T01:30:00", "2024-03-31T01:30:00Z", "1704448800"
    prices[8], prices[9], prices[10], prices[13] = "-1", "cheap", "1,5", "1.7976931348623157e308"
    ids = [f"e{n}" for n in range(ROWS)]
    ids[11] = ids[12] = "e3"
    rows = events(event_id=ids, timestamp=times, price=prices)
    (tmp_path / "e.csv").write_text(
        "\n".join(
            [",".join(rows.column_names), *('"' + '","'.join(map(str, r.values())) + '"' for r in rows.to_pylist())]
        )
    )
    counts = run(tmp_path, "data: {events: {path: e.csv, timestamp_unit: iso, timezone: Europe/London}}")["events"]
    assert counts["reasons"] == {
        "duplicate event_id": 2,
        "range price": 2,
        "type price": 2,
        "type timestamp": 2,
    }
    assert counts["accepted"] == ROWS - 8
    refused = parquet.read_table(tmp_path / "out/quarantine/events.parquet").to_pylist()
    assert {row["position"]: row["reason"] for row in refused} == {
        6: "type",
        8: "type",
        9: "range",
        10: "type",
        11: "type",
        12: "duplicate",
        13: "duplicate",
        14: "range",
    }
    assert [json.loads(row["row"])["event_id"] for row in refused if row["position"] == 13] == ["e3"]


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "price"), [("first", 1.0), ("last", 3.0)])
def test_items_from_a_file_of_events(tmp_path: Path, keep: str, price: float) -> None:
    cost = np.repeat([1.0, 2.0, 3.0, -1.0], ROWS // 4)  # the last row of an item is bad: it takes no part
    written(tmp_path, events(price=cost))
    items = f"items: {{path: events, repeated_ids: {keep}, columns: {{price: price}}}}"
    config = (
        f"data: {{events: {{path: events, columns: {{price: ''}}}}, {items}}}\ningest: {{quarantine_threshold: 0.3}}"
    )
    counts = run(tmp_path, config)
    assert counts["items"]["skipped"] == {"repeated_ids": ROWS * 3 // 4 - 11}
    assert (counts["items"]["accepted"], counts["items"]["quarantined"]) == (11, ROWS // 4)
    assert parquet.read_table(tmp_path / "out/tables/items.parquet")["price"].to_pylist() == [price] * 11


@pytest.mark.slow
def test_items_without_events_can_be_withdrawn(tmp_path: Path) -> None:
    written(tmp_path, events())
    (tmp_path / "i.csv").write_text("item_id,available,available_until\n1,true,\n2,false,9\n99,true,9\n")
    config = "data: {events: {path: events}, items: {path: i.csv}}\n"
    for setting, expected in (("available", True), ("unavailable", False)):
        run(tmp_path, config + f"ingest: {{items_without_events: {setting}}}")
        rows = parquet.read_table(tmp_path / "out/tables/items.parquet").to_pylist()
        found = {row["item_id"]: row["available"] for row in rows}
        assert found == {**{str(n): True for n in range(11)}, "2": False, "99": expected}
        ends = {row["item_id"]: row["available_until"] for row in rows if row["available_until"]}
        assert ends == {"2": 9} | ({"99": 9} if expected else {}), "with an end it would have been there until then"


@pytest.mark.slow
def test_repeats_without_ids_get_numbers_in_the_order_of_the_files(tmp_path: Path) -> None:
    same = events(rows=4, event_id=None, user_id=[1, 1, 2, 1], item_id=[5] * 4, timestamp=[1_700_000_000_000] * 4)
    written(tmp_path, same)
    assert run(tmp_path)["events"]["accepted"] == 4
    table = parquet.read_table(tmp_path / "out/tables/events.parquet").to_pylist()
    assert [row["event_id"] for row in table] == sorted(row["event_id"] for row in table)
    ends = sorted(row["event_id"][16:] for row in table if row["user_id"] == "1")
    assert ends == ["", "-1", "-2"]


def test_rows_that_are_all_skipped_are_an_error(tmp_path: Path) -> None:
    written(tmp_path, events(user_id=pa.nulls(ROWS)))
    with pytest.raises(SoukError, match="an event to learn from"):
        run(tmp_path, "data: {events: {path: events, skip: {user_id: ''}}}")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (None, r"i\.\* *\. Received: nothing there"),
        ("i.csv", r"items\.item_id in i\.csv.*Did you mean 'item'"),
        ("i.jsonl", r"items\.item_id in .*i\.jsonl.*Did you mean 'item'"),
        ("i.parquet", r"items\.item_id to be string\. Received: a column of struct.* in i\.parquet"),
    ],
)
def test_what_a_look_at_the_items_tells_is_told_before_events_are_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str | None, words: str
) -> None:
    written(tmp_path, events())
    (tmp_path / "i.csv").write_text("item\n1\n")
    (tmp_path / "i.jsonl").write_text('{"item": "1"}\n')
    parquet.write_table(pa.table({"item_id": [{"a": 1}]}), tmp_path / "i.parquet")
    with pytest.raises(SoukError, match=words):
        run(tmp_path, f"data: {{events: {{path: events}}, items: {{path: {file or 'none/i.*'}}}}}")
    assert "events: reading" not in "".join(capfd.readouterr())
    nothing_half_written(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "created", "remedy"),
    [
        ("ms", "2023-11-14", "Set data.items.timestamp_unit to iso if times are written as 2024-05-31T12:00:00. All"),
        (
            "iso",
            "1700000000",
            "They look like s: set data.items.timestamp_unit to s.",
        ),
    ],
)
def test_dates_of_items_in_another_unit_are_told_with_the_key(
    tmp_path: Path, unit: str, created: str, remedy: str
) -> None:
    written(tmp_path, events())
    (tmp_path / "i.csv").write_text("item_id,created_at\n" + "".join(f"{n},{created}\n" for n in range(11)))
    with pytest.raises(SoukError) as error:
        run(tmp_path, f"data: {{events: {{path: events}}, items: {{path: i.csv, timestamp_unit: {unit}}}}}")
    assert "11 of 11 items (100.0%)" in str(error.value) and remedy in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["1,2023-01-01"] * 8 + ["9,soon"], False),  # ids repeat
        (["9,soon"] * 5 + [f"{n},2023-01-01" for n in range(5)], False),
        (["9,soon"] * 5 + [f"{n},2023-01-01" for n in range(4)], True),
    ],
)
def test_a_few_dates_that_cannot_be_read_are_no_other_unit(tmp_path: Path, rows: list[str], told: bool) -> None:
    written(tmp_path, events())
    (tmp_path / "i.csv").write_text("\n".join(["item_id,created_at", *rows, ""]))
    with pytest.raises(SoukError) as error:
        run(tmp_path, "data: {events: {path: events}, items: {path: i.csv, timestamp_unit: iso}}")
    assert "type created_at: " in str(error.value)
    assert ("data.items.timestamp_unit" in str(error.value)) == told


def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(SoukError, match="free space on the disk"), step._spill(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_does_not_fit_in_memory_is_refused() -> None:
    check_fits(1000, "items")
    with pytest.raises(SoukError, match=r"items to fit in memory.*GiB needed"):
        check_fits(1 << 50, "items")


def test_a_container_may_take_less_than_its_machine(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    assert free_bytes(tmp_path, tmp_path / "none") == 8000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert free_bytes(tmp_path, tmp_path) == 8000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    assert free_bytes(tmp_path, tmp_path) == 600_000  # page cache that can go is free


def test_lines_without_an_end_and_rows_without_columns_are_refused_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 64)
    (tmp_path / "e.jsonl").write_text("[" + '{"user_id": "u"}, ' * 50)
    with pytest.raises(SoukError, match="one JSON object a line"):
        list(read_batches(Source(path=str(tmp_path / "e.jsonl"))))
    monkeypatch.setattr(delimited, "MALFORMED_BYTES", 5000)
    (tmp_path / "e.csv").write_text("a,b,c\n" + "one column\n" * 100)
    with pytest.raises(SoukError, match=r"3 columns in the rows of e\.csv.*'one column'.*`delimiter`"):
        list(read_batches(Source(path=str(tmp_path / "e.csv"))))


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_is_told_as_such(tmp_path: Path, indent: int | None) -> None:
    rows = [{"user_id": "u", "item_id": n} for n in range(3)]
    (tmp_path / "e.jsonl").write_text("\n" + json.dumps(rows, indent=indent))
    with pytest.raises(
        SoukError, match=r"one JSON object a line in e\.jsonl\. Received: an array\. Write a line an object"
    ):
        list(read_batches(Source(path=str(tmp_path / "e.jsonl"))))


def test_a_line_that_is_a_list_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('["u1", "i1"]\n{"user_id": "u"}\n')
    (batch,) = read_batches(Source(path=str(tmp_path / "e.jsonl")))
    assert batch.malformed == {0: '["u1", "i1"]'}
