"""`souk init`: rows of no item are left out, and make no room for broken ones."""

import random
from pathlib import Path

import pytest

from souk.config import parse_config
from souk.ingest.guess.first_config import FirstConfig, first_config
from tests.test_ingest_first_config import Table, write


def log(itemless: float, kinds: list[str], words: list[str], count: int = 900) -> Table:
    """Events of which this share of those with the first kind have no item."""
    rng = random.Random(5)
    return [
        {
            "ts": 1_700_000_000 + 60 * n,
            "user_id": f"u{n % 19}",
            "item_id": "" if n % len(kinds) == 0 and rng.random() < itemless else f"i{n * 7 % 31:03d}",
            "kind": kinds[n % len(kinds)],
            "event": words[n // 2 % len(words)] if len(words) > 1 else kinds[n % len(kinds)],
        }
        for n in range(count)
    ]


def first(tmp_path: Path, rows: Table) -> FirstConfig:
    return first_config(write(rows, tmp_path / "e.csv"), None, None, "x")


def test_rows_of_a_kind_that_has_no_item_are_left_out_by_it(tmp_path: Path) -> None:
    """Home pages of a site; an article without an id is still refused."""
    told = first(tmp_path, log(1, ["section", "article", "article"], ["view", "like", "share"]))
    config = parse_config(told.text)
    assert config.data.events.skip == {"kind": ("section",)}
    assert config.ingest.quarantine_threshold == 0.05
    assert told.left_out == ("they are of no item, section of kind (300 of 900 rows)",)


def test_rows_of_a_type_that_often_has_no_item_are_left_out_by_their_id(tmp_path: Path) -> None:
    told = first(tmp_path, log(0.5, ["search", "view", "order", "view"], [""]))
    config = parse_config(told.text)
    assert config.data.events.skip == {"item_id": ("",)}
    assert config.ingest.quarantine_threshold == 0.05
    assert "rows have no item_id, all of search, which may be of none" in told.left_out[0]


@pytest.mark.parametrize("share", [0.3, 0.02])
def test_rows_without_an_item_for_no_reason_are_told_in_the_last_line(tmp_path: Path, share: float) -> None:
    rng, rows = random.Random(7), log(0, ["a", "b", "c"], ["view", "like", "share"])
    rows = [{**row, "item_id": "" if rng.random() < share else row["item_id"]} for row in rows]
    told = first(tmp_path, rows)
    assert not parse_config(told.text).data.events.skip
    assert ('if they are of none, skip: {item_id: ""} beside path' in told.groups) == (share > 0.05)
