"""What `souk init` guesses of sessions, of articles and of satisfaction."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.kind import without_currency
from souk.ingest.profile import Column
from souk.schema import Kind
from tests.test_ingest_first_config import init, read, write

KNOWN = ["view", "click", "order", "cart", "return", "rate", "hide", "wishlist", "impression", "sold", "refund"]


def test_sessions_without_users_are_their_own_users(tmp_path: Path) -> None:
    rows = [{"session": f"s{n // 3}", "product": n % 7, "time": 1_700_000_000 + 60 * n} for n in range(300)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert "user_id: session  # there are no users" in text
    assert set(read(config, "events").table["user_id"].to_pylist()) == {row["session"] for row in rows}


def test_plain_words_name_who_and_what(tmp_path: Path) -> None:
    rows = [{"reader": n % 9, "book": n % 7, "stars": 4, "day": "2024-01-01"} for n in range(90)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert "user_id: reader" in text and "item_id: book" in text
    assert read(config, "events").faults == []


def test_articles_that_are_read_or_left(tmp_path: Path) -> None:
    clicks = [
        {"user_id": n // 9, "article_id": n % 9, "timestamp": 1_700_000_000_000 + n, "dwell": [4, 90, None][n % 3]}
        for n in range(900)
    ]
    articles = [{"article_id": n, "headline": f"a long story {n}", "published": 1_699_990_000_000} for n in range(9)]
    _, config = init(tmp_path, write(clicks, tmp_path / "e.jsonl"), write(articles, tmp_path / "i.jsonl"))
    items = config.data.items
    assert items is not None and items.columns["title"] == "headline" and items.columns["created_at"] == "published"
    assert config.objectives.satisfied.min_dwell_seconds == 30
    assert config.objectives.satisfied.weight == "auto"
    same = [{**row, "dwell": 4} for row in clicks]
    alike = parse_config(first_config(write(same, tmp_path / "e.jsonl"), None, None, "x").text)
    assert alike.objectives.satisfied.min_dwell_seconds is None, "nobody stays"


@pytest.mark.parametrize(
    "name", ["created_on", "Posted-On", "dateAdded", "listing_date", "publish_date", "publiziert", "veröffentlicht",
             "Veröffentlicht am", "erschienen", "erschienen_am", "Erscheinungsdatum", "angelegt"],
)  # fmt: skip
def test_since_when_an_item_is_there_has_many_names(tmp_path: Path, name: str) -> None:
    clicks = [{"user_id": n // 9, "ad": n % 9, "timestamp": 1_700_000_000_000 + n} for n in range(90)]
    ads = [{"ad": n, "title": f"a bicycle {n}", name: f"2023-11-{n + 1:02}"} for n in range(9)]
    _, config = init(tmp_path, write(clicks, tmp_path / "e.jsonl"), write(ads, tmp_path / "i.jsonl"))
    assert config.data.items is not None and config.data.items.columns["created_at"] == name


@pytest.mark.parametrize(
    ("span", "returns", "days"), [(40, True, 2), (4000, True, 30), (4000, False, 60), (2, True, 1)]
)
def test_labels_are_known_in_time_for_the_ranker_to_learn(tmp_path: Path, span: int, returns: bool, days: int) -> None:
    kinds = ["purchase", "return"] if returns else ["purchase"]
    rows = [
        {"user": n % 20, "item": n % 5, "ts": 1_700_000_000 + n * span * 87, "action": kinds[n % 7 == 0 and returns]}
        for n in range(1000)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.objectives.satisfied.within_days == days


def test_labels_are_known_in_both_windows(tmp_path: Path) -> None:
    """The last tenth takes twenty times as long as the one before it."""
    slow = [40 * 87 * (n + 19 * max(0, n - 900)) for n in range(1000)]
    rows = [{"user": n % 20, "item": n % 5, "ts": 1_700_000_000 + time} for n, time in enumerate(slow)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.objectives.satisfied.within_days == 2


def test_a_date_long_after_the_others_moves_no_label_and_is_told(tmp_path: Path) -> None:
    rows = [{"user": n % 20, "item": n % 5, "ts": 1_700_000_000 + n * 40 * 87} for n in range(1000)]
    files = [write([*rows, *more], tmp_path / f"{len(more)}.csv") for more in ([], [{**rows[0], "ts": 4_000_000_000}])]
    usual, config = init(tmp_path, files[0])
    (tmp_path / "my.yaml").unlink()
    told, late = init(tmp_path, files[1])
    assert late.objectives.satisfied.within_days == config.objectives.satisfied.within_days == 2
    seen = "1 OF 1,001 COME LONG AFTER THE OTHERS, up to 2096-10-02 07:06; the others up to 2023-12-25 03:55; s: 170"
    assert f"timestamp: ts  # {seen}" in told and "LONG AFTER" not in usual


def test_numbers_with_a_decimal_comma_are_no_lists_and_are_told(tmp_path: Path) -> None:
    """Of a shop with few prices the halves repeat, as entries of lists do."""
    prices = ["3,50", "4,50", "1.250,00", "7", "0,5"]
    rows = [
        {"user_id": f"u{n % 9}", "item_id": f"i{n % 30}", "timestamp": "2025-12-31", "price": prices[n % 5]}
        for n in range(90)
    ]
    goods = [
        {"item_id": f"i{n}", "price": prices[n % 5], "weight": f"{n},{n}", "ids": "1,2,3"[: 1 + n % 4]}
        for n in range(30)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"), write(goods, tmp_path / "i.jsonl"))
    told = 'NUMBERS WITH A DECIMAL COMMA, such as 3,50: in a CSV add decimal: "," beside path, then map or declare it; '
    assert text.count(f'price: ""  # {told}else write 3.50 into the file') == 2
    assert "such as 0,0: in a CSV add decimal" in text
    assert "OR IS IT price" not in text and set(config.columns.items) == {"ids"}


@pytest.mark.parametrize(
    ("who", "what"),
    [("guest", "hotel"), ("traveller_id", "property_id"), ("Guest ID", "HotelId"), ("Learner", "course")],
)
def test_guests_and_hotels_are_users_and_items(tmp_path: Path, who: str, what: str) -> None:
    """Without a file of users, events with a column `guest` had no user."""
    rows = [{who: f"g{n % 9}", what: f"h{n}", "timestamp": "2025-12-31"} for n in range(90)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert (config.data.events.columns["user_id"], config.data.events.columns["item_id"]) == (who, what)


def test_rooms_are_the_items_and_not_the_hotels_that_they_are_of(tmp_path: Path) -> None:
    """The file of items has a hotel in many rows, and was refused for it."""
    rows = [
        {"guest": f"g{n % 9}", "hotel": f"h{n % 7}", "room": f"r{n // 2}", "timestamp": "2025-12-31"} for n in range(90)
    ]
    goods = [{"hotel": f"h{n % 7}", "hotel_name": f"H {n % 7}", "room": f"r{n}"} for n in range(90)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.events.columns["item_id"] == config.data.items.columns["item_id"] == "room"


@pytest.mark.parametrize("prices", [["€1,250.00", "€80.84"], ["1250.00 EUR", "80.84 EUR"], ["CHF 1250.00", "80.84"]])
def test_numbers_with_a_currency_are_told(tmp_path: Path, prices: list[str]) -> None:
    """They were left out as too many to learn from, and those with commas could be taken for lists."""
    rows = [{"user_id": f"u{n % 9}", "item_id": f"i{n}", "timestamp": "2025-12-31"} for n in range(90)]
    goods = [{"item_id": f"i{n}", "price": prices[n % 2], "fee": prices[n % 2]} for n in range(90)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.jsonl"))
    told = f"NUMBERS WITH A CURRENCY, such as {prices[0]}: write 1250.00 into the file, then map or declare it"
    assert f'price: ""  # {told}' in text and f"left out: fee ({told})" in text
    assert not config.columns.items


@pytest.mark.parametrize(
    ("price", "number"),
    [
        ("Fr. 12.50", "12.50"),
        ("12,50 kr.", "12.50"),
        ("-€5.00", "-5.00"),
        ("1.234.567 €", "1234567"),
        ("10.000 €", "10000"),
        ("1'234.50 CHF", "1234.50"),
        ("EUR 1.234,56", "1234.56"),
        ("£1,234", "1234"),
        ("ab 39,90 €", "39.90"),
        ("From $39", "39"),
    ],
)
def test_a_price_is_the_same_without_its_currency(price: str, number: str) -> None:
    assert Column("", pa.array([price])).currency == price and without_currency(price) == number


@pytest.mark.parametrize(
    ("text", "dated"),
    [
        ("05/06/2024", True),
        ("31/05/2024", False),
        ("5.1.24", True),
        ("2024/5/31 8:00", True),
        ("1.2.3", False),
        ("10.0.12.1", False),
    ],
)
def test_days_are_told_from_versions_and_addresses(text: str, dated: bool) -> None:
    assert Column("", pa.array([text])).dated == dated


def test_days_in_another_order_are_told_and_are_no_paths(tmp_path: Path) -> None:
    rows = [{"user_id": f"u{n % 9}", "item_id": f"i{n}", "timestamp": "2025-12-31"} for n in range(90)]
    goods = [{"item_id": f"i{n}", "Created": "10/11/2017", "seen_first": f"1{n % 3}/11/2017"} for n in range(90)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    days = "10/11/2017, 11/11/2017, 12/11/2017"
    assert f"map it to available_until; DATES, such as {days}: write them as 2024-05-31 into the file; or map" in text
    assert not config.columns.items and "created_at" not in config.data.items.columns


def test_the_word_of_the_ids_is_before_others_for_a_title(tmp_path: Path) -> None:
    rows = [{"user_id": f"u{n % 9}", "listing_id": f"i{n}", "timestamp": "2025-12-31"} for n in range(90)]
    goods = [{"listing_id": f"i{n}", "hotel_name": f"H {n % 9}", "listing_title": f"Place {n}"} for n in range(90)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items.columns["title"] == "listing_title"


@pytest.mark.parametrize(
    ("ids", "name", "title"),
    [
        ("Hotel Ref", "Hotel Name", "Hotel Name"),  # by the word of its ids
        ("ref", "product_title", "product_title"),
        ("ref", "host_name", "description"),  # of somebody else
        ("ref", "seller_name", "description"),
        ("shop_item_id", "shop_name", "description"),
        ("room_id", "hotel_name", "description"),  # of several
        ("sku", "hotel_title", "hotel_title"),
        ("dish_id", "name", "name"),
    ],
)
def test_the_name_of_an_item_is_its_title_before_what_describes_it(
    tmp_path: Path, ids: str, name: str, title: str
) -> None:
    rows = [{"user_id": f"u{n % 9}", ids: f"i{n}", "timestamp": "2025-12-31"} for n in range(90)]
    goods = [{ids: f"i{n}", "description": f"A place of {n} rooms", name: f"Place {n}"} for n in range(90)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items.columns["title"] == title


@pytest.mark.parametrize("name", ["time", "wann"])
def test_dates_of_a_form_that_is_not_read_are_shown(tmp_path: Path, name: str) -> None:
    rows = [{"user_id": f"u{n}", "item_id": f"i{n}", name: f"0{n % 2 + 1}/12/2025"} for n in range(9)]
    with pytest.raises(SoukError, match=rf"{name} with values such as 01/12/2025.* Give times as 2024-05-31 or"):
        first_config(write(rows, tmp_path / "e.csv"), None, None, "x")


@pytest.mark.parametrize(
    ("name", "values", "declared"),
    [
        ("Browser", ["firefox", "chrome", "safari"], True),
        ("Happening", ["viewed", "bought", "sonst"], False),  # by two of its three values
        ("event name", ["bekeken", "gekocht", "anders"], False),  # by its name
        ("Place", ["home", "search", "basket"], True),  # one word of three is no event type
        ("page_type", ["product", "search", "cart", "checkout"], True),  # two of four are not most
        ("Happening", [*KNOWN, *(f"x{n}" for n in range(10))], False),  # 11 of 21: most, however many
        ("Happening", [*KNOWN, *(f"x{n}" for n in range(11))], True),
        ("event_name", [f"ev_{n}" for n in range(20)], False),
        ("raw event type", ["a", "b"], False),
        ("orderStatus", ["paid", "pending", "none"], False),
        ("outcome", ["success", "abandoned"], False),
        ("purchased", ["yes", "no"], False),
        ("gekauft", ["ja", "nein"], False),
        ("is_purchase", ["true", "false"], False),
        ("converted", [True, False], False),
        ("page_kind", ["a", "b"], True),
        ("logged_in", ["yes", "no"], True),
    ],
)
def test_a_second_column_of_event_types_is_no_context(
    tmp_path: Path, name: str, values: list[Any], declared: bool
) -> None:
    rows = [
        {"user_id": n % 10, "item_id": n % 7, "timestamp": 1_700_000_000_000 + n}
        | {"event_type": ["click", "cart"][n % 2], name: values[n * 7919 % 101 % len(values)]}
        for n in range(400)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"))
    assert bool(config.columns.events) == declared
    told = f"# left out: {name} (SEEMS TO SAY WHAT THE USER DID, which would give the answer away, such as "
    assert (told in text) != declared


def test_where_to_deliver_is_asked_for_and_what_describes_the_item_alone_is_not(tmp_path: Path) -> None:
    """Each dish is of one district and so is each guest: the log has it from one of them, or requests have it."""
    rows = [
        {
            "user_id": f"u{n % 12}",
            "item_id": f"i{(n % 3) + 3 * (n % 5)}",
            "timestamp": 1_700_000_000 + n,
            "event": "view",
            "district": "abc"[n % 3],
            "section": "vwxyz"[n % 5],
        }
        for n in range(240)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert "# left out: district (IF REQUESTS HAVE IT, as the place to deliver to, declare it and name it with" in text
    assert "# left out: section (describes the item: give it in a file of items, or this file as --items, too; " in text
    assert config.columns.events == {}


@pytest.mark.parametrize(
    ("name", "kind"), [("PrepMinutes", Kind.NUMERIC), ("SpiceLevel", Kind.NUMERIC), ("Zone", Kind.CATEGORICAL)]
)
def test_few_whole_numbers_are_amounts_by_their_name_alone(tmp_path: Path, name: str, kind: Kind) -> None:
    rows = [{"user_id": f"u{n % 9}", "item_id": f"i{n % 20}", "timestamp": 1_700_000_000 + n} for n in range(90)]
    goods = [{"item_id": f"i{n}", name: n % 6} for n in range(20)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert list(config.columns.items.values()) == [kind]
