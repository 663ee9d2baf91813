"""What the repeat rule keeps from the ranker's candidates is what it keeps from slates."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Repeat
from souk.features.acts import write_acts
from souk.models.draw import moments_of
from souk.models.exclusions import exclusions
from souk.schema import DAY_MS
from souk.state import Event, UserState, advance, engaging, state_of
from souk.withheld import repeat_excluded
from tests.models_fixtures import cycle_spec

ITEMS = [f"i{n}" for n in range(12)]
USERS = ["ann", "bob", "cem"]


def histories(random):
    """Of each user 40 events on 20 days: ratings of 1 to 5 or of none, and clicks; some at one time."""
    found = {}
    for user in USERS:
        times = np.sort(random.integers(0, 20, 40)) * DAY_MS
        kinds = random.choice(["rating", "click"], 40, p=[0.8, 0.2])
        values = random.choice([1.0, 2.0, 4.0, 5.0, math.nan], 40)
        events = zip(random.choice(ITEMS, 40), kinds, times.tolist(), values.tolist(), strict=True)
        found[user] = [Event(*event, event_id=f"{user}-{n:02}") for n, event in enumerate(events)]
    return found


def spec_with(repeat):
    objectives = cycle_spec().objectives
    liked = objectives.engaged.model_copy(update={"min_value": 4.0})
    return cycle_spec(repeat=repeat, objectives=objectives.model_copy(update={"engaged": liked}))


RATED, DAY = ("rating",), 24 * 60
RULES = [
    Repeat(rule="never"),
    Repeat(rule="after_days", days=4.5),
    Repeat(rule="always"),
    Repeat(rule="never", events=RATED),  # whatever the stars are
    Repeat(rule="never", events=("click",)),
    Repeat(rule="after_days", days=4.5, events=RATED),
    Repeat(rule="always", pause_minutes=2.5 * DAY),
    Repeat(rule="always", pause_minutes=30 * DAY),  # more than a state keeps
    Repeat(rule="never", pause_minutes=2 * DAY),
    Repeat(rule="after_days", days=6, events=("click",), pause_minutes=DAY + 1),
]


@pytest.mark.parametrize("repeat", RULES, ids=lambda r: "-".join(map(str, r.model_dump().values())))
def test_the_repeat_rule_is_the_same_in_training_and_in_serving(tmp_path, repeat, monkeypatch):
    monkeypatch.setattr("souk.features.acts.ROWS", 7)
    spec, people = spec_with(repeat), histories(np.random.default_rng(3))
    rows = [(user, e.timestamp, e.item_id, e.event_id) for user in USERS for e in people[user] if engaging(e, spec)]
    columns = dict(zip(("user_id", "timestamp", "item_id", "event_id"), zip(*rows, strict=True), strict=True))
    examples = pa.table(columns).sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
    pq.write_table(examples, tmp_path / "examples.parquet")
    names = ("item_id", "event_type", "timestamp", "value", "event_id")
    every = [{"user_id": user} | {name: getattr(e, name) for name in names} for user in USERS for e in people[user]]
    table = pa.Table.from_pylist(
        [row | {"value": None if row["value"] != row["value"] else row["value"]} for row in every]
    )
    pq.write_table(table.sort_by([("timestamp", "ascending"), ("event_id", "ascending")]), tmp_path / "events.parquet")
    write_acts(tmp_path / "events.parquet", tmp_path, spec)
    assert (tmp_path / "acts.parquet").exists() == bool(repeat.events or repeat.pause_minutes)
    taken = pa.array([[{"item_id": item}] for item in examples["item_id"].to_pylist()])
    examples = examples.append_column("moment", taken)
    excluded = exclusions(tmp_path, examples, spec, {item: n for n, item in enumerate(ITEMS)})
    sizes = []
    for moment in moments_of(examples):
        past = [event for event in people[moment.user] if event.timestamp < moment.time]
        streamed = UserState(moment.user)
        for event in past:
            streamed = advance(streamed, event, spec)
        found = {ITEMS[place] for place in excluded(moment)}
        assert found == repeat_excluded(state_of(moment.user, past, spec, {}), moment.time, spec)
        assert found == repeat_excluded(streamed, moment.time, spec)
        assert repeat.rule != "never" or repeat.pause_minutes or len(excluded(moment)) == len(found), (
            "each item once, however often taken"
        )
        sizes.append(len(found))
    assert (max(sizes) > 3) == (repeat != Repeat(rule="always"))
