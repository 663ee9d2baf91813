"""Another release under traffic: taken whole when it is sound, refused when it is not, and nobody notices."""

import contextlib
import gc
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from souk.errors import SoukError
from souk.release.pointer import point
from souk.serving.items.live import LiveItems
from souk.serving.releases import WARM_SECONDS, Ready, Releases, Served, often
from tests.arms_fixtures import beside
from tests.callers import ANSWERS, Callers
from tests.serving_fixtures import write_workspace
from tests.serving_process import PATIENT, serving


def test_a_look_that_exits_is_not_the_last_one():
    looks, again = iter([SystemExit, OSError]), threading.Event()

    def look():
        for error in looks:
            raise error
        again.set()
        threading.Event().wait()  # it would look for as long as the tests run

    often(look, 0.001, "looks", 0)
    assert again.wait(60)


class Live(LiveItems):
    """Takes rows, of a release of that name, without a log."""

    def __init__(self, name):
        self.name, self.rows, self.warmed, self.followed = name, [], 0, 0
        self._one_at_a_time, self._retired = threading.Lock(), False
        self._tower = SimpleNamespace(ahead_of=lambda change: change(None))

    def warm(self):
        self.warmed += 1
        return self

    def follow(self):
        self.followed += 1

    def upsert(self, rows):
        def taken(vectors):
            self.rows.extend(rows)
            return self.name

        return self._alone(taken)


class Shop:
    """A pointer and releases by folder; those named broken cannot be read, those named torn not be served."""

    def __init__(self):
        self.pointed, self.closed, self.read, self.clock, self.failing = Path("one"), [], [], 0.0, []
        self.counted_before = []
        self.releases = Releases(self.ready(self.pointed), lambda: self.pointed, self.ready, lambda: self.clock)

    def ready(self, folder):
        self.read.append(folder.name)
        if self.failing:
            raise self.failing.pop()
        if folder.name == "broken":
            raise SoukError("a sound release", "another")

        def serve(before=None):
            if folder.name == "torn":
                raise OSError("torn")
            self.counted_before.append(before and before.bundle.name)
            bundle = SimpleNamespace(folder=folder, name=folder.name)
            return Served(bundle, Live(folder.name), None, None, lambda: self.closed.append(folder.name))

        return Ready(serve, lambda: self.closed.append(folder.name))

    def look(self, name):
        self.pointed = Path(name)
        return self.releases.look()

    @property
    def now(self):
        return self.releases.now.bundle.name


@pytest.fixture
def shop():
    return Shop()


def test_a_moved_pointer_moves_the_answers(shop):
    assert not shop.look("one") and shop.read == ["one"]
    assert shop.look("two") and shop.now == "two" and shop.closed == []
    assert shop.releases.now.live.warmed == 1
    assert not shop.look("two") and shop.read == ["one", "two"]
    assert (shop.releases.taken, shop.releases.refused) == (1, 0)


def test_what_everybody_engages_with_counts_in_each_release_that_answers(shop):
    looked = []
    counts = [SimpleNamespace(follow=lambda seconds, name=name: looked.append((name, seconds))) for name in "ab"]
    shop.releases.now, beside = (replace(shop.releases.now, counts=each) for each in counts)
    shop.releases.beside = [beside]
    shop.releases._follow_counts(1.0)
    assert looked == [("a", 0.1), ("b", 0.1)], "a fifth of each second, divided among them"


def test_each_release_that_answers_takes_items_from_the_log(shop):
    shop.releases.beside = [shop.releases.now]
    shop.releases._follow_items()
    assert shop.releases.now.live.followed == 2


def test_the_answers_lack_items_of_the_log_since_the_last_look_that_took_all(shop):
    class Held(Live):
        """Waits for half a minute, in vain."""

        def follow(self):
            shop.clock += 30.0
            assert shop.releases.items_behind > 30.0, "while it waits, too"
            raise OSError("held")

    def look(clock, live):
        shop.clock, shop.releases.beside = clock, [replace(shop.releases.now, live=live)]
        with contextlib.suppress(OSError):
            shop.releases._follow_items()
        return shop.releases.items_behind

    assert look(1.0, Live("beside")) == 0.0
    assert [look(5.0, Held("beside")), look(61.0, Held("beside"))] == [34.0, 90.0]
    assert look(100.0, Live("beside")) == 0.0


def test_rows_that_are_taken_are_so_where_another_release_cannot_follow_yet(shop):
    beside = Live("beside")
    beside.follow = lambda: (_ for _ in ()).throw(OSError("held"))
    shop.releases.beside = [replace(shop.releases.now, live=beside)]
    assert shop.releases.upsert([1]) == "one" and shop.releases.now.live.rows == [1]


def test_the_release_before_is_kept_for_a_rollback(shop):
    shop.look("two")
    old = shop.releases.now.live
    assert shop.look("one") and shop.now == "one" and shop.read == ["one", "two"], "it was not read again"
    assert shop.look("two") and shop.now == "two" and shop.read == ["one", "two"] and shop.closed == []
    assert shop.counted_before == [None, None, "one", "two"], "what it had counted is handed to it"
    assert shop.releases.now.live is not old and shop.releases.upsert([1]) == "two", "it takes items, as a new one"


def test_the_release_before_goes_after_a_while_and_for_a_third(shop):
    shop.look("two")
    shop.clock = WARM_SECONDS
    assert not shop.look("two") and shop.closed == []
    shop.clock = WARM_SECONDS + 1
    assert not shop.look("two") and shop.closed == ["one"]
    assert shop.look("three") and shop.closed == ["one"]
    assert shop.look("four") and shop.closed == ["one", "two"], "there are never three"
    assert shop.look("three") and shop.read == ["one", "two", "three", "four"]


def test_no_more_than_two_are_alive(shop):
    for n in range(6):
        shop.look(str(n))
        gc.collect()
        assert {served.bundle.name for served in shop.releases.alive} == {str(n), str(n - 1) if n else "one"}
    held = shop.releases.alive
    shop.look("one more")
    shop.look("two more")
    gc.collect()
    assert len(shop.releases.alive) == 4, "what somebody holds is told"
    del held


def test_the_end_closes_both(shop):
    shop.look("two")
    shop.releases.close()
    assert sorted(shop.closed) == ["one", "two"]
    assert not shop.look("three") and shop.closed[2:] == ["three"], "what was being read goes, too"


@pytest.mark.parametrize("name", ["broken", "torn"])
def test_a_release_that_is_no_good_is_refused_once_and_the_old_one_stays(shop, name):
    assert not shop.look(name) and not shop.look(name) and shop.read == ["one", name]
    assert (
        shop.now == "one"
        and shop.closed == ["torn"][: name == "torn"]
        and (shop.releases.taken, shop.releases.refused) == (0, 1)
    )
    assert shop.releases.upsert([1]) == "one", "and takes items"
    assert shop.look("two") and shop.now == "two"


def caused(cause):
    try:
        raise SoukError("a class of a retriever", "none") from cause
    except SoukError as error:
        return error


@pytest.mark.parametrize("passing", [OSError("volume"), MemoryError(), caused(ConnectionError("network"))], ids=repr)
def test_what_may_pass_is_tried_again_after_waits_that_grow(shop, passing):
    shop.failing = [passing] * 3
    tries = []
    for second in range(100):
        shop.clock = float(second)
        before = len(shop.read)
        if shop.look("two"):
            tries.append(second)
            break
        tries += [second] * (len(shop.read) - before)
    assert tries == [0, 5, 15, 35] and (shop.now, shop.releases.refused) == ("two", 3)
    shop.failing = [passing]
    assert not shop.look("three") and not shop.look("three") and shop.read[-1] == "three"
    shop.clock += 5
    assert shop.look("three"), "the waits of another begin anew"


@pytest.mark.parametrize("lasting", [SoukError("a format", "another"), caused(KeyError("name"))], ids=repr)
def test_content_that_is_wrong_is_not_tried_again(shop, lasting):
    shop.failing = [lasting]
    assert not shop.look("two")
    shop.clock = 10.0**9
    assert not shop.look("two") and shop.read == ["one", "two"] and shop.releases.refused == 1


def test_a_pointer_that_cannot_be_read_changes_nothing_and_is_no_refused_release(shop, caplog):
    def gone():
        raise OSError("gone")

    shop.releases._pointed = gone
    assert not shop.releases.look() and not shop.releases.look() and shop.now == "one"
    assert shop.releases.refused == 0 and len(caplog.records) == 1, "it is said once"


def test_a_pointer_that_comes_back_from_a_refused_release_changes_nothing(shop):
    shop.look("broken")
    assert not shop.look("one") and shop.releases.taken == 0 and shop.closed == []
    assert not shop.look("broken") and shop.releases.refused == 2, "and it is looked at again after that"


def test_a_look_that_fails_is_not_the_last(shop):
    shop.releases.changed = lambda served: 1 / 0
    with contextlib.suppress(ZeroDivisionError):
        shop.look("two")
    assert shop.now == "two"
    shop.releases.now = replace(shop.releases.now, close=lambda: 1 / 0)
    shop.releases.changed = lambda served: None
    assert shop.look("three") and not shop.look("three") and shop.closed == ["one"], "what cannot be closed is let go"


def test_rows_that_waited_for_the_change_are_the_new_releases(shop):
    old = shop.releases.now.live
    with old.handing_over():
        waiting = threading.Thread(target=shop.releases.upsert, args=([7],))
        waiting.start()
        shop.releases.now = Served(
            SimpleNamespace(folder=Path("two"), name="two"), Live("two"), None, None, lambda: None
        )
    waiting.join(60)
    assert old.rows == [] and shop.releases.now.live.rows == [7]


def spoiled(folder):
    content = bytearray((folder / "vectors.npy").read_bytes())
    content[-1] ^= 1
    (folder / "vectors.npy").write_bytes(content)


@pytest.mark.slow
def test_no_call_fails_while_releases_change_and_a_spoiled_one_is_refused(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    first = workspace.current_release()
    beside(workspace, "shop-000000000002")
    beside(workspace, "shop-000000000003", spoiled)
    words = ["--reload-seconds", "0.05", "--timeout-ms", "60000"]
    with (
        serving(workspace.root, tmp_path / "log", *words, program=PATIENT) as server,
        Callers(server, 4).asking() as callers,
    ):
        callers.until(lambda: callers.releases[first] > ANSWERS)
        point(workspace, "shop-000000000003")
        callers.until(lambda: server.metric('souk_release_changes_total{outcome="refused"}') == 1)
        point(workspace, "shop-000000000002")
        callers.until(lambda: callers.releases["shop-000000000002"] > ANSWERS)
        point(workspace, first)
        before = callers.releases[first]
        callers.until(lambda: callers.releases[first] > before + ANSWERS)
        assert server.metric(f'souk_release{{release="{first}"}}') == 1
    assert set(callers.statuses) == {200} and set(callers.degraded) == {()}
    assert set(callers.releases) == {first, "shop-000000000002"}
    assert (
        "release refused" in (tmp_path / "log").read_text() and "changed vectors.npy" in (tmp_path / "log").read_text()
    )
