"""`souk init` of an auction house: bids, lots that are won and paid, and what is known only when a lot has ended."""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from souk.config import parse_config
from souk.ingest.guess.auction_words import befalls, settles
from souk.ingest.guess.first_config import FirstConfig, first_config
from souk.ingest.guess.phrases import act_of, undoes

START = datetime(2026, 3, 1)
DAYS = 40
LOTS, BIDDERS = 400, 80
Row = dict[str, Any]

BIDS = ["bid_placed", "place_bid", "BID", "max_bid", "Gebot abgegeben", "question_asked", "ask_question"]
BOUGHT = ["auction_won", "Won", "lot_won", "payment_received", "invoice_paid", "Zahlungseingang"]
BACK = ["dispute_opened", "return_requested", "refund_issued", "request_return"]
LOOKS = ["lot_view", "view_auction"]
TAKEN_BACK = ["bid_retracted", "bid_cancelled", "watchlist_remove"]
BEFELL = ["outbid", "auction_lost", "lot_closed", "reserve_not_met"]
OTHERS = ["payment_failed", "add_payment_info", "refund_rejected", "return_policy_viewed", "bid_history_viewed", "win"]


@pytest.mark.parametrize(
    ("texts", "act"),
    [(BIDS, "cart"), (BOUGHT, "purchase"), (BACK, "return"), (LOOKS, "click"), (TAKEN_BACK + BEFELL + OTHERS, None)],
)
def test_what_is_done_at_auctions(texts: list[str], act: str | None) -> None:
    assert {text: act_of(text) for text in texts} == dict.fromkeys(texts, act)


def test_what_is_taken_back_and_what_befalls_a_bidder() -> None:
    known = [*BIDS, *BOUGHT, *BACK, *LOOKS, *OTHERS]
    assert [text for text in [*known, *TAKEN_BACK, *BEFELL] if undoes(text)] == TAKEN_BACK
    assert [text for text in [*known, *TAKEN_BACK, *BEFELL] if befalls(text)] == BEFELL
    assert [text for text in BOUGHT if settles(text)] == ["payment_received", "invoice_paid", "Zahlungseingang"]


def at(days: float) -> str:
    return f"{START + timedelta(days=days):%Y-%m-%d %H:%M:%S}"


def auction() -> tuple[list[Row], list[Row]]:
    """A log of looks, bids and what came of them, and the lots: of the last ones nobody knows the winner yet."""
    rng, rows, lots = random.Random(7), list[Row](), list[Row]()

    def add(days: float, user: int, lot: int, what: str) -> None:
        if days < DAYS:
            rows.append({"happened": at(days), "bidder": f"u{user}", "lot_id": f"L{lot}", "activity": what})

    for lot in range(LOTS):
        opens = DAYS * lot / LOTS
        ends, seller = opens + 4 + lot % 3, lot % 23
        bids = []
        for _ in range(8):
            when, user = rng.uniform(opens, ends - 0.1), rng.randrange(BIDDERS)
            add(when, user, lot, "lot_view")
            if user % 23 != seller and rng.random() < 0.5:
                add(when + 0.001, user, lot, "bid_placed")
                bids.append((when, user))
        for (_, user), (when, _) in zip(sorted(bids), sorted(bids)[1:], strict=False):
            add(when + 0.001, user, lot, "outbid")
        winner = max(bids)[1] if bids and ends < DAYS else None
        for what, later in (("auction_won", 0.0), ("payment_received", 2.5)):
            if winner is not None:
                add(ends + later, winner, lot, what)
        lots.append(
            {
                "lot_id": f"L{lot}",
                "opens_at": at(opens),
                "closes_at": at(ends),
                "seller": f"u{seller}",
                "handover": None if winner is None else ["post", "by hand"][lot % 2],
                "client": None if winner is None else f"u{winner}",
                "winner": None if winner is None else f"u{winner}",
                "hammer_price": None if winner is None else 5 + lot % 97,
                "condition": ["new", "used"][lot // 2 % 2],
            }
        )
    return sorted(rows, key=lambda row: row["happened"]), lots


ROWS, OF_LOTS = auction()


def init(tmp_path: Path, rows: list[Row], lots: list[Row] | None = None) -> FirstConfig:
    pd.DataFrame(rows).to_csv(tmp_path / "e.csv", index=False)
    if lots:
        pd.DataFrame(lots).to_csv(tmp_path / "i.csv", index=False)
    return first_config(str(tmp_path / "e.csv"), str(tmp_path / "i.csv") if lots else None, None, "house")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> FirstConfig:
    return init(tmp_path_factory.mktemp("house"), ROWS, OF_LOTS)


def test_the_type_is_the_column_of_acts_whatever_its_name(house: FirstConfig) -> None:
    events = parse_config(house.text).data.events
    assert events.columns["event_type"] == "activity"
    assert events.event_types == {"lot_view": "click", "bid_placed": "cart", "auction_won": "purchase"}
    assert not parse_config(house.text).columns.events


def test_what_befell_a_bidder_is_left_out(house: FirstConfig) -> None:
    skipped = parse_config(house.text).data.events.skip["activity"]
    assert set(skipped) == {"outbid", "payment_received"}
    assert any("others did, and not the user, outbid" in why for why in house.left_out)


def test_a_payment_of_days_later_settles_what_was_won(house: FirstConfig) -> None:
    assert any("payment_received settles what auction_won tells" in why for why in house.left_out)


def test_what_only_an_ended_lot_has_is_not_learned_from(house: FirstConfig) -> None:
    config = parse_config(house.text)
    assert set(config.columns.items or {}) == {"seller_id", "condition"}
    assert "handover (IT TELLS EVENTS OF LATER: 99% of the items that have ended have it, and 0% of" in house.text
    assert "winner (IT TELLS EVENTS OF LATER: by its name it says who took the item" in house.text
    assert "hammer_price (IT TELLS EVENTS OF LATER: by its name it says what the item went for" in house.text
    assert config.repeat.own == "seller_id"


def test_who_took_an_item_is_no_owner_of_it(tmp_path: Path) -> None:
    lots = [{key: row[key] for key in ("lot_id", "client", "condition")} for row in OF_LOTS]
    first = init(tmp_path, ROWS, lots)
    assert "client (IT TELLS EVENTS OF LATER: the user in it took 100% of these items" in first.text
    assert not parse_config(first.text).repeat.own


def test_an_auction_is_there_from_its_opening(house: FirstConfig) -> None:
    items = parse_config(house.text).data.items
    assert items is not None
    assert (items.columns["created_at"], items.columns["available_until"]) == ("opens_at", "closes_at")


def test_what_is_won_at_the_end_of_an_auction_does_not_engage(house: FirstConfig) -> None:
    objectives = parse_config(house.text).objectives
    assert objectives.engaged.events == ("click",)
    assert objectives.satisfied.followed_by == ("purchase",)
    assert "purchases come when their item ends, or after it" in house.steps
