"""The state's files: each release has its own, and what is damaged or another's is refused and left as it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from souk.drift.rows import Row
from souk.drift.state import State
from souk.errors import SoukError
from tests.drift.shop import NOON
from tests.full_disk import largest_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begun_before(folder: Path, release: str) -> None:
    """A state of a version in which all releases took turns at one file."""
    state = State.open(folder, release)
    state.take_file("a")
    state.close()
    (folder / f"drift-{release}.db").rename(folder / "drift.db")


def test_each_release_has_a_state_of_its_own_and_goes_on_with_it_when_it_comes_back(tmp_path: Path) -> None:
    for release in ("shop-old", "shop-new"):
        state = State.open(tmp_path, release)
        assert (state.release, state.unread([release])) == (release, [release])
        state.take_file(release)
        state.close()
    for release, other in (("shop-old", "shop-new"), ("shop-new", "shop-old")) * 2:
        state = State.open(tmp_path, release)
        assert (state.release, state.unread(["shop-old", "shop-new"])) == (release, [other])
        state.close()
    assert names(tmp_path) == ["drift-shop-new.db", "drift-shop-old.db"]


@pytest.mark.parametrize("before", [True, False], ids=["before each had a file", "since"])
def test_two_releases_at_once_leave_each_other_whole(tmp_path: Path, before: bool) -> None:
    """As while a cluster replaces one detector by the next, which may be of another version."""
    if before:
        begun_before(tmp_path, "shop-old")
    there = names(tmp_path)
    old = State.open(tmp_path, "shop-old")
    new = State.open(tmp_path, "shop-new")
    for number in range(50):
        with old.change():
            old.add(Row("record", f"old{number}", NOON, {"user_region": "north" * 400}, 0))
            with new.change():
                new.add(Row("record", f"new{number}", NOON, {"user_region": "south" * 400}, 0))
            assert {cells["user_region"] for cells in new.cells()} == {"south" * 400}
    old.close()
    new.close()
    assert len(names(tmp_path)) == 2 and set(there) <= set(names(tmp_path)), "none was renamed"
    for file in tmp_path.iterdir():
        connection = sqlite3.connect(file)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        release = connection.execute("SELECT value FROM meta WHERE name = 'release'").fetchone()[0]
        of = connection.execute("SELECT substr(key, 1, 3), COUNT(*) FROM open_rows GROUP BY 1").fetchall()
        assert of == [(release.removeprefix("shop-"), 50)]
        connection.close()


def test_a_state_of_before_is_its_release_s_as_are_those_that_were_put_aside(tmp_path: Path) -> None:
    begun_before(tmp_path, "shop-aside")
    (tmp_path / "drift.db").rename(tmp_path / "drift-shop-aside.db")
    begun_before(tmp_path, "shop-old")
    for release, unread in (("shop-new", ["a"]), ("shop-old", []), ("shop-aside", [])) * 2:
        state = State.open(tmp_path, release)
        assert (state.release, state.unread(["a"])) == (release, unread)
        state.close()
    assert names(tmp_path) == ["drift-shop-aside.db", "drift-shop-new.db", "drift.db"]


def test_a_file_that_has_the_name_of_another_release_is_refused(tmp_path: Path) -> None:
    State.open(tmp_path, "shop-old").close()
    (tmp_path / "drift-shop-old.db").rename(tmp_path / "drift-shop-new.db")
    with pytest.raises(SoukError, match=r"drift-shop-new\.db.*the state of another release"):
        State.open(tmp_path, "shop-new")


@pytest.mark.parametrize("name", ["drift.db", "drift-shop.db"])
@pytest.mark.parametrize("content", [b"no database, and longer than its header" * 9, b""])
def test_a_damaged_state_is_refused_and_an_empty_file_begun(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    if content:
        with pytest.raises(SoukError, match=rf"{name}.*move the file away"):
            State.open(tmp_path, "shop")
        assert (tmp_path / name).read_bytes() == content
    else:
        assert State.open(tmp_path, "shop").release == "shop"


def test_what_is_damaged_further_on_is_refused_by_who_reads_it(tmp_path: Path) -> None:
    state = State.open(tmp_path, "shop")
    with state.change():
        for number in range(2000):
            state.add(Row("record", str(number), NOON, {"price": float(number), "what": "x" * 100}, 0))
    state.close()
    file = tmp_path / "drift-shop.db"
    content = bytearray(file.read_bytes())
    behind = len(content) // 4 // 4096 * 4096
    content[behind:] = bytes(len(content) - behind)
    file.write_bytes(content)
    state = State.open(tmp_path, "shop")
    with pytest.raises(SoukError, match=r"drift-shop\.db"):
        state.cells()
    state.close()


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    state = State.open(tmp_path, "shop")
    state.put("format", "99")
    state.close()
    with pytest.raises(SoukError, match="format 99"):
        State.open(tmp_path, "shop")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for another process to be done with a state."""
    monkeypatch.setattr("souk.drift.state.WAIT_SECONDS", 0.05)


def test_a_reader_that_keeps_a_change_from_the_disk_keeps_that_one_alone(tmp_path: Path, at_once: None) -> None:
    state = State.open(tmp_path, "shop")
    reader = sqlite3.connect(tmp_path / "drift-shop.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM meta").fetchone()
    with pytest.raises(SoukError, match="Another process uses it"), state.change():
        state.put("first", "yes")
    reader.close()
    with state.change():
        state.put("second", "yes")
    assert (state.get("first"), state.get("second")) == ("", "yes")


def test_a_state_that_another_process_writes_to_is_not_to_be_moved(tmp_path: Path, at_once: None) -> None:
    State.open(tmp_path, "shop").close()
    writer = sqlite3.connect(tmp_path / "drift-shop.db", isolation_level=None)
    for lock in ("IMMEDIATE", "EXCLUSIVE"):
        writer.execute(f"BEGIN {lock}")
        with pytest.raises(SoukError, match="wait for its end") as refused:
            State.open(tmp_path, "shop")
        assert "move the file away" not in str(refused.value)
        writer.execute("ROLLBACK")
    assert State.open(tmp_path, "shop").release == "shop"


def test_a_full_disk_is_told_as_such_and_what_was_on_it_stays(tmp_path: Path) -> None:
    state = State.open(tmp_path, "shop")
    size = (tmp_path / "drift-shop.db").stat().st_size

    def fill() -> None:
        with largest_file(size), state.change():
            for number in range(500):
                state.put(str(number), "long" * 99)

    with pytest.raises(SoukError, match="Look at the space"):
        fill()
    with state.change():
        state.put("then", "yes")
    assert (state.get("0"), state.get("then")) == ("", "yes")


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SoukError, match="--state"):
        State.open(tmp_path / "state", "shop")
