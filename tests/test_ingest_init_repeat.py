"""What `souk init` makes of items that users come back to, buy again, or have before them."""

from pathlib import Path

import pytest

from souk.config import Repeat
from tests.test_ingest_first_config import init, write

START, HOUR, DAY = 1_700_000_000, 3_600, 86_400
NEVER = Repeat(rule="never")
BOOKS = Repeat(rule="never", events=("purchase",))


def looks(users=50, items=4, times=2, gap=DAY):
    """Each user looks at some items in turn, each so many times in a row."""
    return [
        {"user_id": f"u{user}", "item_id": f"i{item}", "event": "view"}
        | {"timestamp": START + user + (item * times + turn) * gap}
        for user in range(users)
        for item in range(items)
        for turn in range(times)
    ]


def bought(users=50, of=4, again=0):
    """So many purchases of each user, days apart, of items of their own; some users buy the first one again."""
    return [
        {"user_id": f"u{user}", "item_id": f"i{0 if n == of - 1 and user < again else n}", "event": "purchase"}
        | {"timestamp": START + user + (100 + n) * DAY}
        for user in range(users)
        for n in range(of)
    ]


def guessed(folder: Path, rows) -> tuple[str, Repeat]:
    text, config = init(folder, write(rows, folder / "e.csv"))
    return text.splitlines()[-1], config.repeat


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (looks() + bought(again=2), BOOKS),  # of 150 later purchases
        (looks() + bought(again=3), Repeat()),  # .02 of them
        (looks() + bought(users=49, again=0), Repeat()),  # too few to say it
        (looks() + bought(users=300, of=1), Repeat()),  # nobody bought twice
        (looks() + 2 * bought(), BOOKS),  # two lines of one basket
        (looks(times=1) + bought(users=75, of=3)[::-1], BOOKS),  # purchases engage, too: nearly half come again
        (looks(times=1, items=30) + bought(), BOOKS),
        (looks(times=1, items=99, users=100) + bought(), NEVER),  # hardly anybody looks again
        (bought(), NEVER),
        (2 * bought(), BOOKS),  # not twice: a line for each piece
        (bought(again=50), Repeat()),  # purchases alone: what comes again comes again
    ],
)
def test_what_is_bought_once_and_looked_at_again(tmp_path: Path, rows, rule) -> None:
    line, repeat = guessed(tmp_path, rows)
    assert repeat == rule, line
    assert ("purchases after a user's first are of an item bought before" in line) == (rule == BOOKS)


def test_the_shares_stand_beside_the_guess(tmp_path: Path) -> None:
    line, repeat = guessed(tmp_path, looks(gap=60) + bought(again=2))
    assert repeat == BOOKS.model_copy(update={"pause_minutes": 30})
    assert line == (
        "repeat: {rule: never, events: [purchase], pause_minutes: 30}  # 1.3% of 150 purchases after a user's first "
        "are of an item bought before; 66.7% of the events are a user's second or later with the same item; "
        "33.3% are with the item of the user's last event, at most half an hour before"
    )


@pytest.mark.parametrize(
    ("rows", "pause"),
    [
        (looks(gap=60), 30),
        (looks(gap=1800), 30),
        (looks(gap=1801), 0),
        (looks(gap=0), 0),  # at one time
        (looks(gap=2 * DAY) + [{**row, "timestamp": row["timestamp"] + 9} for row in looks(gap=2 * DAY)[:13]], 30),
        (looks(gap=2 * DAY) + [{**row, "timestamp": row["timestamp"] + 9} for row in looks(gap=2 * DAY)[:12]], 0),
        ([{**row, "item_id": f"i{n % 2}"} for n, row in enumerate(looks(gap=60))], 0),  # another item between
        ([{**row, "event": "view" if n % 2 else "impression"} for n, row in enumerate(looks(gap=60))] * 2, 0),
    ],
)
def test_much_of_the_item_at_hand_asks_for_a_pause(tmp_path: Path, rows, pause) -> None:
    line, repeat = guessed(tmp_path, rows)
    assert repeat == Repeat(rule="always", pause_minutes=pause), line


def test_what_engaged_and_is_out_anyway_needs_no_pause(tmp_path: Path) -> None:
    once = looks(users=200, times=1)
    some = [{**row, "timestamp": row["timestamp"] + 9} for row in once[:40]]
    line, repeat = guessed(tmp_path, once + some)
    assert repeat == NEVER and "last event" not in line


@pytest.mark.parametrize(
    ("items", "sold", "several", "once"),
    [
        (300, 120, 0, True),  # by chance 21 would be of an item that another bought
        (300, 116, 0, False),  # by chance 19.7: too few to tell
        (120, 90, 2, True),  # a tenth of chance is 2.76
        (120, 90, 3, False),
    ],
)
def test_what_nobody_buys_after_another_is_sold_once(
    tmp_path: Path, items: int, sold: int, several: int, once: bool
) -> None:
    """Each purchase is told twice, as by a row that came again."""
    seen = [
        {"user_id": f"u{n % 45}", "item_id": f"i{n}", "event": "view", "timestamp": START + n} for n in range(items)
    ]
    buys = [
        {"user_id": f"b{n}", "item_id": f"i{item}", "event": "purchase", "timestamp": START + 9 * DAY + n}
        for n, item in enumerate([*range(sold), *[0] * several])
    ]
    line, repeat = guessed(tmp_path, seen + 2 * buys)
    assert repeat.sold_once == once, line


@pytest.mark.parametrize(("seller", "own"), [("u{}", "seller_id"), ("shop{}", ""), ("{}", "")])
def test_who_sells_and_buys_is_not_shown_what_is_their_own(tmp_path: Path, seller: str, own: str) -> None:
    """Users u0 to u49 look at items; half of the sellers never do. Numbers may be those of others."""
    rows = looks(items=30, times=1)
    if seller == "{}":
        rows = [{**row, "user_id": row["user_id"][1:]} for row in rows]
    goods = [{"item_id": f"i{n}", "seller_id": seller.format(n % 100), "title": f"thing no {n}"} for n in range(300)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.repeat.own == own, text


def taken_back(turns: str, users: int = 50) -> list[dict[str, object]]:
    """Of each user and one more item, `b` bought or `r` returned on one day after another; the returns are last."""
    words = {"b": "purchase", "r": "return"}
    return [
        {"user_id": f"u{user}", "item_id": "i9", "event": words[turn], "timestamp": START + user + (200 + day) * DAY}
        for kind in words
        for user in range(users)
        for day, turn in enumerate(turns)
        if turn == kind
    ]


@pytest.mark.parametrize(("turns", "once"), [("brb", True), ("bbr", False), ("rbb", False), ("brbb", False)])
def test_what_was_given_back_in_between_is_bought_once(tmp_path: Path, turns: str, once: bool) -> None:
    line, repeat = guessed(tmp_path, looks() + bought() + taken_back(turns))
    assert (repeat == BOOKS) == once, line
