"""`souk init` for a store of apps: what is installed and kept, what nobody chose, and what users had before."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from souk.ingest.first_config import first_config
from souk.ingest.guess_bands import banded, lower_bounds
from souk.ingest.guess_fit import in_milliseconds, misfit
from souk.ingest.guess_later import becomes, counted
from souk.ingest.guess_names import act_of, unchosen
from souk.ingest.profile import Column
from souk.schema import EventType, contract
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


def column(name: str, values: list[Any]) -> Column:
    return Column(name, pa.array(values * 9))


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


def test_what_is_installed_and_kept_satisfies_and_what_nobody_chose_is_left_out(tmp_path: Path) -> None:
    text, config = init(tmp_path, write(log(), tmp_path / "e.csv"))
    events = config.data.events
    assert events.columns["item_id"] == "package_name"
    assert events.skip == {"event_name": ("app_update",), "install_source": ("preload",)}
    known = {"store_listing_view": "click", "app_install": "purchase", "app_uninstall": "return"}
    assert {word: str(kind) for word, kind in events.event_types.items()} == known
    assert "unless: [return]" in text
    first = first_config(events.path, None, None, "x")
    assert first.left_out == (
        "nobody chose app_update of event_name (300 of 1,395 rows); preload of install_source (120 of 1,095 rows)",
    )


@pytest.mark.parametrize(("every", "kept"), [(20, True), (2, False)])
def test_what_is_kept_tells_more_than_a_few_ratings(tmp_path: Path, every: int, kept: bool) -> None:
    rows = [{**row, "stars": ""} for row in log()]
    for row in rows:  # hours after the look: an act of its own
        row["ts"] += 2 * HOUR * (row["event_name"] == "app_install")
    bought = [row for row in rows if row["event_name"] == "app_install"]
    rated = [{**row, "event_name": "review", "ts": row["ts"] + HOUR, "stars": 4} for row in bought[::every]]
    text, _ = init(tmp_path, write(rows + rated, tmp_path / "e.csv"))
    assert ("unless: [return]" in text) == kept


def test_what_is_bought_in_an_app_is_no_install_of_it(tmp_path: Path) -> None:
    bought = [{**row, "event_name": "in_app_purchase"} for row in log() if row["event_name"] == "app_uninstall"]
    _, config = init(tmp_path, write(log() + bought, tmp_path / "e.csv"))
    assert config.data.events.event_types["in_app_purchase"] == EventType.CLICK


@pytest.mark.parametrize(
    ("days", "kept", "had", "out"),
    [
        (range(5), 200, 200, True),  # of what was had before, since it comes early
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


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1,000,000+", "500+", "10,000+"], [1_000_000, 500, 10_000]),
        (["1M+", "500K+", "100+"], [1_000_000, 500_000, 100]),
        (["10-50", "1.000-5.000", ">5000"], [10, 1_000, 5_000]),
        (["100", "500"], None),
        (["red", "10+"], None),
    ],
)
def test_bands_of_numbers_are_their_least(values: list[str], told: list[float] | None) -> None:
    assert banded(column("installs", values)) == (told is not None)
    if told:
        assert lower_bounds(Column("installs", pa.array([*values, None]))).dropna().to_list() == told


@pytest.mark.parametrize(
    ("name", "values", "tells"),
    [
        ("install_count", ["1,000,000+", "500+"], True),
        ("downloads", ["1M+", "500K+"], True),
        ("age_rating", ["12+", "17+"], False),
        ("installed_apps", [3, 41], True),
        ("lifetime_spend_micros", [0, 24_990_000], True),
        ("book_sizes", [3, 41], False),
    ],
)
def test_what_is_counted_in_bands_or_of_what_was_done_is_of_later(name: str, values: list[Any], tells: bool) -> None:
    assert bool(counted(column(name, values))) == tells


def test_a_last_change_is_no_beginning_and_no_end() -> None:
    assert "LAST CHANGED" in becomes(column("last_updated", ["Aug 30, 2026", "Sep 8, 2026"]), None)


@pytest.mark.parametrize(("gone", "told"), [(1, True), (4, False)])  # without half of the items a log says little
def test_few_items_that_are_gone_may_be_skipped(gone: int, told: bool) -> None:
    values = ["True"] * gone + ["False"] * (12 - gone)
    assert ("skip: {is_delisted: [True]}" in becomes(column("is_delisted", values), None)) == told


def test_items_that_come_with_a_device_are_asked_for() -> None:
    assert "skip: {is_preloaded: [True]}" in becomes(column("is_preloaded", ["True", "False"]), None)
    assert becomes(column("is_restored", ["True", "False"]), None) == ""


def test_milliseconds_are_no_seconds() -> None:
    long = [287_385, 393_251, 233_501]
    assert "write seconds" in in_milliseconds(column("foreground_ms", long))
    assert in_milliseconds(column("items_ms", [1, 2])) == "" == in_milliseconds(column("foreground", long))
    dwell = contract("events")["dwell_seconds"]
    assert "milliseconds" in misfit(dwell, column("dwell_time", long))
    assert misfit(dwell, column("dwell_time", [12, 40, 300_000])) == ""


def test_a_column_that_tells_the_item_is_no_context(tmp_path: Path) -> None:
    """Versions are of apps; a town is of a user, who is elsewhere now and then and takes what is near by."""
    rows = [
        {"user_id": f"u{n % 40}", "item_id": f"i{n % 5 + 5 * (n // 7 % 12)}", "timestamp": 1_700_000_000 + n}
        | {"event_type": "view", "town": f"t{n % 5 if n % 6 else n % 4}", "browser": f"b{n // 9 % 5}"}
        for n in range(900)
    ]
    for n, row in enumerate(rows):
        row["app_version"] = f"{int(str(row['item_id'])[1:]) % 24}.{n // 450}.0"
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert set(config.columns.events) == {"town", "browser"}
    assert "left out: app_version (TELLS WHICH ITEM IT IS" in text


def test_what_only_events_of_some_unknown_types_have_is_no_context(tmp_path: Path) -> None:
    words = ["zippa", "zappa"]
    rows = [
        {
            "user_id": f"u{n % 40}",
            "item_id": f"i{n * 7 % 60}",
            "event_type": words[n % 2],
            "timestamp": 1_700_000_000 + n,
        }
        | {"why": ["", "new", "", "old"][n % 4], "browser": f"b{n // 7 % 5}"}
        for n in range(400)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert set(config.columns.events) == {"browser"}
    assert "left out: why (ONLY EVENTS OF SOME TYPES HAVE IT" in text


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
        {"device_id": f"d{n % 40}", "package_name": f"com.x.a{n % 30}", "ts": 1_700_000_000 + n} for n in range(300)
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
    ("file", "time", "kind"),
    [
        ("e.csv", "install_time", "purchase"),
        ("e.csv", "uninstalled_at", "return"),
        ("e.csv", "order_date", "click"),  # which may be of anything
        ("store_impressions_2026-07.csv", "ts", "impression"),
        ("Downloads 07.csv", "ts", "purchase"),
        ("books.csv", "ts", "click"),
        ("events.csv", "timestamp", "click"),
    ],
)
def test_the_name_of_the_file_or_of_its_times_tells_what_all_rows_are(
    tmp_path: Path, file: str, time: str, kind: str
) -> None:
    rows = [{"user_id": f"u{n % 9}", "appId": f"a{n % 7}", time: 1_700_000_000 + n} for n in range(60)]
    first = first_config(write(rows, tmp_path / file), None, None, "x")
    assert f"      event_type: {kind}  # " in first.text
    assert ("AND NOBODY ENGAGES BY ONE" in first.untyped) == (kind in ("return", "impression"))


@pytest.mark.parametrize(("devices", "told"), [(40, True), (7, False)])  # of 7 devices each is of several users
def test_whose_rows_without_a_user_are_is_told_where_the_device_tells_it(
    tmp_path: Path, devices: int, told: bool
) -> None:
    rows = log()
    for n, row in enumerate(rows):
        row["device_id"] = f"d{int(row['account_id'][1:]) % devices}"
        row["account_id"] = "" if n % 10 == 0 else row["account_id"]
    text, _ = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert ("THE device_id IS ONE USER'S IN OTHER ROWS" in text) == told


def test_a_file_of_devices_makes_users_of_them_and_says_so(tmp_path: Path) -> None:
    rows = [{**row, "device_id": f"d{n // 300}.{row['account_id']}"} for n, row in enumerate(log())]
    devices = [dict(own) for own in {(("device_id", r["device_id"]), ("account_id", r["account_id"])) for r in rows}]
    first = first_config(write(rows, tmp_path / "e.csv"), None, write(devices, tmp_path / "u.csv"), "x")
    assert "      user_id: device_id" in first.text
    assert first.groups.startswith("EACH device_id IS A USER, AND NOT EACH account_id")
