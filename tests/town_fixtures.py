"""The data and the config of a town, in which users take what is near."""

import pandas as pd
import pytest

from tests.test_features_matches import market

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
    """A folder with both, in which the test stands."""
    monkeypatch.chdir(tmp_path)
    events, items, people = (pd.DataFrame(table) for table in market())
    events["timestamp"] = 1_700_000_000_000 + events["timestamp"] * 3_600_000
    events.drop(columns=["place", "wants"]).to_csv("events.csv", index=False)
    items[["item_id", "city"]].to_csv("items.csv", index=False)
    people[["user_id", "home"]].to_csv("users.csv", index=False)
    (tmp_path / "town.yaml").write_text(CONFIG)
    return tmp_path
