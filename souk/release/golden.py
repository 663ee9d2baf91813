"""Golden requests: a release's own proof that it answers elsewhere as it did where it was made.

Each carries the user's state and the time, so no store and no clock is needed, and is answered from the release's own
vectors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.errors import SoukError
from souk.ordered import in_order
from souk.schema import DAY_MS
from souk.spec import FeatureSpec, read_spec
from souk.state import UserState
from souk.state_rows import from_row, profile_of, to_row

NAME = "golden.jsonl"
TOLERANCE = 1e-3
SHARE = 0.01  # of a score, where that is less: probabilities of rare events are small
FLOOR = 1e-5
REQUESTS = 20
SEED = 17
NAN_LISTS = ("event_value", "event_dwell_seconds")


@dataclass(frozen=True)
class GoldenRequest:
    """One request with all that its answer depends on. `timestamp` is UTC epoch milliseconds."""

    user_id: str
    k: int
    timestamp: int
    state: UserState
    context: Mapping[str, Any] = field(default_factory=dict)


Answer = Mapping[str, Any]  # `items` (item_id, score, scores) and `degraded`, as in a slate's JSON
Recommend = Callable[[Sequence[GoldenRequest]], Sequence[Answer]]


def golden_requests(features: str | Path, spec: FeatureSpec, count: int = REQUESTS) -> list[GoldenRequest]:
    """Requests of `count` - 1 users and of one that nobody knows, from an hour to a month after their last events.

    Args:
        features: the features folder.
        spec: its specification.
        count: how many.
    """
    random = np.random.default_rng(SEED)
    file = Path(features) / "user_state.parquet"
    users = in_order(pq.read_table(file, columns=["user_id"]), ["user_id"])["user_id"]
    chosen = np.sort(random.choice(len(users), size=min(count - 1, len(users)), replace=False)).tolist()
    names = pa.array([users[place].as_py() for place in chosen], pa.string())
    drawn = pq.read_table(file, filters=pc.field("user_id").isin(names))
    states = [from_row(row, spec) for row in drawn.sort_by("user_id").to_pylist()]
    last = max((state.events[-1].timestamp for state in states if state.events), default=0)
    states.append(UserState("nobody", profile=profile_of({}, spec)))
    gaps = random.integers(DAY_MS // 24, 30 * DAY_MS, size=len(states)).tolist()
    sizes = random.integers(5, 21, size=len(states)).tolist()
    contexts = _contexts(Path(features), spec, random, len(states))
    return [
        GoldenRequest(state.user_id, k, (state.events[-1].timestamp if state.events else last) + gap, state, context)
        for state, gap, k, context in zip(states, gaps, sizes, contexts, strict=True)
    ]


def _contexts(features: Path, spec: FeatureSpec, random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Contexts that events really had, without what is missing in them."""
    names = {feature.name: feature.source for feature in spec.context}
    if not names:
        return [{}] * count
    table = pq.read_table(features / "examples.parquet", columns=list(names))
    places = random.integers(len(table), size=count).tolist()
    rows = [row for place in places for row in table.slice(place, 1).to_pylist()]  # `take` joins all of a column
    plain = [{names[name]: _null_for_nan(value) for name, value in row.items()} for row in rows]
    return [{name: value for name, value in row.items() if value not in (None, "", [])} for row in plain]


def write_golden(folder: str | Path, requests: Sequence[GoldenRequest], answers: Sequence[Answer]) -> None:
    """Writes requests and their answers, one JSON object a line."""
    spec = read_spec(Path(folder) / "spec.json")
    with (Path(folder) / NAME).open("w", encoding="utf-8") as file:
        for request, answer in zip(requests, answers, strict=True):
            asked = {"user_id": request.user_id, "k": request.k, "timestamp": request.timestamp}
            asked |= {"context": dict(request.context), "state": to_row(request.state, spec)}
            line = {"request": asked, "answer": {name: answer[name] for name in ("items", "degraded")}}
            file.write(json.dumps(_null_for_nan(line), ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n")


def read_golden(folder: str | Path) -> list[tuple[GoldenRequest, Answer]]:
    """Reads what `write_golden` wrote."""
    spec = read_spec(Path(folder) / "spec.json")
    lines = [json.loads(line) for line in (Path(folder) / NAME).read_text(encoding="utf-8").splitlines()]
    return [(_request(line["request"], spec), line["answer"]) for line in lines]


def replay_golden(folder: str | Path, recommend: Recommend) -> int:
    """Asks the golden requests again and returns their number.

    Args:
        folder: the release.
        recommend: answers requests from that release.

    Raises:
        SoukError: a score differs by more than TOLERANCE or SHARE; equal scores may change places.
    """
    golden = read_golden(folder)
    answers = recommend([request for request, _ in golden])
    for number, ((_, wanted), found) in enumerate(zip(golden, answers, strict=True), 1):
        difference = differs(wanted, found)
        if difference:  # by its number: a log may have this text, and no user's id
            raise SoukError(
                f"the golden answer on line {number} of {Path(folder) / NAME}",
                difference,
                "Serve with the package versions of release.json, or package the release again.",
            )
    return len(golden)


def differs(wanted: Answer, found: Answer) -> str:
    """How an answer differs, in words; "" where it does not.

    The scores must agree place by place, and those of each item in both; an item in one only must stand at the cut.
    """
    if list(wanted["degraded"]) != list(found["degraded"]):
        return f"degraded {list(found['degraded'])} instead of {list(wanted['degraded'])}"
    if len(wanted["items"]) != len(found["items"]):
        return f"{len(found['items'])} items instead of {len(wanted['items'])}"
    for place, (old, new) in enumerate(zip(wanted["items"], found["items"], strict=True)):
        if not _close(old["score"], new["score"]):
            return f"score {new['score']:.5f} at place {place} instead of {old['score']:.5f}"
    if len({item["item_id"] for item in found["items"]}) < len(found["items"]):
        return "an item twice"
    olds, news = ({item["item_id"]: item for item in answer["items"]} for answer in (wanted, found))
    cut = wanted["items"][-1]["score"] if wanted["items"] else 0.0
    for name in sorted(olds.keys() ^ news.keys()):
        if not _close((olds.get(name) or news[name])["score"], cut):
            return f"item {name!r} {'is missing' if name in olds else 'is new'}"
    found_apart = (_item_differs(olds[name], news[name]) for name in sorted(olds.keys() & news.keys()))
    return next(filter(None, found_apart), "")


def _item_differs(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = ({"score": item["score"], **item["scores"]} for item in (old, new))
    if before.keys() != after.keys():
        return f"scores {sorted(after)} of item {old['item_id']!r} instead of {sorted(before)}"
    for name, value in before.items():
        if not _close(after[name], value):
            return f"{name} {after[name]:.5f} of item {old['item_id']!r} instead of {value:.5f}"
    return ""


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= min(TOLERANCE, max(FLOOR, SHARE * max(abs(a), abs(b))))


def _request(asked: dict[str, Any], spec: FeatureSpec) -> GoldenRequest:
    row = asked["state"]
    row |= {name: [math.nan if value is None else value for value in row[name]] for name in NAN_LISTS}
    return GoldenRequest(asked["user_id"], asked["k"], asked["timestamp"], from_row(row, spec), asked["context"])


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_for_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
