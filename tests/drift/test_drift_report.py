"""The report says what has changed, in words, in order, with nothing of a category's text taken as markup."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from souk.drift.report import headline, page, sentence
from souk.drift.windows import Monitor, Window
from tests.drift.shop import as_rows, monitor, moved, some, traffic


@pytest.fixture
def quiet(release: Path) -> Monitor:
    return monitor(release)


def closed(quiet: Monitor, **planted: Any) -> Window:
    [window] = quiet.take(as_rows(traffic(400, 7, **planted)), {})
    return window


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        ({"user_region": some(0.4, "west")}, r"west: \d+\.\d% before, 4\d\.\d% now\."),
        ({"user_age": moved(10)}, r"Median (39|40)\.\d+ before, (4[89]|5\d)\.\d+ now\."),
        ({"user_age": some(0.5, math.nan)}, r"Missing in 5\d\.\d% of the requests, \d+\.\d% before\."),
        ({"context_device": some(0.3, "fridge")}, r"[23]\d\.\d% are in categories that the reference does not have"),
    ],
)
def test_the_first_drifted_feature_is_told_in_a_sentence(quiet: Monitor, planted: dict[str, Any], words: str) -> None:
    window = closed(quiet, **planted)
    assert re.match(words, sentence(window.columns[0])), sentence(window.columns[0])
    text = page(quiet, window, quiet.last())
    assert text.index(f"1. {window.drifted[0]}") < text.index("All features")
    assert text.count("<svg") == len(window.drifted)
    assert "Drift, not yet an alarm" in text


def test_a_category_is_shown_as_text(quiet: Monitor) -> None:
    text = page(quiet, closed(quiet, user_region=some(0.5, "<script>$a_b$</script>")), quiet.last())
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_a_quiet_window_has_no_plot_and_says_so(quiet: Monitor) -> None:
    window = closed(quiet)
    text = page(quiet, window, quiet.last())
    assert headline(window) == "Quiet" and "<svg" not in text and "user_region" in text


def test_a_column_without_any_value_can_be_drawn(quiet: Monitor) -> None:
    window = closed(quiet, user_age=math.nan, user_region="")
    assert {"user_age", "user_region"} <= set(window.drifted)
    assert page(quiet, window, quiet.last()).count("<svg") == len(window.drifted)
