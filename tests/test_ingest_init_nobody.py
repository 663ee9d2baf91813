"""What `souk init` makes of rows whose user is nobody."""

from pathlib import Path

import pytest

from souk.config import parse_config
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import read, write


def log(nobody: str, of_ten: int) -> list[dict[str, object]]:
    """A thousand views, each of another item: `of_ten` rows of ten are of `nobody`, the others of a hundred users."""
    return [
        {
            "sessionId": n // 5,
            "userId": f"u{n % 100}" if n % 10 >= of_ten else nobody,
            "itemId": n,
            "ts": 1_700_000_000 + n,
        }
        for n in range(1000)
    ]


@pytest.mark.parametrize("word", ["NA", "null", "None", "\\N"])
def test_a_word_for_no_user_is_no_user(tmp_path: Path, word: str) -> None:
    first = first_config(write(log(word, 3), tmp_path / "e.csv"), None, None, "x")
    config = parse_config(first.text)
    assert config.data.events.skip == {"userId": (word,)} and first.groups == ""
    assert "300 of 1,000 rows (30.0%) have no user" in first.text
    assert word not in read(config, "events").table["user_id"].to_pylist()


def test_sessions_are_named_where_most_rows_have_no_user(tmp_path: Path) -> None:
    first = first_config(write(log("NA", 6), tmp_path / "e.csv"), None, None, "x")
    assert first.groups.startswith("ONLY 40.0% OF THE ROWS HAVE A USER: with user_id: sessionId each session is one")


def test_one_user_with_most_of_the_rows_is_asked_for(tmp_path: Path) -> None:
    first = first_config(write(log("0", 2), tmp_path / "e.csv"), None, None, "x")
    assert first.groups == 'ONE USER, 0, HAS 20% OF THE ROWS: if that is nobody, skip: {userId: "0"} beside path'
    assert parse_config(first.text).data.events.skip == {}, "it is only asked for"
    few = [row | {"userId": int(str(row["itemId"])) % 8} for row in log("0", 2)]
    assert first_config(write(few, tmp_path / "few.csv"), None, None, "x").groups == "", "each has as many as the next"


@pytest.mark.parametrize(
    ("name", "of_ten", "told"), [("cookie_id", 3, True), ("visitorId", 6, True), ("cookie_id", 1, False)]
)
def test_a_cookie_is_named_where_rows_have_no_user(tmp_path: Path, name: str, of_ten: int, told: bool) -> None:
    """A cookie stays, so it is named where fewer lack a user than with sessions."""
    rows = [row | {name: f"c{int(str(row['itemId'])) % 150}"} for row in log("", of_ten)]
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    known = f"ONLY {100 - 10 * of_ten}.0% OF THE ROWS HAVE A USER: with user_id: {name} each {name} is one"
    assert first.groups.startswith(known) if told else first.groups == ""
