"""`souk init` of a log for off-policy estimates: what was shown where, how likely, whether it was clicked; no users."""

from pathlib import Path

import pytest

from souk.cli import main
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, read, write

TOLD = "user_trait_0 HAS ONLY 3 VALUES IN 600 ROWS: groups, and no ids. Map the ids"
MADE = "user_id: '{user_trait_0}-{user_trait_1}'"


def shown(**more: list[object]) -> Table:
    """600 items shown at three places, every tenth clicked, by a policy that says how likely each was."""
    return [
        {
            "timestamp": f"2024-03-{1 + n // 100:02}T12:{n % 60:02}:00Z",
            "item_id": n % 7,
            "position": 1 + n % 3,
            "click": int(n % 10 == 0),
            "propensity_score": (1 + n % 7) / 28,
            "user_trait_0": "abc"[n % 3],
            "user_trait_1": "defgh"[n % 5],
            "user-item_score_0": n % 2,
            **{name: values[n % len(values)] for name, values in more.items()},
        }
        for n in range(600)
    ]


def test_what_was_shown_or_clicked_where_and_how_likely_is_known(tmp_path: Path) -> None:
    text, config = init(tmp_path, write(shown(), tmp_path / "log.csv"))
    assert config.data.events.columns["position"] == "position"
    rows = read(config, "events")
    assert not rows.faults and rows.table["propensity"].to_pylist()[:7] == [(1 + n) / 28 for n in range(7)]
    assert rows.table["event_type"].to_pylist()[:11] == ["click", *["impression"] * 9, "click"]
    assert "NO request_id SAYS WHAT WAS SHOWN TOGETHER" in text


def test_few_groups_are_no_users_and_what_makes_some_of_them_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = write(shown(), tmp_path / "log.csv")
    assert main(["init", "--events", events, "--output", str(tmp_path / "my.yaml")]) == 0
    text, last = capsys.readouterr().out.split("Written to")
    assert f"user_id: user_trait_0  # {TOLD}; or in its place under templates, {MADE} takes those who are" in text
    assert TOLD in last and MADE in last


def test_an_id_goes_before_a_group_and_so_does_a_session(tmp_path: Path) -> None:
    hashed = write(shown(user_hash=[f"h{n}" for n in range(40)]), tmp_path / "hash.csv")
    assert "user_id: user_hash  # its name contains the word" in (first := first_config(hashed, None, None, "x")).text
    assert first.groups == ""
    visits = write(shown(session=[f"s{n}" for n in range(90)]), tmp_path / "visits.csv")
    assert "user_id: session  # there are no users" in first_config(visits, None, None, "x").text


def test_chances_in_percent_are_left_out_with_the_reason(tmp_path: Path) -> None:
    rows = [{**row, "propensity_score": 100 * row["propensity_score"]} for row in shown()]
    text, config = init(tmp_path, write(rows, tmp_path / "log.csv"))
    assert "propensity" not in config.data.events.columns and not read(config, "events").faults
    assert "# left out: propensity_score (NO propensity: 100% of its numbers are above 1, such" in text
