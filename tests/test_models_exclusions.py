"""What the repeat rule keeps from the ranker's candidates is what it keeps from slates."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Fatigue, Repeat
from souk.features.acts import write_acts, write_marks
from souk.models.draw import moments_of
from souk.models.exclusions import exclusions
from souk.schema import DAY_MS
from souk.serving.catalogue import Catalogue
from souk.serving.kept_out import KeptOut
from souk.serving.request import Request
from souk.state import Event, UserState, advance, engaging, state_of
from souk.withheld import repeat_excluded, tired, withheld
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
    examples, excluded = written(tmp_path, people, spec)
    assert (tmp_path / "acts.parquet").exists() == bool(repeat.events or repeat.pause_minutes)
    assert not (tmp_path / "marks.parquet").exists()
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


TIRING = Fatigue(shown=2, days=4)


@pytest.mark.parametrize(
    "repeat",
    [
        Repeat(),
        Repeat(fatigue=TIRING),
        Repeat(rule="never", fatigue=TIRING),
        Repeat(rule="after_days", days=3, events=RATED, pause_minutes=DAY, fatigue=Fatigue(shown=1, days=0.6)),
    ],
)
def test_what_was_hidden_or_shown_often_is_the_same_in_training_and_in_serving(tmp_path, repeat, monkeypatch):
    """And what was hidden, shown or taken later says nothing."""
    monkeypatch.setattr("souk.features.acts.ROWS", 7)
    random = np.random.default_rng(4)
    spec, people = spec_with(repeat), histories(random)
    for user in USERS:
        times = (random.integers(0, 40, 90) * DAY_MS // 2).tolist()
        kinds = random.choice(["impression", "hide"], 90, p=[0.9, 0.1])
        marks = zip(random.choice(ITEMS, 90), kinds, times, random.choice([math.nan, 0.0], 90), strict=True)
        people[user] += [Event(*mark, event_id=f"m{user}{n:02}") for n, mark in enumerate(marks)]
    examples, excluded = written(tmp_path, people, spec)
    items = Catalogue.of(ITEMS, [None] * len(ITEMS), np.ones(len(ITEMS), bool))
    hidden, often = set(), set()
    for moment in moments_of(examples):
        state = state_of(moment.user, [e for e in people[moment.user] if e.timestamp < moment.time], spec, {})
        request = Request(moment.user, 5, moment.time)
        assert set(excluded(moment).tolist()) == KeptOut.of(request, state, items, spec).all
        by_rule = repeat_excluded(state, moment.time, spec)
        hidden |= withheld(state, moment.time, spec) - by_rule
        often |= {*tired(state, moment.time, spec)} - by_rule
    assert len(hidden) > 1 and (len(often) > 3) == bool(repeat.fatigue)


def written(folder, people, spec):
    """The examples of `people`, and what is excluded at their moments."""
    rows = [(user, e.timestamp, e.item_id, e.event_id) for user in USERS for e in people[user] if engaging(e, spec)]
    columns = dict(zip(("user_id", "timestamp", "item_id", "event_id"), zip(*rows, strict=True), strict=True))
    examples = pa.table(columns).sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
    pq.write_table(examples, folder / "examples.parquet")
    names = ("item_id", "event_type", "timestamp", "value", "event_id")
    every = [{"user_id": user} | {name: getattr(e, name) for name in names} for user in USERS for e in people[user]]
    table = pa.Table.from_pylist(
        [row | {"value": None if row["value"] != row["value"] else row["value"]} for row in every]
    )
    pq.write_table(table.sort_by([("timestamp", "ascending"), ("event_id", "ascending")]), folder / "events.parquet")
    write_acts(folder / "events.parquet", folder, spec)
    write_marks(folder / "events.parquet", folder, spec)
    taken = pa.array([[{"item_id": item}] for item in examples["item_id"].to_pylist()])
    examples = examples.append_column("moment", taken)
    return examples, exclusions(folder, examples, spec, {item: n for n, item in enumerate(ITEMS)})
