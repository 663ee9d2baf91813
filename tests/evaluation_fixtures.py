"""The parts of `tables` and `features` that an evaluation reads, written by hand."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import parse_config
from souk.spec import FeatureSpec
from tests.marketplace import CONFIG, Marketplace

EVENTS = pa.schema(
    [("event_id", pa.string()), ("user_id", pa.string()), ("item_id", pa.string()), ("event_type", pa.string()),
     ("timestamp", pa.int64()), ("value", pa.float64()), ("dwell_seconds", pa.float64()), ("device", pa.string())]
)  # fmt: skip


def spec_of(repeat="always"):
    """The marketplace's spec with another repeat rule: clicks engage."""
    return make_spec({**CONFIG, "repeat": repeat})


def make_spec(values):
    """The spec of a dataset config."""
    config = parse_config(json.dumps(values))
    return FeatureSpec(config.name, config.columns, config.objectives, config.repeat, config.build_features)


def write_artifacts(folder: Path, events, items, test_start, users=()):
    """Writes `tables` and `features`.

    Args:
        folder: gets the two folders.
        events: dicts, or tuples of user, item, type and time; ids are numbered.
        items: item id to available.
        test_start: start of the test window.
        users: rows of the users table.
    """
    tables, features = folder / "tables", folder / "features"
    tables.mkdir(parents=True)
    features.mkdir()
    rows = [
        event
        if isinstance(event, dict)
        else dict(zip(("user_id", "item_id", "event_type", "timestamp"), event, strict=True))
        | {"event_id": f"e{n:05d}"}
        for n, event in enumerate(events)
    ]
    rows.sort(key=lambda row: (row["timestamp"], row["event_id"]))
    pq.write_table(pa.Table.from_pylist(rows, schema=EVENTS), tables / "events.parquet")
    names = sorted({row["user_id"] for row in rows})
    pq.write_table(pa.Table.from_pylist(list(users) or [{"user_id": u} for u in names]), tables / "users.parquet")
    table = {"item_id": sorted(items), "available": [items[item] for item in sorted(items)]}
    pq.write_table(pa.table(table), features / "items.parquet")
    last = max(row["timestamp"] for row in rows)
    windows = {"validation_start": test_start // 2, "test_start": test_start, "end": last + 1}
    (features / "windows.json").write_text(json.dumps(windows), encoding="utf-8")
    return tables, features


def market_artifacts(market: Marketplace, folder: Path, test_share=0.1):
    """The marketplace's own rows as `tables` and `features`, without ingest."""
    lines = (market.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()[: market.events]
    rows = [json.loads(line) for line in lines]
    events = [
        {"event_id": row["event_id"], "user_id": row["customer"], "item_id": row["product"], "device": row["device"],
         "event_type": row["event_type"], "timestamp": row["time"] * 1000}
        for row in rows
    ]  # fmt: skip
    special = (market.clickbait, market.late, market.cold)
    items = {item: True for items in (*market.rings.values(), *(m.values() for m in special)) for item in items}
    items |= dict.fromkeys(market.gone.values(), False)
    start = events[int(len(events) * (1 - test_share))]["timestamp"]
    return write_artifacts(folder, events, items, start)
