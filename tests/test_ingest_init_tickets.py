"""`souk init` for a ticket shop: items whose ids are `event_id`, that end when they begin, and orders beside a log."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from souk.config import Source
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from souk.ingest.mapping import TableSource
from souk.schema import EventType
from tests.test_ingest_first_config import Table, init, read, write

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
ZONED = "%Y-%m-%dT%H:%M:%SZ"


def log(count: int = 400) -> Table:
    """Looks at concerts, one an hour, of which every fourth is bought at once."""
    rows: Table = []
    for n in range(count):
        own = {"customer_no": f"c{n % 41}", "event_id": 500 + n % 37}
        at = START + timedelta(hours=n)
        rows.append({**own, "ts": at.strftime(ZONED), "action": "event_view"})
        if n % 4 == 0:
            rows.append({**own, "ts": (at + timedelta(minutes=2)).strftime(ZONED), "action": "order_placed"})
    return rows


def orders(rows: Table, hours: float) -> Table:
    """The same purchases as the shop writes them: so many hours later, without a zone, with tickets and seats."""
    bought = [row for row in rows if row["action"] == "order_placed"]
    local = [datetime.strptime(row["ts"], ZONED) + timedelta(hours=hours) for row in bought]
    more = [{"ts": f"{at:%Y-%m-%d %H:%M:%S}", "action": "sale"} for at in local]
    said = [{"tickets": 1 + n % 4, "seat": ["standing", "row 1"][n % 2]} for n in range(len(bought))]
    return [{**row, **own, **what} for row, own, what in zip(bought, more, said, strict=True)]


def concerts(days: float, name: str = "starts_at", **more: Any) -> Table:
    """Concerts of so many days after the log begins."""
    begin = f"{START + timedelta(days=days):%Y-%m-%d %H:%M:%S}"
    return [{"event_id": 500 + n, "event_name": f"Band {n % 9}", name: begin, **more} for n in range(37)]


def test_ids_of_concerts_that_are_called_event_id_are_no_ids_of_rows(tmp_path: Path) -> None:
    _, config = init(tmp_path, write(log(), tmp_path / "e.csv"), write(concerts(90), tmp_path / "i.csv"))
    rows = read(config, "events")
    assert rows.table["item_id"].to_pylist()[:2] == ["500", "500"]
    assert TableSource("events", config.data.events, config.columns.events).makes_ids([*log()[0]])


def test_an_event_id_of_orders_is_not_taken_for_the_item(tmp_path: Path) -> None:
    rows = [{"event_id": f"o{n // 3}", "customer_no": f"c{n // 3 % 41}", "plant": n % 7} for n in range(300)]
    rows = [{**row, "ts": f"{START + timedelta(hours=n // 3):%Y-%m-%d}"} for n, row in enumerate(rows)]
    with pytest.raises(SoukError, match="could be item_id"):
        first_config(write(rows, tmp_path / "e.csv"), None, None, "x")


@pytest.mark.parametrize(("mapped", "found"), [({}, True), ({"item_id": "event_id"}, False), ({"item_id": "x"}, True)])
def test_an_event_id_that_is_read_as_something_else_is_not_read_for_its_name(
    mapped: dict[str, str], found: bool
) -> None:
    source = TableSource("events", Source(path="e.csv", columns=mapped), {})
    assert ("event_id" in source.columns(["event_id", "user_id", "item_id", "x"])) is found
    assert source.makes_ids(["event_id", "user_id", "item_id", "x"]) is not found


@pytest.mark.parametrize("name", ["starts_at", "concertDate", "kickoff", "doorsOpen", "Vorstellungsdatum"])
def test_what_is_taken_before_it_begins_ends_by_it(tmp_path: Path, name: str) -> None:
    files = write(log(), tmp_path / "e.csv"), write(concerts(60, name), tmp_path / "i.csv")
    text, config = init(tmp_path, *files)
    assert config.data.items is not None and config.data.items.columns["available_until"] == name
    assert "100% of what is done with an item comes before it" in text


def dated(ends: bool, first: int) -> tuple[Table, Table]:
    """Items of a day each, in a row, with what is done with them, and a `date`: when the item's day ends, or when its
    row was changed, in the days from `first` on."""
    goods = [{"item_id": f"i{n}", "kind": "ab"[n % 2]} for n in range(40)]
    rows = [
        {
            "user_id": f"u{n % 23}",
            "item_id": f"i{n // 20}",
            "ts": f"{START + timedelta(hours=1.2 * n):%Y-%m-%d %H:%M:%S}",
        }
        for n in range(800)
    ]
    for n, row in enumerate(goods):
        row["date"] = f"{START + timedelta(days=n + 1 if ends else first + n * 7 % 40 / 20):%Y-%m-%d %H:%M:%S}"
    return rows, goods


@pytest.mark.parametrize("name", ["date", "start_date"])
@pytest.mark.parametrize(("ends", "first"), [(True, 0), (False, 36), (False, 41)])
def test_a_date_is_an_end_only_where_it_is_better_at_it_than_chance(
    tmp_path: Path, ends: bool, first: int, name: str
) -> None:
    """Nearly all events precede a change of late, and all of them the day of an export or of the next sale."""
    rows, goods = dated(ends, first)
    goods = [{"item_id": row["item_id"], name: row["date"]} for row in goods]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and ("available_until" in config.data.items.columns) is ends


def test_what_most_events_precede_is_not_when_an_item_came_to_be(tmp_path: Path) -> None:
    for month, born in ((5, False), (3, True)):
        (tmp_path / "my.yaml").unlink(missing_ok=True)
        goods = [{**row, "available_from": f"2026-0{month}-0{1 + n % 3}"} for n, row in enumerate(concerts(0))]
        text, config = init(tmp_path, write(log(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
        assert config.data.items is not None and ("created_at" in config.data.items.columns) is born
        told = "# left out: available_from (100% of what is done with an item comes before it; IF ITEMS CANNOT BE HAD"
        assert (told in text) is (not born)


@pytest.mark.parametrize("days", [0, 14.5])  # all comes after it, or 87% before it
def test_what_is_taken_after_it_begins_does_not_end_by_it(tmp_path: Path, days: float) -> None:
    goods = write(concerts(days), tmp_path / "i.csv")
    _, config = init(tmp_path, write(log(), tmp_path / "e.csv"), goods)
    assert config.data.items is not None
    assert "available_until" not in {**config.data.items.columns, **config.data.items.templates}


def test_the_beginning_is_one_of_several_ends(tmp_path: Path) -> None:
    more = {"sold_out_at": "", "cancelled_at": "2026-04-01 10:00:00", "on_sale_from": "2026-02-01 10:00:00"}
    _, config = init(tmp_path, write(log(), tmp_path / "e.csv"), write(concerts(60, **more), tmp_path / "i.csv"))
    assert config.data.items is not None
    assert config.data.items.templates == {"available_until": "{cancelled_at} {starts_at}"}
    assert config.data.items.columns["created_at"] == "on_sale_from"


def test_an_end_without_values_hides_no_other(tmp_path: Path) -> None:
    goods = concerts(60, sold_out_at="")
    _, config = init(tmp_path, write(log(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.items is not None and config.data.items.columns["available_until"] == "starts_at"


def test_ends_in_two_units_and_dates_to_be_announced_are_told(tmp_path: Path) -> None:
    goods = concerts(60, expires_at="2026-05-01")
    goods = [
        {**row, "starts_at": 1_780_000_000 + n, "doors": "TBA" if n < 7 else "2026-05-01"}
        for n, row in enumerate(goods)
    ]
    text, _ = init(tmp_path, write(log(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "# left out: starts_at (ANOTHER END, BUT IN s where expires_at is in iso: write both alike" in text
    assert "# left out: doors (TIMES, BUT FOR 7 OF 37 VALUES, such as TBA: leave these empty in the file" in text


def test_what_was_counted_later_is_left_out(tmp_path: Path) -> None:
    goods = [{**row, "seats_left": n * 7 % 101, "capacity": n % 31 + 0.5} for n, row in enumerate(concerts(60))]
    text, config = init(tmp_path, write(log(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "capacity" in config.columns.items and "seats_left" not in config.columns.items
    assert "# left out: seats_left (IT TELLS EVENTS OF LATER, such as 0, 7, 14; declare it if it is of before" in text


@pytest.mark.parametrize("given", [[], ["ticket_assigned"] * 40], ids=["", "and what no word tells"])
def test_what_no_look_has_is_no_context(tmp_path: Path, given: list[str]) -> None:
    """An act that no word tells is taken for a click, and is no look."""
    rows = [*log(), *({**row, "action": word} for row, word in zip(log()[1::5], given, strict=False))]
    rows = [{**row, "seat": "row 1" if row["action"] != "event_view" else ""} for row in rows]
    for n, row in enumerate(rows):
        row |= {"seat": row["seat"] and ["row 1", "row 2"][n % 3 % 2], "device": ["ios", "web"][n % 7 % 2]}
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert set(config.columns.events) == {"device"}
    assert "# left out: seat (NO LOOK HAS IT" in text


def page(action: str, n: int) -> str:
    return ["home", "search", "event"][n % 3] if action == "event_view" else ["checkout_1", "thank_you"][n % 2]


@pytest.mark.parametrize("name", ["page", "surface", "screen"])  # by the contract's names, and by one of its own
def test_a_page_that_no_look_is_on_is_no_context(tmp_path: Path, name: str) -> None:
    rows = [{**row, name: page(row["action"], n)} for n, row in enumerate(log())]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.columns.events == {}
    told = "NO LOOK HAS WHAT MOST OTHERS HAVE, so it would say what the user did, such as "
    assert max(line.count(told) for line in text.splitlines()) == 1


@pytest.mark.parametrize("name", ["page", "surface", "screen"])
@pytest.mark.parametrize("of", [lambda n: page("event_view", n), lambda n: f"page_{n * 7919 % 487}"])
def test_a_page_that_looks_lack_by_chance_is_context(tmp_path: Path, name: str, of: Callable[[int], str]) -> None:
    rows = [{**row, name: of(n)} for n, row in enumerate(log())]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert "NO LOOK" not in text
    assert of(0) != "home" or len(config.columns.events) == 1


def test_what_clicks_have_is_context_however_many_impressions_lack_it(tmp_path: Path) -> None:
    rows = [{**row, "browser": ["a", "b"][n % 5 % 2]} for n, row in enumerate(log())]
    shown = [{**row, "action": "impression", "browser": ""} for row in rows * 25]
    _, config = init(tmp_path, write(rows + shown, tmp_path / "e.csv"))
    assert set(config.columns.events) == {"browser"}


@pytest.mark.parametrize(("hours", "told"), [(0.001, ""), (20, "; sale IS 20.0 HOURS LATER: set timezone")])
def test_purchases_that_log_and_orders_tell_are_read_once(tmp_path: Path, hours: float, told: str) -> None:
    rows, folder = log(), tmp_path / "log"
    folder.mkdir()
    write(rows, folder / "app.csv")
    write(orders(rows, hours), folder / "orders.csv")
    first = first_config(str(folder), None, None, "x")
    _, config = init(tmp_path, str(folder))
    assert config.data.events.skip == {"action": ("order_placed",)}
    assert config.data.events.event_types == {"event_view": EventType.CLICK, "sale": EventType.PURCHASE}
    assert "100 of 100 pairs of a user and an item have both" in first.left_out[0]
    assert ("HOURS" in first.left_out[0]) is bool(told) and told in first.left_out[0]
    assert "in the sample: 400 click, 100 purchase" in first.text
    assert [str(kind) for kind in config.objectives.engaged.events] == ["click"], "by the times of the log"


@pytest.mark.parametrize("hours", [0, 2, 20])
def test_what_is_left_out_counts_nowhere_where_its_word_is_souks_own(tmp_path: Path, hours: float) -> None:
    """Whichever goes, the log's word or that of the orders, by whose times nothing is guessed where they are local."""
    for mine, theirs in (("purchase", "sale"), ("buy", "purchase")):
        rows, folder = log(), tmp_path / f"{mine}-{theirs}"
        folder.mkdir()
        write([{**row, "action": theirs} for row in orders(rows, hours)], folder / "orders.csv")
        rows = [{**row, "action": row["action"].replace("order_placed", mine)} for row in rows]
        write(rows, folder / "app.csv")
        assert "in the sample: 400 click, 100 purchase" in first_config(str(folder), None, None, "x").text


def test_of_orders_that_begin_later_the_log_is_kept(tmp_path: Path) -> None:
    rows, folder = log(), tmp_path / "log"
    folder.mkdir()
    write(rows, folder / "app.csv")
    write(orders(rows, 0)[40:], folder / "orders.csv")
    _, config = init(tmp_path, str(folder))
    assert config.data.events.skip == {"action": ("sale",)}


def test_two_words_for_purchases_of_others_stay(tmp_path: Path) -> None:
    rows = [row for row in log() if row["action"] == "order_placed"]
    rows = [{**row, "action": ["book", "buy"][n % 2]} for n, row in enumerate(rows * 2)]
    rows += [{**row, "ts": row["ts"].replace("2026", "2025"), "action": "order"} for row in rows]  # a year before
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.skip == {}


@pytest.mark.parametrize(("step", "kind"), [("checkout", EventType.CART), ("reserve", EventType.PURCHASE)])
def test_what_was_begun_and_given_up_does_not_replace_the_purchases(tmp_path: Path, step: str, kind: EventType) -> None:
    rows = log()
    begun = [{**row, "action": step} for row in rows if row["action"] == "event_view"][::2]  # every second is bought
    _, config = init(tmp_path, write(rows + begun, tmp_path / "e.csv"))
    assert config.data.events.skip == {}
    types = {"event_view": EventType.CLICK, "order_placed": EventType.PURCHASE, step: kind}
    assert config.data.events.event_types == types


def test_a_log_that_lacks_every_fifth_purchase_gives_way_to_orders_that_say_more(tmp_path: Path) -> None:
    bought = [row for row in log(800) if row["action"] == "order_placed"]
    rows = orders(bought, 0) + [row for n, row in enumerate(bought) if n % 5]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.skip == {"action": ("order_placed",)}


def test_times_without_a_zone_are_told(tmp_path: Path) -> None:
    rows, folder = log(), tmp_path / "log"
    folder.mkdir()
    write(rows, folder / "app.csv")
    assert "timezone" not in first_config(str(folder), None, None, "x").text
    write(orders(rows, 0), folder / "orders.csv")
    text = first_config(str(folder), write(concerts(60), tmp_path / "i.csv"), None, "x").text
    assert "timestamp_unit: iso  # 100 of 600 times name no zone and are read as UTC; if they are local" in text
    assert "timestamp_unit: iso  # times without a zone are read as UTC; if they are local: timezone" in text


@pytest.mark.parametrize("zone", ["Z", "+01:00", "-0530", " +02:00", " UTC"])
def test_times_with_a_zone_are_not_told(tmp_path: Path, zone: str) -> None:
    rows = [{**row, "ts": row["ts"].replace("Z", zone)} for row in log()]
    assert "timezone: " not in first_config(write(rows, tmp_path / "e.csv"), None, None, "x").text


def test_a_name_of_concerts_is_no_type_where_another_column_has_acts(tmp_path: Path) -> None:
    names = ["Show", *(f"Band {n}" for n in range(8))]
    rows = [{**row, "event_name": names[row["event_id"] % 9]} for row in log()]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.columns["event_type"] == "action"


def test_tickets_of_orders_are_quantities_and_no_stars(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k not in ("action", "seat")} for row in orders(log(), 0)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.constants == {"event_type": "purchase"}
    assert config.data.events.columns["value"] == "tickets" and "come again: concerts, say, not rows" in text
