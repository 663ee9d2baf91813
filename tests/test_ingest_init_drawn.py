"""`souk init` on events that go on after the rows that it looks at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from souk import progress
from souk.config import DatasetConfig, parse_config
from souk.errors import SoukError
from souk.ingest import profile
from souk.ingest.guess import drawn_rows
from souk.ingest.guess import ids as guess_ids
from souk.ingest.guess.drawn_rows import BLOCK, Drawn
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.kind import Guess
from souk.ingest.guess.repeat import _owners
from souk.ingest.profile import Column
from souk.readers import RawBatch
from souk.schema import Kind

MOST = 1000
DAY = 86_400


def write_month(folder: Path, month: int, kinds: str = "view", users: int = 200) -> None:
    """600 events of a month, of each user as many; what is viewed is bought by nobody."""
    lines = ["user_id,item_id,event_type,timestamp"]
    for n in range(600):
        kind = kinds.split()[n // users % len(kinds.split())]
        lines.append(f"u{n % users},i{n % 37},{kind},{1_700_000_000 + (30 * month + n / 30) * DAY:.0f}")
    (folder / f"month_{month}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, DatasetConfig]:
    for module in (profile, drawn_rows):
        monkeypatch.setattr(module, "SAMPLE_ROWS", MOST)
    text = first_config(str(folder / "month_*.csv"), None, None, "shop").text
    return text, parse_config(text)


def test_what_begins_later_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for month in range(4):
        write_month(tmp_path, month, "view wishlist_add" if month == 3 else "view")
    text, config = first(tmp_path, monkeypatch)
    assert {*config.data.events.event_types} == {"view", "wishlist_add"}
    assert " rows of some users, of 2,400." in text.splitlines()[0]


def test_a_log_of_which_all_was_seen_is_not_drawn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_month(tmp_path, 0)
    text, _ = first(tmp_path, monkeypatch)
    assert "some users" not in text


def test_where_one_user_has_most_rows_the_first_ones_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for month in range(4):
        write_month(tmp_path, month, users=1)
    text, _ = first(tmp_path, monkeypatch)
    assert "some users" not in text
    assert "1,200 click" in text


def batch(users: list[str | None], first: int = 1, malformed: tuple[int, ...] = ()) -> RawBatch:
    positions = np.arange(first, first + len(users))
    table = pa.table({"user_id": pa.array(users, pa.string()), "row": positions})
    return RawBatch("log.csv", table, positions, dict.fromkeys(malformed, "?"))


def test_users_are_drawn_whole_whatever_the_batches() -> None:
    users: list[str | None] = [f"u{n * n % 97}" for n in range(3000)]
    together, apart = Drawn("user_id", MOST), Drawn("user_id", MOST)
    together.add(batch(users))
    for start in range(0, 3000, 250):
        apart.add(batch(users[start : start + 250], start + 1))
    kept = pa.concat_tables(together.tables)
    assert kept == pa.concat_tables(apart.tables)
    assert MOST / 4 < kept.num_rows == together.rows <= MOST
    assert together.given == apart.given == 3000
    drawn = set(kept["user_id"].to_pylist())
    assert kept["row"].to_pylist() == [n + 1 for n, user in enumerate(users) if user in drawn]


def test_rows_of_nobody_are_drawn_in_blocks_and_broken_ones_never() -> None:
    drawn = Drawn("user_id", 20 * BLOCK)
    drawn.add(batch([None] * (64 * BLOCK), BLOCK, malformed=(0, 7)))
    rows = np.concatenate([table["row"].to_numpy() for table in drawn.tables])
    blocks, counts = np.unique(rows // BLOCK, return_counts=True)
    assert 5 <= len(blocks) <= 20
    assert set(counts[blocks != 1]) == {BLOCK}
    assert drawn.given == 64 * BLOCK - 2
    assert not {BLOCK, BLOCK + 7} & {*rows.tolist()}


def test_a_file_without_the_column_is_drawn_in_blocks() -> None:
    drawn = Drawn("customer", MOST)
    drawn.add(batch(["a"] * 900))
    assert drawn.rows == 900


def test_items_are_those_that_events_have_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thousand are old: nobody did anything with them, and their kind is of another time."""
    write_month(tmp_path, 0)
    for part, first_id, kind in (("1", 5000, "old"), ("2", 0, "new")):
        rows = [f"i{first_id + n},{kind}{n % 3}" for n in range(1200)]
        (tmp_path / f"items_{part}.csv").write_text("\n".join(["item_id,kind", *rows]) + "\n", encoding="utf-8")
    for module in (profile, drawn_rows):
        monkeypatch.setattr(module, "SAMPLE_ROWS", MOST)
    monkeypatch.setattr(drawn_rows, "FEWEST_DESCRIBED", 30)
    text = first_config(str(tmp_path / "month_*.csv"), str(tmp_path / "items_*.csv"), None, "shop").text
    assert "of items: 37 rows of what these have, of 2,400." in text.splitlines()[0]
    assert "100% of the ids in events are among item_id of items" in text
    assert "old" not in text


def test_long_reading_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for month in range(4):
        write_month(tmp_path, month)
    for module in (profile, drawn_rows):
        monkeypatch.setattr(module, "SAMPLE_ROWS", MOST)
    monkeypatch.setattr(progress, "WORD_SECONDS", 0)
    told: list[str] = []
    first_config(str(tmp_path / "month_*.csv"), None, None, "shop", tell=told.append)
    assert "events: 2,400 rows read, to draw from all of them" in told
    assert "events: 2,400 rows read, to see what the contract would refuse" in told


def test_what_users_did_in_all_is_known_of_those_who_were_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who were not drawn have no event in the sample, and hid that a total goes with them."""
    users = [n for n in range(200) for _ in range(1 + n % 29)]
    lines = [f"u{user},i{row % 37},click,{1_700_000_000 + 60 * row}" for row, user in enumerate(users)]
    lines.sort(key=lambda line: line[::-1])  # in no order of users
    for month in range(4):
        own = ["user_id,item_id,event_type,timestamp", *lines[month::4]]
        (tmp_path / f"month_{month}.csv").write_text("\n".join(own) + "\n")
    totals = [f"u{n},{1 + n % 29}00,{n * 13 % 61}" for n in range(200)]
    (tmp_path / "users.csv").write_text("\n".join(["user_id,total_streams,age", *totals]) + "\n")
    for module in (profile, drawn_rows):
        monkeypatch.setattr(module, "SAMPLE_ROWS", MOST)
    text = first_config(str(tmp_path / "month_*.csv"), None, str(tmp_path / "users.csv"), "shop").text
    assert " rows of some users, of " in text
    assert "left out: total_streams (IT TELLS EVENTS OF LATER: it goes with how many of" in text
    assert [*parse_config(text).columns.users] == ["age"]


def test_rows_of_nobody_in_many_short_files_are_drawn_by_file() -> None:
    """The first block of each is one of its own: neither all of them nor none, and no draw without an end."""
    drawn = Drawn("user_id", MOST)
    for day in range(60):
        drawn.add(replace(batch([None] * 100), file=f"day_{day}.csv"))
    sizes = {table.num_rows for table in drawn.tables}
    assert sizes == {0, 100}
    assert MOST / 5 <= drawn.rows <= MOST


def write_shop(folder: Path, lines: list[str], items: Sequence[str] = ()) -> None:
    """Files of 300 rows each: two of them are more than a sample."""
    for name, head, rows in (("log", "user_id,item_id,event_type,timestamp", lines), ("items", "item_id,owner", items)):
        for start in range(0, len(rows), 300):
            text = "\n".join([head, *rows[start : start + 300]]) + "\n"
            (folder / f"{name}_{start:05}.csv").write_text(text, encoding="utf-8")


def first_of_shop(folder: Path, monkeypatch: pytest.MonkeyPatch, items: bool = False) -> str:
    for module in (profile, drawn_rows, guess_ids):
        monkeypatch.setattr(module, "SAMPLE_ROWS", MOST)
    return first_config(str(folder / "log_*.csv"), str(folder / "items_*.csv") if items else None, None, "shop").text


def test_items_are_those_of_the_events_that_were_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each month has items of its own: what the first rows have is not what the others do."""
    random = np.random.default_rng(1)
    lines = [
        f"u{random.integers(300)},i{n // 900 * 200 + random.integers(200)},view,{1_700_000_000 + n * 3000}"
        for n in range(4500)
    ]
    write_shop(tmp_path, lines, [f"i{n},o{n % 7}" for n in range(3000)])
    text = first_of_shop(tmp_path, monkeypatch, items=True)
    assert " of items: " in text.splitlines()[0] and "all " in text.splitlines()[0]
    assert "  # 100% of the ids in events are among item_id of items" in text


def test_of_items_that_the_events_hardly_have_the_first_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shop(
        tmp_path,
        [f"u{n % 300},i{n % 37},view,{1_700_000_000 + n * 3000}" for n in range(2700)],
        [f"i{n},o{n % 7}" for n in range(3000)],
    )
    head = first_of_shop(tmp_path, monkeypatch, items=True).splitlines()[0]
    assert " of events: " in head and " of items: " not in head


def test_numbers_are_written_as_in_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first have a decimal comma, and later ones a point: of these no config can say that they have a comma."""
    for part in range(9):
        price = '"3,5"' if part < 4 else "3.75"
        rows = [f"u{n % 97},i{n % 37},view,{1_700_000_000 + part * DAY + n},{price}" for n in range(300)]
        text = "\n".join(["user_id,item_id,event_type,timestamp,price", *rows]) + "\n"
        (tmp_path / f"log_{part}.csv").write_text(text, encoding="utf-8")
    text = first_of_shop(tmp_path, monkeypatch)
    assert " of events: " in text.splitlines()[0]
    assert "decimal:" not in text


@pytest.mark.parametrize(
    ("nobody", "told"),
    [("NA", "skip: {user_id: NA}  # "), ("guest", "ONE USER, guest, HAS "), ("0", "ONE USER, 0, HAS ")],
)
def test_who_stands_for_nobody_is_told_of_users_that_were_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str, told: str
) -> None:
    random = np.random.default_rng(1)
    lines = [
        f"{nobody if random.random() < 0.5 else f'u{random.integers(300)}'},i{n % 37},view,{1_700_000_000 + n * 600}"
        for n in range(8000)
    ]
    write_shop(tmp_path, lines)
    text = first_of_shop(tmp_path, monkeypatch)
    assert " rows of some users, of 8,000." in text.splitlines()[0]
    assert told in text


@pytest.mark.parametrize(("owner", "told"), [("u", True), ("brand", False)])
def test_owners_are_told_by_the_users_that_were_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, told: bool
) -> None:
    random = np.random.default_rng(1)
    lines = [f"u{random.integers(100)},i{random.integers(200)},view,{1_700_000_000 + n * 600}" for n in range(4000)]
    write_shop(tmp_path, lines, [f"i{n},{owner}{n % 100}" for n in range(200)])
    text = first_of_shop(tmp_path, monkeypatch, items=True)
    assert " rows of some users, of 4,000." in text.splitlines()[0]
    assert ("own: owner" in text) == told


def test_owners_of_whom_none_was_drawn_say_nothing() -> None:
    column = Column("owner", pa.array([f"u{n}" for n in range(50)]))
    items = SimpleNamespace(declared={"owner": (column, Guess(Kind.CATEGORICAL, ""))})
    rows = pd.DataFrame({"user_id": column.values.to_pylist()})
    assert _owners(rows, items, 0) == "owner"  # type: ignore[arg-type]
    assert _owners(rows, items, 2**40 - 1) == ""  # type: ignore[arg-type]


def test_two_columns_of_one_name_in_a_later_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shop(tmp_path, [f"u{n % 300},i{n % 37},view,{1_700_000_000 + n * 3000}" for n in range(2700)])
    (tmp_path / "log_9.csv").write_text("user_id,user_id,event_type,timestamp\nu1,u1,view,1\n", encoding="utf-8")
    with pytest.raises(SoukError, match=r"of different names in .*log_9\.csv"):
        first_of_shop(tmp_path, monkeypatch)
