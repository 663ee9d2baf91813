"""`souk init` tells of ids that a spreadsheet wrote without the zeros before them."""

from pathlib import Path

import pandas as pd
import pytest

from souk.ingest.guess.first_config import FirstConfig, first_config


def init(tmp_path: Path, ours: str, theirs: str) -> FirstConfig:
    rows = [{"ts": 1_700_000_000 + n, "user_id": f"u{n % 17}", "sku": ours.format(7 + n % 90 * 23)} for n in range(400)]
    items = [{"sku": theirs.format(7 + n * 23), "colour": "rgb"[n % 3]} for n in range(90)]
    pd.DataFrame(rows).to_csv(tmp_path / "e.csv", index=False)
    pd.DataFrame(items).to_csv(tmp_path / "i.csv", index=False)
    return first_config(str(tmp_path / "e.csv"), str(tmp_path / "i.csv"), None, "x")


def test_zeros_that_one_file_lacks_are_told(tmp_path: Path) -> None:
    first = init(tmp_path, "{:04d}", "{}")
    told = "44 OF 90 IDS ARE WRITTEN DIFFERENTLY IN items, such as 0007 and 7: write them alike into both files"
    assert told in first.text
    assert told in first.groups


@pytest.mark.parametrize(("ours", "theirs"), [("{:04d}", "{:04d}"), ("a{:04d}", "a{:04d}"), ("{}", "{}")])
def test_ids_that_are_written_alike_are_not(tmp_path: Path, ours: str, theirs: str) -> None:
    first = init(tmp_path, ours, theirs)
    assert "DIFFERENTLY" not in first.text
    assert not first.groups
