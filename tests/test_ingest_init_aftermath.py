"""`souk init` leaves out what only comes of what a user did, as that an order was shipped, and what a file of items has
of its events."""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from souk.config import parse_config
from souk.ingest.guess.first_config import FirstConfig, first_config
from souk.ingest.guess.phrases import act_of

START = datetime(2026, 3, 1)
Row = dict[str, Any]

AGAIN = ["reorder", "refill_ordered", "refill_requested", "repeat_order", "order_again", "autoship_order"]
AGAIN += ["prescription_filled", "order_submitted_for_approval", "nachbestellt"]
WANTED = ["notify_me_back_in_stock", "back_in_stock_subscribe", "join_waitlist", "prescription_uploaded"]
BACK = ["CREDIT_NOTE", "Gutschrift", "rma_created"]
UNKNOWN = ["order_shipped", "subscribe", "subscription_cancelled", "order_repeat_viewed", "in_stock", "reorder_point"]


@pytest.mark.parametrize(("texts", "act"), [(AGAIN, "purchase"), (WANTED, "cart"), (BACK, "return"), (UNKNOWN, None)])
def test_what_is_bought_again_wanted_and_given_back(texts: list[str], act: str | None) -> None:
    assert {text: act_of(text) for text in texts} == dict.fromkeys(texts, act)


def shop(more: dict[str, float], *, unordered: bool = False) -> list[Row]:
    """Visits of several looks, of which some end in an order, and what comes of each order so many days later."""
    rng, rows = random.Random(3), list[Row]()

    def add(days: float, user: int, item: int, what: str) -> None:
        at = START + timedelta(days=days)
        rows.append({"ts": f"{at:%Y-%m-%d %H:%M:%S}", "user_id": f"u{user}", "item_id": f"i{item}", "event": what})

    for user in range(60):
        for visit in range(6):
            day = visit * 10 + rng.uniform(0, 5)
            for look in range(3):
                add(day + look / 1000, user, rng.randrange(50), "view")
            item = rng.randrange(50)
            add(day + 0.004, user, item, "view")
            if not unordered:
                add(day + 0.005, user, item, "order")
            for what, later in more.items():
                add(day + later, user, item, what)
    return sorted(rows, key=lambda row: row["ts"])


def init(tmp_path: Path, rows: list[Row], items: list[Row] | None = None) -> FirstConfig:
    pd.DataFrame(rows).to_csv(tmp_path / "e.csv", index=False)
    if items:
        pd.DataFrame(items).to_csv(tmp_path / "i.csv", index=False)
    return first_config(str(tmp_path / "e.csv"), str(tmp_path / "i.csv") if items else None, None, "shop")


def types(first: FirstConfig) -> dict[str, str]:
    return {text: str(kind) for text, kind in parse_config(first.text).data.events.event_types.items()}


def test_what_becomes_of_an_order_is_no_click(tmp_path: Path) -> None:
    first = init(tmp_path, shop({"order_shipped": 0.006, "delivered": 2}))  # the one within the visit
    assert types(first) == {"view": "click", "order": "purchase"}
    assert first.left_out == (
        "it comes of an earlier act, and not from the user, delivered, order_shipped of event (720 of 2,520 rows)",
    )


def test_what_was_shipped_is_bought_where_no_other_word_tells_that(tmp_path: Path) -> None:
    first = init(tmp_path, shop({"order_shipped": 1, "order_delivered": 3}, unordered=True))
    assert types(first) == {"view": "click", "order_delivered": "purchase"}


def test_what_follows_an_act_while_the_user_is_away_is_left_out(tmp_path: Path) -> None:
    first = init(tmp_path, shop({"cooled_down": 3}))
    assert types(first) == {"view": "click", "order": "purchase"}
    assert "cooled_down" in first.left_out[0]


def test_what_comes_in_a_visit_is_kept(tmp_path: Path) -> None:
    first = init(tmp_path, shop({"zoomed": 0.006}))
    assert types(first)["zoomed"] == "click"
    assert not first.left_out


def test_what_begins_with_an_item_is_kept(tmp_path: Path) -> None:
    rows = shop({"marvelled": 3})
    for n, row in enumerate(rows):
        if row["event"] == "marvelled":
            row["item_id"] = f"i{n % 50}"
    assert types(init(tmp_path, rows))["marvelled"] == "click"


def test_a_word_with_an_order_in_it_is_kept(tmp_path: Path) -> None:
    assert types(init(tmp_path, shop({"order_zoomed": 3})))["order_zoomed"] == "click"


def test_a_reminder_that_was_sent_and_an_ending_are_left_out(tmp_path: Path) -> None:
    first = init(tmp_path, shop({"refill_reminder_sent": 0.006, "ending_soon_email": 0.007, "email_read_again": 0.008}))
    assert types(first) == {"view": "click", "order": "purchase", "email_read_again": "click"}


def test_when_an_item_was_last_bought_is_told_by_the_events(tmp_path: Path) -> None:
    rows = shop({})
    bought = pd.DataFrame(rows).query("event == 'order'").groupby("item_id")["ts"].max()
    items = [{"item_id": f"i{n}", "touched": bought.get(f"i{n}", "")[:10], "colour": "rb"[n % 2]} for n in range(50)]
    items = [{**row, "checked": f"2026-02-{1 + n % 28:02d}"} for n, row in enumerate(items)]
    text = init(tmp_path, rows, items).text
    assert "touched (IT TELLS EVENTS OF LATER: it is when an item had its last purchase" in text
    assert "checked (IF IT IS WHEN AN ITEM CAME TO BE" in text


def test_what_can_be_had_now_is_available(tmp_path: Path) -> None:
    for name, yes, no in (("lieferbar", "J", "N"), ("active_flag", "1", "0"), ("Verfügbar", "ja", "nein")):
        items = [{"item_id": f"i{n}", name: no if n % 9 == 0 else yes} for n in range(50)]
        config = parse_config(init(tmp_path, shop({}), items).text)
        assert config.data.items is not None
        assert config.data.items.columns["available"] == name


def test_a_credit_note_is_a_return_and_the_type_of_its_document(tmp_path: Path) -> None:
    rows = [{**row, "event": "ORDER"} for row in shop({}) if row["event"] == "order"]
    notes = [{**row, "event": "CREDIT_NOTE"} for row in rows[::9]]
    rows = [{("doc_kind" if key == "event" else key): value for key, value in row.items()} for row in rows + notes]
    first = init(tmp_path, [{**row, "qty": 1 if row["doc_kind"] == "ORDER" else -1} for row in rows])
    assert parse_config(first.text).data.events.columns["event_type"] == "doc_kind"
    assert types(first) == {"ORDER": "purchase", "CREDIT_NOTE": "return"}
