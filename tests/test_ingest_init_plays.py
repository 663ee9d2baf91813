"""`souk init` on logs of what was played: for how long, by whose choice, of which of several kinds of items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, write

START = 1_700_000_000


def plays(count: int = 600, **more: Any) -> Table:
    """Of 20 users; every fourth play ends after four seconds. A function of the number makes each further column."""
    rows: Table = []
    for n in range(count):
        row = {"username": f"u{n % 20}", "spotify_track_uri": f"track:{7 * n % 61}", "ts": START + 300 * n}
        rows.append(row | {"ms_played": 4_000 if n % 4 == 0 else 150_000 + n} | {k: of(n) for k, of in more.items()})
    return rows


def test_what_is_skipped_does_not_satisfy_and_needs_no_type(tmp_path: Path) -> None:
    """`ms_played` was left out, whatever was left after four seconds satisfied, and a country might be the type."""
    more = {"conn_country": lambda n: ["DE", "US"][n // 7 % 2], "platform": lambda n: ["ios", "web"][n // 9 % 2]}
    path = write(plays(**more, reason_end=lambda n: ["fwdbtn", "trackdone"][n // 3 % 2]), tmp_path / "e.csv")
    text, config = init(tmp_path, path)
    assert (config.data.events.columns["dwell_seconds"], config.data.events.dwell_unit) == ("ms_played", "ms")
    assert config.objectives.satisfied.min_dwell_seconds == 30 and "# 75% of them are of 30 seconds or more" in text
    assert "event_type: click  # no type column, but how long each took, ms_played" in text
    assert first_config(path, None, None, "x").untyped == ""
    assert {*config.columns.events} == {"conn_country", "device"}, "a request has these, not what ended a play"


@pytest.mark.parametrize(("early", "bar"), [(4, 30), (50, 60), (400, 600), (9000, 3600)])
def test_what_satisfies_is_what_a_fifth_leave_before(tmp_path: Path, early: int, bar: int) -> None:
    """Of an hour's episode nearly all stay for half a minute, which told nothing."""
    rows = plays()
    for n, row in enumerate(rows):
        row["ms_played"] = 1000 * (5 if n % 50 == 7 else early if n % 4 == 0 else 9100 + n)
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.objectives.satisfied.min_dwell_seconds == bar
    share = sum(row["ms_played"] >= 1000 * bar for row in rows) / len(rows)
    assert f"{share:.0%} of them are of {bar} seconds or more" in text


def test_a_country_is_no_type(tmp_path: Path) -> None:
    more = {"conn_country": lambda n: ["DE", "US"][n // 7 % 2], "reason_end": lambda n: ["next", "done"][n // 3 % 2]}
    rows = [{key: value for key, value in row.items() if key != "ms_played"} for row in plays(**more)]
    told = first_config(write(rows, tmp_path / "e.csv"), None, None, "x").untyped
    assert "UNLESS reason_end (done, next) IS THE TYPE" in told


@pytest.mark.parametrize(
    ("name", "numbers", "unit"),
    [
        ("ms_played", [4_000, 200_000], "ms"),
        ("engagement_time_msec", [4_000, 90_000], "ms"),
        ("event_params_engagement_time_msec", [4_000, 90_000], "ms"),
        ("time_on_page_ms", [4_000, 90_000], "ms"),
        ("listened_seconds", [4, 200], "s"),
        ("watch_time_sec", [4, 200], "s"),
        ("page_load_ms", [4_000, 90_000], ""),
        ("ms_played", [4, 200], ""),  # no milliseconds, whatever it is called
        ("played", [4, 200], ""),
    ],
)
def test_how_long_is_told_by_name_and_unit(tmp_path: Path, name: str, numbers: list[int], unit: str) -> None:
    rows = [row | {name: numbers[n % 3 > 0] + n % 5} for n, row in enumerate(plays())]
    table = [{key: value for key, value in row.items() if key in (name, "username", "ts")} for row in rows]
    table = [row | {"track_id": f"t{7 * n % 61}"} for n, row in enumerate(table)]
    _, config = init(tmp_path, write(table, tmp_path / "e.csv"))
    found = config.data.events.columns.get("dwell_seconds", "")
    assert (found, config.data.events.dwell_unit) == ((name, unit) if unit else ("", "s"))


def test_how_long_an_item_is_says_nothing_of_its_users(tmp_path: Path) -> None:
    table = [
        {**row, "ms_played": None, "stream_duration_ms": 90_000 + 1_000 * int(row["spotify_track_uri"][6:])}
        for row in plays()
    ]
    _, config = init(tmp_path, write(table, tmp_path / "e.csv"))
    assert "dwell_seconds" not in config.data.events.columns


def test_what_tells_how_a_play_ended_is_no_context(tmp_path: Path) -> None:
    """Beside a type that Souk knows, `skipped` was declared as what a request has."""
    more = {"act": lambda n: ["play", "like"][n % 9 == 1], "skipped": lambda n: n % 4 == 0, "wlan": lambda n: n % 7 < 3}
    text, config = init(tmp_path, write(plays(**more), tmp_path / "e.csv"))
    assert {*config.columns.events} == {"wlan"}
    assert "left out: skipped (TELLS HOW LONG THE USER STAYED: by far the shortest is True" in text


def test_what_a_player_goes_on_with_is_left_out(tmp_path: Path) -> None:
    words = ["clickrow", "trackdone", "autoplay", "trackdone", "auto_play"]
    text, config = init(tmp_path, write(plays(reason_start=lambda n: words[n // 3 % 5]), tmp_path / "e.csv"))
    assert set(config.data.events.skip["reason_start"]) == {"autoplay", "auto_play"}
    assert "nobody chose auto_play, autoplay of reason_start (240 of 600 rows)" in text


def test_where_most_plays_go_on_by_themselves_they_are_how_the_app_plays(tmp_path: Path) -> None:
    rows = plays(reason_start=lambda n: ["clickrow", "autoplay"][n % 5 > 0])
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert not config.data.events.skip


def podcasts() -> Table:
    """Plays of which every tenth is of an episode, whose id stands in a column of its own."""
    rows = [{"master_metadata_track_name": f"Song {7 * n % 61 // 2}", **row} for n, row in enumerate(plays())]
    return [
        row | {"spotify_track_uri": None, "master_metadata_track_name": None, "spotify_episode_uri": f"ep:{n % 150}"}
        if n % 10 == 0
        else row | {"spotify_episode_uri": None}
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize("listed", [False, True])
def test_ids_of_items_may_stand_in_two_columns(tmp_path: Path, listed: bool) -> None:
    """Episodes went to the quarantine, the id of one was context, and a name that two songs have was the item."""
    ids = [{"uri": f"track:{n}"} for n in range(61)] + [{"uri": f"ep:{n}"} for n in range(0, 150, 10)]
    items = write([row | {"length": n % 9} for n, row in enumerate(ids)], tmp_path / "i.csv") if listed else None
    text, config = init(tmp_path, write(podcasts(), tmp_path / "e.csv"), items)
    assert config.data.events.templates == {"item_id": "{spotify_track_uri|spotify_episode_uri}"}
    assert "# 60 of 600 rows have no spotify_track_uri, and the next of these" in text
    assert not config.columns.events and "refuses" not in text


def test_recordings_are_items_and_not_their_names(tmp_path: Path) -> None:
    rows = [
        {"user_name": r["username"], "track_name": f"Song {n % 9}", "recording_msid": r["spotify_track_uri"]}
        | {"listened_at": r["ts"]}
        for n, r in enumerate(plays())
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"))
    assert config.data.events.columns["item_id"] == "recording_msid"


def test_artists_that_are_followed_are_no_items(tmp_path: Path) -> None:
    rows = [row | {"spotify_artist_uri": row.pop("spotify_episode_uri")} for row in podcasts()]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.columns["item_id"] == "spotify_track_uri" and not config.data.events.templates
    assert not config.columns.events and "left out: spotify_artist_uri (ONLY ROWS WITHOUT AN ITEM HAVE IT" in text


def test_ids_of_another_kind_than_the_file_has_are_no_items(tmp_path: Path) -> None:
    items = write([{"uri": f"track:{n}", "length": n % 9} for n in range(61)], tmp_path / "i.csv")
    _, config = init(tmp_path, write(podcasts(), tmp_path / "e.csv"), items)
    assert not config.data.events.templates


@pytest.mark.parametrize("listed", [61, 20])
def test_what_advertisers_show_is_left_out_where_all_else_is_of_the_file(tmp_path: Path, listed: int) -> None:
    ad = {"act": "ad_impression", "ms_played": None}
    rows = [{**row, "act": "play"} for row in plays()]
    rows += [row | ad | {"spotify_track_uri": f"ad:{n % 5}"} for n, row in enumerate(plays(60))]
    items = write([{"uri": f"track:{n}", "length": n % 9} for n in range(listed)], tmp_path / "i.csv")
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), items)
    left_out = "ad_impression" in config.data.events.skip.get("act", ())
    assert left_out == (listed == 61), "a file of a third of the items says nothing of what it lacks"
    assert ("of ad_impression hardly a row has an item" in text) == left_out


def test_a_plan_without_advertisements_is_learned_from(tmp_path: Path) -> None:
    """How many of them each user is shown goes with the plan, which was left out as made of it."""
    rows = [{**row, "username": f"u{n * 13 % 120}", "act": "play"} for n, row in enumerate(plays(3_000))]
    shown = [row for row in rows if int(row["username"][1:]) < 60]
    rows += [{**row, "act": "ad_impression", "spotify_track_uri": None} for row in shown]
    plans = [{"username": f"u{n}", "plan": "free" if n < 60 else ["paid", "family"][n % 2]} for n in range(120)]
    events, users = write(rows, tmp_path / "e.csv"), write(plans, tmp_path / "u.csv")
    _, config = init(tmp_path, events, None, users)
    assert [*config.columns.users] == ["plan"]


def test_likes_do_not_satisfy_by_being_given_again(tmp_path: Path) -> None:
    """Plays come again and likes do not: what is liked twice within days satisfied, which nothing is."""
    rows = plays(6_000, act=lambda n: ["like", "play"][n >= 61])
    table = [{key: value for key, value in row.items() if key != "ms_played"} for row in rows]
    _, config = init(tmp_path, write(table, tmp_path / "e.csv"))
    assert [*config.objectives.engaged.events] == ["click", "cart"]
    assert [*config.objectives.satisfied.events] == [*config.objectives.satisfied.followed_by] == ["click"]


def test_dates_of_old_records_are_years(tmp_path: Path) -> None:
    """The file's dates were no times to `init` where one in twenty is a year alone."""
    dates = ["1971", "2011-06", *[f"2023-0{month}-15" for month in range(1, 8)]]
    items = [{"track_id": f"track:{n}", "release_date": dates[n % 9]} for n in range(61)]
    events = [{"track_id": row.pop("spotify_track_uri"), **row} for row in plays()]
    text, config = init(tmp_path, write(events, tmp_path / "e.csv"), write(items, tmp_path / "i.csv"))
    assert config.data.items is not None
    assert config.data.items.columns["created_at"] == "release_date" and "refuses" not in text


@pytest.mark.parametrize(("pause", "step"), [(60, True), (40 * 60, False)])
def test_a_like_at_the_end_of_an_episode_is_of_one_visit_with_it(tmp_path: Path, pause: int, step: bool) -> None:
    """It comes fifty minutes after the play began, which was another visit."""
    rows: Table = []
    for n in range(400):
        of = {"user_id": f"u{n % 20}", "item_id": f"e{7 * n % 61}"}
        rows.append({**of, "event": "play", "ts": START + 9_000 * n, "listened_seconds": 3_000 + n % 50})
        if n % 3 == 0:
            rows.append({**of, "event": "like", "ts": START + 9_000 * n + 3_000 + pause, "listened_seconds": None})
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert list(config.objectives.engaged.events) == (["click"] if step else ["click", "cart"])
    assert ("Carts do not engage" in text) == step
