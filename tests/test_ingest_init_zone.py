"""`souk init`: the time zone of orders that name none, by the log beside them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from souk.ingest.guess.first_config import first_config
from souk.schema import EventType
from tests.test_ingest_first_config import Table, init, read, write

START = datetime(2026, 1, 1, 10, tzinfo=UTC)


def shop(folder: Path, zone: str, hours: float = 0.1, count: int = 300) -> str:
    """A year of looks in UTC, each 29 hours after the last, and of each a purchase by the clock of `zone`."""
    folder.mkdir()
    times = [START + timedelta(hours=29 * n) for n in range(count)]
    ids: Table = [{"user_id": f"u{n % 41}", "item_id": f"i{n % 37}"} for n in range(count)]
    looks = [{**own, "ts": f"{at:%Y-%m-%dT%H:%M:%SZ}", "action": "view"} for own, at in zip(ids, times, strict=True)]
    bought = [(at + timedelta(hours=hours)).astimezone(ZoneInfo(zone)) for at in times]
    orders = [{**own, "ts": f"{at:%Y-%m-%d %H:%M:%S}", "action": "sale"} for own, at in zip(ids, bought, strict=True)]
    write(looks, folder / "app.csv")
    write(orders, folder / "orders.csv")
    return str(folder)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"])
def test_the_zone_is_that_by_which_orders_follow_their_looks(tmp_path: Path, zone: str) -> None:
    """Read as UTC, with which they were, the purchases were no steps of a visit, and engaged."""
    text, config = init(tmp_path, shop(tmp_path / "log", zone))
    assert config.data.events.timezone == zone
    assert "300 of 600 times name no zone: by this one 100% are within half an hour of what the user" in text
    assert [*config.objectives.engaged.events] == [EventType.CLICK]
    times = read(config, "events").table["timestamp"].to_pylist()
    assert {own - look for look, own in zip(times[:300], times[300:], strict=True)} == {360_000}


@pytest.mark.parametrize(("zone", "hours"), [("UTC", 0.1), ("UTC", 31.3), ("Europe/Berlin", 31.3)])
def test_orders_in_utc_or_long_after_their_looks_tell_no_zone(tmp_path: Path, zone: str, hours: float) -> None:
    text = first_config(shop(tmp_path / "log", zone, hours), None, None, "x").text
    assert (
        "    timezone:" not in text and "300 of 600 times name no zone and are read as UTC; if they are local" in text
    )
