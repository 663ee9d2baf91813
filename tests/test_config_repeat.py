"""The section of the config that says what is kept out."""

import pytest

from souk.config import parse_config, parse_step_config
from souk.errors import SoukError

MINIMAL = """
name: tiny
data: {events: {path: events.csv}}
objectives: {engaged: {events: [click]}, satisfied: {events: [click], weight: 0}}
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "repeat: {rule: never, events: [purchace]}",
            ["my.yaml: repeat.events.0: one of impression, click, cart", "Received: 'purchace'."],
        ),
        (
            "repeat: {rule: never, events: [hide, click, impression]}",
            ["my.yaml: repeat.events to be acts of a user. Received: hide, impression. Leave them out", "fatigue"],
        ),
        (
            "repeat: {events: [purchase]}",
            ["my.yaml: a rule of repeat for which its events count: never or after_days. Received: always, "],
        ),
        ("repeat: {pause_minutes: -1}", ["repeat.pause_minutes: ", "greater than or equal to 0"]),
        ("repeat: {pause_minutes: 1e+20}", ["repeat.pause_minutes: ", "less than or equal to 527040"]),  # no int64
        ("repeat: {pause_minutes: .nan}", ["repeat.pause_minutes: "]),
        (
            "repeat: after_days",
            ["my.yaml: repeat.days above 0, since repeat.rule is after_days. Received: 0. Say {rule"],
        ),
        *[
            (
                f"repeat: {{rule: {rule}, days: 30}}",
                [f"a rule of repeat for which its days count: after_days. Received: {rule}. Say {{rule: "],
            )
            for rule in ("never", "always")
        ],
        ("repeat: {rule: after_days, days: .inf}", ["repeat.days: a finite number. Received: inf."]),
    ],
)
def test_a_wrong_line_is_refused_in_words_that_help(line, words):
    with pytest.raises(SoukError) as error:
        parse_config(MINIMAL + line, "my.yaml")
    assert all(word in str(error.value) for word in words), error.value


def test_an_event_of_repeat_by_its_name_in_the_file_is_told_too():
    text = MINIMAL.replace("events.csv}", "events.csv, event_types: {kauf: purchase}}")
    with pytest.raises(SoukError, match="maps kauf to purchase: write that"):
        parse_config(text + "repeat: {rule: never, events: [kauf]}")


def test_what_is_sold_once_is_known_where_items_get_their_ends():
    """`ingest` runs anew for no other key of the section."""
    for line, once in (("repeat: never\n", False), ("repeat: {pause_minutes: 3, sold_once: true}\n", True)):
        step = parse_config(MINIMAL + line).for_step("ingest")
        assert parse_step_config("ingest", step).repeat.sold_once is once
        assert "pause_minutes" not in step
    assert "sold_once" not in parse_config(MINIMAL + "repeat: never\n").repeat.model_dump(), (
        "specs of before keep their hash"
    )
