"""What `souk init` makes of rows that say in flags, or in a share of what was played, what came of what was shown."""

from pathlib import Path
from typing import Any

import pytest

from souk.config import DatasetConfig, parse_config
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, write

MORNING = 1_700_006_400_000  # 2023-11-15, midnight in UTC


def rows(**more: Any) -> Table:
    """Each user is shown ten videos; a function of the number makes each further column."""
    known = [{"user_id": n // 10, "video_id": n % 37, "time_ms": MORNING + 60_000 * n} for n in range(400)]
    return [row | {name: of(n) for name, of in more.items()} for n, row in enumerate(known)]


def config_of(table: Table, folder: Path) -> tuple[str, DatasetConfig]:
    text = first_config(write(table, folder / "log.csv"), None, None, "x").text
    return text, parse_config(text)


@pytest.mark.parametrize("name", ["is_click", "click", "was_clicked", "isClick"])
def test_what_was_shown_and_not_clicked_is_no_click(tmp_path: Path, name: str) -> None:
    _, config = config_of(rows(**{name: lambda n: int(n % 4 == 0)}), tmp_path)
    assert config.data.events.columns["event_type"] == name
    assert dict(config.data.events.event_types) == {"0": "impression", "1": "click"}


def test_a_named_type_is_the_type_whatever_flags_say(tmp_path: Path) -> None:
    flags = {"action": lambda n: ["view", "cart"][n % 2], "is_click": lambda n: int(n % 4 == 0)}
    text, config = config_of(rows(**flags), tmp_path)
    assert config.data.events.columns["event_type"] == "action"
    assert "left out: is_click" in text and "ANOTHER ACT" not in text


def test_a_click_that_went_on_satisfies(tmp_path: Path) -> None:
    flags = {
        "is_click": lambda n: int(n % 2 == 0),
        "long_view": lambda n: int(n % 8 == 0),
        "is_like": lambda n: int(n % 40 == 0),
    }
    text, config = config_of(rows(**flags), tmp_path)
    assert config.data.events.columns["value"] == "long_view"
    assert config.objectives.satisfied.min_value == 1 and "# 25% of the clicks, by long_view" in text
    assert "left out: is_like (ANOTHER ACT IN THE SAME ROW, a cart, of 2.5% of the rows" in text
    every = flags | {"long_view": lambda n: 1, "is_like": lambda n: 0}
    _, alike = config_of(rows(**every), tmp_path)
    assert "value" not in alike.data.events.columns, "what all or none have tells nothing"


def test_a_share_of_what_was_watched_satisfies(tmp_path: Path) -> None:
    _, ratio = config_of(rows(watch_ratio=lambda n: [0.2, 0.7, 1.4][n % 3]), tmp_path)
    _, percent = config_of(rows(progress=lambda n: [20, 70, 95][n % 3]), tmp_path)
    assert ratio.objectives.satisfied.min_value == 1
    assert percent.data.events.columns["value"] == "progress" and percent.objectives.satisfied.min_value == 80


def test_moments_are_the_time_where_days_go_by_its_name(tmp_path: Path) -> None:
    """The day is that of another zone; one of another month is of something else."""
    _, config = config_of(rows(date=lambda n: 20231115), tmp_path)
    assert config.data.events.columns["timestamp"] == "time_ms"
    _, other = config_of(rows(date=lambda n: 20230115 + n % 3), tmp_path)
    assert other.data.events.columns["timestamp"] == "date"


@pytest.mark.parametrize(
    ("flag", "more", "act"),
    [
        ("installed", {}, True),  # of an app that was shown
        ("purchase", {"quantity": 1}, True),
        ("download", {"quantity": 1}, False),  # of a book that was bought
        ("is_download", {"order_no": "b7"}, False),
        ("installation", {}, False),  # of a dishwasher
        ("preorder", {"price": 3.5}, False),
    ],
)
def test_how_something_is_delivered_is_no_act_beside_it(
    tmp_path: Path, flag: str, more: dict[str, Any], act: bool
) -> None:
    columns = {name: lambda n, value=value: value for name, value in more.items()}
    text, config = config_of(rows(**{flag: lambda n: int(n % 4 == 0)}, **columns), tmp_path)
    assert (config.data.events.columns.get("event_type") == flag) == act
    assert "ANOTHER ACT" not in text and "OR IS IT" not in text
