"""Events that servers were sent: what of them is read, and what is told of the rest."""

import json
import shutil

import pytest

from souk.cli import main
from souk.config import load_config
from souk.serving.events.log import EventLog
from souk.steps.ingest import ingest

CONFIG = """
name: shop
data: {events: {path: events.jsonl}, event_log: "%s"}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
"""
NOW = 1_700_001_000_000
DAY = "2023-11-14"


def sent(number, **more):
    row = {"event_id": f"e{number}", "user_id": f"u{number % 3}", "item_id": "i1", "event_type": "click"}
    return {**row, "timestamp": NOW - number, **more}


def write(events):
    events.write_text("".join(f"{json.dumps(sent(n))}\n" for n in range(9)))


def test_files_that_no_config_reads_are_told_and_those_that_were_moved_are_read(tmp_path, capfd):
    """Nothing else may have them: who removes them would lose what users hid."""
    write(tmp_path / "events.jsonl")
    own = tmp_path / "ws" / "events"
    log = EventLog(own, "w", lambda: NOW)

    def hides(event_log):
        (tmp_path / "shop.yaml").write_text(CONFIG % event_log)
        config = load_config(tmp_path / "shop.yaml").for_step("ingest")
        out = [str(tmp_path / "out" / name) for name in ("tables", "quarantine", "report.html")]
        metrics = ingest(config, "", str(tmp_path / "ws"), *out)
        told = next((line for line in "".join(capfd.readouterr()).splitlines() if "not read" in line), "")
        told = told.partition("events: ")[2]
        assert told in (tmp_path / "out" / "report.html").read_text()
        return metrics["events"] - 9, told

    assert hides("") == (0, "")
    for number in (10, 11):
        log.append([sent(number, event_type="hide")])
        assert log.close()
    line = f"of what servers were sent, %d of 2 files are not read: set data.event_log: {own}"
    assert hides("") == hides("elsewhere") == (0, line % 2)
    assert hides(own) == (2, "")
    (own / "read" / DAY).mkdir(parents=True)
    shutil.move(own / DAY / "22-w-000000.jsonl", own / "read" / DAY)
    assert [path.name for path in log.files()] == ["22-w-000001.jsonl"], "servers take it into the states no more"
    assert hides(own) == (2, "")
    shutil.copytree(own / "read", tmp_path / "elsewhere")
    assert hides("elsewhere") == (1, line % 1)


def test_a_check_tells_of_the_files_that_a_run_would_not_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "events.jsonl")
    log = EventLog(tmp_path / "ws" / "events", "w", lambda: NOW)
    log.append([sent(10, event_type="hide")])
    assert log.close()
    (tmp_path / "shop.yaml").write_text(CONFIG % "")
    assert main(["check", "--config", "shop.yaml", "--workspace", "ws"]) == 0
    line = f"1 of 1 files are not read: set data.event_log: {tmp_path / 'ws' / 'events'}"
    assert line in capsys.readouterr().out
    assert line in (tmp_path / "ws" / "check" / "data.html").read_text()


@pytest.mark.parametrize(("later", "again"), [(0, 3), (3_600_000, 0)])
def test_what_the_files_have_too_under_other_ids_is_told(tmp_path, capfd, later, again):
    """Of the nine, three are of one item and user a second; their moments in the files have no milliseconds."""
    rows = [{**sent(1000 * n), "event_id": f"own{n}"} for n in range(9)]
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    log = EventLog(tmp_path / "live", "w", lambda: NOW)
    log.append([sent(1000 * n, timestamp=NOW - 1000 * n + 321 - later, item_id=f"i{1 + n // 3}") for n in range(9)])
    assert log.close()
    (tmp_path / "shop.yaml").write_text(CONFIG % "live")
    config = load_config(tmp_path / "shop.yaml").for_step("ingest")
    out = [str(tmp_path / "out" / name) for name in ("tables", "quarantine", "report.html")]
    assert ingest(config, "", str(tmp_path / "ws"), *out)["events"] == 18
    told = f"events: {again} of 9 that servers were sent are in the files too, under other ids, of the same user"
    assert (told in "".join(capfd.readouterr())) == bool(again)
