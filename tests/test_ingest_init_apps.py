"""`souk init` for a store of apps: what is installed and kept, what nobody chose, and what users had before."""

from pathlib import Path
from typing import Any

import pytest

from souk.ingest.guess.chosen import unchosen
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.phrases import act_of
from souk.schema import EventType
from tests.test_ingest_first_config import Table, init, write

HOUR = 3_600_000
APP_WORDS = {
    "app_install": EventType.PURCHASE,
    "install": EventType.PURCHASE,
    "app_downloaded": EventType.PURCHASE,
    "app_uninstall": EventType.RETURN,
    "app_remove": EventType.RETURN,
    "iap_refund": EventType.RETURN,
    "store_impression": EventType.IMPRESSION,
    "store_listing_view": EventType.CLICK,
    "first_open": EventType.CLICK,
    "game_launched": EventType.CLICK,
    "pre_register": EventType.CART,
    "in_app_purchase": EventType.PURCHASE,  # of a file of what is bought in one app
    "app_update": None,
    "store_visit": None,
}


@pytest.mark.parametrize(("word", "kind"), APP_WORDS.items())
def test_words_of_app_stores_are_known(word: str, kind: EventType | None) -> None:
    assert act_of(word) == kind


@pytest.mark.parametrize(
    ("word", "cause", "told"),
    [
        ("preload", False, True),
        ("pre-installed", False, True),
        ("autoUpdate", False, True),
        ("automatic install", False, True),
        ("auto", False, False),  # a car
        ("auto", True, True),
        ("restored", False, False),  # a chair
        ("device_restore", True, True),
        ("search", True, False),
        ("auto_suggest", True, False),  # a list that a user chose from
        ("android_auto", True, False),
        ("cart_restored", True, False),
        ("ticket_upgrade", True, False),
        ("app_auto_upgrade", False, True),
        ("carrier_preload", True, True),
        ("preloaded_card", False, False),
    ],
)
def test_which_words_tell_what_a_program_did(word: str, cause: bool, told: bool) -> None:
    assert unchosen(word, cause) == told


def pair(n: int) -> dict[str, Any]:
    """The user and the app of the n-th look; none comes twice among 3,600."""
    return {"account_id": f"u{n % 40}", "package_name": f"com.x.a{(n * 7 + n // 60 * 11) % 60}"}


def log(count: int = 600) -> Table:
    """Looks of 40 users at 60 apps, half of them installed; every fourth install is undone in a day, every second app
    is updated, and each user has three apps that came with the device."""
    rows: Table = []
    for n in range(count):
        own = pair(n)
        blank = {"install_source": "", "update_type": "", "app_version": ""}
        version = {"app_version": f"{n % 24}.{n // 300}.0"}
        at = 1_700_000_000_000 + n * HOUR
        rows.append({**own, "event_name": "store_listing_view", "ts": at, **blank})
        if n % 2:
            source = {"install_source": ["search", "browse"][n // 40 % 2]}
            rows.append({**own, "event_name": "app_install", "ts": at + 60_000, **blank, **version, **source})
            rows.append({**own, "event_name": "app_update", "ts": at + 9 * HOUR, **blank, "update_type": "auto"})
        if n % 8 == 1:
            rows.append({**own, "event_name": "app_uninstall", "ts": at + 20 * HOUR, **blank})
    for n in range(120):
        own = {"account_id": f"u{n % 40}", "package_name": f"com.vendor.a{n // 40}"}
        came = {"install_source": "preload", "update_type": "", "app_version": "1.0.0"}
        rows.append({**own, "event_name": "app_install", "ts": 1_700_000_000_000 + n, **came})
    return rows


def sessions(days: range, kept: int, had: int) -> Table:
    """An hourly session of an app that the user installed (`kept` in all), and of one that no row says was installed
    (`had`), these spread over `days`."""
    blank = {"install_source": "", "update_type": "", "app_version": ""}
    rows: Table = []
    for n in range(kept):
        own = pair(2 * n + 1)
        at = 1_700_000_000_000 + (2 * n + 1) * HOUR + 2 * HOUR
        rows.append({**own, "event_name": "app_session", "ts": at, **blank})
    for n in range(had):
        own = {"account_id": f"u{n % 40}", "package_name": f"com.x.b{n // 40}"}
        at = 1_700_000_000_000 + (days.start * 24 + n * len(days) * 24 // had) * HOUR
        rows.append({**own, "event_name": "app_session", "ts": at, **blank})
    return rows


def test_what_comes_before_a_purchase_is_no_use_of_it(tmp_path: Path) -> None:
    trials = [
        {**row, "ts": row["ts"] - 4 * HOUR * (".b" not in row["package_name"])} for row in sessions(range(5), 200, 200)
    ]
    _, config = init(tmp_path, write(log() + trials, tmp_path / "e.csv"))
    assert "app_session" in config.data.events.event_types


def test_what_is_installed_and_kept_satisfies_and_what_nobody_chose_is_left_out(tmp_path: Path) -> None:
    text, config = init(tmp_path, write(log(), tmp_path / "e.csv"))
    events = config.data.events
    assert events.columns["item_id"] == "package_name"
    assert events.skip == {"event_name": ("app_update",), "install_source": ("preload",)}
    known = {"store_listing_view": "click", "app_install": "purchase", "app_uninstall": "return"}
    assert {word: str(kind) for word, kind in events.event_types.items()} == known
    assert "unless: [return]" in text
    first = first_config(events.path, None, None, "x")
    assert first.unknown == ()
    assert first.left_out == (
        "nobody chose app_update of event_name (300 of 1,395 rows); preload of install_source (120 of 1,095 rows)",
    )


@pytest.mark.parametrize(("every", "back", "kept"), [(20, True, True), (2, True, False), (20, False, False)])
def test_what_is_kept_tells_more_than_a_few_ratings(tmp_path: Path, every: int, back: bool, kept: bool) -> None:
    rows = [{**row, "stars": ""} for row in log() if back or row["event_name"] != "app_uninstall"]
    for row in rows:  # hours after the look: an act of its own
        row["ts"] += 2 * HOUR * (row["event_name"] == "app_install")
    bought = [row for row in rows if row["event_name"] == "app_install"]
    rated = [{**row, "event_name": "review", "ts": row["ts"] + HOUR, "stars": 4} for row in bought[::every]]
    text, _ = init(tmp_path, write(rows + rated, tmp_path / "e.csv"))
    assert ("unless: [return]" in text) == kept
    assert ("satisfied: {events: [rating]" in text) != kept


@pytest.mark.parametrize("word", ["in_app_purchase", "iap"])
@pytest.mark.parametrize("installs", [True, False])  # of one app what is bought in it are the items
def test_what_is_bought_in_an_app_is_no_install_of_it(tmp_path: Path, word: str, installs: bool) -> None:
    bought = [{**row, "event_name": word} for row in log() if row["event_name"] == "app_uninstall"]
    rows = [row for row in log() if installs or row["event_name"] != "app_install"]
    _, config = init(tmp_path, write(rows + bought, tmp_path / "e.csv"))
    assert config.data.events.event_types[word] == (EventType.CLICK if installs else EventType.PURCHASE)


@pytest.mark.parametrize("kept", [["app_update"], ["cart_update", "store_listing_view"]])
def test_updates_of_something_else_and_of_all_rows_stay(tmp_path: Path, kept: list[str]) -> None:
    rows = [
        {"user_id": f"u{n % 9}", "item_id": f"i{n * 5 % 7}", "ts": 1_700_000_000 + n, "event_type": kept[n % len(kept)]}
        for n in range(90)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert set(config.data.events.event_types) == set(kept) and not config.data.events.skip


def test_what_each_item_has_one_of_leaves_none_out(tmp_path: Path) -> None:
    """Which apps come with a device is of the apps: of who chose one it says nothing."""
    rows = [{**row, "origin": ["preload", "store"][len(row["package_name"]) % 2]} for row in log()]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert "origin" not in config.data.events.skip


@pytest.mark.parametrize(
    ("days", "kept", "had", "out"),
    [
        (range(5), 200, 200, True),  # of what was had before, since it comes early
        (range(17), 200, 200, True),
        (range(25), 200, 200, False),  # as what is read of a subscription
        (range(5), 200, 20, False),  # hardly any
        (range(5), 0, 200, False),  # nothing tells that it comes after a purchase
    ],
)
def test_what_users_do_with_what_they_had_is_no_choice(
    tmp_path: Path, days: range, kept: int, had: int, out: bool
) -> None:
    _, config = init(tmp_path, write(log() + sessions(days, kept, had), tmp_path / "e.csv"))
    assert ("app_session" in config.data.events.skip["event_name"]) == out
    assert ("app_session" in config.data.events.event_types) != out


def test_stars_by_the_name_of_star_rating_are_ratings(tmp_path: Path) -> None:
    rows = [
        {"account_id": f"u{n % 9}", "appId": f"a{n % 7}", "star_rating": n % 5 + 1, "ts": 1_700_000_000 + n}
        for n in range(60)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.constants == {"event_type": "rating"}
    assert config.data.events.columns["value"] == "star_rating"


def test_the_name_of_an_app_is_its_title_and_a_device_a_user_where_no_other_is(tmp_path: Path) -> None:
    rows = [
        {"device_id": f"d{n % 40}", "package_name": f"com.x.a{n % 30}", "ts": 1_700_000_000 + n, "session_id": n // 3}
        for n in range(300)
    ]
    apps = [
        {"package_name": f"com.x.a{n}", "app_name": f"Super Quest {n % 9}", "developer": f"s{n}"} for n in range(30)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(apps, tmp_path / "i.csv"))
    assert config.data.items is not None and config.data.items.columns["title"] == "app_name"
    assert config.data.events.columns["user_id"] == "device_id"


def test_what_was_given_back_and_taken_again_is_bought_once(tmp_path: Path) -> None:
    rows = log()
    looks = [{**row, "ts": row["ts"] + 90 * HOUR} for row in rows if row["event_name"] == "store_listing_view"]
    gone = [row for row in rows if row["event_name"] == "app_uninstall"]
    anew = [{**row, "event_name": "app_install", "ts": row["ts"] + 40 * HOUR} for row in gone]
    _, config = init(tmp_path, write(rows + looks + anew, tmp_path / "e.csv"))
    assert config.repeat.rule == "never" and [str(kind) for kind in config.repeat.events] == ["purchase"]


@pytest.mark.parametrize(
    ("alone", "shared", "empty", "told"),
    [
        (40, 1, False, True),
        (0, 7, False, False),  # each device is of several users
        (30, 5, False, False),  # of three in four rows it is one user's, but one device in seven is of two
        (40, 1, True, False),  # hardly any of the rows has one
    ],
)
def test_whose_rows_without_a_user_are_is_told_where_the_device_tells_it(
    tmp_path: Path, alone: int, shared: int, empty: bool, told: bool
) -> None:
    rows = log()
    for n, row in enumerate(rows):
        user = int(row["account_id"][1:])
        row["device_id"] = f"d{user if user < alone else 40 + user % shared}"
        if n % 10 == 0:
            row |= {"account_id": ""} | ({"device_id": ""} if empty and n % 100 else {})
    text, _ = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert ("THE device_id IS ONE USER'S IN OTHER ROWS" in text) == told


def test_a_file_of_devices_makes_users_of_them_and_says_so(tmp_path: Path) -> None:
    rows = [{**row, "device_id": f"d{n // 300}.{row['account_id']}"} for n, row in enumerate(log())]
    devices = [dict(own) for own in {(("device_id", r["device_id"]), ("account_id", r["account_id"])) for r in rows}]
    first = first_config(write(rows, tmp_path / "e.csv"), None, write(devices, tmp_path / "u.csv"), "x")
    assert "      user_id: device_id" in first.text
    assert first.groups.startswith("EACH device_id IS A USER, AND NOT EACH account_id")


@pytest.mark.parametrize(
    ("word", "every", "out"),
    [
        ("auto", 4, True),
        ("auto", 1, False),  # as of a player that starts one after the other
        ("preload", 1, True),
    ],
)
def test_what_may_be_a_choice_is_not_most_of_what_is_left_out(tmp_path: Path, word: str, every: int, out: bool) -> None:
    rows = [{**row, "trigger": word if n % 5 and n % every == 0 else "hand"} for n, row in enumerate(log())]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert ("trigger" in config.data.events.skip) == out


@pytest.mark.parametrize(
    ("verb", "twice", "free", "days", "used"),
    [
        ("download", 200, 0, (5, 9), True),
        ("download", 200, 0, (-9, -5), False),  # tried before it was bought: it was chosen then
        ("download", 200, 40, (5, 9), False),  # some come without a purchase: free ones are chosen
        ("download", 10, 0, (5, 9), False),  # too few to tell
        ("order", 200, 0, (5, 9), False),
    ],
)
def test_downloads_of_what_was_bought_are_no_purchases(
    tmp_path: Path, verb: str, twice: int, free: int, days: tuple[int, int], used: bool
) -> None:
    """Of books: twice each, days later."""
    rows: Table = []
    for n in range(400):
        own = {"user_id": f"u{n % 40}", "item_id": f"b{(n * 7 + n // 60 * 11) % 60}"}
        at = 1_700_000_000_000 + n * HOUR
        rows.append({**own, "event": "view", "ts": at})
        rows += [{**own, "event": "purchase", "ts": at + HOUR}] * (n % 2)
        had = (n % 2 and n // 2 < twice) or (n % 2 == 0 and n // 2 < free)
        rows += [{**own, "event": verb, "ts": at + day * 24 * HOUR} for day in days] * had
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.event_types[verb] == (EventType.CLICK if used else EventType.PURCHASE)


def test_devices_for_sale_are_no_users(tmp_path: Path) -> None:
    rows = [
        {"session_id": f"s{n // 4}", "device_id": f"d{n * 7 % 30}", "ts": 1_700_000_000 + n, "event": "view"}
        for n in range(300)
    ]
    goods = [{"device_id": f"d{n}", "title": f"phone {n}"} for n in range(30)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.data.events.columns["user_id"] == "session_id"
    assert config.data.events.columns["item_id"] == "device_id"
