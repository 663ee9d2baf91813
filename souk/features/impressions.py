"""What the logged slates showed around each engaging event: the ranker's evidence of what was seen and left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.logged_slates import FILE, SCHEMA
from souk.schema import FOREVER, EventType
from souk.spec import FeatureSpec, positive

Taken = dict[str, dict[str, tuple[str, int]]]
Shown = dict[str, dict[str, tuple[int, int]]]
WANTED = ("event_id", "item_id", "event_type", "timestamp", "request_id", "position", "value", "dwell_seconds")


def write_impressions(
    tables: str | Path,
    features: str | Path,
    spec: FeatureSpec,
    start: int,
    report: Callable[[str], None] = lambda _: None,
) -> int:
    """Writes `impressions.parquet` to a features folder, where events carry requests and impressions places.

    Args:
        tables: the folder of ingest.
        features: the features folder.
        spec: says which events engage.
        start: UTC epoch milliseconds; earlier events teach no ranker.
        report: is told where requests showed something and nothing was left of any.

    An engaging event with a position says that its item was shown there, too: a log with a row for each item shown,
    and a column that says whether it was clicked, has no other row for it. A slate of which nothing was left is none:
    such as of a log that has no more than what was taken, or in which each row is a request.

    Returns:
        how many engaging events have a slate. For each the file says what its request showed (`items`), where
        (`places`, one more than `position`), whether the user took it, then or later in the same request (`engaged`),
        and when: it has slates of which all was taken in the end, too, for those who know less (`read_slates`).
    """
    events = Path(tables) / "events.parquet"
    if not {"request_id", "position"} <= set(pq.read_schema(events).names):
        return 0
    taken: Taken = defaultdict(dict)  # by request: the first event of each item, and its time
    shown: Shown = defaultdict(dict)
    for row in _rows(events, start, tuple(spec.objectives.engaged.events)):
        if positive(spec.objectives.engaged, row["value"], row["dwell_seconds"]):
            taken[row["request_id"]].setdefault(row["item_id"], (row["event_id"], row["timestamp"]))
            if row["position"] is not None:
                shown[row["request_id"]].setdefault(row["item_id"], (_place(row), row["timestamp"]))
    for row in _rows(events, 0, (EventType.IMPRESSION,)):
        if row["request_id"] in taken and row["position"] is not None:
            of, item, time = shown[row["request_id"]], row["item_id"], row["timestamp"]
            of[item] = _place(row), min(time, of[item][1]) if item in of else time
    slates = [row for request, items in taken.items() for row in _slates(shown[request], items)]
    if slates:
        pq.write_table(pa.Table.from_pylist(slates, SCHEMA), Path(features) / FILE)
    count = sum(not all(slate["engaged"]) for slate in slates)
    if not count and (alone := sum(item in shown[request] for request, items in taken.items() for item in items)):
        why = "as where each row has a request_id of its own: the ranker learns nothing from logged slates"
        report(f"events: {alone:,} engaging events have a slate of which nothing was left, {why} (docs/models.md)")
    return count


def _slates(shown: Mapping[str, tuple[int, int]], taken: Mapping[str, tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """The rows of one request, if something was left at any time: one for each event that took what was shown.

    Args:
        shown: places, and times, by item.
        taken: events, and times, by item.
    """
    taken_at = {item: time for item, (_, time) in taken.items()}
    if all(taken_at.get(item, FOREVER) <= time for item, (_, time) in shown.items()):
        return
    items = sorted(shown, key=lambda item: shown[item][0])
    slate = {
        "items": items,
        "places": [shown[item][0] for item in items],
        "engaged": [item in taken for item in items],
        "shown_at": [shown[item][1] for item in items],
        "taken_at": [taken_at.get(item) for item in items],
    }
    yield from ({"event_id": event, **slate} for item, (event, _) in taken.items() if item in shown)


def _place(row: Mapping[str, Any]) -> int:
    return min(int(row["position"]) + 1, 2**15 - 1)


def _rows(events: Path, start: int, kinds: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The events of some types that belong to a request, from `start` on."""
    file = pq.ParquetFile(events)
    names = [name for name in WANTED if name in file.schema_arrow.names]
    missing = dict.fromkeys(set(WANTED) - set(names))
    for batch in file.iter_batches(columns=names):
        of_kind = pc.is_in(batch["event_type"], pa.array([str(kind) for kind in kinds]))
        inside = pc.and_(
            of_kind, pc.and_(pc.is_valid(batch["request_id"]), pc.greater_equal(batch["timestamp"], start))
        )
        for row in batch.filter(inside).to_pylist():
            yield row | missing
