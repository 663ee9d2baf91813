"""What the repeat rule keeps from the ranker's candidates is what it keeps from slates."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Repeat
from souk.models.draw import moments_of
from souk.models.retrieve import exclusions
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


@pytest.mark.parametrize(
    "repeat", [Repeat(rule="never"), Repeat(rule="after_days", days=4.5), Repeat(rule="always")], ids=lambda r: r.rule
)
def test_the_repeat_rule_is_the_same_in_training_and_in_serving(tmp_path, repeat):
    spec, people = spec_with(repeat), histories(np.random.default_rng(3))
    rows = [(user, e.timestamp, e.item_id, e.event_id) for user in USERS for e in people[user] if engaging(e, spec)]
    columns = dict(zip(("user_id", "timestamp", "item_id", "event_id"), zip(*rows, strict=True), strict=True))
    examples = pa.table(columns).sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
    pq.write_table(examples, tmp_path / "examples.parquet")
    taken = pa.array([[{"item_id": item}] for item in examples["item_id"].to_pylist()])
    examples = examples.append_column("moment", taken)
    excluded = exclusions(tmp_path / "examples.parquet", examples, spec, {item: n for n, item in enumerate(ITEMS)})
    sizes = []
    for moment in moments_of(examples):
        past = [event for event in people[moment.user] if event.timestamp < moment.time]
        streamed = UserState(moment.user)
        for event in past:
            streamed = advance(streamed, event, spec)
        found = {ITEMS[place] for place in excluded(moment)}
        assert found == repeat_excluded(state_of(moment.user, past, spec, {}), moment.time, spec)
        assert found == repeat_excluded(streamed, moment.time, spec)
        assert repeat.rule != "never" or len(excluded(moment)) == len(found), "each item once, however often taken"
        sizes.append(len(found))
    assert (max(sizes) > 3) == (repeat.rule != "always")
