"""`souk init`: files of items and users in each other's place, with columns in a language whose words it does not know.

Known by construction: ten readers come in visits of five pages within minutes, and each page is met at any time.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, write

MINUTE, DAY = 60_000, 86_400_000


def visits(who: str, what: str, letters: tuple[str, str] = ("o", "t"), length: int = 5) -> Table:
    """400 visits in 40 days, of `length` different things each, a minute apart."""
    draw, rows = random.Random(7), []
    for _ in range(400):
        person, start = draw.randrange(60), 1_700_000_000_000 + draw.randrange(40 * DAY)
        rows += [
            {who: f"{letters[0]}{person}", what: f"{letters[1]}{thing}", "chwila": start + n * MINUTE}
            for n, thing in enumerate(draw.sample(range(80), length))
        ]
    return rows


def files(folder: Path, events: Table, who: str, what: str, letters: tuple[str, str] = ("o", "t"), **goods: Any) -> Any:
    """Paths of events, items and users."""
    things = [{what: f"{letters[1]}{n}", **goods, "kolor": "ab"[n % 2]} for n in range(80)]
    people = [{who: f"{letters[0]}{n}", "miasto": "ab"[n % 2]} for n in range(60)]
    return [write(rows, folder / f"{k}.csv") for k, rows in enumerate((events, things, people))]


@pytest.mark.parametrize("ids", [("client", "plat"), ("osoba", "movie"), ("nutzer_nr", "anzeige_nr")])
@pytest.mark.parametrize("letters", [("o", "t"), ("", "")])
def test_ids_that_a_name_tells_are_found_in_the_other_file(
    tmp_path: Path, ids: tuple[str, str], letters: tuple[str, str]
) -> None:
    """One name of the two is known; numbers of both meet."""
    events, goods, people = files(tmp_path, visits(*ids, letters), *ids, letters)
    with pytest.raises(SoukError) as error:
        init(tmp_path, events, people, goods)
    kind, file = ("items", goods) if ids[1] == "movie" else ("users", people)
    other, name = ("users", ids[1]) if kind == "items" else ("items", ids[0])
    assert f"Expected a file of {other} as --{other}. Received: {file}, which has the ids of {kind}, {name} of" in str(
        error.value
    )
    assert f"exchange the two, --items {goods} --users {people}. If they are right" in str(error.value)
    _, config = init(tmp_path, events, goods, people)
    assert (config.data.events.columns["user_id"], config.data.events.columns["item_id"]) == ids


def test_ids_of_another_name_in_the_file_are_told_by_themselves(tmp_path: Path) -> None:
    events = write(visits("client", "plat"), tmp_path / "e.csv")
    goods, people = (write([{"numer": f"{x}{n}"} for n in range(60)], tmp_path / f"{x}.csv") for x in "to")
    with pytest.raises(SoukError, match=r"o\.csv, which has the ids of users, client of events"):
        init(tmp_path, events, people, goods)


def test_an_id_of_people_in_the_file_of_items_is_no_exchange(tmp_path: Path) -> None:
    """Each thing is sold by a user of its own, whose ids are under another name in the file of users."""
    goods = write([{"product": n, "user": n, "kolor": "ab"[n % 2]} for n in range(80)], tmp_path / "i.csv")
    people = write([{"numer": n, "miasto": "ab"[n % 2]} for n in range(60)], tmp_path / "u.csv")
    events = write(visits("user", "product", ("", "")), tmp_path / "e.csv")
    assert first_config(events, goods, people, "shop").exchanged == ""


def owned(folder: Path, listed: int, letters: tuple[str, str]) -> list[str]:
    """Events, items and users of a second-hand market: 60 users, `listed` of 50 things, and who owns each."""
    who, what = letters
    rows = [{**row, "item": f"{what}{n % 50}"} for n, row in enumerate(visits("user", "item", letters))]
    things = [{"id": f"{what}{n}", "user": f"{who}{59 - n}", "kolor": "ab"[n % 2]} for n in range(listed)]
    people = [{"id": f"{who}{n}", "miasto": "ab"[n % 2]} for n in range(60)]
    return [write(rows, folder / f"{name}.csv") for name, rows in (("e", rows), ("i", things), ("u", people))]


@pytest.mark.parametrize("letters", [("", ""), ("o", "t")])
@pytest.mark.parametrize("listed", [50, 36])
def test_the_owner_of_an_item_is_no_exchange(tmp_path: Path, listed: int, letters: tuple[str, str]) -> None:
    """His column goes by the name that the events have for users, and their own file has another."""
    events, goods, people = owned(tmp_path, listed, letters)
    text, config = init(tmp_path, events, goods, people)
    assert config.data.items is not None and config.data.users is not None
    assert (config.data.items.columns["item_id"], config.data.users.columns["user_id"]) == ("id", "id")
    assert f"{listed / 50:.0%} of the ids in events are among id" in text and "EXCHANGED" not in text


def test_numbers_that_both_files_have_alike_are_asked_for(tmp_path: Path) -> None:
    """As many things as users: whichever way round, all ids of the events are found."""
    rows = visits("nutzer_nr", "anzeige_nr", ("", ""))
    events = write([{**row, "nutzer_nr": f"{n % 80}"} for n, row in enumerate(rows)], tmp_path / "e.csv")
    goods = write([{"anzeige_nr": n, "kolor": "ab"[n % 2]} for n in range(80)], tmp_path / "i.csv")
    people = write([{"nutzer_nr": n, "miasto": "ab"[n % 2]} for n in range(80)], tmp_path / "u.csv")
    assert first_config(events, goods, people, "shop").exchanged == ""
    why = "the file of items has the ids of users, nutzer_nr of events"
    assert first_config(events, people, goods, "shop").exchanged == why


def test_numbers_that_meet_are_no_exchange(tmp_path: Path) -> None:
    """A third of the users has a row, and each has the number of a thing."""
    goods = write([{"kod": n, "kolor": "ab"[n % 2]} for n in range(80)], tmp_path / "i.csv")
    people = write([{"numer": n, "miasto": "ab"[n % 2]} for n in range(20)], tmp_path / "u.csv")
    events = write(visits("client", "towar", ("", "")), tmp_path / "e.csv")
    assert "ONLY 33% of the ids in events are among numer" in first_config(events, goods, people, "shop").text


def test_visits_tell_who_comes_where_no_name_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = "osoba", "towar"
    events, goods, people = files(tmp_path, visits(*ids), *ids)
    asked = "ARE --items AND --users EXCHANGED? "
    assert first_config(events, goods, people, "shop").exchanged == ""
    arguments = ["init", "--events", events, "--output", str(tmp_path / "c.yaml"), "--force"]
    assert main([*arguments, "--items", goods, "--users", people]) == 0
    assert asked not in capsys.readouterr().out
    assert main([*arguments, "--items", people, "--users", goods]) == 0
    said = capsys.readouterr().out
    assert f"\n# {asked}osoba of events comes in visits, as users do: look at the ids below.\nname: " in said
    assert f"c.yaml. {asked}osoba of events comes in visits, as users do. Look at the guesses" in said


def test_words_of_items_tell_where_nobody_comes_in_visits(tmp_path: Path) -> None:
    ids = "osoba", "towar"
    rows = visits(*ids, length=1)
    events, goods, people = files(tmp_path, rows, *ids, titel="x", name="y")
    assert first_config(events, goods, people, "shop").exchanged == ""
    assert first_config(events, people, goods, "shop").exchanged == "the file of users has titel, as items have"


def test_what_everybody_meets_in_one_hour_is_no_visit(tmp_path: Path) -> None:
    """News of an hour, read once by each: its ids come one after the other, and not sooner than by chance."""
    draw = random.Random(5)
    rows = [
        {"osoba": f"o{draw.randrange(60)}", "towar": f"t{n}", "chwila": 1_700_000_000_000 + n * DAY // 4 + m * MINUTE}
        for n in range(80)
        for m in range(40)
    ]
    events, goods, people = files(tmp_path, rows, "osoba", "towar")
    assert first_config(events, goods, people, "news").exchanged == ""


def test_a_name_of_two_lines_stays_in_the_comment(tmp_path: Path) -> None:
    ids = "oso\nba", "to\nwar"
    rows = visits(*ids)
    goods = [{ids[1]: f"t{n}", "kolor": "ab"[n % 2]} for n in range(80)]
    people = [{ids[0]: f"o{n}", "miasto": "ab"[n % 2]} for n in range(60)]
    files = [write(table, tmp_path / f"{k}.jsonl") for k, table in enumerate((rows, people, goods))]
    text, _ = init(tmp_path, *files)
    assert "EXCHANGED? oso ba of events comes" in text


@pytest.mark.parametrize("users", [True, False])
def test_events_in_the_place_of_items_are_told(tmp_path: Path, users: bool) -> None:
    """What came was the list of all columns of the catalogue, and advice to join another file to it."""
    rows = [{"user_id": f"u{n % 9}", "track_id": f"t{n % 31}", "ts": 1_700_000_000 + 60 * n} for n in range(300)]
    tracks = [{"track_id": f"t{n}", "name": f"Song {n}", "artist": f"a{n % 5}"} for n in range(31)]
    once = [{**row, "user_id": f"u{n}"} for n, row in enumerate(rows)]
    log = write(rows if users else once, tmp_path / "e.csv")
    items = write(tracks, tmp_path / "i.csv")
    with pytest.raises(SoukError) as error:
        first_config(items, log, None, "x")
    exchange = f"exchange the two, --events {log} --items {items}"
    assert (exchange in str(error.value)) == users, "users who come once have no history, so it may be any file"


def test_events_whose_time_has_a_name_of_its_own_are_told_by_what_comes_again(tmp_path: Path) -> None:
    """A catalogue with who offers what since when, each once, is none of these."""
    rows = [
        {"member": f"u{n % 9}", "listing": f"t{n % 31}", "happened": f"2026-09-01 {n % 24:02}:00:00"}
        for n in range(300)
    ]
    log = write(rows, tmp_path / "e.csv")
    items = write([{"listing_id": f"t{n}", "headline": f"Chair {n}"} for n in range(31)], tmp_path / "i.csv")
    with pytest.raises(SoukError) as error:
        first_config(items, log, None, "x")
    assert f"With member and happened items may be it: exchange the two, --events {log} --items {items}" in str(
        error.value
    )
    offers = write([{**row, "listing": f"t{n}"} for n, row in enumerate(rows)], tmp_path / "o.csv")
    with pytest.raises(SoukError) as error:
        first_config(items, offers, None, "x")
    assert "exchange the two" not in str(error.value)
