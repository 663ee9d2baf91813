"""Purchases and returns that no objective names are told."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Repeat, parse_config, parse_step_config
from souk.features.unnamed import unheard, unnamed
from souk.schema import DAY_MS
from souk.steps.build_features import spec_of
from tests.test_features_funnel import shop

GUESSED = "{events: [click], followed_by: [click], within_days: 13}"


def told(tmp_path, counts, engaged="[click]", satisfied=GUESSED):
    """What is told of so many events of each type."""
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    each = {"user_id": [f"u{n}" for n in range(len(kinds))], "item_id": ["i"] * len(kinds)}
    pq.write_table(pa.table({**each, "event_type": kinds, "timestamp": range(len(kinds))}), tmp_path / "events.parquet")
    rules = f"objectives: {{engaged: {{events: {engaged}}}, satisfied: {satisfied}}}"
    config = parse_config(f"name: shop\ndata: {{events: {{path: unused}}}}\n{rules}\n")
    return list(unnamed(tmp_path / "events.parquet", config.objectives))


@pytest.mark.parametrize(
    ("counts", "given", "words"),
    [
        ({"purchase": 1000, "return": 20}, {},
         ["none names purchase or return, of which the events have 1,000 and 20:",
          "{events: [click], followed_by: [purchase], unless: [return], within_days: 13}"]),
        ({"purchase": 20, "return": 19}, {},
         ["none names purchase, of which the events have 20:",
          "{events: [click], followed_by: [purchase], within_days: 13}"]),
        ({"return": 20}, {"engaged": "[click, purchase]", "satisfied": "{events: [purchase], weight: 0}"},
         ["none names return,", "{events: [purchase], unless: [return], within_days: 7}"]),
        ({"return": 20}, {"satisfied": "{events: [click], followed_by: [purchase], within_days: 3}"},
         ["none names return,", "{events: [click], followed_by: [purchase], unless: [return], within_days: 3}"]),
        ({"purchase": 20}, {"satisfied": "{events: [click], unless: [return], within_days: 3}"},
         ["none names purchase,", "{events: [click], followed_by: [purchase], unless: [return], within_days: 3}"]),
    ],
)  # fmt: skip
def test_what_no_objective_names_is_told_with_the_rule(tmp_path, counts, given, words):
    (line,) = told(tmp_path, {"click": 9} | counts, **given)
    assert all(word in line for word in words), line
    proposed = "{events: " + line.partition("let satisfied be {events: ")[2].partition(" (docs")[0]
    assert told(tmp_path, counts, given.get("engaged", "[click]"), proposed) == []


@pytest.mark.parametrize(
    ("counts", "given"),
    [
        ({"click": 99, "purchase": 19, "return": 19, "cart": 99, "rating": 99}, {}),
        ({"purchase": 99, "return": 99}, {"engaged": "[click, purchase]",
                                          "satisfied": "{events: [purchase], unless: [return], within_days: 3}"}),
    ],
)  # fmt: skip
def test_few_and_what_is_named_are_not(tmp_path, counts, given):
    assert told(tmp_path, counts, **given) == []


def lent(tmp_path, back, count=100, satisfied=GUESSED):
    """What is told where so many of the purchases are given back three weeks later, the last ones never."""
    rows = [
        {"user_id": f"u{n}", "item_id": f"i{n % 9}", "event_type": kind, "timestamp": (n + later) * DAY_MS}
        for n in range(count)
        for kind, later in (("purchase", 0), ("return", 21))
        if kind == "purchase" or n < back
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    rules = f"objectives: {{engaged: {{events: [purchase]}}, satisfied: {satisfied}}}"
    config = parse_config(f"name: shop\ndata: {{events: {{path: unused}}}}\n{rules}\n")
    return list(unnamed(tmp_path / "events.parquet", config.objectives))


@pytest.mark.parametrize(("back", "told"), [(80, True), (45, True), (44, False)])
def test_a_return_that_ends_what_is_lent_is_no_complaint(tmp_path, back, told):
    kept = "{events: [purchase], unless: [return], within_days: 18}"
    lines = lent(tmp_path, back, satisfied=kept)
    words = f"satisfied has unless: [return], but {min(50, back)} of 50 earlier purchases are given back"
    assert [words in line for line in lines] == [True] * told
    unnamed_too = lent(tmp_path, back, satisfied="{events: [purchase], weight: 0}")
    assert any("return" in line for line in unnamed_too) != told, "nor is it asked for where no objective names it"


def test_few_loans_say_nothing(tmp_path):
    assert lent(tmp_path, 58, count=58, satisfied="{events: [purchase], unless: [return], within_days: 18}") == []


def test_the_build_begins_with_it(tmp_path, capfd):
    config, tables = shop(tmp_path, [(0, 1, 2)] * 50, engaged="[click]")
    spec_of(parse_step_config("build_features", config.for_step("build_features")), tables)
    assert "none names purchase, of which the events have 50" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("kinds", "missing"),
    [((), ""), (("purchase",), ""), (("purchase", "cart"), "cart"), (("cart", "rating"), "cart or rating")],
)
def test_what_is_to_keep_items_out_and_is_in_no_event_is_told(tmp_path, kinds, missing):
    pq.write_table(pa.table({"event_type": ["click", "purchase", "click"]}), tmp_path / "events.parquet")
    found = list(unheard(tmp_path / "events.parquet", Repeat(rule="never", events=kinds)))
    assert [line.partition(" that is")[0] for line in found] == [f"repeat: no event is of the type {missing}"] * bool(
        missing
    )


def test_the_check_tells_it(tmp_path, capfd):
    config, tables = shop(tmp_path, [(0, 1)] * 20, engaged="[click]", repeat="{rule: never, events: [purchase]}")
    spec_of(parse_step_config("build_features", config.for_step("build_features")), tables)
    assert "repeat: no event is of the type purchase" in capfd.readouterr().out
