"""`souk init`: items files that do not fit the events, and columns of items that tell the future."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from souk.errors import SoukError
from souk.ingest.guess.later import becomes
from souk.ingest.profile import Column
from tests.test_ingest_first_config import Table, init, read, write


def clicks() -> Table:
    return [{"user_id": n % 9, "article": f"a{n % 30}", "ts": 1_700_000_000 + n} for n in range(300)]


def told(folder: Path, goods: Table, rows: Table | None = None) -> str:
    """The error of `souk init` with these items."""
    with pytest.raises(SoukError) as error:
        init(folder, write(rows or clicks(), folder / "e.csv"), write(goods, folder / "i.csv"))
    return str(error.value)


@pytest.mark.parametrize("name", ["article", "article_id"])
def test_ids_of_items_that_repeat_are_told_as_such(tmp_path: Path, name: str) -> None:
    goods = [{name: f"a{n % 30}", "row": n, "price": n + 0.5} for n in range(90)]
    error = told(tmp_path, goods)
    assert f"Received: {name}, in which 60 of 90 repeat. Keep one row of each, or write" in error
    assert "data.items.repeated_ids" in error and "Rename" not in error


@pytest.mark.parametrize("name", ["article", "article_id"])
def test_ids_of_items_that_no_event_has_are_told_as_such(tmp_path: Path, name: str) -> None:
    goods = [{name: f"A-{n:03}", "colour": "red"} for n in range(30)]
    error = told(tmp_path, goods)
    assert f"none of the 30 in article (a0, a1, a2) is in {name} (A-000, A-001, A-002). Write the ids" in error


def test_a_column_that_meets_a_few_ids_by_chance_is_not_taken(tmp_path: Path) -> None:
    goods = [{"article_id": f"A-{n:03}", "label": f"a{n}" if n < 2 else f"x{n}"} for n in range(30)]
    assert "none of the 30 in article (" in told(tmp_path, goods)


def test_a_file_of_users_is_none_of_items_though_the_numbers_meet(tmp_path: Path) -> None:
    events = write([{"user_id": n % 9, "item": n % 7, "ts": 1_700_000_000 + n} for n in range(300)], tmp_path / "e.csv")
    people = write([{"user_id": n, "town": "ab"[n % 2]} for n in range(9)], tmp_path / "u.csv")
    goods = write([{"item": n, "colour": "ab"[n % 2]} for n in range(7)], tmp_path / "i.csv")
    for files, meant in (
        ((people, None), "With user_id it may be a file of users: then give it as --users. Rename"),
        ((None, goods), "With item it may be a file of items: then give it as --items. Rename"),
        ((events, None), "that have one value for each item. Received: user_id, item, ts. Leave --items out, or"),
        ((None, events), "With user_id and item it may be a file of events: then leave --users out, or"),
    ):
        with pytest.raises(SoukError) as error:
            init(tmp_path, events, *files)
        assert meant in str(error.value)
    _, config = init(tmp_path, events, goods, people)
    assert config.data.items is not None and config.data.items.columns["item_id"] == "item"


@pytest.mark.parametrize("ids", [("leser_id", "artikel_id"), ("kundennr", "artikelnr")])
@pytest.mark.parametrize("numbers", [False, True])
def test_users_and_items_that_are_exchanged_are_told(tmp_path: Path, ids: tuple[str, str], numbers: bool) -> None:
    """Names that only their stems tell; numbers of both meet."""
    user, item = ids
    one, other = ("", "") if numbers else ("u", "i")
    rows = [{user: f"{one}{n % 30}", item: f"{other}{n % 41}", "zeit": f"2024-05-{1 + n % 28:02}"} for n in range(600)]
    people = [{user: f"{one}{n}", "ort": "ab"[n % 2]} for n in range(30)]
    goods = [{item: f"{other}{n}", "ressort": "ab"[n % 2]} for n in range(41)]
    files = [write(people, tmp_path / "leser.csv"), write(goods, tmp_path / "artikel.csv")]
    events = write(rows, tmp_path / "e.csv")
    with pytest.raises(SoukError) as error:
        init(tmp_path, events, *files)
    assert f"{files[0]}, which has the ids of users, {user} of events" in str(error.value)
    assert f"exchange the two, --items {files[1]} --users {files[0]}" in str(error.value)
    _, config = init(tmp_path, events, *reversed(files))
    assert (config.data.events.columns["user_id"], config.data.events.columns["item_id"]) == ids


@pytest.mark.parametrize(
    ("name", "letter", "ids", "meant"),
    [
        ("users.csv", "", range(9), "Received: id. It may be a file of users, by its name and its ids: then give it"),
        ("Kunden.csv", "u", range(9), "It may be a file of users, by its name and its ids: then give it as --users."),
        ("export.csv", "u", range(9), "Received: id. It may be a file of users, by its ids: then give it as --users."),
        ("export.csv", "", range(9), ""),
        ("user_items.csv", "", range(9), ""),
        ("users.csv", "", range(2, 33, 5), ""),
        ("users.csv", "", range(90, 99), "none with ids of events such as 2, 7, 12. It has one column: separate"),
    ],
)
def test_ids_without_a_name_are_told_by_the_files_and_by_those_of_events(
    tmp_path: Path, name: str, letter: str, ids: range, meant: str
) -> None:
    """The events have users 0 to 8, with a letter or without, and each fifth item of 2 to 32."""
    rows = [{"user_id": f"{letter}{n % 9}", "item": 2 + 5 * (n % 7), "ts": 1_700_000_000 + n} for n in range(300)]
    files = write(rows, tmp_path / "e.csv"), write([{"id": f"{letter}{n}"} for n in ids], tmp_path / name)
    if meant:
        with pytest.raises(SoukError) as error:
            init(tmp_path, *files)
        assert meant in str(error.value)
    else:
        _, config = init(tmp_path, *files)
        assert config.data.items is not None and config.data.items.columns["item_id"] == "id"


def test_a_file_of_items_given_as_users_is_told_by_its_name(tmp_path: Path) -> None:
    events = write([{"user_id": n % 9, "item": n % 7, "ts": 1_700_000_000 + n} for n in range(300)], tmp_path / "e.csv")
    goods = write([{"id": n, "colour": "ab"[n % 2]} for n in range(9)], tmp_path / "Artikel.csv")
    with pytest.raises(SoukError, match="may be a file of items, by its name and its ids: then give it as --items"):
        init(tmp_path, events, None, goods)
    users = write([{"id": n, "town": "ab"[n % 2]} for n in range(9)], tmp_path / "people.csv")
    _, config = init(tmp_path, events, goods, users)
    assert config.data.users is not None and config.data.items is not None


def test_a_file_without_ids_of_events_is_told_with_some(tmp_path: Path) -> None:
    error = told(tmp_path, [{"id": f"u{n}", "town": "ab"[n % 2]} for n in range(30)])
    assert "could be item_id. Received: id, town, none with ids of events such as a0, a1, a2. Rename" in error


@pytest.mark.parametrize("column", ["item", "code"])
def test_ids_that_repeat_in_a_column_that_no_name_tells_are_told(tmp_path: Path, column: str) -> None:
    """Where the events' column has no name of an id either, its values tell."""
    rows = [{column if key == "article" else key: value for key, value in row.items()} for row in clicks()]
    goods = [{"code": f"a{n % 30}", "colour": f"red {n % 9}"} for n in range(36)]
    error = told(tmp_path, goods, rows)
    has = f"code, which has 100% of the ids in {column} of events, and in which 6 of 36 repeat. Keep one row of each"
    assert f"ids in {tmp_path / 'i.csv'} that stand in one row each, for item_id. Received: {has}" in error


def test_words_that_repeat_in_both_files_are_no_ids(tmp_path: Path) -> None:
    rows = [
        {"user_id": n % 9, "code": f"a{n % 30}", "channel": "ab"[n % 2], "ts": 1_700_000_000 + n} for n in range(300)
    ]
    error = told(tmp_path, [{"label": f"b{n}", "channel": "ab"[n % 2]} for n in range(30)], rows)
    assert "could be item_id" in error and " repeat. " not in error


def test_few_shared_ids_are_told_as_few(tmp_path: Path) -> None:
    goods = [{"code": f"a{n}", "colour": "red"} for n in range(6)]
    text, _ = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "item_id: code  # ONLY 20% of the ids in events are among code of items" in text


def test_a_few_ids_that_repeat_are_told_beside_the_guess(tmp_path: Path) -> None:
    goods = [{"article": f"a{n % 30}", "price": n + 0.5} for n in range(31)]
    text, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and config.data.items.columns["item_id"] == "article"
    assert "; 1 of its 31 ids repeat: they go to the quarantine\n" in text


def test_a_name_that_repeats_beside_the_code_does_not_stop(tmp_path: Path) -> None:
    goods = [{"article": f"lamp {n % 3}", "code": f"a{n}"} for n in range(30)]
    _, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and config.data.items.columns["item_id"] == "code"


def test_what_became_of_items_is_left_out_and_told(tmp_path: Path) -> None:
    goods = [
        {"article": f"a{n}", "status": ["active", "sold", "expired"][n % 3], "is_sold": n % 2, "kind": "ab"[n % 2]}
        for n in range(30)
    ]
    text, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert set(config.columns.items) == {"kind"}
    why = "give `available_until`, the time, or `available`, true or false"
    assert f"# left out: status (IT TELLS EVENTS OF LATER, such as expired, sold; {why})" in text
    assert f"# left out: is_sold (IT TELLS EVENTS OF LATER, such as 0, 1; {why})" in text


@pytest.mark.parametrize(
    ("name", "values", "tells"),
    [
        ("status", ["new", "Sold"], True),
        ("listing_state", ["a", "b", "c", "sold"], True),
        ("stage", ["in stock", "Out of Stock", "soon"], True),
        ("available", ["active", "ended"], True),
        ("sold", [True, False], True),
        ("status", ["aktiv", "gelöscht", "verkauft"], True),
        ("status", ["live", "retired"], True),
        ("status", ["new", "used"], False),
        ("lid", ["closed", "flap", "zip"], False),
        ("sold", [3, 17], True),
        ("unitsSold", [3, 17], True),
        ("avg_rating", [3.5, 4.5], True),
        ("soldiers", [3, 17], False),
        ("stock_code", [3, 17], False),
        ("sea_views", [0, 1], False),
        ("sales_tax", [0.1, 0.2], False),
        ("sales_channel_id", [3, 17], False),
        ("state", ["good", "fair"], False),
    ],
)
def test_which_columns_tell_what_became_of_an_item(name: str, values: list[Any], tells: bool) -> None:
    assert bool(becomes(Column(name, pa.array(values * 9)), None)) == tells


@pytest.mark.parametrize(
    "name", ["sold_at", "Expiry-Date", "validUntil", "retired_on", "ausverkauft_am", "Gültig bis", "läuft_ab_am"]
)
def test_the_time_from_when_an_item_is_not_to_be_had_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    goods = [
        {
            "article": f"a{n}",
            "listed_at": f"2024-05-{1 + n % 9:02}T10:00:00Z",
            name: f"2024-06-{1 + n % 9:02}T10:00:00Z",
        }
        for n in range(30)
    ]
    _, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and config.data.items.columns["available_until"] == name
    assert config.data.items.timestamp_unit == "iso"


@pytest.mark.parametrize("name", ["printed_at", "stichtag"])
@pytest.mark.parametrize("known", [{}, {"expires_at"}, {"created_at"}, {"created_at", "expires_at"}])
def test_another_time_of_items_is_left_out_with_what_it_may_be(tmp_path: Path, known: set[str], name: str) -> None:
    """The questions that no other column answers are asked."""
    more = dict.fromkeys(sorted(known), "2024-06-01")
    goods = [{"article": f"a{n}", name: f"2024-05-{1 + n % 9:02}", **more} for n in range(30)]
    text, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and set(config.data.items.columns.values()) == {"article", *known}
    birth = "" if "created_at" in known else "IF IT IS WHEN AN ITEM CAME TO BE, map it to created_at; "
    end = "" if "expires_at" in known else "IF ITEMS CANNOT BE HAD AFTER IT, map it to available_until; "
    assert f"left out: {name} ({birth}{end}a time; " in text


def test_of_several_ends_the_earliest_is_that_of_an_item(tmp_path: Path) -> None:
    """Sold, withdrawn or run out: with one of these alone, what ended otherwise would be to be had for ever."""
    goods = [
        {
            "article": f"a{n}",
            "sold_at": ["2024-05-01", "", ""][n % 3],
            "withdrawn_at": ["", "2024-05-02", ""][n % 3],
            "expires_at": f"2024-06-{1 + n % 9:02}",
        }
        for n in range(30)
    ]
    text, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and "available_until" not in config.data.items.columns
    ways = config.data.items.templates["available_until"].split()
    assert sorted(ways) == ["{expires_at}", "{sold_at}", "{withdrawn_at}"]
    assert "sold_at: 10 of 30 rows" in text and "expires_at: 30 of 30 rows" in text
    ends = read(config, "items").table["available_until"].to_pylist()
    assert [end // 86_400_000 for end in ends[:3]] == [19844, 19845, 19877], "1 and 2 May, and 3 June"


def test_ends_of_two_units_are_not_put_together(tmp_path: Path) -> None:
    goods = [
        {"article": f"a{n}", "expires_at": f"2024-06-{1 + n % 9:02}", "sold_at": 1_714_500_000 + n} for n in range(30)
    ]
    _, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and not config.data.items.templates
    assert config.data.items.columns["available_until"] == "expires_at"


@pytest.mark.parametrize("values", [["2024-05-01"] * 30, [4_006_381_333_900 + n for n in range(30)]])
def test_what_is_one_time_or_a_number_is_no_end(tmp_path: Path, values: list[Any]) -> None:
    goods = [{"article": f"a{n}", "mark": value} for n, value in enumerate(values)]
    text, _ = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "IF ITEMS CANNOT" not in text


def test_two_times_of_one_file_in_two_units_are_not_both_taken(tmp_path: Path) -> None:
    goods = [
        {"article": f"a{n}", "created_at": f"2024-05-{1 + n % 9:02}", "available_until": 1_700_000_000 + n}
        for n in range(30)
    ]
    text, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and config.data.items.columns["created_at"] == "created_at"
    assert "is no available_until: its times are in s, others of the table in iso" in text


@pytest.mark.parametrize(("listed", "told"), [(30, False), (29, True), (28, False)])
def test_items_that_a_nearly_whole_file_lacks_are_kept_out(tmp_path: Path, listed: int, told: bool) -> None:
    goods = [{"article": f"a{n}", "colour": "red" if n % 2 else "blue"} for n in range(listed)]
    text, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert (config.ingest.items_without_rows == "unavailable") is told
    assert ("  # 1 of the 30 items in events have no row in the file of items" in text) is told
