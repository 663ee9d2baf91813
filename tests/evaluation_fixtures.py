"""The parts of `tables` and `features` that an evaluation reads, written by hand."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import Evaluate, parse_config
from souk.evaluation.content import Content
from souk.evaluation.cost import Cost
from souk.evaluation.observed import Observed
from souk.evaluation.reranking import Alternatives
from souk.evaluation.setting import Setting
from souk.evaluation.windows import read_window
from souk.spec import FeatureSpec
from tests.marketplace import CONFIG, Marketplace

DAY = 86_400_000
START = 100 * DAY
ITEMS = {"a": True, "b": True, "c": True, "d": True, "gone": False, "new": True}
EVENTS = [
    ("ann", "a", "click", START - 9 * DAY),
    ("ann", "a", "purchase", START - 9 * DAY),
    ("ann", "b", "click", START - 8 * DAY),
    ("bob", "b", "click", START - 7 * DAY),
    ("bob", "c", "click", START - 6 * DAY),
    ("ann", "c", "click", START + 1),
    ("ann", "d", "click", START + 1),  # one moment, two targets
    ("ann", "d", "purchase", START + 2),  # no engagement: no query
    ("ann", "b", "click", START + 5),
    ("ann", "gone", "click", START + 6),
    ("eve", "new", "click", START + 7),
    ("dan", "a", "impression", START + 8),
]
SCHEMA = pa.schema(
    [("event_id", pa.string()), ("user_id", pa.string()), ("item_id", pa.string()), ("event_type", pa.string()),
     ("timestamp", pa.int64()), ("value", pa.float64()), ("dwell_seconds", pa.float64()), ("device", pa.string()),
     ("session_id", pa.string()), ("request_id", pa.string()), ("position", pa.int64()),
     ("price", pa.float64())]
)  # fmt: skip


def spec_of(repeat="always"):
    """The marketplace's spec with another repeat rule: clicks engage."""
    return make_spec({**CONFIG, "repeat": repeat})


def make_spec(values):
    """The spec of a dataset config."""
    config = parse_config(json.dumps(values))
    return FeatureSpec(config.name, config.columns, config.objectives, config.repeat, config.build_features)


def reader(folder: Path):
    """A function that reads EVENTS, or others, under a spec."""

    def read(spec, events=EVENTS, items=ITEMS, window="test", users=(), created=None, until=None, **draw):
        made = folder / f"{len(list(folder.iterdir()))}"
        tables, features = write_artifacts(made, events, items, START, users, created, until)
        return read_window(tables, features, spec, window, **draw)[::-1]

    return read


class Fixed:
    """Scores by item id."""

    def __init__(self, catalogue, scores, name="fixed"):
        self.name = name
        self._scores = np.array([scores.get(item, 0.0) for item in catalogue.ids])

    def score(self, queries):
        return np.tile(self._scores, (len(queries), 1))


def content_of(catalogue, values=None, columns=None, prices=None):
    """What is known of the items: category values by item id, as whole numbers."""
    lists = [(values or {}).get(item, []) for item in catalogue.ids]
    return Content(
        titles=tuple(item.upper() for item in catalogue.ids),
        prices=np.array([(prices or {}).get(item, np.nan) for item in catalogue.ids]),
        columns=columns or {},
        value_start=np.cumsum([0, *map(len, lists)]),
        values=np.array([value for own in lists for value in own], np.int64),
    )


def write_artifacts(folder: Path, events, items, test_start, users=(), created=None, until=None):
    """Writes `tables` and `features`.

    Args:
        folder: gets the two folders.
        events: dicts, or tuples of user, item, type and time; ids are numbered.
        items: item id to available.
        test_start: start of the test window.
        users: rows of the users table.
        created: item id to its creation, of those that have one.
        until: item id to its end, likewise.
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
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tables / "events.parquet")
    names = sorted({row["user_id"] for row in rows})
    pq.write_table(pa.Table.from_pylist(list(users) or [{"user_id": u} for u in names]), tables / "users.parquet")
    table = {"item_id": sorted(items), "available": [items[item] for item in sorted(items)]}
    for name, times in (("created_at", created), ("available_until", until)):
        table[name] = pa.array([(times or {}).get(item) for item in sorted(items)], pa.int64())
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


class FixedSlates(Fixed):
    """A request path whose retriever brings `candidates` and whose ranker orders them by `scores`, both by item id."""

    def __init__(self, catalogue, candidates, scores, name="slate"):
        super().__init__(catalogue, {}, name)
        self.observing, self.observed, self.alternatives = True, Observed(), Alternatives()
        self.cost = Cost()
        self._candidates = np.array([catalogue.position[item] for item in candidates])
        self._order = np.argsort([-scores.get(item, 0.0) for item in candidates], kind="stable")
        self._chances = np.array([scores.get(item, 0.01) for item in candidates])

    def score(self, queries):
        rows = []
        for query in queries:
            kept = ~np.isin(self._candidates, query.excluded)
            order = (np.cumsum(kept) - 1)[self._order[kept[self._order]]]
            heads = {"engaged": self._chances[kept], "satisfied": np.full(kept.sum(), 0.5)}
            if self.observing:
                self.observed.add(query, self._candidates[kept], order, heads)
            row = np.zeros(len(self._scores))
            row[self._candidates[kept][order]] = np.arange(len(order), 0, -1)
            rows.append(row)
        return np.array(rows)


def write_examples(features: Path, satisfied):
    """The labels of events by id; -1 where one is not known."""
    table = {"event_id": list(satisfied), "satisfied": list(satisfied.values())}
    pq.write_table(pa.table(table), features / "examples.parquet")


def shop_setting(folder: Path) -> Setting:
    """Thirty users of two towns who had i00 to i02: ten take i03 next, ten i05, five i00 again, five i19.

    Nothing is engaged with twice, and an item costs its number. All but i05 is bought as it is taken.
    """
    spec = make_spec({**CONFIG, "repeat": "never", "columns": {"users": {"town": "categorical"}}})
    names = [f"u{n:02d}" for n in range(30)]
    taken = ["i03"] * 10 + ["i05"] * 10 + ["i00"] * 5 + ["i19"] * 5
    rows = [(user, f"i{n:02d}", START - DAY + n) for user in names for n in range(3)]
    rows += [(user, item, START + DAY) for user, item in zip(names, taken, strict=True)]
    events = [
        {"event_id": f"e{n:03d}", "user_id": user, "item_id": item, "event_type": "click", "timestamp": time,
         "price": float(item[1:])}
        for n, (user, item, time) in enumerate(rows)
    ]  # fmt: skip
    events += [
        event | {"event_id": event["event_id"].replace("e", "p"), "event_type": "purchase"}
        for event in events
        if event["timestamp"] >= START and event["item_id"] != "i05"
    ]
    users = [{"user_id": user, "town": ("north", "south")[n % 2]} for n, user in enumerate(names)]
    items = {f"i{n:02d}": True for n in range(20)}
    tables, features = write_artifacts(folder / "shop", events, items, START, users)
    write_examples(features, {f"e{n:03d}": n % 2 for n in range(90, 110)})
    return Setting.read(Evaluate(bootstrap=100), spec, tables, features)


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
