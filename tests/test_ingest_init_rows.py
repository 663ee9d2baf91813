"""`souk init`: columns that bear the contract's names, ids that repeat, and rows without a user."""

from pathlib import Path
from typing import Any

import pytest

from souk.config import DatasetConfig, parse_config
from souk.ingest.guess.first_config import first_config
from souk.schema import TABLES, EventType
from tests.test_ingest_first_config import Table, init, read, write

NUMBERS = {
    "position": 3,
    "dwell_seconds": 4.5,
    "price": 9.5,
    "value": 4,
    "propensity": 0.5,
    "arrived_at": 1_700_000_100,
}
MOMENT = 1_700_000_000


def shown(count: int = 90) -> Table:
    """Slates of three, of which the first is clicked."""
    rows = []
    for n in range(count):
        row = {"user_id": f"u{n % 9}", "item_id": f"i{n % 7}", "timestamp": MOMENT + n, "request_id": f"r{n // 3}"}
        rows.append({**row, "event_type": "impression", "position": n % 3})
        if n % 3 == 0:
            rows.append({**row, "event_type": "click", "position": None})
    return [{"event_id": f"e{n}", **row} for n, row in enumerate(rows)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_every_column_that_bears_a_name_of_the_contract_is_that_column(tmp_path: Path, kind: str) -> None:
    names = [column.name for column in TABLES["events"]]
    rows: Table = [
        {name: NUMBERS.get(name, f"{name[0]}{n % 3}") for name in names}
        | {"event_id": f"e{n}", "event_type": "click", "timestamp": MOMENT + n}
        for n in range(60)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / f"e.{kind}"))
    assert config.data.events.columns == {name: name for name in names}
    assert read(config, "events").faults == []


@pytest.mark.parametrize("name", ["created_at", "registered_at", "signup"])
@pytest.mark.parametrize(
    ("moment", "unit"), [("2023-05-06", "iso"), (MOMENT, "s"), (1000 * MOMENT, "ms"), ("1960-05-06", "iso")]
)
def test_users_came_when_a_column_of_times_says(tmp_path: Path, name: str, moment: Any, unit: str) -> None:
    people = [{"user_id": f"u{n}", name: moment, "age": n} for n in range(9)]
    _, config = init(tmp_path, write(shown(), tmp_path / "e.csv"), None, write(people, tmp_path / "u.csv"))
    users = config.data.users
    assert users is not None and users.timestamp_unit == unit
    assert users.columns.get("created_at", "") == name
    assert read(config, "users").faults == []


def test_a_column_that_cannot_be_what_its_name_says_is_left_out_and_told(tmp_path: Path) -> None:
    rows = [{**row, "position": ["top", "left"][n % 2], "arrived_at": "2024-05-06"} for n, row in enumerate(shown())]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert 'position: ""  # position of the file is no position: no numbers, such as top, left' in text
    assert "is no arrived_at: its times are in iso, others of the table in s" in text
    goods = [{"item_id": f"i{n}", "created_at": "1959-08-17", "available_until": "1960-05-06"} for n in range(4)]
    (tmp_path / "my.yaml").unlink()
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "available_until of the file is no available_until: times before 1970" in text
    assert config.data.items is not None and config.data.items.columns["created_at"] == "created_at"
    assert read(config, "events").faults == []


def test_slates_without_a_request_are_told(tmp_path: Path) -> None:
    told = "NO request_id SAYS WHAT WAS SHOWN TOGETHER: logged slates are not used"
    text, config = guess(shown(), tmp_path)
    assert config.data.events.columns["request_id"] == "request_id" and told not in text
    bare = [{name: value for name, value in row.items() if name != "request_id"} for row in shown()]
    assert f"position: position  # by its name; such as 0, 1, 2; {told}" in guess(bare, tmp_path)[0]
    clicks = [{**row, "event_type": "click"} for row in bare]
    assert told not in guess(clicks, tmp_path)[0], "a position alone is no slate"


@pytest.mark.parametrize(("again", "other"), [(2, 0), (40, 0), (40, 3)])
def test_an_event_whose_id_comes_again_counts_once(tmp_path: Path, again: int, other: int) -> None:
    rows = shown()
    sent = [{**row, "item_id": "x"} if n < other else row for n, row in enumerate(rows[:again])]
    text, config = guess([*rows, *sent], tmp_path)
    assert config.data.events.columns["event_id"] == "event_id"
    assert config.data.events.repeated_ids == "first"
    told = f"{again} of {120 + again} rows have the id of an earlier one, which counts once"
    told += f"; {other} OF THEM ARE OF ANOTHER USER, ITEM OR TIME" if other else ""
    assert f"repeated_ids: first  # {told}\n" in text


def test_a_copy_without_a_user_is_no_other_event(tmp_path: Path) -> None:
    rows = [*shown(), *({**row, "user_id": ""} for row in shown()[:3]), *shown()[:2]]
    text, _ = guess(rows, tmp_path)
    assert "repeated_ids: first  # 2 of 122 rows have the id of an earlier one, which counts once\n" in text


def test_ids_that_all_differ_need_no_rule(tmp_path: Path) -> None:
    text, config = guess(shown(), tmp_path)
    assert config.data.events.repeated_ids == "quarantine" and "repeated_ids" not in text


def test_rows_without_an_id_are_told_and_the_column_stays(tmp_path: Path) -> None:
    rows = [{**row, "event_id": None} if n < 2 else row for n, row in enumerate(shown())]
    text, config = guess(rows, tmp_path)
    assert config.data.events.columns["event_id"] == "event_id"
    assert "; 2 of 120 rows have none: they go to the quarantine" in text
    assert "# The contract refuses 1.7% of events: these rows go to the quarantine." in text


def test_ids_of_orders_are_no_ids_of_events(tmp_path: Path) -> None:
    rows = [{**row, "event_id": f"o{n // 2}"} for n, row in enumerate(shown())]
    text, config = guess(rows, tmp_path)
    assert config.data.events.columns["event_id"] == "" and config.data.events.repeated_ids == "quarantine"
    assert "is no event_id: 60 different ids in 120 rows" in text


@pytest.mark.parametrize("nobody", [3, 40])
def test_rows_without_a_user_are_skipped_and_told(tmp_path: Path, nobody: int) -> None:
    rows = [{("Customer No" if name == "user_id" else name): value for name, value in row.items()} for row in shown()]
    rows = [{**row, "Customer No": "" if n < nobody else row["Customer No"]} for n, row in enumerate(rows)]
    text, config = guess(rows, tmp_path)
    told = f"{nobody} of 120 rows ({nobody / 120:.1%}) have no user: left out, and counted as skipped"
    assert f'skip: {{"Customer No": ""}}  # {told}' in text
    seen = read(config, "events")
    assert (seen.skipped, seen.table.num_rows, seen.faults) == ({"Customer No": nobody}, 120 - nobody, [])
    assert config.ingest.quarantine_threshold == 0.05


@pytest.mark.parametrize("nobody", [0, 3])
def test_rows_with_too_few_cells_are_not_rows_without_a_user(tmp_path: Path, nobody: int) -> None:
    rows = [{**row, "user_id": "" if n < nobody else row["user_id"]} for n, row in enumerate(shown())]
    path = Path(write(rows, tmp_path / "e.csv"))
    path.write_text(path.read_text() + "e900;u1\ne901;u2\n")
    text = first_config(str(path), None, None, "shop").text
    assert ("3 of 120 rows (2.5%) have no user" in text) == bool(nobody)
    assert ("skip:" in text) == bool(nobody)


@pytest.mark.parametrize("word", ["favourite", "Favourites", "favorites", "favourited"])
def test_what_becomes_a_favourite_is_kept_like_a_cart(tmp_path: Path, word: str) -> None:
    rows = [{**row, "event_type": word if row["event_type"] == "click" else "view"} for row in shown()]
    assert guess(rows, tmp_path)[1].data.events.event_types == {"view": EventType.CLICK, word: EventType.CART}


def guess(rows: Table, folder: Path) -> tuple[str, DatasetConfig]:
    """The text of the first config of these events, and the config."""
    text = first_config(write(rows, folder / "e.csv"), None, None, "shop").text
    return text, parse_config(text)


@pytest.mark.parametrize(
    ("repeated", "words"),
    [
        (1, "# The contract refuses 2.4% of items: these rows go"),
        (4, "quarantine_threshold: 0.08  # the contract refu"),
    ],
)
def test_items_that_repeat_an_id_count_among_what_is_refused(tmp_path: Path, repeated: int, words: str) -> None:
    """A row without an id is no repetition of another."""
    items = tmp_path / "items.csv"
    lines = [f"i{n},{n}.5" for n in [*range(80), *range(repeated)]]
    items.write_text("\n".join(["item_id,price", *lines, ",7.5"]), "utf-8")
    events = tmp_path / "events.csv"
    rows = [f"u{n % 20},i{n % 80},click,{1_700_000_000 + n * 3600}" for n in range(300)]
    events.write_text("\n".join(["user_id,item_id,event_type,timestamp", *rows]), "utf-8")
    text = first_config(str(events), str(items), None, "shop").text
    assert parse_config(text).data.items.repeated_ids == "quarantine"
    assert words in text
