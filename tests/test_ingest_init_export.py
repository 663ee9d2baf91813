"""`souk init`: what the export of a file of items or users knows of later is learned from for neither."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from souk.ingest.guess.later import becomes, counted, names_next, of_user
from souk.ingest.profile import Column
from tests.test_ingest_first_config import Table, init, write


def column(name: str, values: list[Any]) -> Column:
    return Column(name, pa.array(values * 9))


def log() -> Table:
    """Items differ in how long they are read, and in how many of their looks are liked; one in 300 rows reports."""
    rng = random.Random(3)
    rows = []
    weights = [1 + 37 * n % 60 / 6 for n in range(60)]
    for n, item in enumerate(rng.choices(range(60), weights, k=9000)):
        word = "spotted" if n % 300 == 7 else "like" if rng.random() < (7 * item % 60) / 70 else "view"
        read = rng.uniform(0.8, 1.2) * (10 + 11 * item % 60) if word == "view" else ""
        rows.append({"user_id": f"u{n % 40}", "item_id": f"i{item}", "event": word, "read_time_sec": read})
    return [{**row, "ts": 1_700_000_000 + 900 * n} for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("interest", lambda n: 1 + (11 * n % 60) / 7 + 0.1, "it goes with the mean read_time_sec of each"),
        ("warmth", lambda n: (7 * n % 60) / 70 + 0.001, "it goes with like / view, by a rank"),
        ("spotted_cnt", lambda n: n % 2, "by its name it counts spotted"),
        ("size_of_it", lambda n: (13 * n % 60) / 7 + 0.1, ""),
        ("spots_cnt", lambda n: n % 2, ""),
    ],
)
def test_means_and_shares_of_what_was_done_are_left_out(tmp_path: Path, name: str, values: Any, why: str) -> None:
    items: Table = [{"item_id": f"i{n}", name: values(n)} for n in range(60)]
    text, config = init(tmp_path, write(log(), tmp_path / "e.jsonl"), write(items, tmp_path / "i.csv"))
    assert (f"left out: {name} (IT TELLS EVENTS OF LATER: {why}" in text) == bool(why)
    assert (name in config.columns.items) == (not why)


@pytest.mark.parametrize(
    ("name", "values", "tells"),
    [
        ("avg_read_time", [30.6, 61.3], True),
        ("like_rate", [0.3, 0.57], True),
        ("return_ratio", [3, 17], True),
        ("report_count", [0, 1], True),
        ("elo_score", [1418.1, 977.9], True),
        ("avg_book_length", [300.5, 120.5], False),
        ("interest_rate", [0.3, 0.5], False),
        ("sea_views", [0, 1], False),
    ],
)
def test_names_of_means_and_shares_of_acts(name: str, values: list[Any], tells: bool) -> None:
    assert bool(counted(column(name, values))) == tells == bool(of_user(column(name, values)))


@pytest.mark.parametrize(
    ("name", "values", "item", "user"),
    [
        ("account_status", ["active", "paused", "banned", "deleted"], True, True),
        ("is_banned", ["true", "false"], True, True),
        ("membership", ["active", "lapsed"], False, True),
        ("employment_status", ["employed", "retired", "student"], True, False),  # of what is sold that is an end
        ("plan", ["free", "paid"], False, False),
    ],
)
def test_a_status_of_now_is_of_later_for_items_and_for_users(
    name: str, values: list[str], item: bool, user: bool
) -> None:
    told = becomes(column(name, values), None), of_user(column(name, values))
    assert ["IT TELLS EVENTS OF LATER" in each for each in told] == [item, user]
    assert "available_until" not in told[1]


@pytest.mark.parametrize("tell", [lambda each: becomes(each, None), of_user])
def test_a_day_of_birth_is_no_end(tell: Any) -> None:
    told = tell(column("birth_date", ["1993-08-04", "1999-12-25"]))
    assert told.startswith("WRITE THE YEAR ALONE") and "available_until" not in told


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("LastSoldOn", True),
        ("last_active_at", True),
        ("zuletzt_gesehen", True),
        ("most_recent_login", True),
        ("last_admission", False),
        ("phased_out_on", False),
    ],
)
def test_when_something_was_last_done_is_no_end(name: str, last: bool) -> None:
    told = becomes(column(name, ["2026-01-05", "2026-02-07"]), None)
    assert ("LAST DONE" in told, "available_until" in told) == (last, not last)


def test_the_sum_of_a_per_cent_is_no_amount(tmp_path: Path) -> None:
    """The price group of a contract was taken for classes of what its customers ordered."""
    rng = random.Random(3)
    rows = [
        {"user_id": (n := rng.randrange(60)), "item_id": f"i{rng.randrange(9)}", "DiscountPct": n // 20 * 20}
        for _ in range(900)
    ]
    rows = [{**row, "user_id": f"u{row['user_id']}", "ts": 1_700_000_000 + n} for n, row in enumerate(rows)]
    people: Table = [{"user_id": f"u{n}", "PriceGroup": f"PG{n // 20}"} for n in range(60)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), None, write(people, tmp_path / "u.csv"))
    assert "price_group" in config.columns.users


@pytest.mark.parametrize(("each", "asked"), [(1.2, True), (5, False)])
def test_what_replaces_several_is_asked_for(each: float, asked: bool) -> None:
    """Of a parent, which has several, nobody asks."""
    ids = Column("sku", pa.array([f"p{n:04d}" for n in range(100)]))
    replaces = Column("by", pa.array([f"p{int(n / each):04d}" if n < 40 else None for n in range(100)]))
    assert bool(names_next(replaces, ids)) == asked
