"""Configs whose `engaged` has the next steps of a visit are told."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import parse_config, parse_step_config
from souk.errors import SoukError
from souk.features.funnel import funnel
from souk.next_steps import STEPS, next_steps
from souk.steps.build_features import spec_of as specify
from tests.features_fixtures import spec_of, write_tables

CONFIG = "name: shop\ndata: {events: {path: unused}}\n"
MINUTE, DAY = 60_000, 86_400_000
NIGHT = [(-n * 1440 + 1438, -n * 1440 + 1441) for n in range(1, 6)]  # all of one night: a look, and the cart
LATER, SOON = "{rule: after_days, days: 1}", "{rule: after_days, days: 0.05}"  # 72 minutes


def shop(tmp_path, visits, engaged="[click, cart, purchase]", repeat="always"):
    """A config, and tables of visits, each by the minutes at which a user looks at an item, takes it, and buys it."""
    events = [
        {"event_id": f"{n}-{kind}", "user_id": f"u{n}", "item_id": "a", "event_type": kind}
        | {"timestamp": DAY * n + minute * MINUTE}
        for n, visit in enumerate(visits)
        for kind, minute in zip(("click", "cart", "purchase"), visit, strict=False)
        if minute is not None
    ]
    rule = f"{{events: {engaged}}}"
    config = parse_config(f"{CONFIG}objectives: {{engaged: {rule}, satisfied: {rule}}}\nrepeat: {repeat}\n")
    return config, write_tables(tmp_path / "tables", sorted(events, key=lambda event: event["timestamp"]))


def told(tmp_path, visits, since=0, **given):
    """What is told of a `shop`."""
    config, tables = shop(tmp_path, visits, **given)
    return list(funnel(tables / "events.parquet", spec_of(config), since))


def test_the_next_steps_of_visits_are_counted_by_type(tmp_path):
    (line,) = told(tmp_path, [(0, 30, 61), (0, 1, 2), (0,), (0,)])
    assert "2 of 2 carts and 1 of 2 purchases come within half an hour after another act of the same user" in line
    assert "of 38% of what is asked for the last item is the answer" in line and "alone (click)" in line


def test_a_visit_lasts_as_long_as_what_is_played(tmp_path):
    config, tables = shop(tmp_path, [(0, 70)] * 4, engaged="[click, cart]")
    events = pq.read_table(tables / "events.parquet")
    for minutes, steps in ((45, True), (35, False)):
        seconds = pa.array([60.0 * minutes if kind == "click" else None for kind in events["event_type"].to_pylist()])
        pq.write_table(events.append_column("dwell_seconds", seconds), tables / "events.parquet")
        assert len(list(funnel(tables / "events.parquet", spec_of(config), 0))) == steps


def test_what_is_looked_at_meanwhile_ends_no_play():
    kinds = np.array([STEPS[kind] for kind in ("click", "cart", "purchase", "click", "purchase")])
    pairs, times = np.array([0, 0, 0, 1, 1]), np.array([0, 5, 80, 0, 80]) * MINUTE
    lasted = np.array([60.0, 0, 0, np.nan, 0]) * MINUTE
    assert next_steps(pairs, kinds, times, lasted).tolist() == [False, True, True, False, False]
    assert next_steps(pairs, kinds, times).tolist() == [False, True, False, False, False]
    nothing = np.zeros(0, np.int64)
    assert next_steps(nothing, nothing, nothing, nothing).tolist() == []


def test_next_steps_are_those_of_the_plain_way():
    random = np.random.default_rng(0)
    for size in random.integers(1, 40, 200):
        pairs, kinds, times = (random.integers(0, most, size) for most in (4, 4, 200))
        lasted = random.choice([0, 10, 50, np.nan], size)
        plain = [
            any(
                pairs[k] == pairs[n] and kinds[k] < kinds[n] and times[k] < times[n]
                and times[n] - times[k] - np.nan_to_num(lasted[k]) <= 30
                for k in range(size)
            )
            for n in range(size)
        ]  # fmt: skip
        assert next_steps(pairs, kinds, times * MINUTE, lasted * MINUTE).tolist() == plain


@pytest.mark.parametrize(
    ("visits", "given", "expected"),
    [
        ([(0, 1)] + [(0,)] * 3, {}, True),  # a fifth
        ([(0, 1)] + [(0,)] * 4, {}, False),
        ([(0, 0, 0)] * 4, {}, False),  # at one moment: one step
        ([(0, 1, 2)] * 4, {"repeat": "never"}, False),  # what was looked at is kept out
        ([(0, 1, 2)] * 4, {"engaged": "[click]"}, False),
        ([(0, 1, 2)] * 4, {"engaged": "[purchase]"}, True),  # looks are known, too
        ([(0, 1), (0,), (0,), (0,), (0,)], {"since": DAY}, False),
        ([(0, 1, 2)] * 4, {"engaged": "[purchase]", "repeat": "never"}, True),  # looks keep nothing out
        ([(0, 1, 2)] * 4, {"engaged": "[cart, purchase]", "repeat": "never"}, True),
        ([(0, 0, 1)] * 4, {"engaged": "[cart, purchase]", "repeat": "never"}, False),
        ([(0, 1, 2), (0,)], {"engaged": "[purchase]", "since": DAY, "repeat": "never"}, False),
        ([(0,), (-100, 0, 1)], {"engaged": "[click, purchase]", "since": DAY}, True),
        ([(0,), (-100, 0, 1)], {"engaged": "[click, purchase]", "since": DAY, "repeat": "never"}, False),
        ([(0,), (-100, 0, 1)], {"engaged": "[click, purchase]", "since": DAY, "repeat": LATER}, False),
        ([(0,), (-100, 0, 1)], {"engaged": "[click, purchase]", "since": DAY, "repeat": SOON}, True),
        ([(0, 1, 2)] * 4, {"repeat": "{pause_minutes: 3}"}, False),  # what is at hand is kept out, whatever engages
        ([(0, 1, 2)] * 4, {"repeat": "{pause_minutes: 1}"}, True),
        ([(-2, 1), (0,)], {"since": 0, "repeat": "{pause_minutes: 30}"}, False),  # what was before counts, too
        # what was at hand before is not asked for, so one of two follows, and not one of seven
        ([(1440, 1460), *NIGHT], {"since": DAY, "repeat": "{pause_minutes: 10}"}, True),
        ([(-2, 1), (0,)], {"since": 0, "repeat": "{rule: never, events: [purchase], pause_minutes: 30}"}, False),
        ([(0, 1, 2)] * 4, {"repeat": "{rule: never, events: [purchase]}"}, True),  # looks keep nothing out
        ([(0, 1, 2)] * 4, {"engaged": "[purchase]", "repeat": "{rule: never, events: [cart]}"}, False),
        ([(0, 1, 2)] * 4, {"engaged": "[purchase]", "repeat": "{rule: after_days, days: 1, events: [click]}"}, False),
        ([(0, 0, 1)] * 4, {"engaged": "[purchase]", "repeat": "{rule: after_days, days: 1, events: [cart]}"}, False),
        ([(0, 1, 1)] * 4, {"engaged": "[purchase]", "repeat": "{rule: never, events: [cart]}"}, True),  # at one time
    ],
)
def test_a_fifth_of_what_is_asked_for_is_told(tmp_path, visits, given, expected):
    assert bool(told(tmp_path, visits, **given)) == expected


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({}, True),
        ({"repeat": SOON.replace("0.05", "0.0001")}, True),
        ({"repeat": "{pause_minutes: 0.5}"}, True),
        ({"engaged": "[click, purchase]", "repeat": "{rule: never, events: [purchase]}"}, True),
        ({"engaged": "[purchase]"}, False),  # nothing but next steps engages: a pause would leave nothing to ask for
        ({"engaged": "[cart, purchase]", "repeat": "never"}, False),
    ],
)
def test_a_pause_is_a_remedy_where_the_first_step_engages(tmp_path, given, remedy):
    (line,) = told(tmp_path, [(0, 1, 2)] * 4, **given)
    assert ("by `repeat: {pause_minutes: 30}`" in line) == remedy
    assert ("purchases come" in line) == (given.get("repeat") != "never"), "what the cart kept out is not asked for"


@pytest.mark.parametrize(
    ("visits", "expected"),
    [([(0, None, 2)] * 9 + [(0, None, 40)], True), ([(0, None, 2)] * 4 + [(0, None, 40)], False), ([(0,)], False)],
)
def test_a_pause_that_leaves_little_is_told(tmp_path, visits, expected):
    lines = told(tmp_path, visits, engaged="[purchase]", repeat="{pause_minutes: 30}")
    assert lines == [line for line in lines if "9 of 10 that engage are with what was at hand" in line]
    assert bool(lines) == expected


def test_a_pause_has_no_minutes_where_times_are_counts(tmp_path):
    config, tables = shop(tmp_path, [(0, 1, 2)] * 50, repeat="{pause_minutes: 30}")
    config = config.model_copy(update={"split": config.split.model_copy(update={"protocol": "leave_last_out"})})
    with pytest.raises(SoukError, match=r"without pause_minutes beside .* leave_last_out\. Received: 30\. "):
        specify(parse_step_config("build_features", config.for_step("build_features")), tables)


@pytest.mark.parametrize("repeat", ["always", "never"])
def test_a_pause_is_a_remedy_where_the_rule_keeps_out_all_it_can(tmp_path, repeat):
    (line,) = told(tmp_path, [(None, 0, 1)] * 4 + [(0,)], engaged="[click, purchase]", repeat=repeat)
    assert "4 of 4 purchases" in line and "pause_minutes: 30" in line


@pytest.mark.parametrize("protocol", ["temporal", "leave_last_out"])
def test_the_build_begins_with_it(tmp_path, capfd, protocol):
    config, tables = shop(tmp_path, [(0, 1, 2)] * 50)
    config = config.model_copy(update={"split": config.split.model_copy(update={"protocol": protocol})})
    specify(parse_step_config("build_features", config.for_step("build_features")), tables)
    assert ("carts and 10 of 10 purchases come" in capfd.readouterr().out) == (protocol == "temporal"), (
        "the other's minutes are made up"
    )
