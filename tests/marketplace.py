"""A small seeded marketplace whose best recommendations are known by construction.

Every user belongs to a taste group, and the items of a group form a ring. A user walks the ring of the group: on a
mobile the next click is on the following item, on a desktop on the one after that. Around the walk stand

- clickbait, one per group: clicked more than any other item, never kept;
- late items, one per group: created shortly before the end, clicked then;
- cold items, one per group: never clicked, with the title, price and category of an item of the ring;
- gone items, one per group: clicked a lot early on, no longer available;
- noise: clicks on any item of any ring.

`python -m tests.marketplace FOLDER` writes the files and prints the path of the config.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from souk.state import Event, UserState

GROUPS = ("boots", "lamps", "drums", "pears")
RING = 14  # items of a group's ring
DAYS = 60
LATE_DAY, GONE_DAY = 56, 40  # late is within the test window
START = 1_700_006_400  # seconds since the epoch: the start of a UTC day
SYLLABLES = ("ka", "lo", "mi", "ru", "se", "ta", "vo")
STEP = {"mobile": 1, "desktop": 2}

CONFIG: dict[str, Any] = {
    "name": "marketplace",
    "data": {
        "events": {
            "path": "events.jsonl",
            "columns": {"user_id": "customer", "item_id": "product", "timestamp": "time"},
            "timestamp_unit": "s",
        },
        "items": {"path": "items.csv", "timestamp_unit": "s"},
        "users": {"path": "users.parquet"},
    },
    "columns": {
        "events": {"device": "categorical"},
        "items": {"category": "path", "price": "numeric", "title": "text"},
        "users": {"region": "categorical"},
    },
    "objectives": {
        "engaged": {"events": ["click"]},
        "satisfied": {
            "events": ["click"],
            "followed_by": ["purchase"],
            "unless": ["return"],
            "within_days": 2,
            "weight": 2.0,
        },
        "regretted": {"events": ["click"], "followed_by": ["return"], "within_days": 2, "weight": 0},
    },
    "repeat": {"rule": "after_days", "days": 1},
    "build_features": {"history_length": 32, "text_buckets": 256, "numeric_buckets": 8},
    "train_two_tower": {
        "dim": 32,
        "layers": 1,
        "heads": 2,
        "dropout": 0.1,
        "epochs": 30,
        "refresh_epochs": 4,
        "consistency": 0,
        "batch_rows": 32,
        "negatives": 64,
        "learning_rate": 0.01,
    },
    "train_ranker": {"candidates": 40, "negatives": 15, "hidden": [32, 16], "cross_layers": 1, "epochs": 6},
    "evaluate": {"bootstrap": 200},
    "deploy": {"slate_size": 10, "max_slate_size": 50},
}


@dataclass(frozen=True)
class Marketplace:
    """Where the files are and what is true of them.

    Args:
        folder: holds the three tables and the config.
        config: the dataset config, YAML.
        groups: taste group by user.
        rings: per group, its items in the order of the walk.
        clickbait: per group, the item that is clicked and never kept.
        late: per group, the item that is clicked from `LATE_DAY` on only.
        cold: per group, the item without any event.
        cold_twin: cold item to the item of the ring whose content it shares.
        gone: per group, the item that is no longer available.
        events: rows of the events file that are right.
        bad_events: rows of the events file that ingest must quarantine: a repeated id, no user.
    """

    folder: Path
    config: Path
    groups: Mapping[str, str]
    rings: Mapping[str, tuple[str, ...]]
    clickbait: Mapping[str, str]
    late: Mapping[str, str]
    cold: Mapping[str, str]
    cold_twin: Mapping[str, str]
    gone: Mapping[str, str]
    events: int
    bad_events: int

    def group_of(self, state: UserState) -> str | None:
        """The taste group of a user: known, or that of most of the events; None without any."""
        if state.user_id in self.groups:
            return self.groups[state.user_id]
        seen = Counter(g for e in state.events for g, ring in self.rings.items() if e.item_id in ring)
        return seen.most_common(1)[0][0] if seen else None

    def expected_best(self, state: UserState, device: str = "mobile") -> list[str]:
        """The item that this user clicks next on `device`, then that of the other device; empty where all are equal."""
        group = self.group_of(state)
        ring = self.rings.get(group or "", ())
        last = next((e.item_id for e in reversed(state.events) if e.item_id in ring and _click(e)), None)
        if last is None:
            return []
        place = ring.index(last)
        steps = [STEP[device], *(step for name, step in STEP.items() if name != device)]
        return [ring[(place + step) % RING] for step in steps]


def write_marketplace(folder: Path, seed: int = 7, users: int = 280, new_users: int = 20) -> Marketplace:
    """Writes events (JSON lines), items (CSV), users (Parquet) and the config into `folder`.

    `users` walk from some day of the first half on; `new_users` come in the last days only.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rings = {group: tuple(f"{group}-{place:02d}" for place in range(RING)) for group in GROUPS}
    special = {kind: {group: f"{group}-{kind}" for group in GROUPS} for kind in ("clickbait", "late", "cold", "gone")}
    twins = {special["cold"][group]: ring[RING // 2] for group, ring in rings.items()}
    groups = {f"user {number:03d}": GROUPS[number % len(GROUPS)] for number in range(users + new_users)}
    events: list[dict[str, Any]] = []
    for number, (user, group) in enumerate(groups.items()):
        new = number >= users
        first = rng.uniform(LATE_DAY, DAYS - 2) if new else rng.uniform(0, DAYS / 2)
        events += _walk(rng, user, rings[group], {k: v[group] for k, v in special.items()}, first, 6 if new else 20)
    events += _noise(rng, groups, [item for ring in rings.values() for item in ring], len(events) // 15)
    events.sort(key=lambda event: event["time"])
    rows = [{"event_id": f"e{number:06d}", **event} for number, event in enumerate(events)]
    bad = [rows[10], rows[20], {**rows[30], "event_id": "x1", "customer": None}]
    with (folder / "events.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in (*rows, *bad))
    _write_items(folder / "items.csv", rng, rings, special, twins)
    regions = rng.choice(["north", "south", "west"], len(groups))
    pq.write_table(pa.table({"user_id": list(groups), "region": regions.tolist()}), folder / "users.parquet")
    config = folder / "marketplace.yaml"
    config.write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")
    return Marketplace(folder, config, groups, rings, special["clickbait"], special["late"], special["cold"], twins,
                       special["gone"], len(rows), len(bad))  # fmt: skip


def _walk(
    rng: np.random.Generator, user: str, ring: tuple[str, ...], special: Mapping[str, str], first: float, clicks: int
) -> Iterable[dict[str, Any]]:
    """The events of one user: clicks at least an hour apart, purchases minutes after them, returns a day later."""
    place = int(rng.integers(RING))
    hours = np.arange(int(first * 24), DAYS * 24 - 26)
    count = min(len(hours), int(rng.integers(clicks * 3 // 4, clicks * 5 // 4 + 1)))
    for hour in np.sort(rng.choice(hours, count, replace=False)):
        time, device = START + int(hour) * 3600 + int(rng.integers(1800)), str(rng.choice(list(STEP)))
        base = {"customer": user, "device": device}
        draw = rng.random()
        if draw < 0.2:
            item = special["clickbait"]
        elif draw < 0.3 and hour < GONE_DAY * 24:
            item = special["gone"]
        elif draw < 0.3 and hour >= LATE_DAY * 24:
            item = special["late"]
        else:
            place = (place + STEP[device]) % RING
            item = ring[place]
        yield {**base, "product": item, "event_type": "click", "time": time}
        bait = item == special["clickbait"]
        if rng.random() < (0.3 if bait else 0.9):
            yield {**base, "product": item, "event_type": "purchase", "time": time + 600}
            if bait or rng.random() < 0.03:
                yield {**base, "product": item, "event_type": "return", "time": time + 86_400}


def _noise(
    rng: np.random.Generator, groups: Mapping[str, str], items: list[str], count: int
) -> Iterable[dict[str, Any]]:
    """Clicks, half of them followed by a purchase, on items of other groups' rings."""
    users = list(groups)[: len(groups) * 9 // 10]
    for _ in range(count):
        user = users[rng.integers(len(users))]
        others = [item for item in items if not item.startswith(groups[user])]
        item, device = others[rng.integers(len(others))], str(rng.choice(list(STEP)))
        base = {"customer": user, "product": item, "device": device}
        time = START + int(rng.integers(DAYS // 2, DAYS - 1)) * 86_400 + int(rng.integers(86_400))
        yield {**base, "event_type": "click", "time": time}
        if rng.random() < 0.5:
            yield {**base, "event_type": "purchase", "time": time + 600}


def _write_items(
    path: Path,
    rng: np.random.Generator,
    rings: Mapping[str, tuple[str, ...]],
    special: Mapping[str, Mapping[str, str]],
    twins: Mapping[str, str],
) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for group, ring in rings.items():
        for number, item in enumerate((*ring, special["clickbait"][group], special["gone"][group])):
            word = SYLLABLES[number % 7] + SYLLABLES[(number // 7 + number) % 7] + SYLLABLES[(3 * number) % 7]
            rows[item] = _item(item, f"{group}/{'odd' if number % 2 else 'even'}", f"{word} {group}", rng, 0)
        rows[special["late"][group]] = _item(special["late"][group], f"{group}/new", f"fresh {group}", rng, LATE_DAY)
        cold = special["cold"][group]
        rows[cold] = {**rows[twins[cold]], "item_id": cold, "created_at": START + (DAYS - 1) * 86_400}
        rows[special["gone"][group]]["available"] = "false"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(next(iter(rows.values()))))
        writer.writeheader()
        writer.writerows(rows.values())


def _item(item: str, category: str, title: str, rng: np.random.Generator, day: int) -> dict[str, Any]:
    price = round(float(rng.lognormal(3, 0.5)), 2)
    return {
        "item_id": item,
        "created_at": START + day * 86_400,
        "available": "true",
        "price": price,
        "category": category,
        "title": title,
    }


def _click(event: Event) -> bool:
    return event.event_type == "click"


if __name__ == "__main__":
    print(write_marketplace(Path(sys.argv[1])).config)
