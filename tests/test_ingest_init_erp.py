"""`souk init`: an export of a wholesaler's orders, as SAP and German spreadsheets write them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from souk.schema import EventType, Kind
from tests.test_ingest_first_config import Table, init, read, write


def lines(count: int = 120, **columns: object) -> Table:
    """Lines of orders: the day and the time of day in two columns, amounts with a comma, some pieces taken back."""
    return [
        {
            "VBELN": 4500 + n // 3,
            "KUNNR": f"{100 + n // 6 % 9:06d}",
            "LFDAT": f"202405{1 + n % 28:02d}",
            "ERDAT": f"202404{1 + n % 28:02d}",
            "POSNR": f"{10 * (1 + n % 3):06d}",  # may be a time of day
            "ERZET": f"{8 + n % 9:02d}3015",
            "MATNR": f"{n % 30:08d}",
            "KWMENG": -1 if n % 10 == 0 else 1 + n % 4,
            "NETPR": f"{n % 7},{n % 10}0",
        }
        | columns
        for n in range(count)
    ]


def test_a_day_and_its_time_in_two_columns_are_one_time(tmp_path: Path) -> None:
    """All that was ordered on a day was of midnight, and nothing said so."""
    _, config = init(tmp_path, write(lines(), tmp_path / "e.csv"))
    assert config.data.events.templates == {"timestamp": "{ERDAT}T{ERZET}"}
    first = datetime(2024, 4, 1, 8, 30, 15, tzinfo=UTC)
    assert read(config, "events").table["timestamp"][0].as_py() == 1000 * first.timestamp()


@pytest.mark.parametrize(
    ("day", "clock", "found"),
    [
        ("2024-04-05", "{:02}:15", True),
        ("2024-04-05", "{:02}:15:59", True),
        ("2024-04-05", "{:02}1559", False),  # 2024-04-05T091559 is no time
        ("20240405", "{:02}1559", True),
        ("20240405", "{:02}:15:59", False),
        ("2024-04-05T10:00:00", "{:02}:15:59", False),
        ("2024-04-05", "{}:15", False),  # 9:15
    ],
)
def test_a_time_of_day_is_taken_where_both_together_are_a_time(
    tmp_path: Path, day: str, clock: str, found: bool
) -> None:
    rows = [{"user_id": n % 7, "item_id": n % 30, "day": day, "hour_of_it": clock.format(n % 10)} for n in range(60)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert ("timestamp" in config.data.events.templates) == found
    assert ("ONLY DAYS" in text) == (not found and len(day) <= 10)
    assert ("IS hour_of_it THE TIME OF DAY?" in text) == (not found and len(day) <= 10)
    assert not read(config, "events").faults


@pytest.mark.parametrize(("name", "told"), [("ERZET", True), ("quantity_left", False)])
def test_a_time_of_day_that_lost_its_zeros_is_asked_for(tmp_path: Path, name: str, told: bool) -> None:
    """Of numbers 093015 is 93015: with its day that is no time."""
    rows = [{"user_id": n % 7, "item_id": n % 30, "day": "20240405", name: n % 20 * 10_000 + 3015} for n in range(60)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.templates == {}
    assert (f"ONLY DAYS: what is done on one is of one moment; IS {name} THE TIME OF DAY?" in text) == told


def test_how_long_it_took_is_no_time_of_day(tmp_path: Path) -> None:
    rows = [
        {"user_id": n % 7, "item_id": n % 30, "day": "2024-04-05", "duration": f"00:0{n % 10}:59"} for n in range(60)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.templates == {}


def test_a_negative_quantity_is_a_return(tmp_path: Path) -> None:
    """What was taken back counted as bought, twice with the purchase."""
    rows = [{**row, "AUART": ["TA", "RE"][n // 7 % 2]} for n, row in enumerate(lines())]
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert "12 of 120 quantities are negative: returns" in first.text
    assert first.untyped.startswith("PURCHASE, OR A RETURN WHERE KWMENG IS NEGATIVE, UNLESS AUART (RE, TA) IS THE TYPE")
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.objectives.satisfied.unless == (EventType.RETURN,)
    assert "auart" not in config.columns.events, "it may say what the user did"
    types = read(config, "events").table["event_type"].to_pylist()
    assert [n for n, kind in enumerate(types) if kind == "return"] == [*range(0, 120, 10)]
    assert types.count("purchase") == 108


def test_a_quantity_that_some_rows_lack_tells_no_type(tmp_path: Path) -> None:
    """Of an app's log beside the orders, which has none, the config was refused."""
    rows = [{**row, "KWMENG": "" if n == 7 else row["KWMENG"]} for n, row in enumerate(lines())]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.constants == {"event_type": "purchase"}


def test_orders_of_positive_quantities_are_purchases_alone(tmp_path: Path) -> None:
    _, config = init(tmp_path, write(lines(KWMENG=2), tmp_path / "e.csv"))
    assert config.data.events.constants == {"event_type": "purchase"} and not config.data.events.event_types
    assert config.data.events.columns["value"] == "KWMENG" and config.data.events.columns["session_id"] == "VBELN"


def test_a_decimal_comma_is_read(tmp_path: Path) -> None:
    """All prices of a German export were left out, with a line that told what to write."""
    text, config = init(tmp_path, write(lines(), tmp_path / "e.csv"))
    assert 'decimal: ","  # the numbers have a decimal comma, such as 0,00' in text
    assert read(config, "events").table["price"].to_pylist()[:3] == [0.0, 1.1, 2.2]


@pytest.mark.parametrize(("weight", "decimal"), [("1.5", "."), ("1.500", ","), ("15", ",")])
def test_a_decimal_point_beside_commas_is_nothing_that_one_key_can_say(
    tmp_path: Path, weight: str, decimal: str
) -> None:
    """A point before three digits parts thousands, where others have commas."""
    goods = [{"item_id": n, "price": f"{n},5{n % 9}", "weight": weight if n else "7"} for n in range(60)]
    rows = [{"user_id": n % 7, "item_id": n % 60, "timestamp": "2024-04-05"} for n in range(120)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and config.data.items.decimal == decimal
    assert ("NUMBERS WITH A DECIMAL COMMA" in text) == (decimal == ".")
    if weight == "1.500":
        assert text.count("such as 7, 1500") == 1


def test_numbers_that_begin_with_a_zero_are_names(tmp_path: Path) -> None:
    """The product hierarchy of 18 digits was an amount."""
    goods = [
        {"item_id": n, "levels": f"{n % 40:018d}", "plz": 50_000 + n % 40, "grams": 100 + n % 40} for n in range(90)
    ]
    rows = [{"user_id": n % 7, "item_id": n % 90, "timestamp": "2024-04-05"} for n in range(180)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.columns.items == {"levels": Kind.CATEGORICAL, "plz": Kind.CATEGORICAL, "grams": Kind.NUMERIC}


def bought(users: int = 60) -> Table:
    """User n has n lines of 62 - n each: user 31 pays most, and user 59 has most."""
    return [
        {"user_id": f"u{n}", "item_id": m % 9, "timestamp": 1_700_000_000 + 9_000 * m, "amount": 62 - n}
        for n in range(users)
        for m in range(n)
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([n * (62 - n) for n in range(60)], "it goes with the sum of amount of each, by a rank correlation of 1.00"),
        ([n**2 for n in range(60)], "it goes with how many of events each has, by a rank correlation of 1.00"),
        (
            ["C" if n < 30 else "B" if n < 48 else "A" for n in range(60)],
            "its values are classes of how many of events",
        ),
        (["ABC"[n % 3] for n in range(60)], ""),
        (["C" if n < 20 else "AB"[n % 2] for n in range(60)], "its values are classes of how many of events"),
        (["C" if n < 30 else "B" if n < 52 else "A" for n in range(60)], ""),  # a word for few
        (["ABCDEFG"[n // 9] for n in range(60)], ""),  # trades, perhaps
    ],
)
def test_turnover_and_classes_of_it_tell_events_of_later(tmp_path: Path, values: list[object], told: str) -> None:
    """A class of A, B and C is made of what the customers bought, in the test window too."""
    people = [{"user_id": f"u{n}", "seen": value} for n, value in enumerate(values)]
    events, users = write(bought(), tmp_path / "e.csv"), write(people, tmp_path / "u.csv")
    text, config = init(tmp_path, events, None, users)
    assert ("seen" in config.columns.users) == (not told)
    assert (f"# left out: seen (IT TELLS EVENTS OF LATER: {told}" in text) == bool(told)


def test_turnover_is_price_times_quantity(tmp_path: Path) -> None:
    """Neither of the two goes with it: who buys dear things buys few."""
    rows = [
        {"user_id": f"u{n}", "item_id": m, "timestamp": 1_700_000_000 + 9_000 * m, "price": 1 + n, "menge": n * 7 % 60}
        for n in range(60)
        for m in range(3)
    ]
    people = [{"user_id": f"u{n}", "seen": n * 7 % 60 * (1 + n) * 3, "age": n * 11 % 60} for n in range(60)]
    events, users = write(rows, tmp_path / "e.csv"), write(people, tmp_path / "u.csv")
    text, config = init(tmp_path, events, None, users)
    assert [*config.columns.users] == ["age"]
    assert "seen (IT TELLS EVENTS OF LATER: it goes with the sum of price times menge of each" in text


@pytest.mark.parametrize(
    ("following", "told"),
    [
        (lambda n: f"{1100 + n}" if n < 20 else "", True),
        (lambda n: f"{1100 + n}" if n < 4 else "", False),  # few
        (lambda n: f"{1100 + n % 5}" if n < 20 else "", False),  # of a family
        (lambda n: f"{2000 + n}" if n < 20 else "", False),  # no items
        (lambda n: f"{1000 + (n + 1) % 200}", False),  # each has one
    ],
)
def test_what_replaces_an_item_is_asked_for(tmp_path: Path, following: Callable[[int], str], told: bool) -> None:
    """Who bought an article was not offered its successor, and the column was too many words to learn from."""
    goods = [{"item_id": 1000 + n, "nachfolger": following(n), "hint": f"{n}" if n < 20 else ""} for n in range(200)]
    rows = [{"user_id": n % 7, "item_id": 1000 + n, "timestamp": "2024-04-05"} for n in range(200)]
    text, _ = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert (
        "# left out: nachfolger (IT NAMES ANOTHER ITEM, such as 1100, 1101, 1102: ONE THAT REPLACES" in text
    ) == told
    assert text.count("IT NAMES ANOTHER ITEM") == told


def test_short_numbers_that_are_ids_by_chance_name_no_item(tmp_path: Path) -> None:
    goods = [{"item_id": n, "grams": f"{100 + n}" if n < 20 else ""} for n in range(200)]
    rows = [{"user_id": n % 7, "item_id": n, "timestamp": "2024-04-05"} for n in range(200)]
    text, _ = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "IT NAMES ANOTHER ITEM" not in text


def test_searches_without_an_item_are_left_out(tmp_path: Path) -> None:
    """They were clicks that the contract refuses, and the bar of the quarantine was raised for them."""
    kinds = ["view", "view", "search", "add_to_cart"]
    rows = [
        {"user_id": n % 7, "sku": "" if n % 4 == 2 else n % 30, "ts": 1_700_000_000 + n, "event": kinds[n % 4]}
        for n in range(120)
    ]
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert "skip: {event: search}  # of search no row has an item: left out" in first.text
    assert first.unknown == () and "quarantine_threshold" not in first.text
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert len(read(config, "events").table) == 90


def test_an_item_that_a_few_rows_lack_is_no_other_act(tmp_path: Path) -> None:
    kinds = ["view", "view", "search", "add_to_cart"]
    rows = [
        {"user_id": n % 7, "sku": "" if n % 8 == 2 else n % 30, "ts": 1_700_000_000 + n, "event": kinds[n % 4]}
        for n in range(120)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.skip == {"sku": ("",)}, "searches with a hit stay"
    assert config.data.events.event_types["search"] == "click"


def test_a_login_is_a_user_and_none_of_a_file_of_customers(tmp_path: Path) -> None:
    rows = [{"login_id": n % 7, "sku": n % 30, "ts": 1_700_000_000 + n} for n in range(120)]
    people = [{"KUNNR": f"{n:06d}", "branch": "ab"[n % 2]} for n in range(30)]
    events, users = write(rows, tmp_path / "e.csv"), write(people, tmp_path / "u.csv")
    assert init(tmp_path, events)[1].data.events.columns["user_id"] == "login_id"
    with pytest.raises(SoukError, match=r"none of the 7 in login_id .* is in KUNNR .* of two systems, as logins"):
        first_config(events, None, users, "x")


def test_lines_of_orders_without_their_customer_are_told_what_to_join(tmp_path: Path) -> None:
    rows = [{"POSNR": n, "MATNR": n % 9, "ERDAT": "20240405"} for n in range(90)]
    with pytest.raises(SoukError, match=r"could be user_id.*Where another file has the user_id, as one of orders"):
        first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
