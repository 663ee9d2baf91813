"""How much of a log a look takes: a little of a long one, what waits, and what goes meanwhile."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from souk.schema import DAY_MS
from souk.serving import served
from souk.serving.events import counts as live_counts
from souk.serving.events.log import line
from souk.serving.recommender import Recommender
from souk.serving.served import with_logs
from souk.workspace import Workspace
from tests.live_counts_fixtures import HOUR, Shop, click
from tests.serving_fixtures import IDS, NOW, write_shop


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("made") / "shop")


@pytest.fixture(scope="module")
def loaded(bundle):
    return Recommender.load(bundle, None, None)


@pytest.fixture
def shop(bundle, loaded, tmp_path):
    return Shop(bundle, tmp_path, loaded)


def test_a_long_log_is_counted_a_little_at_a_time(shop, monkeypatch):
    monkeypatch.setattr(live_counts, "CHUNK", 2)
    shop.servers[0].append([click(number, IDS[3]) for number in range(5)])
    shop.servers[0].close()
    shop.servers[0].append([click(9, IDS[4])])
    assert [shop.counts.follow(0) for _ in range(5)] == [2, 1, 2, 1, 0]
    assert shop.of(*IDS[3:5]) == [14, 10]


def test_many_short_files_are_counted_a_little_at_a_time_too(shop):
    for number in range(3):
        shop.servers[0].append([click(number, IDS[3])])
        shop.servers[0].close()
    shop.servers[1].append([click(8, IDS[4])])
    shop.servers[0].append([click(9, IDS[4])])
    assert [shop.counts.follow(0) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    shop.servers[0].append([click(10, IDS[3])])  # the first of those that grow has nothing new
    shop.servers[1].append([click(11, IDS[3])])
    assert [shop.counts.follow(0) for _ in range(3)] == [1, 1, 0]


def test_a_server_begins_before_all_of_a_long_log_is_counted_and_a_batch_does_not(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "COUNTING_SECONDS", 0)
    for number in range(3):
        shop.servers[0].append([click(number, IDS[3])])
        shop.servers[0].close()
    for settle, expected in ((True, 1), (False, 3)):
        given = Workspace(tmp_path), shop.bundle, shop.recommender, lambda: shop.now
        assert with_logs(*given, settle=settle)[1].counted == expected


def test_what_waits_for_items_has_a_bound(bundle, loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(live_counts, "MOST_WAITING", 2)
    shop = Shop(bundle, tmp_path, loaded)
    live, counts = with_logs(Workspace(tmp_path), shop.bundle, shop.recommender, lambda: shop.now)
    shop.servers[0].append([click(number, "new") for number in range(3)])
    assert counts.follow() == 0
    live.upsert([{"item_id": "new", "category": "all/g1"}])
    assert counts.follow() == 2


def test_how_far_behind_counting_is_says_since_when_not_everything_was_counted(shop, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live_counts, "time", SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns))

    def behind(seconds=0.0):
        """What it says after a look, which is 10 s after the one before."""
        now[0] += 10
        shop.counts.follow(seconds)
        return shop.counts.behind

    shop.start()
    assert behind() == 0 and behind() == 0
    shop.servers[0].append([click(1, IDS[3]), click(2, "unknown"), click(3, "unknown")])
    assert [behind(-1), behind(-1)] == [10, 0], "a look that ended in the midst does not know"
    monkeypatch.setattr(live_counts, "CHUNK", 1)
    shop.know({"unknown": 3})
    assert [behind(-1), behind(-1), behind(-1)] == [10, 20, 0] and shop.of(IDS[3]) == [12]
    for method in ("open", "iterdir"):
        day = shop.servers[0].current.parent
        path = shop.servers[0].current if method == "open" else day
        meanwhile(monkeypatch, method, path, Mock(side_effect=OSError(116, "Stale file handle")))
        assert [behind(), behind()] == [10, 0], method


class Items(dict):
    """Positions that are not to be looked through each second: there may be many, and as many that wait."""

    looks = 0

    def keys(self):
        self.looks += 1
        return super().keys()


def test_what_waits_is_looked_at_when_there_are_other_items(shop):
    shop.servers[0].append([click(1, "unknown"), click(2, "another")])
    shop.counts.follow()
    for item, expected in (("other", 0), ("unknown", 1)):
        known = Items({**shop.recommender.catalogue.positions, item: 0})
        shop.recommender.catalogue = replace(shop.recommender.catalogue, positions=known)
        assert [shop.counts.follow() for _ in range(3)] == [expected, 0, 0] and known.looks == 1


def test_what_waits_is_counted_a_little_at_a_time(shop, monkeypatch):
    monkeypatch.setattr(live_counts, "CHUNK", 2)
    ahead = [click(f"a{number}", IDS[4], shop.now + number % 2) for number in range(3)]
    shop.servers[0].append([*ahead, *(click(f"u{number}", "unknown") for number in range(3))])
    assert shop.counts.follow() == 0
    shop.now += 2
    shop.know({"unknown": 3})
    assert [shop.counts.follow(0) for _ in range(5)] == [2, 1, 2, 1, 0] and shop.of(*IDS[3:5]) == [12, 12]


def test_a_file_that_grows_fast_keeps_no_other_from_its_turn(shop, monkeypatch):
    monkeypatch.setattr(live_counts, "CHUNK", 2)
    for number in range(4):
        shop.servers[0].append([click(f"a{number}{more}", IDS[3]) for more in range(3)])
        shop.servers[1].append([click(f"b{number}", IDS[4])])
        shop.counts.follow(0)
    assert shop.of(*IDS[3:5]) == [13, 13]


def meanwhile(monkeypatch, method, path, act):
    """`act` happens in the midst of a look: before it calls a method of a path for the first time."""
    real, due = getattr(Path, method), [act]

    def late(self, *args, **more):
        if self == path and due:
            due.pop()()
        return real(self, *args, **more)

    monkeypatch.setattr(Path, method, late)


@pytest.mark.parametrize("method", ["stat", "iterdir"])
def test_a_day_that_is_removed_meanwhile_ends_nothing(shop, monkeypatch, caplog, method):
    for days in (0, 1):
        shop.now = NOW + HOUR + days * DAY_MS
        shop.servers[0].append([click(days, IDS[3])])
        shop.servers[0].close()
    first, _ = sorted(shop.folder.iterdir())
    meanwhile(monkeypatch, method, first, lambda: shutil.rmtree(first))
    assert shop.counts.follow() == 1 and not first.exists() and caplog.text == ""


def test_a_day_that_cannot_be_listed_is_listed_later_and_the_others_now(shop, monkeypatch, caplog):
    for days in (0, 1):
        shop.now = NOW + HOUR + days * DAY_MS
        shop.servers[0].append([click(days, IDS[3])])
        shop.servers[0].close()
    first, _ = sorted(shop.folder.iterdir())
    with monkeypatch.context() as patch:
        for method in ("iterdir", "stat"):
            meanwhile(patch, method, first, Mock(side_effect=OSError(116, "Stale file handle")))
        assert [shop.counts.follow() for _ in range(2)] == [1, 0]
    assert caplog.text.count("Stale file handle") == 1
    assert shop.counts.follow() == 1 and shop.of(IDS[3]) == [11]


def test_days_that_are_removed_are_forgotten_and_a_volume_that_was_away_is_not(shop):
    for days in (0, 1):
        shop.now = NOW + HOUR + days * DAY_MS
        shop.servers[0].append([click(days, IDS[3])])
        shop.servers[0].close()
    first, second = sorted(shop.folder.iterdir())
    assert shop.counts.follow() == 2
    shutil.rmtree(first)
    assert shop.counts.follow() == 0 and [*shop.counts._days] == [second]
    for empty in (False, True):
        away = shop.folder.rename(shop.folder.with_name("away"))
        if empty:
            shop.folder.mkdir()
        assert shop.counts.follow() == 0
        away.rename(shop.folder)
        assert shop.counts.follow() == 0


def test_a_file_that_gets_its_last_name_meanwhile_is_read_by_that(shop, monkeypatch, caplog):
    shop.servers[0].append([click(1, IDS[3])])
    meanwhile(monkeypatch, "open", shop.servers[0].current, shop.servers[0].close)
    assert shop.counts.follow() == 1 and shop.counts.follow() == 0
    shop.servers[0].append([click(2, IDS[3])])
    meanwhile(monkeypatch, "open", shop.servers[0].current, shop.servers[0].current.unlink)
    assert shop.counts.follow() == 0 and caplog.text == "", "one that was removed is no error"


def test_what_is_no_file_of_events_is_passed_over(shop, caplog):
    shop.servers[0].append([click(1, IDS[3])])
    (day,) = shop.folder.iterdir()
    for stray in (shop.folder / "README.jsonl", day / ".00-one-000000.applied", day / ".hidden.jsonl", day / "a.open"):
        stray.write_bytes(line(click(2, IDS[4])))
    assert shop.counts.follow() == 1 and shop.of(*IDS[3:5]) == [10, 9] and caplog.text == ""


def test_what_comes_after_a_refused_write_is_counted(shop, monkeypatch):
    """A look saw what the disk let go of then: that stays counted."""
    log, real = shop.servers[0], os.fsync
    log.append([click(1, IDS[3])])

    def refuse(file):
        monkeypatch.setattr(os, "fsync", real)
        assert shop.counts.follow() == 2
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        log.append([click(2, IDS[3])])
    log.append([click(number, IDS[4]) for number in range(3, 8)])
    assert shop.counts.follow() == 5 and shop.of(*IDS[3:5]) == [11, 14]
    log.close()
    assert shop.counts.follow() == 0


def test_a_day_is_looked_at_again_when_a_file_is_put_there(shop, monkeypatch):
    """Not each second: a month has thousands of files."""
    monkeypatch.setattr(live_counts, "SETTLED_NS", 0)
    shop.servers[0].append([click(1, IDS[3])])
    shop.servers[0].close()
    (day,) = shop.folder.iterdir()
    assert shop.counts.follow() == 1
    opened = Mock(side_effect=AssertionError)
    with monkeypatch.context() as closed:
        closed.setattr(Path, "glob", opened)
        assert shop.counts.follow() == 0
    os.utime(day, (1, 1))
    shop.servers[1].append([click(2, IDS[3])])
    assert shop.counts.follow() == 1 and shop.of(IDS[3]) == [11]
    shop.servers[1].append([click(3, IDS[3])])
    assert shop.counts.follow() == 1, "a file that grows does not change its folder"


def test_a_file_that_is_put_there_after_a_look_at_the_folder_is_read(shop, monkeypatch):
    """What is noted is when the folder had changed before it was listed."""
    monkeypatch.setattr(live_counts, "SETTLED_NS", 0)
    shop.servers[0].append([click(1, IDS[3])])
    shop.servers[0].close()
    assert shop.counts.follow() == 1
    (day,), listed = shop.folder.iterdir(), Path.iterdir

    def and_another(folder):
        names = list(listed(folder))
        if folder == day:
            shop.servers[1].append([click(2, IDS[3])])
            shop.servers[1].close()
        return iter(names)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", and_another)
        assert shop.counts.follow() == 0
    assert shop.counts.follow() == 1


def test_the_time_of_a_look_is_that_of_all_days(shop):
    for days in range(3):
        shop.now = NOW + HOUR + days * DAY_MS
        shop.servers[0].append([click(days, IDS[3])])
        shop.servers[0].close()
    assert [shop.counts.follow(0) for _ in range(4)] == [1, 1, 1, 0]
