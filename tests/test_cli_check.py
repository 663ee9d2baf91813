"""`souk check`: what a run would find in the data, without a run."""

import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.cli.check import _copy_schemas
from souk.config import load_config
from souk.ingest.schemas import SchemaFolder
from tests.town_fixtures import *  # noqa: F403
from tests.town_fixtures import CONFIG

pytestmark = pytest.mark.slow


def spoil(events, share):
    table = pd.read_csv(events)
    table.loc[table.index[: int(len(table) * share)], "user_id"] = None
    table.to_csv(events, index=False)


def test_it_tells_what_a_run_would_find_and_leaves_the_workspace(town, capsys):
    spoil("events.csv", 0.01)
    assert main(["check", "--config", "town.yaml"]) == 0
    out = capsys.readouterr().out
    assert "events: 1,200 read, 12 quarantined" in out
    assert "history length: 32 events" in out
    assert "matches: user_home and item_city agree in " in out
    assert "report    .souk/check/data.html\nrefused   .souk/check/quarantine\n" in out
    assert sorted(path.name for path in (town / ".souk").iterdir()) == ["check"]
    assert "town" in (town / ".souk/check/data.html").read_text()
    assert len(pq.read_table(town / ".souk/check/quarantine/events.parquet")) == 12
    assert not any("souk|" in line or "IPython" in line for line in out.splitlines())


def test_what_is_cut_is_told(town, capsys):
    rows = {}
    for file in ("events.csv", "items.csv"):
        table = pd.read_csv(file)
        table["tags"] = "|".join(f"t{n}" for n in range(17))
        rows[file] = f"{len(table):,}"
        table.to_csv(file, index=False)
    text = CONFIG.replace("items.csv}", 'items.csv, separators: {tags: "|"}}').replace(
        "events.csv, ", 'events.csv, separators: {tags: "|"}, '
    )
    text = text.replace("city: categorical}", "city: categorical, tags: list}, events: {tags: list}")
    (town / "town.yaml").write_text(text)
    assert main(["check", "--config", "town.yaml"]) == 0
    out = capsys.readouterr().out
    for name, count in zip(("events", "items"), rows.values(), strict=True):
        assert f"{name}: {count} of {count} tags (100%) have more than 16 entries, and the rest is not read." in out


def test_where_a_run_would_stop_it_stops_with_the_same_words(town, capsys):
    spoil("events.csv", 0.2)
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 2
    told = capsys.readouterr()
    assert "souk check: Expected " in told.err and "20.0%" in told.err
    assert "seen/data.html" in told.out and not (town / ".souk").exists()
    assert len(pq.read_table(town / "seen/quarantine/events.parquet")) == 240


def test_an_objective_that_no_event_can_meet_is_told(town, capsys):
    (town / "town.yaml").write_text(
        CONFIG.replace("satisfied: {events: [rating]", "satisfied: {events: [rating], min_value: 80")
    )
    assert main(["check", "--config", "town.yaml"]) == 0
    assert "satisfied: min_value is 80, and none of its 1,200 events has a value: none is" in capsys.readouterr().out


@pytest.mark.parametrize("folder", [".souk/schemas/town", "town.schema"])
def test_an_edited_schema_holds(town, capsys, folder):
    """Of the workspace, or beside the config."""
    assert main(["check", "--config", "town.yaml"]) == 0
    before = capsys.readouterr().out
    schemas = town / folder
    schemas.mkdir(parents=True)
    (schemas / "items.pbtxt").write_text(
        'feature { name: "city" type: BYTES presence { min_count: 1 } domain: "city" }\n'
        'string_domain { name: "city" value: "elsewhere" }\n'
        'feature { name: "item_id" type: BYTES }\n'
    )
    kept = (schemas / "items.pbtxt").read_text()
    assert main(["check", "--config", "town.yaml"]) == 2
    told = capsys.readouterr()
    assert "city" in told.err and "city0" not in before
    assert (schemas / "items.pbtxt").read_text() == kept


def test_drift_is_told_against_the_data_that_the_workspace_saw(town, capsys):
    from souk.steps.ingest import ingest

    config = load_config("town.yaml").for_step("ingest")
    ingest(config, "", ".souk", *(f"out/{name}" for name in ("tables", "quarantine", "report.html")))
    items = pd.read_csv("items.csv")
    items.assign(city="city0").to_csv("items.csv", index=False)
    capsys.readouterr()
    assert main(["check", "--config", "town.yaml"]) == 0
    assert "city" in capsys.readouterr().out.replace("city0", "")


def test_a_config_with_a_fault_is_told_before_anything_is_loaded(town, capsys):
    (town / "town.yaml").write_text(CONFIG + "trane_ranker: {}")
    assert main(["check", "--config", "town.yaml"]) == 2
    assert "Did you mean 'train_ranker'" in capsys.readouterr().err
    assert not (town / ".souk").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("user_id", "client", "a column for events.user_id"), ("city", "town", "'city'"), ("", None, "events.csv")],
)
def test_a_file_that_is_not_as_the_config_says_is_told_before_tensorflow_is_loaded(
    town, capsys, monkeypatch, old, new, said
):
    monkeypatch.setattr("souk.cli.check.load_tensorflow", lambda: pytest.fail("it takes 20 seconds"))
    file = town / ("items.csv" if old == "city" else "events.csv")
    file.write_text(file.read_text().replace(old, new, 1)) if old else file.unlink()
    assert main(["check", "--config", "town.yaml"]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in (town / ".souk/check").iterdir()] == [".check.lock"]


@pytest.mark.parametrize("name", ["quarantine", "data.html"])
def test_what_another_made_is_not_replaced(town, capsys, name):
    kept = town / "mine" / (name if name == "data.html" else "quarantine/events.parquet")
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert main(["check", "--config", "town.yaml", "--output", "mine"]) == 2
    assert f"mine/{name}, which another made. Name another folder" in capsys.readouterr().err
    assert kept.read_text() == "mine"
    assert [path for path in (town / "mine").rglob("*") if path.is_file()] == [kept], "nothing is written beside it"


def test_beside_what_a_check_made_another_s_file_is_not_replaced(town, capsys):
    """Nor one that was changed, nor a folder or a link."""
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 0
    made = {path: path.read_bytes() for path in (town / "seen").rglob("*") if path.is_file()}
    for name in ("data.html", "quarantine/events.parquet", "quarantine/my_notes.txt"):
        path = town / "seen" / name
        path.write_text("mine")
        capsys.readouterr()
        assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 2
        assert f"seen/{name}, which another made. Name another folder" in capsys.readouterr().err
        assert path.read_text() == "mine"
        path.unlink()
    (town / "seen/quarantine/mine").mkdir()
    (town / "seen/data.html").symlink_to(town / "town.yaml")
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 2
    (town / "seen/quarantine/mine").rmdir()
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 2
    (town / "seen/data.html").unlink()
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 0, "what is missing is no one's"
    assert {path.name for path in (town / "seen").rglob("*") if path.is_file()} == {path.name for path in made}


def test_a_file_that_comes_while_it_reads_is_not_replaced(town, capsys, monkeypatch):
    def checked(config, path, workspace, scratch):
        (town / "seen/data.html").write_text("mine")
        (scratch / "quarantine").mkdir()
        (scratch / "data.html").write_text("a report")

    monkeypatch.setattr("souk.cli.check._check", checked)
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 2
    assert (town / "seen/data.html").read_text() == "mine" and not (town / "seen/quarantine").exists()


def test_a_link_in_the_place_of_the_refused_rows_is_not_written_through(town, capsys):
    (town / "elsewhere").mkdir()
    (town / "elsewhere/.written-by-souk").write_text('{"data.html": ""}')
    (town / "seen").mkdir()
    (town / "seen/quarantine").symlink_to(town / "elsewhere")
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 2
    assert "which another made" in capsys.readouterr().err
    assert [path.name for path in (town / "elsewhere").iterdir()] == [".written-by-souk"]


def test_a_check_that_reads_nothing_leaves_what_the_one_before_saw(town, capsys):
    spoil("events.csv", 0.01)
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 0
    (town / "seen/.check.partial").mkdir()  # of one that was killed
    (town / "seen/.check.partial/tables").touch()
    capsys.readouterr()
    (town / "events.csv").unlink()
    text = CONFIG.replace("data:", "data:\n  obtain: make town")
    (town / "town.yaml").write_text(text)
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 2
    told = capsys.readouterr()
    assert "report" not in told.out and "To get the data: make town" in told.err
    assert len(pq.read_table(town / "seen/quarantine/events.parquet")) == 12
    assert sorted(path.name for path in (town / "seen").iterdir()) == [".check.lock", "data.html", "quarantine"]


def test_the_data_may_lie_elsewhere_and_what_was_seen_is_replaced(town, capsys):
    assert main(["check", "--config", "town.yaml", "--output", "seen"]) == 0
    (town / "other").mkdir()
    for name in ("events", "items", "users"):
        (town / f"{name}.csv").rename(town / f"other/{name}.csv")
    spoil("other/events.csv", 0.2)
    capsys.readouterr()
    assert main(["check", "--config", "town.yaml", "--data", "other", "--output", "seen"]) == 2
    told = capsys.readouterr()
    assert "All of them: seen/quarantine. Mend" in told.err and "workspace .souk (there is none yet)" in told.out
    assert len(pq.read_table(town / "seen/quarantine/events.parquet")) == 240


def test_one_that_is_ended_leaves_nothing_behind(town):
    command = [sys.executable, "-m", "souk", "check", "--config", "town.yaml", "--output", "seen"]
    process = subprocess.Popen(command, cwd=town, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (town / "seen/.check.partial").is_dir() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert [path.name for path in (town / "seen").iterdir()] == [".check.lock"]


def test_schemas_are_copied_while_a_run_replaces_them(tmp_path):
    schemas, done = SchemaFolder(tmp_path / "town"), threading.Event()
    schemas.write("items", "text")

    def replace():
        while not done.is_set():
            schemas.write("items", "text")

    run = threading.Thread(target=replace)
    run.start()
    try:
        for n in range(100):
            _copy_schemas(tmp_path / "town", tmp_path / f"copy{n}")
    finally:
        done.set()
        run.join()
    copies = [path for path in tmp_path.glob("copy*/**/*") if path.is_file()]
    assert len(copies) == 200 and {path.name for path in copies} == {"items.pbtxt"}
