"""`souk init` for a store of apps: columns that tell what is known later or what the user did, and names of files."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from souk.config import Source
from souk.ingest.guess.bands import banded, lower_bounds
from souk.ingest.guess.columns import Table
from souk.ingest.guess.deeds import tells_item
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.fit import in_milliseconds, misfit
from souk.ingest.guess.later import becomes, counted
from souk.ingest.profile import Column
from souk.schema import contract
from tests.test_ingest_first_config import init, write


def column(name: str, values: list[Any]) -> Column:
    return Column(name, pa.array(values * 9))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1,000,000+", "500+", "10,000+"], [1_000_000, 500, 10_000]),
        (["1M+", "500K+", "100+"], [1_000_000, 500_000, 100]),
        (["10-50", "1.000-5.000", ">5000"], [10, 1_000, 5_000]),
        (["100", "500"], None),
        (["1,5", "2,5", "30"], None),  # decimal commas
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
        ("viewed_item", [3, 41], False),
        ("premium_items", [3, 41], False),
        ("lifetime_spend_micros", [0, 24_990_000], True),
        ("book_sizes", [3, 41], False),
        ("raised_to_date", [50, 41], True),
        ("Lifetime Value", [50, 41], True),
        ("Total Donated", [50, 41], True),
        ("lifetime_warranty", [50, 41], False),
        ("date_to", [50, 41], False),
    ],
)
def test_what_is_counted_in_bands_or_of_what_was_done_is_of_later(name: str, values: list[Any], tells: bool) -> None:
    assert bool(counted(column(name, values))) == tells


def test_a_last_change_is_no_beginning_and_no_end() -> None:
    assert "LAST CHANGED" in becomes(column("last_updated", ["Aug 30, 2026", "Sep 8, 2026"]), None)


@pytest.mark.parametrize(("gone", "told"), [(1, True), (4, False)])  # without half of the items a log says little
def test_few_items_that_are_gone_may_be_skipped(gone: int, told: bool) -> None:
    values = ["True"] * gone + ["False"] * (12 - gone)
    assert ('skip: {is_delisted: "True"}' in becomes(column("is_delisted", values), None)) == told


def test_items_that_come_with_a_device_are_asked_for() -> None:
    assert 'skip: {is_preloaded: "True"}' in becomes(column("is_preloaded", ["True", "False"]), None)
    assert becomes(column("is_restored", ["True", "False"]), None) == ""


def test_milliseconds_are_no_seconds() -> None:
    long = [287_385, 393_251, 233_501]
    assert "with dwell_unit: ms" in in_milliseconds(column("foreground_ms", long))
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


def told_of(of_item: float, of_user: float, values: int, rows: int = 3000) -> str:
    """What is told of a column whose value is that of the item, of the user, or any of so many, with these chances."""
    draw = np.random.default_rng(0)
    items, users = draw.integers(0, 60, rows), draw.integers(0, 40, rows)
    own, whose = draw.integers(0, values, 60), draw.integers(0, values, 40)
    drawn, chance = draw.integers(0, values, rows), draw.random(rows)
    found = np.where(chance < of_item, own[items], np.where(chance < of_item + of_user, whose[users], drawn))
    return told_by(items, users, found)


def told_by(items: np.ndarray, users: np.ndarray, values: np.ndarray) -> str:
    """What is told of a column with these values, `[rows]` each."""
    ids = {"item_id": items, "user_id": users}
    table = Table("events", Source(path="e.csv"), [])
    table.mapped = {key: (Column(key, pa.array(map(str, each))), "") for key, each in ids.items()}
    return tells_item(table, Column("seen", pa.array([f"v{n}" for n in values])))


@pytest.mark.parametrize(
    ("of_item", "of_user", "values", "rows", "told"),
    [
        (0.5, 0.0, 100, 3000, True),
        (0.15, 0.0, 400, 3000, False),  # 2% of the pairs
        (0.6, 0.0, 5, 3000, False),  # two and a half times as many as of any two rows
        (0.3, 0.5, 100, 3000, False),  # of users a third have one: a town
        (0.5, 0.0, 100, 60, False),  # too few to tell
    ],
)
def test_what_tells_the_item_is_told_by_pairs_of_rows(
    of_item: float, of_user: float, values: int, rows: int, told: bool
) -> None:
    assert bool(told_of(of_item, of_user, values, rows)) == told


def test_what_a_user_has_of_an_item_is_no_value_of_the_item() -> None:
    rows = np.arange(3000)
    items, users = rows % 60, rows // 60 % 5
    assert told_by(items, users, items * 5 + users) == ""


@pytest.mark.parametrize(
    ("every", "kept"),
    [
        ({"zippa": 0, "zappa": 1}, False),
        ({"zippa": 0, "zappa": 2}, True),  # half of them
        ({"view": 1, "zappa": 0}, True),  # what looks have is known before
        ({"zappa": 1, "zuppa": 0}, True),  # ten of the one
    ],
)
def test_what_only_events_of_some_unknown_types_have_is_no_context(
    tmp_path: Path, every: dict[str, int], kept: bool
) -> None:
    """Of each type every so many rows have it; 0 for none."""
    one, other = every
    rows = []
    for n in range(400):
        word = [one, other][n % 2 if other != "zuppa" else n < 10]
        has = every[word] and n // 2 % every[word] == 0
        row = {"user_id": f"u{n % 40}", "item_id": f"i{n * 7 % 60}", "event_type": word, "timestamp": 1_700_000_000 + n}
        rows.append({**row, "why": ["new", "old"][n // 70 % 2] if has else "", "browser": f"b{n // 7 % 5}"})
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert set(config.columns.events) == ({"browser", "why"} if kept else {"browser"})
    assert ("left out: why (ONLY EVENTS OF SOME TYPES HAVE IT" in text) != kept


@pytest.mark.parametrize(
    ("file", "time", "kind"),
    [
        ("e.csv", "install_time", "purchase"),
        ("e.csv", "uninstalled_at", "return"),
        ("e.csv", "order_date", "click"),  # which may be of anything
        ("store_impressions_2026-07.csv", "ts", "impression"),
        ("Downloads 07.csv", "ts", "purchase"),
        ("download.csv", "ts", "click"),  # what a browser calls any file
        ("show_notes.csv", "ts", "click"),
        ("reviews.csv", "ts", "click"),  # without stars
        ("uninstalls.csv", "install_time", "purchase"),  # the time is of a row
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


def test_what_was_searched_for_may_tell_the_item(tmp_path: Path) -> None:
    rows = [
        {"user_id": f"u{n // 60 * 7 % 40}", "item_id": f"i{n * 7 % 60}", "timestamp": 1_700_000_000 + n}
        | {"event_type": "view"}
        for n in range(2400)
    ]
    for n, row in enumerate(rows):
        row["search_query"] = row["shelf"] = f"{['red', 'blue'][n // 60 % 2]} thing {n * 7 % 60 // 3}"
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert set(config.columns.events) == {"search_query"}


@pytest.mark.parametrize(("per_item", "asked"), [(True, False), (False, True)])
def test_how_long_an_item_is_is_no_time_that_a_user_takes(tmp_path: Path, per_item: bool, asked: bool) -> None:
    rows = [
        {"user_id": f"u{n * 13 % 40}", "item_id": f"i{n * 7 % 60}", "timestamp": 1_700_000_000 + n}
        | {"duration_ms": 90_000 + (n * 7 % 60 if per_item else n * n % 77)}
        for n in range(300)
    ]
    text, _ = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert ("duration_ms (MILLISECONDS, OF HOW LONG IT TOOK?" in text) == asked


def test_a_question_for_the_type_is_not_lost_where_nobody_engages_by_the_name_of_the_file(tmp_path: Path) -> None:
    rows = [
        {
            "user_id": f"u{n % 9}",
            "item_id": f"i{n * 5 % 7}",
            "ts": 1_700_000_000 + n,
            "kind": ["zippa", "zappa"][n // 3 % 2],
        }
        for n in range(60)
    ]
    first = first_config(write(rows, tmp_path / "impressions.csv"), None, None, "x")
    assert "UNLESS kind (zappa, zippa) IS THE TYPE" in first.untyped


@pytest.mark.parametrize("word", ["True", "true", "yes", "1"])
def test_the_skip_that_is_told_skips_these_rows(word: str) -> None:
    """YAML reads `[true]` as a `True` that the file does not have."""
    told = becomes(column("is_preloaded", [word, "no" if word == "yes" else "0"]), None)
    skip = yaml.safe_load(told.partition("skip: ")[2].partition("}")[0] + "}")
    assert Source(path="i.csv", skip=skip).skip == {"is_preloaded": (word,)}
