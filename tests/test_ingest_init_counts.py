"""`souk init`: ids of accounts beside those of their members, and columns that count what the events tell."""

import re
from pathlib import Path

import pytest

from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, write


def enrolments(users: int = 60) -> Table:
    """Of user n there are n looks and n // 2 orders; of item n one look by each user after n."""
    looks = [{"user_id": f"u{n}", "item_id": f"i{m}", "action": "view"} for n in range(users) for m in range(n)]
    orders = [{**row, "action": "buy"} for row in looks if int(row["item_id"][1:]) % 2]
    return [{**row, "ts": 1_700_000_000 + 9_000 * n} for n, row in enumerate(looks + orders)]


def test_users_of_the_file_are_not_the_accounts_that_they_belong_to(tmp_path: Path) -> None:
    """`account_id` is a name of users, and none of the file's ids is there: the file was refused."""
    rows = [{"account_id": f"a{n % 5}", "profil": f"p{n % 30}", "item_id": n % 7, "ts": n + 1.7e9} for n in range(300)]
    people = [{"profil": f"p{n}", "town": "ab"[n % 2]} for n in range(30)]
    log, profiles = write(rows, tmp_path / "e.csv"), write(people, tmp_path / "u.csv")
    _, config = init(tmp_path, log, None, profiles)
    assert first_config(log, None, profiles, "x").groups == "", (
        "profiles are no devices, which one person has several of"
    )
    assert config.data.users is not None
    assert config.data.events.columns["user_id"] == config.data.users.columns["user_id"] == "profil"


def test_learners_are_before_accounts_where_no_file_tells(tmp_path: Path) -> None:
    rows = [
        {"account_id": f"a{n % 5}", "learner_id": f"p{n % 30}", "course_id": n % 7, "ts": n + 1.7e9} for n in range(90)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert (config.data.events.columns["user_id"], config.data.events.columns["item_id"]) == ("learner_id", "course_id")


@pytest.mark.parametrize(
    ("column", "values", "counted"),
    [
        ("enrolled_total", [n // 2 + 3 for n in range(60)], True),
        ("visits", [n * n for n in range(60)], True),
        ("place", [60 - n for n in range(60)], True),
        ("reach", [f"{100 * n}+" for n in range(60)], True),
        ("age", [n * 7 % 60 for n in range(60)], False),
        ("vip", [n // 30 if n % 10 else 1 - n // 30 for n in range(60)], False),
        ("trending", [n // 30 for n in range(60)], True),
        ("fan", ["yes" if n > 49 else "no" for n in range(60)], True),
        ("friend", ["yes" if n > 52 else "no" for n in range(60)], False),
    ],
)
@pytest.mark.parametrize("of", ["users", "items"])
def test_what_goes_with_how_many_events_each_has_tells_events_of_later(
    tmp_path: Path, column: str, values: list[int], counted: bool, of: str
) -> None:
    """Whatever its name: a total of orders made at the export says at any time what was bought later."""
    ids = {"users": [f"u{n}" for n in range(60)], "items": [f"i{n}" for n in reversed(range(60))]}[of]
    table = [{f"{of[:-1]}_id": key, column: value} for key, value in zip(ids, values, strict=True)]
    path = write(table, tmp_path / "t.csv")
    files = (None, path) if of == "users" else (path, None)
    text, config = init(tmp_path, write(enrolments(), tmp_path / "e.csv"), *files)
    declared = getattr(config.columns, of)
    told = (
        rf"# left out: {column} \(IT TELLS EVENTS OF LATER: (it goes with|its two values part all rows by) how many of"
    )
    assert (column in declared, bool(re.search(told, text))) == (not counted, counted)


def test_a_kind_whose_items_alone_can_be_bought_is_one(tmp_path: Path) -> None:
    """Of videos and articles some acts are of one alone, and these are no flags of what was done."""
    rows = enrolments()
    items = sorted({row["item_id"] for row in rows})
    log = [row for row in rows if row["action"] == "view" or items.index(row["item_id"]) % 2]
    bought = {row["item_id"] for row in log if row["action"] == "buy"}
    assert min(len(bought), len(items) - len(bought)) >= 10
    table = [{"item_id": item, "kind": ("article", "video")[item in bought]} for item in items]
    _, config = init(tmp_path, write(log, tmp_path / "e.csv"), write(table, tmp_path / "i.csv"), None)
    assert "kind" in config.columns.items


@pytest.mark.parametrize("flipped", [0, 10])
def test_a_flag_of_who_bought_in_the_log_tells_events_of_later(tmp_path: Path, flipped: int) -> None:
    """It says of each moment of the training who will buy; of one with exceptions nobody knows which came first."""
    log = [row for row in enrolments() if row["action"] == "view" or int(str(row["user_id"])[1:]) % 2]
    buyers = {row["user_id"] for row in log if row["action"] == "buy"}
    table = [{"user_id": f"u{n}", "is_buyer": (f"u{n}" in buyers) ^ (n < flipped)} for n in range(60)]
    text, config = init(tmp_path, write(log, tmp_path / "e.csv"), None, write(table, tmp_path / "u.csv"))
    assert ("is_buyer" in config.columns.users) == bool(flipped)
    assert ("two values part all rows by how many of buy each has" in text) == (not flipped)
