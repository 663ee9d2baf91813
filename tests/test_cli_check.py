"""`souk check`: what a run would find in the data, without a run."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from souk.cli import main
from tests.test_features_matches import market

pytestmark = pytest.mark.slow
CONFIG = """
name: town
data:
  events: {path: events.csv, timestamp_unit: ms}
  items: {path: items.csv}
  users: {path: users.csv}
columns: {users: {home: categorical}, items: {city: categorical}}
objectives: {engaged: {events: [rating]}, satisfied: {events: [rating]}}
"""


@pytest.fixture
def town(tmp_path, monkeypatch):
    """A folder with the data and the config of a town, in which users take what is near."""
    monkeypatch.chdir(tmp_path)
    events, items, people = (pd.DataFrame(table) for table in market())
    events["timestamp"] = 1_700_000_000_000 + events["timestamp"] * 3_600_000
    events.drop(columns=["place", "wants"]).to_csv("events.csv", index=False)
    items[["item_id", "city"]].to_csv("items.csv", index=False)
    people[["user_id", "home"]].to_csv("users.csv", index=False)
    (tmp_path / "town.yaml").write_text(CONFIG)
    return tmp_path


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


def test_an_edited_schema_of_the_workspace_holds(town, capsys):
    """What `ingest` keeps in a workspace is what a run would compare with."""
    assert main(["check", "--config", "town.yaml"]) == 0
    before = capsys.readouterr().out
    schemas = town / ".souk/schemas/town"
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


def test_a_config_with_a_fault_is_told_before_anything_is_loaded(town, capsys):
    (town / "town.yaml").write_text(CONFIG + "trane_ranker: {}")
    assert main(["check", "--config", "town.yaml"]) == 2
    assert "Did you mean 'train_ranker'" in capsys.readouterr().err
    assert not (town / ".souk").exists()
