"""`souk init`: of several columns of events with ids of the items' file that is the item which most rows have."""

from pathlib import Path

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, write

PARTS: Table = [{"PartRef": f"P-{n:04d}", "colour": "rgb"[n % 3]} for n in range(90)]


def lines(name: str, strange: int = 1) -> Table:
    """Lines of a wholesaler, of which one in forty says what its part replaces, and few name what is no part."""
    return [
        {
            "ts": 1_700_000_000 + n,
            "customer_id": f"c{n % 17}",
            "Replaces": f"P-{n // 40:04d}" if n % 40 == 0 else "",
            name: f"P-{n * 7 % 90:04d}" if n >= strange else "FREIGHT",
        }
        for n in range(1200)
    ]


@pytest.mark.parametrize("name", ["Code", "PartRef"])
def test_the_item_is_what_most_rows_have(tmp_path: Path, name: str) -> None:
    """All the few that are replaced are parts, and of all parts one is not."""
    text, config = init(tmp_path, write(lines(name), tmp_path / "e.jsonl"), write(PARTS, tmp_path / "i.csv"))
    assert config.data.events.columns["item_id"] == name
    assert "threshold" not in text and "refuses" not in text


def test_a_name_that_both_files_have_goes_before_one_that_as_many_rows_have(tmp_path: Path) -> None:
    rows = [{"seen_with": f"P-{n % 90:04d}", **row} for n, row in enumerate(lines("PartRef"))]
    _, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"), write(PARTS, tmp_path / "i.csv"))
    assert config.data.events.columns["item_id"] == "PartRef"


def test_the_other_column_is_told_in_the_last_line(tmp_path: Path) -> None:
    rows, parts = write(lines("Code"), tmp_path / "e.jsonl"), [*PARTS, {"PartRef": "FREIGHT", "colour": ""}]
    told = first_config(rows, write(parts, tmp_path / "i.csv"), None, "x").groups
    assert told == (
        "item_id IS Code; Replaces (2.5% of the rows have one, 100% of them of items) HAS SUCH IDS, TOO: IS IT THE "
        "ONE? Then map it"
    )


def test_most_rows_that_are_refused_are_told_in_the_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: Table = [{"user_id": f"u{n % 9}", "item_id": f"i{n % 7}" if n % 4 == 0 else "", "ts": n} for n in range(99)]
    rows = [{**row, "ts": f"2026-01-{1 + n % 28:02d}"} for n, row in enumerate(rows)]
    words = ["--events", write(rows, tmp_path / "e.csv"), "--output", str(tmp_path / "x.yaml")]
    assert main(["init", *words]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "THE CONTRACT REFUSES 74.7% of events: A COLUMN IS NOT WHAT IT SEEMS; mend it, then run." in last


@pytest.mark.parametrize(("user", "name"), [("SoldTo", "Ref"), ("customer_id", "customer_id")])
def test_ids_of_which_none_has_its_zeros_are_told_with_the_remedy(tmp_path: Path, user: str, name: str) -> None:
    """Whether a name tells the ids or not."""
    rows: Table = [
        {"ts": 1_700_000_000 + n, user: f"{10000 + n % 40:010d}", "item_id": f"i{n % 30}"} for n in range(400)
    ]
    people: Table = [{name: str(10000 + n), "Country": ["DE", "FR"][n % 2]} for n in range(40)]
    with pytest.raises(SoukError) as error:
        first_config(write(rows, tmp_path / "e.csv"), None, write(people, tmp_path / "u.csv"), "x")
    assert f"40 of 40 of {user} but for the zeros, as {user} 0000010000 and {name} 10000" in str(error.value)
    assert "Write them alike into both files" in str(error.value)
