"""The files of the event log: when one ends, what a disk or a kill did to it, and whose it is."""

import os
import stat

import pytest

from souk.serving.events.live import Taken
from souk.serving.events.log import HOUR_MS, EventLog, read
from tests.events_fixtures import opened, row
from tests.full_disk import largest_file
from tests.serving_fixtures import NOW

shop = pytest.fixture(opened)


def test_a_disk_that_refuses_is_an_error_and_leaves_nothing(shop):
    shop.send(row(1))
    with largest_file(600), pytest.raises(OSError, match="File too large"):
        shop.send(*(row(n) for n in range(2, 9)))
    assert [r["event_id"] for path in shop.log.files() for r in read(path)] == ["e1"] and shop.is_of(row(1))
    assert shop.send(row(2)) == Taken(1, 0, 0), "it is no duplicate"
    assert shop.is_of(row(1), row(2))


def closed(folder):
    return sorted(folder.glob("*/[!.]*.jsonl"))


def test_a_file_ends_with_its_hour_or_at_its_size(shop):
    shop.send(row(1))
    assert closed(shop.folder) == []
    shop.now += HOUR_MS
    shop.until(lambda: len(closed(shop.folder)) == 1)
    shop.send(*(row(n, session_id="x" * 100) for n in range(2, 40)))
    shop.until(lambda: len(closed(shop.folder)) == 2)
    assert [r["event_id"] for path in shop.log.files() for r in read(path)] == [f"e{n}" for n in range(1, 40)]
    assert [path.parent.name for path in closed(shop.folder)] == ["2023-11-14", "2023-11-14"]
    shop.until(lambda: shop.log.current is None)


def test_a_torn_line_is_cut_and_a_damaged_one_passed_over_and_both_are_counted(shop):
    shop.send(row(1), row(2), row(3))
    shop.live.close()
    (path,) = closed(shop.folder)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"i2"', b'"i3"')
    path.unlink()
    left = path.with_name(".00-gone-000000.open")
    left.write_bytes(b"".join(lines) + b'{"event_id":"e4","us')
    loaded = shop.start().loaded
    assert (loaded.events, loaded.torn, loaded.damaged) == (2, 1, 1)
    assert closed(shop.folder)[0].read_bytes() == b"".join(lines)
    assert shop.send(row(1), row(2)) == Taken(1, 1, 0), "what was damaged may come again"


def test_nothing_comes_in_the_place_of_what_was_cut_off(shop):
    """Who read it there, and goes on behind it, would miss what comes."""
    shop.send(row(1))
    with largest_file(600), pytest.raises(OSError, match="File too large"):
        shop.send(*(row(n) for n in range(2, 9)))
    shop.until(lambda: len(closed(shop.folder)) == 1)
    shop.send(row(2))
    shop.send(row(3))
    assert [[r["event_id"] for r in read(path)] for path in shop.log.files()] == [["e1"], ["e2", "e3"]]
    assert len([*shop.folder.glob("*/.*.applied")]) == 1, "it is in the states, as other closed files are"


def in_place(path, text):
    path.write_bytes(text)


def by_another_file(path, text):
    """As `sed -i` does."""
    path.with_name("new").write_bytes(text)
    os.replace(path.with_name("new"), path)


def with_an_unfinished_line(path, text):
    path.write_bytes(text + b'{"event_id":"x')


@pytest.mark.parametrize("change", [in_place, by_another_file, with_an_unfinished_line])
def test_nothing_is_written_to_a_file_that_someone_changed(change, tmp_path, caplog):
    """Whoever takes a person out of the open file too loses nothing that comes after."""
    now = [NOW]
    log = EventLog(tmp_path, "w", lambda: now[0])
    log.append([row(n) for n in range(4)])
    path = log.current
    change(path, b"".join(path.read_bytes().splitlines(keepends=True)[::2]))
    log.append([row(4)])
    log.append([row(5)])
    assert [[r["event_id"] for r in read(path)] for path in log.files()] == [["e0", "e2"], ["e4", "e5"]]
    assert caplog.text.count("changed by another program") == 1
    change(log.current, log.current.read_bytes()[:0])
    now[0] += HOUR_MS
    assert log.rotate() is None
    log.append([row(6)])
    assert [r["event_id"] for path in log.files() for r in read(path)] == ["e0", "e2", "e6"]


def test_an_open_file_that_was_removed_takes_nothing_with_it(tmp_path):
    log = EventLog(tmp_path, "w", lambda: NOW)
    log.append([row(1)])
    log.current.unlink()
    log.append([row(2)])
    log.close()
    assert [r["event_id"] for path in log.files() for r in read(path)] == ["e2"]


def test_the_file_of_a_process_that_lives_is_left_to_it(shop):
    shop.send(row(1))
    other = EventLog(shop.folder, "other", lambda: NOW)
    assert other.recover().closed == 0
    assert [r["event_id"] for path in other.files() for r in read(path)] == ["e1"]
    other.append([row(2)])
    assert len(shop.log.files()) == 2 and other.current != shop.log.current
    other.close()


def test_a_new_file_and_its_folders_are_on_the_disk_before_it_is_answered_for(tmp_path, monkeypatch):
    log, kept, real = EventLog(tmp_path / "shop" / "events", "w", lambda: NOW), [], os.fsync

    def watched(file):
        state = os.fstat(file)
        kept.append(state.st_ino if stat.S_ISDIR(state.st_mode) else state.st_size)
        real(file)

    monkeypatch.setattr("os.fsync", watched)
    log.append([row(1)])
    folders = (log.current.parent, log.folder, log.folder.parent)
    assert kept == [*(folder.stat().st_ino for folder in folders), log.current.stat().st_size]
    log.append([row(2)])
    assert kept[4:] == [log.current.stat().st_size]
    log.close()
