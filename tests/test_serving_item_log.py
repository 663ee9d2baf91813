"""The log of upserted items: what a full disk, two writers and a crash may do to it."""

import contextlib
import fcntl
import os
import random
import stat
import threading
from itertools import product
from types import SimpleNamespace

import pytest

from souk.serving.items import lines
from souk.serving.items.log import AGAIN_SECONDS, PAUSE_SECONDS, WAIT_SECONDS, ItemLog
from souk.serving.items.replay import replay
from tests.full_disk import largest_file


@pytest.fixture
def log(tmp_path):
    return ItemLog(tmp_path / "items" / "log")


def test_a_torn_last_line_is_counted_and_cut_away_and_a_damaged_one_passed_over(log):
    assert log.read().rows == ()
    log.append([{"item_id": "1"}, {"item_id": "2"}], [True, False], 5)
    whole = log._path.read_bytes()
    log._path.write_bytes(whole.replace(b'"1"', b'"7"') + whole[: len(whole) // 2 - 3])
    seen = log.read()
    assert (seen.rows, seen.times, seen.torn, seen.damaged) == (({"item_id": "2"},), (5,), 1, 1)
    assert seen.created == (False,)
    log.append([{"item_id": "3", "title": "x\ny"}], [True], 6)
    seen = log.read()
    assert seen.rows == ({"item_id": "2"}, {"item_id": "3", "title": "x\ny"}) and seen.torn == 0


@pytest.mark.parametrize(("rows", "room"), [(40, 3000), (90, 9000)])  # less and more than a buffer of 8 KiB
def test_rows_that_a_full_disk_refused_never_come_back(log, rows, room):
    log.append([{"item_id": "ok"}], [True], 1)
    with largest_file(room), pytest.raises(OSError, match="File too large"):
        log.append([{"item_id": f"refused-{n}", "title": "x" * 100} for n in range(rows)], [True] * rows, 2)
    assert [row["item_id"] for row in log.read().rows] == ["ok"] and log.read().torn == 0
    log.append([{"item_id": "later"}], [True], 3)
    assert [row["item_id"] for row in log.read().rows] == ["ok", "later"]


class Disk:
    """Refuses what it was given only when it is asked to keep it, and from then on to let go of it."""

    def __init__(self, monkeypatch):
        self.fails, self.stuck = False, False
        self._fsync, self._ftruncate = os.fsync, os.ftruncate
        monkeypatch.setattr("os.fsync", self.fsync)
        monkeypatch.setattr("os.ftruncate", self.ftruncate)

    def fsync(self, file):
        self.stuck = self.stuck or self.fails
        if self.fails:
            raise OSError("not kept")
        self._fsync(file)

    def ftruncate(self, file, size):
        if self.stuck:
            raise OSError("not let go")
        self._ftruncate(file, size)


def test_lines_that_the_disk_neither_kept_nor_let_go_of_are_out_before_the_next_write(log, monkeypatch):
    disk = Disk(monkeypatch)
    log.append([{"item_id": "ok"}], [True], 1)
    disk.fails = True
    with pytest.raises(OSError, match="not kept"):
        log.append([{"item_id": "refused"}, {"item_id": "refused too"}], [True, True], 2)
    disk.fails = False
    before = log._path.read_bytes()
    assert b"refused too" in before
    with pytest.raises(OSError, match="not let go"):
        log.append([{"item_id": "no"}], [True], 3)
    assert log._path.read_bytes() == before
    disk.stuck = False
    log.append([{"item_id": "later"}], [True], 4)
    seen = log.read()
    assert [row["item_id"] for row in seen.rows] == ["ok", "later"] and (seen.torn, seen.damaged) == (0, 0)


def test_what_another_process_wrote_behind_refused_lines_stays(log, monkeypatch):
    disk = Disk(monkeypatch)
    log.append([{"item_id": "ok"}], [True], 1)
    disk.fails = True
    with pytest.raises(OSError, match="not kept"):
        log.append([{"item_id": "refused"}, {"item_id": "refused too"}], [True, True], 2)
    disk.fails = disk.stuck = False
    ItemLog(log._path).append([{"item_id": "theirs"}], [True], 3)
    log.append([{"item_id": "ours"}], [True], 4)
    seen = log.read()
    assert [row["item_id"] for row in seen.rows] == ["ok", "theirs", "ours"] and (seen.torn, seen.damaged) == (0, 1)


def test_the_file_is_locked_while_rows_are_written_and_its_folders_are_on_the_disk(log, monkeypatch):
    held, folders, real = [], set(), os.fsync

    def watched(file):
        state = os.fstat(file)
        if stat.S_ISDIR(state.st_mode):
            folders.add(state.st_ino)
        else:
            with log._path.open("rb") as other, pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(file)
        real(file)

    monkeypatch.setattr("os.fsync", watched)
    log.append([{"item_id": "1"}], [True], 1)
    assert len(held) == 1
    assert folders == {log._path.parent.stat().st_ino, log._path.parent.parent.stat().st_ino}


def test_two_writers_lose_nothing(log):
    def write(name):
        for n in range(50):
            ItemLog(log._path).append([{"item_id": f"{name}{n}"}], [True], n)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = log.read()
    assert sorted(row["item_id"] for row in seen.rows) == sorted(f"{name}{n}" for name in "ab" for n in range(50))
    assert (seen.torn, seen.damaged) == (0, 0)


@contextlib.contextmanager
def held(log):
    """By another, as by a process that is stopped in the midst of its write."""
    with log._path.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        yield other


def test_nobody_waits_for_long_for_who_holds_the_log(log, monkeypatch):
    log.append([{"item_id": "a", "price": n} for n in range(9)], [False] * 9, 1)
    slept = [0.0]  # the clock stands still but for the waits
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr("souk.serving.items.log.time", clock)
    fresh, took = ItemLog(log._path), []
    tries = [lambda: log.append([{"item_id": "b"}], [True], 2), lambda: log.settle(["a"], 2), log.thin, fresh.news]
    with held(log):
        for each in tries:
            began = sum(slept)
            with pytest.raises(TimeoutError, match="holds its lock for too long") as told:
                each()
            took.append(sum(slept) - began)
        assert log.news().logged.rows == (), "a look without news needs no lock"
    assert told.value.filename == str(log._path)
    expected = [WAIT_SECONDS, AGAIN_SECONDS, AGAIN_SECONDS, WAIT_SECONDS]
    assert took == pytest.approx(expected, abs=2 * PAUSE_SECONDS), "who waited in vain tries for a moment"
    assert log.append([{"item_id": "b"}], [True], 2) is None and not log._in_vain
    assert len(fresh.news().logged.rows) == 10


def test_who_holds_the_log_for_a_moment_is_waited_for(log):
    log.append([{"item_id": "a"}], [True], 1)
    with held(log) as other:
        threading.Timer(0.1, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        assert log.append([{"item_id": "b"}], [True], 2) is None


def test_who_thins_or_reads_a_long_log_holds_the_others_up_for_no_longer_than_the_disk(log, monkeypatch):
    """What takes long is done without the lock: to read the lines, and to find out which are left out."""
    log.append([{"item_id": "a", "price": n} for n in range(9)], [False] * 9, 1)

    def beside(real):
        def slow(*given):
            with log._path.open("ab") as other:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                other.write(lines.line({"at": 2, "item": {"item_id": "a", "title": "x"}}))
            return real(*given)

        return slow

    for name in ("parsed", "overtaken", "without"):
        monkeypatch.setattr(f"souk.serving.items.log.{name}", beside(getattr(lines, name)))
    assert len(ItemLog(log._path).news().logged.rows) == 9 and log.thin() == 8
    assert len(lines.parsed(log._path.read_bytes()).rows) == 1 + 4


def content_of(log, known, *files):
    """What a release with these items and files of these times makes of the log: its items, and when new ones came."""
    plan, found = replay(log.read(), known, files, lambda row: row["available_until"] % 2 == 0), {}
    for row, at in zip(plan.rows, plan.times, strict=True):
        found.setdefault(row["item_id"], {} if row["item_id"] in known else {"made": at}).update(row)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_thinned_log_says_the_same_to_every_release(log, seed):
    """Rows of few items and columns, some of which make their item, notes between them, a clock that goes back."""
    draw = random.Random(seed)
    for at in range(60):
        item = draw.choice("abc")
        if draw.random() < 0.1:
            log.settle([item], at)
            continue
        names = draw.sample(["price", "title", "available", "available_until"], draw.randint(1, 4))
        row = {"item_id": item} | {name: draw.choice([False, *range(9)]) for name in names}
        log.append([row], [draw.random() < 0.1], at - draw.choice([0, 0, 0, 30]))
    files = product(("", "a", "bc", "abc"), (0, 20, 40, 60), (0, 20))
    releases = [(known, as_of - apart, as_of) for known, as_of, apart in files]
    before = [content_of(log, *release) for release in releases]
    size = len(log.read().rows)
    gone = log.thin()
    assert [content_of(log, *release) for release in releases] == before
    assert gone >= size / 2 and len(log.read().rows) == size - gone and log.thin() == 0


@pytest.mark.parametrize("seed", range(20))
def test_who_follows_a_log_that_is_thinned_takes_each_row_once_and_in_order(log, seed):
    """A reader that looks now and then, writers beside it, damaged lines and notes: as one that read all, and no row
    a second time. Rows that were left out before they were read are those that later ones say."""
    draw, reader, writers = random.Random(seed), ItemLog(log._path), [log, ItemLog(log._path)]
    found, truth, taken, thinned = {}, {}, [], 0

    def look():
        news = reader.news()
        assert not news.again
        for row in news.logged.rows:
            found.setdefault(row["item_id"], {}).update(row)
            taken.append(row["number"])
        reader.mark = news.mark

    for number in range(120):
        writer = draw.choice(writers)
        if draw.random() < 0.05:
            writer.settle(["a"], number)
        if draw.random() < 0.05:
            with log._path.open("ab") as file:
                file.write(b"00000000 {}\n")
        row = {"item_id": draw.choice("abc"), draw.choice(["price", "title", "line"]): number, "number": number}
        truth.setdefault(row["item_id"], {}).update(row)
        news = writer.append([row], [False], number)
        writer.mark = news.mark if news else writer.mark
        if draw.random() < 0.2:
            look()
        if draw.random() < 0.1:
            thinned += bool(draw.choice([*writers, ItemLog(log._path)]).thin())
    look()
    assert found == truth and taken == sorted(set(taken)) and thinned


def test_rows_that_others_wrote_before_an_append_are_its_news(log):
    other = ItemLog(log._path)
    assert log.append([{"item_id": "a"}], [True], 1) is None
    news = other.append([{"item_id": "b"}], [True], 2)
    assert [row["item_id"] for row in news.logged.rows] == ["a", "b"] and not news.again
    other.mark = news.mark
    assert other.news().logged.rows == () and other.append([{"item_id": "c"}], [True], 3) is None
    assert [row["item_id"] for row in log.news().logged.rows] == ["b", "c"]


def test_what_thinning_leaves(log):
    log.append([{"item_id": "new", "title": "x", "price": 1}], [True], 1)
    for at in range(2, 50):
        log.append([{"item_id": "new", "price": at}, {"item_id": "old", "available": at % 2 == 0}], [False, False], at)
    log._path.write_bytes(log._path.read_bytes() + b"00000000 {}\n" + b'00000000 {"at"')
    assert log.thin() == 94
    seen = log.read()
    made, last = {"item_id": "new", "title": "x", "price": 1}, {"item_id": "new", "price": 49}
    assert seen.rows == (made, last, {"item_id": "old", "available": False})
    assert (seen.created, seen.times, seen.damaged, seen.torn) == ((True, False, False), (1, 49, 49), 1, 0)


def test_a_log_is_not_written_anew_for_a_few_rows(log):
    log.append([{"item_id": f"{n}", "price": 1} for n in range(3)] + [{"item_id": "0", "price": 2}], [False] * 4, 1)
    before = log._path.stat()
    assert log.thin() == 0 and os.path.samestat(before, log._path.stat())


def test_a_writer_that_waits_while_the_log_is_thinned_writes_to_the_new_one(log, monkeypatch):
    log.append([{"item_id": "a", "price": n} for n in range(9)], [False] * 9, 1)
    real, writers = fcntl.flock, []

    def watched(file, kind):
        if not writers:  # the other has the old file open, and thins it before this one gets the lock
            writers.append(1)
            assert ItemLog(log._path).thin() == 8
        return real(file, kind)

    monkeypatch.setattr("souk.serving.items.log.fcntl.flock", watched)
    log.append([{"item_id": "b"}], [True], 2)
    assert log.read().rows == ({"item_id": "a", "price": 8}, {"item_id": "b"})


def test_a_disk_that_refuses_leaves_the_log_as_it_was(log):
    log.append([{"item_id": "a", "title": "x" * 300, "price": n} for n in range(9)], [False] * 9, 1)
    before = log._path.read_bytes()
    with largest_file(100), pytest.raises(OSError, match="File too large"):
        log.thin()
    assert log._path.read_bytes() == before and log.thin() == 8
