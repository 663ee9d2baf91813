"""`souk init`: what refuses an item, or is said of something strange, is no wish for the item."""

import re
from pathlib import Path

import pytest

from souk.config import parse_config
from souk.ingest.guess.contract_words import decides
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.phrases import act_of, refuses
from tests.test_ingest_first_config import Table, init, read, write

SHOWN = ["teaser_impression", "TeaserImpressions", "homepage_slot_impression"]
CLICKED = ["newsletter_click", "paywall_cta_click", "kicker_clicked"]
CARTS = ["share_mail", "shared_whatsapp", "super_like", "RFQ"]
HIDDEN = ["pass", "PASS", "left_swipe", "report", "report_item", "unmatch", "reject"]
UNKNOWN = ["order_view_x", "banner_view", "checkout_impression", "no_click", "phone_click", "page_impression_x"]
REFUSED = ["card_rejected", "profile_skip", "declined_by_user", "reported_as_spam"]
NOT_REFUSED = ["report_opened", "report_downloaded", "ski_pass_booked", "rejection", "passed"]
LOST = ["QUOTE_LOST", "quotation_expired", "offer_declined", "counteroffer_rejected", "Angebot abgelehnt"]


@pytest.mark.parametrize(
    ("texts", "act"),
    [
        (SHOWN, "impression"),
        (CLICKED, "click"),
        (CARTS, "cart"),
        (HIDDEN, "hide"),
        (["RETURN_RMA"], "return"),
        ([*UNKNOWN, *REFUSED, *NOT_REFUSED, *LOST], None),
    ],
)
def test_the_last_word_and_refusals_are_known(texts: list[str], act: str | None) -> None:
    assert {text: act_of(text) for text in texts} == dict.fromkeys(texts, act)


def test_what_refuses_and_what_was_lost_is_told_from_the_rest() -> None:
    assert all(map(refuses, REFUSED)) and not any(map(refuses, [*NOT_REFUSED, *UNKNOWN]))
    assert all(map(decides, LOST)) and not any(map(decides, ["QUOTATION", "offer_viewed", "lost", "offer"]))


def log(words: list[str], name: str = "item_id", count: int = 600) -> Table:
    return [
        {
            "ts": 1_700_000_000 + 60 * n,
            "user_id": f"u{n % 19}",
            name: f"p{n * 7 % 31:03d}",
            "event": words[n % len(words)],
        }
        for n in range(count)
    ]


def test_an_app_where_people_are_refused(tmp_path: Path) -> None:
    """Whom a user refused was what the user engaged with, as was who was merely shown."""
    words = ["profile_impression", "profile_opened", "like", "pass", "unmatch", "card_rejected", "clap", "unclap"]
    people: Table = [{"profile_id": f"p{n:03d}", "town": "AB"[n % 2]} for n in range(31)]
    text, config = init(tmp_path, write(log(words, "target_id"), tmp_path / "e.csv"), write(people, tmp_path / "i.csv"))
    assert {word: str(kind) for word, kind in config.data.events.event_types.items()} == {
        "clap": "click",
        "like": "cart",
        "pass": "hide",
        "profile_impression": "impression",
        "profile_opened": "click",
        "unmatch": "hide",
    }
    assert config.data.events.skip == {"event": ("unclap", "card_rejected")}
    assert "it says that something is not wanted, card_rejected of event (75 of 525 rows)" in text


def test_what_a_player_starts_is_nobodys_choice(tmp_path: Path) -> None:
    _, config = init(tmp_path, write(log(["view", "like", "video_autoplay"]), tmp_path / "e.csv"))
    assert config.data.events.skip == {"event": ("video_autoplay",)}


def test_lost_quotes_engage_nobody(tmp_path: Path) -> None:
    first = first_config(write(log(["view", "RFQ", "order", "QUOTE_LOST"]), tmp_path / "e.csv"), None, None, "x")
    assert first.left_out == ("the shop decided, and not the user, QUOTE_LOST of event (150 of 600 rows)",)


@pytest.mark.parametrize("below", [True, False])
def test_unknown_types_of_negative_quantities_are_returns(tmp_path: Path, below: bool) -> None:
    rows = log(["view", "order", "came_again"])
    rows = [{**row, "qty": -2 if row["event"] == "came_again" and below else 2} for row in rows]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.event_types["came_again"] == ("return" if below else "click")


@pytest.mark.parametrize(("own", "told"), [(True, True), (False, False)])
def test_what_each_value_is_one_users_is_no_context(tmp_path: Path, own: bool, told: bool) -> None:
    """The deck of a user's day, and a cookie: the next request has another one."""
    rows = [
        {**row, "deck_of": f"{row['user_id']}-{n // 60 % 3}" if own else f"d{n * 13 % 41}"}
        for n, row in enumerate(log(["view", "like"]))
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert ("left out: deck_of (no context of a request: each value is one user's" in text) == told
    assert ("deck_of" in config.columns.events) != told


@pytest.mark.parametrize(("received", "theirs"), [("message_received", True), ("order_received", False)])
def test_what_reached_the_user_is_of_others(tmp_path: Path, received: str, theirs: bool) -> None:
    _, config = init(tmp_path, write(log(["view", "message_sent", received, "like"]), tmp_path / "e.csv"))
    assert (config.data.events.skip == {"event": (received,)}) == theirs


@pytest.mark.parametrize("people", [True, False])
def test_of_items_that_are_users_the_last_line_says_what_keeps_ones_own_out(tmp_path: Path, people: bool) -> None:
    """The config that it proposes is read."""
    rows = [
        {**row, "user_id": f"{'p' if people else 'u'}{n * 3 % 29:03d}"} for n, row in enumerate(log(["view", "like"]))
    ]
    goods: Table = [{"profile_id": f"p{n:03d}", "town": "AB"[n % 2]} for n in range(31)]
    files = write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv")
    first = first_config(*files, None, "x")
    told = "seller_id: profile_id among the items' columns, declared categorical, and own: seller_id under repeat"
    assert (told in first.groups) == people
    text = first.text.replace("item_id: profile_id", "item_id: profile_id\n      seller_id: profile_id", 1)
    text = text.replace("\n  items:\n    town:", "\n  items:\n    seller_id: categorical\n    town:")
    config = parse_config(re.sub(r"\nrepeat: .*", "\nrepeat: {rule: never, own: seller_id}", text))
    assert config.repeat.own == "seller_id"
    assert read(config, "items").table["seller_id"].to_pylist()[:2] == ["p000", "p001"]
