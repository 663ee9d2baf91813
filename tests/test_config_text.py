"""What stands in a config, and what YAML takes it for."""

import pytest

from souk.config import parse_config
from souk.config.text import Written, dumped, meant, sections
from souk.errors import SoukError
from tests.config_fixtures import MINIMAL

TEXT = """
codes: [010, 1.10, .5, 0.00, yes, NO, 12:30, 1_000, +5, 0000-00-00, 1.50e-3]
numbers: [1.1, 0.0015, 3, -2, true, .inf, ~]
texts: ['010', "NO", plain]
NO: country
"""


def test_a_text_that_yaml_takes_for_something_else_is_both():
    read = sections(TEXT, "my.yaml", "")
    assert read["codes"] == ["010", "1.10", ".5", "0.00", "yes", "NO", "12:30", "1_000", "+5", "0000-00-00", "1.50e-3"]
    assert all(isinstance(code, Written) for code in read["codes"])
    assert meant(read["codes"]) == [8, 1.1, 0.5, 0.0, True, False, 750, 1000, 5, "0000-00-00", 0.0015]
    assert read["numbers"] == meant(read["numbers"]) == [1.1, 0.0015, 3, -2, True, float("inf"), None]
    assert read["texts"] == meant(read["texts"]) == ["010", "NO", "plain"] and "NO" in read


def test_what_is_written_anew_is_read_as_the_same():
    read = sections(TEXT, "my.yaml", "")
    again = sections(dumped(read), "my.yaml", "")
    assert again == read and meant(again) == meant(read)


def test_options_of_a_class_of_ones_own_are_what_yaml_takes_them_for():
    options = "{exact: no, rate: 1.50, most: 1_000, code: '010', lists: [on, .5]}"
    ranker = parse_config(MINIMAL + f"ranker: {{use: 'shop.rank:Own', options: {options}}}\n").ranker
    assert ranker.options == {"exact": False, "rate": 1.5, "most": 1000, "code": "010", "lists": [True, 0.5]}


def test_an_offset_is_no_zone_and_the_error_names_both_ways_to_write_one():
    for zone in ("+02:00", "UTC+2", "-0330"):
        with pytest.raises(SoukError, match=r"name one, as Europe/Berlin; Etc/GMT-2 is two hours ahead of UTC"):
            parse_config(MINIMAL.replace("path: events.csv", f"path: events.csv, timezone: '{zone}'"))
