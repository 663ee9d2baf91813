"""The step: files to tables, twice, with an edited schema, and with bad rows."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from souk.config import load_config
from souk.errors import SoukError
from souk.ingest.packed import packed
from souk.ingest.tables import content_of, seal
from souk.serving.events.log import EventLog
from souk.steps.ingest import ingest

pytestmark = pytest.mark.slow  # imports TensorFlow Data Validation
ROOT = Path(__file__).parents[1]
CONFIG = """
name: shop
data:
  events: {path: events.csv, columns: {item_id: product, price: ""}, timestamp_unit: s}
  items: {path: items.jsonl}
columns:
  events: {device: categorical}
  items: {price: numeric, colour: categorical}
objectives:
  engaged: {events: [click, purchase]}
  satisfied: {events: [purchase]}
"""
GOOD = 400
NOW = 1_700_001_000_000  # after all of them


@dataclass
class Shop:
    """A small data set in a folder, and its ingest."""

    folder: Path
    config: str = CONFIG

    def write(self, *bad: str) -> None:
        days = np.random.default_rng(5).permutation(GOOD)
        lines = [f"e{n},u{n % 7},i{n % 11},click,{1_700_000_000 + int(n)},web" for n in days]
        text = "\n".join(["event_id,user_id,product,event_type,timestamp,device", *lines, *bad])
        (self.folder / "events.csv").write_text(text + "\n")
        items = [{"item_id": f"i{n}", "price": n, "colour": "red" if n % 2 else "blue"} for n in range(10)]
        (self.folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))

    def ingest(self, schema: str = "", run: str = "1") -> dict[str, float]:
        (self.folder / "shop.yaml").write_text(self.config)
        out = self.folder / run
        config = load_config(self.folder / "shop.yaml").for_step("ingest")
        paths = (str(out / "tables"), str(out / "quarantine"), str(out / "report.html"))
        return ingest(config, schema, str(self.folder / "ws"), *paths)

    def table(self, name: str, run: str = "1") -> Any:
        return parquet.read_table(self.folder / run / f"{name}.parquet")

    @property
    def schemas(self) -> Path:
        return self.folder / "ws" / "schemas" / "shop"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.write()
    return made


def test_tables_are_sorted_complete_and_counted(shop: Shop) -> None:
    shop.config = CONFIG.replace('price: ""}', 'price: ""}, event_types: {"C*": return}')
    shop.config = shop.config.replace("items.jsonl", 'items.jsonl, templates: {title: "{item_id}, {colour}"}')
    shop.write("bad,u1,i1,shine,1700000001,web")
    metrics = shop.ingest()
    events, items, users = (shop.table(f"tables/{name}") for name in ("events", "items", "users"))
    assert metrics["events_read"] == GOOD + 1
    assert metrics["events_quarantined"] == 1
    times = events["timestamp"].to_pylist()
    assert times == sorted(times)
    assert len(times) == GOOD
    assert items["item_id"].to_pylist() == sorted(f"i{n}" for n in range(11))
    added = items.to_pylist()[2]
    assert added["item_id"] == "i10"
    assert added["available"] is True
    assert added["colour"] is None
    assert users["user_id"].to_pylist() == [f"u{n}" for n in range(7)]
    manifest = json.loads((shop.folder / "1/tables/manifest.json").read_text())
    assert manifest["tables"]["events"] == {
        "read": GOOD + 1,
        "accepted": GOOD,
        "quarantined": 1,
        "reasons": {"domain event_type": 1},
        "skipped": {},
    }
    assert (manifest["first_event"], manifest["last_event"]) == (times[0], times[-1])
    assert len(manifest["fingerprint"]) == 64
    assert manifest["names"] == {"events": {"item_id": "product"}, "items": {}, "users": {}}
    assert manifest["parts"] == {"events": {}, "items": {"title": ["item_id", "colour"]}, "users": {}}
    assert (manifest["event_types"], manifest["separators"]) == ({"C*": "return"}, {})
    assert manifest["items_oldest"] == manifest["items_as_of"]
    assert manifest["items_as_of"] == pytest.approx((shop.folder / "items.jsonl").stat().st_mtime * 1000, abs=1.5)
    for name in ("events", "items", "users"):
        assert (shop.folder / f"1/tables/schema/{name}.pbtxt").read_text() == (
            shop.schemas / f"{name}.pbtxt"
        ).read_text()
        assert shop.table(f"quarantine/{name}").num_rows == (name == "events")


def test_the_bounds_that_change_or_refuse_something_are_in_the_manifest(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    shop.config += "ingest: {outliers: {columns: {price: clip}}}\n"
    goods = [{"item_id": f"i{n}", "price": n % 9 if n else 1e9, "colour": "red"} for n in range(100)]
    (shop.folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in goods))
    shop.ingest()
    bounds = json.loads((shop.folder / "1/tables/manifest.json").read_text())["bounds"]
    low, high, action = bounds["items"]["price"]
    assert bounds["events"] == bounds["users"] == {} and action == "clip" and low < 0
    assert max(shop.table("tables/items")["price"].to_pylist()) == high < 1e9
    told = "items.price: 1 outliers beyond .* clipped; requests that filter by it go by the bound"
    assert re.search(told, capfd.readouterr().out)


def test_the_event_log_of_a_server_is_read_beside_the_file(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    log = EventLog(shop.folder / "live", "w", lambda: NOW)
    kept = {"user_id": "u1", "item_id": "i3", "event_type": "purchase", "arrived_at": NOW, "device": "tv"}
    log.append([{"event_id": f"live{n}", "timestamp": NOW - 1000 + n, **kept} for n in range(3)])
    log.append([{"event_id": "e7", "timestamp": NOW, **kept}])  # the file has it too
    shop.config = CONFIG.replace("  items:", "  event_log: live\n  items:", 1)
    before = shop.ingest()
    assert (before["events"], log.close() is not None) == (GOOD, True), "a file that grows is not read"
    assert f"of the event log {shop.folder}/live closed files: NONE yet" in capfd.readouterr().out
    metrics = shop.ingest(run="2")
    assert f"events.csv, and of the event log {shop.folder}/live closed files: 1\n" in capfd.readouterr().out
    assert (metrics["events_read"], metrics["events"], metrics["events_quarantined"]) == (GOOD + 4, GOOD + 3, 1)
    rows = shop.table("tables/events", "2").to_pylist()
    for n, row in enumerate(rows[-3:]):
        assert {name: row[name] for name in kept} == kept
        assert (row["event_id"], row["timestamp"]) == (f"live{n}", NOW - 1000 + n)
    assert [r["file"] for r in shop.table("quarantine/events", "2").to_pylist()] == ["22-w-000000.jsonl"]
    one, two = (json.loads((shop.folder / run / "tables/manifest.json").read_text()) for run in "12")
    assert one["fingerprint"] != two["fingerprint"]


@pytest.mark.parametrize("keep", ["quarantine", "first"])
def test_of_a_log_an_id_counts_once_where_the_file_has_none(
    shop: Shop, keep: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two servers were sent one event, as by a retry; what the file says twice happened twice."""
    lines = [f"u{n % 7},i{n % 11},click,{1_700_000_000 + n},web" for n in (*range(GOOD), 7)]
    (shop.folder / "events.csv").write_text("\n".join(["user_id,product,event_type,timestamp,device", *lines]) + "\n")
    sent = {"event_id": "e1", "user_id": "u1", "item_id": "i3", "event_type": "purchase", "timestamp": NOW}
    for server in "ab":
        log = EventLog(shop.folder / "live", server, lambda: NOW)
        log.append([{**sent, "device": "tv"}, {**sent, "event_id": f"of {server}", "timestamp": NOW + 1}])
        log.close()
    shop.config = CONFIG.replace("  items:", "  event_log: live\n  items:", 1)
    shop.config = shop.config.replace("timestamp_unit: s", f"timestamp_unit: s, repeated_ids: {keep}", 1)
    metrics = shop.ingest()
    told = "".join(capfd.readouterr())
    assert "405 read" in told and "lines has product" not in told, "lines of a log have the names of the contract"
    ids = shop.table("tables/events")["event_id"].to_pylist()
    assert (metrics["events"], ids[-3:]) == (GOOD + 4, ["e1", "of a", "of b"])
    assert [name[-2:] for name in ids if "-" in name] == ["-1"]
    counts = json.loads((shop.folder / "1/tables/manifest.json").read_text())["tables"]["events"]
    repeated = {"repeated_ids": 1} if keep == "first" else {}
    assert (counts["reasons"], counts["skipped"]) == ({} if repeated else {"duplicate event_id": 1}, repeated)
    assert [r["file"] for r in shop.table("quarantine/events").to_pylist()] == ["22-b-000000.jsonl"] * (not repeated)


def test_every_kind_of_bad_row_gets_its_reason_and_keeps_its_text(shop: Shop) -> None:
    bad = {
        "too,few": "malformed ",
        "b1,,i1,click,1700000001,web": "missing user_id",
        "b2,u1,i1,click,soon,web": "type timestamp",
        "b3,u1,i1,click,-5,web": "range timestamp",
        "b4,u1,i1,shine,1700000001,web": "domain event_type",
        "b5,u1,i1,click,99999999999,web": "future timestamp",
        "e3,u1,i1,click,1700000001,web": "duplicate event_id",
        "b6,,i1,shine,soon,web": "missing user_id",
    }
    shop.write(*bad)
    shop.ingest()
    rows = shop.table("quarantine/events").to_pylist()
    order = sorted(rows, key=lambda row: row["position"])
    assert [f"{row['reason']} {row['column']}" for row in order] == list(bad.values())
    assert [row["position"] for row in order] == list(range(GOOD + 1, GOOD + 1 + len(bad)))
    assert json.loads(order[0]["row"]) == {"line": "too,few"}
    assert json.loads(order[1]["row"])["event_id"] == "b1"
    assert order[-1]["reasons"] == ["missing user_id", "type timestamp", "domain event_type"]


def test_too_many_bad_rows_stop_before_tables_are_written(shop: Shop) -> None:
    shop.write(*[f"b{n},u1,i1,shine,1700000001,web" for n in range(GOOD // 10)])
    with pytest.raises(SoukError, match=r"40 of 440 events \(9\.1%\)") as error:
        shop.ingest()
    assert str(error.value).count("events.csv row") == 3
    assert shop.table("quarantine/events").num_rows == 40
    assert "domain event_type" in (shop.folder / "1/report.html").read_text()
    assert not (shop.folder / "1/tables").exists()
    shop.config = CONFIG + "ingest: {quarantine_threshold: 0.1}\n"
    assert shop.ingest()["events"] == GOOD


def test_a_schema_is_inferred_once_and_an_edit_is_enforced(shop: Shop) -> None:
    shop.ingest()
    file = shop.schemas / "items.pbtxt"
    inferred = file.read_text()
    assert (shop.schemas / ".inferred" / "items.pbtxt").read_text() == inferred
    assert 'value: "blue"' in inferred
    assert "min_domain_mass: 0.9" in inferred
    assert shop.ingest(run="2")["items_quarantined"] == 0
    assert file.read_text() == inferred

    closed = re.sub(r"\n  distribution_constraints \{\n.*\n  \}", "", inferred).replace('    value: "blue"\n', "")
    file.write_text(closed)
    shop.config = CONFIG + "ingest: {quarantine_threshold: 0.6}\n"
    assert shop.ingest(run="3")["items_quarantined"] == 5
    assert file.read_text() == closed
    for given in (json.dumps({"items": inferred}), packed({"items": inferred})):
        assert shop.ingest(given, run="4")["items_quarantined"] == 0  # a committed schema wins over the workspace
        assert (shop.folder / "4/tables/schema/items.pbtxt").read_text() == inferred


def test_a_newly_declared_column_is_inferred_unless_the_schema_was_edited(shop: Shop) -> None:
    shop.config = CONFIG.replace(", colour: categorical", "")
    shop.ingest()
    shop.config = CONFIG
    shop.ingest(run="2")
    file = shop.schemas / "items.pbtxt"
    assert '"colour"' in file.read_text()
    shop.config = CONFIG.replace("items.jsonl", "items.jsonl, columns: {tone: colour}").replace("colour:", "tone:")
    file.write_text(file.read_text() + "# reviewed\n")
    with pytest.raises(SoukError, match="a feature tone of type BYTES"):
        shop.ingest(run="3")


def test_drift_against_the_window_before_is_reported_and_stays_so(shop: Shop) -> None:
    shop.ingest()
    assert shop.ingest(run="2")["anomalies"] == 0
    path = shop.folder / "events.csv"
    path.write_text(path.read_text().replace(",web", ",app"))
    first = shop.ingest(run="3")
    again = shop.ingest(run="4")
    assert first == again
    assert first["anomalies"] >= 1
    report = (shop.folder / "4/report.html").read_text()
    assert "events.device" in report
    assert "app" in report


def test_the_same_data_gives_the_same_tables(shop: Shop) -> None:
    shop.ingest(run="1")
    shop.ingest(run="2")
    for name in ("events.parquet", "items.parquet", "users.parquet", "manifest.json", "schema/events.pbtxt"):
        assert (shop.folder / "1/tables" / name).read_bytes() == (shop.folder / "2/tables" / name).read_bytes()


@pytest.mark.parametrize("protocol", ["temporal", "leave_last_out"])
def test_the_same_files_read_otherwise_are_other_tables(shop: Shop, protocol: str) -> None:
    shop.config += f"split: {{protocol: {protocol}}}\n"
    with (shop.folder / "items.jsonl").open("a") as goods:
        goods.write('{"item_id": "never taken", "price": 1, "colour": "red"}\n')
    shop.ingest(run="1")
    shop.config += "ingest: {items_without_events: unavailable}\n"
    shop.ingest(run="2")
    first, second = (json.loads((shop.folder / run / "tables/manifest.json").read_text()) for run in "12")
    assert first["fingerprint"] == second["fingerprint"] and first["tables"] == second["tables"]
    assert len(first["content"]) == 64 and first["content"] != second["content"]
    events = shop.folder / "1/tables/events.parquet"
    events.write_bytes(events.read_bytes()[:-1])
    seal(shop.folder / "1/tables")
    assert content_of(shop.folder / "1/tables") != first["content"], "the events are looked at as they are at the end"
    assert content_of(shop.folder) == ""


def test_the_report_needs_nothing_from_elsewhere(shop: Shop) -> None:
    shop.write("b1,<script>,i1,shine,1700000001,web")
    shop.ingest()
    report = (shop.folder / "1/report.html").read_text()
    assert "<svg" in report
    assert "<script" not in report
    assert not re.search(r"https?://|src=", report)


def test_the_report_tells_times_as_dates(shop: Shop) -> None:
    shop.ingest()
    report = (shop.folder / "1/report.html").read_text()
    assert "<td>2023-11-14 22:13</td>" in report
    assert "<title>2023-11-14 22:13 to 2023-11-14" in report
    assert "e+12" not in report
