"""Items whose rows are refused: events bring them back, and they are available where their row lets them be."""

import json
from pathlib import Path

import pytest

from tests.test_ingest_step import CONFIG, Shop

pytestmark = pytest.mark.slow  # imports TensorFlow Data Validation
END = 1_700_000_500_000  # after all that was taken: an end a moment before it is moved


def ingested(
    folder: Path, *changes: dict[str, object], base: str = CONFIG, config: str = ""
) -> tuple[dict[str, tuple[object, ...]], str]:
    """The items in which the first rows are changed, by their available, available_until and colour; and the report."""
    shop = Shop(folder, base + "ingest:\n  quarantine_threshold: 1\n" + config)
    shop.write()
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    rows = [row | change for row, change in zip(rows, changes, strict=False)] + rows[len(changes) :]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shop.ingest()
    items = shop.table("tables/items").to_pylist()
    found = {row["item_id"]: (row["available"], row["available_until"], row["colour"]) for row in items}
    return found, (folder / "1/report.html").read_text()


def test_what_a_refused_row_says_of_its_end_holds(tmp_path: Path) -> None:
    """i10 is in no file; i8 and i9 have rows without a fault."""
    items, report = ingested(
        tmp_path,
        {"available_until": "31.05.2024"},
        {"available_until": -1},
        {"available": "perhaps"},
        {"created_at": "31.05.2024", "available_until": END},
        {"created_at": "31.05.2024"},
        {"price": "dear", "available": False},
        {"price": "dear", "available_until": END},
        {"price": "dear", "available_until": "soon"},
        {"available_until": END},
    )
    assert items == {
        **dict.fromkeys(("i0", "i1", "i2", "i5", "i7"), (False, None, None)),
        **dict.fromkeys(("i3", "i6"), (True, END, None)),
        **dict.fromkeys(("i4", "i10"), (True, None, None)),
        "i8": (True, END, "blue"),
        "i9": (True, None, "red"),
    }
    assert "items: 5 in events, whose row is refused, are not available: it says so, or its" in report


def test_of_several_rows_of_an_item_a_good_one_counts_and_else_the_earliest_end(tmp_path: Path) -> None:
    bad = {"created_at": "soon"}
    items, report = ingested(
        tmp_path,
        {"available_until": "soon"},
        {"item_id": "i0", "available_until": END},
        {"available_until": END + 1, **bad},
        {"item_id": "i2", "available_until": END, **bad},
        {"available_until": "soon"},
        {"item_id": "i4", **bad},
    )
    assert items["i0"] == (True, END, "red") and items["i2"] == (True, END, None)
    assert items["i4"] == (False, None, None) and items["i1"] == items["i3"] == (True, None, None)
    assert "items: 1 in events, whose row is refused, are not available" in report
    assert "items: 1 in events, whose row is refused, are recommended without title and columns" in report


def test_what_has_ended_is_not_recommended_because_its_row_is_refused(tmp_path: Path) -> None:
    _, report = ingested(tmp_path, {"price": "dear", "available_until": 1}, {"price": "dear"})
    assert "items: 1 in events, whose row is refused, are recommended without title and columns" in report
    assert "items: 1 in events, whose row is refused, are not available" in report


def test_what_events_do_not_mention_does_not_come_back_and_nothing_is_said(tmp_path: Path) -> None:
    items, report = ingested(tmp_path, {"item_id": "unsold", "available_until": "soon"}, {"created_at": "soon"})
    assert "unsold" not in items and "whose row is refused, are not available" not in report


def test_what_skip_leaves_out_is_known_and_not_available(tmp_path: Path) -> None:
    """i10 is in no file; i2 has a good row too, i4 a refused one."""
    config = "  items: {path: items.jsonl, skip: {status: [gone]}}\n"
    items, report = ingested(
        tmp_path,
        {"status": "gone"},
        {"status": "gone", "available": True, "available_until": END},
        {"status": "live"},
        {"item_id": "i2", "status": "gone"},
        {"status": "gone"},
        {"item_id": "i4", "price": "dear"},
        {"item_id": "unsold", "status": "gone"},
        base=CONFIG.replace("  items: {path: items.jsonl}\n", config),
    )
    assert {name: available for name, (available, _, _) in items.items() if not available} == dict.fromkeys(
        ("i0", "i1", "i4"), False
    )
    assert items["i0"] == items["i1"] == (False, None, None) and items["i2"] == (True, None, "blue")
    assert "items: 3 in events, whose row `skip` leaves out, are not available" in report
    assert "items: 4 with 36.25% of the events have no row in the file: they are recommended" in report


def test_items_without_a_row_can_be_kept_out_and_refused_ones_stay(tmp_path: Path) -> None:
    hide = "  items_without_rows: unavailable\n"
    items, report = ingested(tmp_path, {"price": "dear"}, {"item_id": "unsold"}, config=hide)
    assert {name for name, (available, _, _) in items.items() if not available} == {"i1", "i10"}
    assert items["i0"] == (True, None, None) and "whose row is refused, are not available" not in report
    assert "have no row in the file: they are not available (ingest.items_without_rows)" in report
