"""What everybody engages with while a release serves is counted, from the event log, each event once."""

import os
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from souk.schema import DAY_MS
from souk.serving import served
from souk.serving.events import counts as live_counts
from souk.serving.events.log import CHECKSUM, line
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.served import with_logs
from souk.workspace import Workspace
from tests.live_counts_fixtures import HOUR, Shop, click, engagements
from tests.serving_fixtures import IDS, NOW, state, write_shop


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("made") / "shop")


@pytest.fixture(scope="module")
def loaded(bundle):
    return Recommender.load(bundle, None, None)


@pytest.fixture
def shop(bundle, loaded, tmp_path):
    return Shop(bundle, tmp_path, loaded)


def test_events_of_all_servers_count_once(shop):
    shop.servers[0].append([click(1, IDS[3]), click(2, IDS[3])])
    shop.servers[1].append([click(3, IDS[4])])
    assert shop.counts.follow() == 3 and shop.of(*IDS[3:6]) == [11, 10, 9]
    shop.servers[0].append([click(4, IDS[3])])
    assert shop.counts.follow() == 1 and shop.counts.follow() == 0 and shop.of(IDS[3]) == [12]


def test_a_file_that_is_closed_between_two_looks_counts_once(shop):
    shop.servers[0].append([click(1, IDS[3])])
    shop.counts.follow()
    shop.servers[0].append([click(2, IDS[3])])
    shop.servers[0].close()
    assert shop.counts.follow() == 1 and shop.of(IDS[3]) == [11]
    shop.servers[0].append([click(3, IDS[3])])
    assert shop.counts.follow() == 1 and shop.counts.counted == 3


def test_a_start_counts_what_came_before_it_and_no_more(shop):
    shop.servers[0].append([click(1, IDS[3])])
    shop.counts.follow()
    shop.start()
    assert shop.of(IDS[3]) == [9]
    assert shop.counts.follow() == 1 and shop.of(IDS[3]) == [10]


def test_a_release_that_is_opened_twice_begins_with_what_it_was_made_of(shop, tmp_path):
    """Batch, explanations and `souk replay` open it likewise."""
    shop.servers[0].append([click(1, IDS[3])])
    for _ in range(2):
        live, counts = with_logs(Workspace(tmp_path), shop.bundle, shop.recommender, lambda: shop.now)
        assert counts.counted == 1 and engagements(live.current, *IDS[3:5]) == [10, 9]
        assert live.current.sources._items is live.current.items, "sources count too"
    assert shop.of(IDS[3]) == [9]


def test_a_release_that_serves_twice_counts_once_in_each(shop, tmp_path):
    """As an arm's that is promoted, or to which one rolls back."""
    given = Workspace(tmp_path), shop.bundle, shop.recommender, lambda: shop.now
    arm, now = (with_logs(*given, settle=True) for _ in range(2))
    shop.servers[0].append([click(1, IDS[3])])
    for live, counts in (arm, now):
        assert engagements(live.current, IDS[3]) == [9] and counts.follow() == 1
        assert engagements(live.current, IDS[3]) == [10]


def opened(shop, tmp_path, before=None):
    given = Workspace(tmp_path), shop.bundle, shop.recommender, lambda: shop.now
    return with_logs(*given, settle=True, before=before)


def clicked(shop, first, *items):
    for number, item in enumerate(items):
        shop.servers[0].append([click(first + number, item)])
        shop.servers[0].close()


def test_a_release_that_answers_again_has_at_once_what_it_had_counted_and_each_event_once(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "COUNTING_SECONDS", 0)  # a start reads one file of the log
    clicked(shop, 0, *[IDS[3]] * 4)
    live, before = opened(shop, tmp_path)
    while before.counted < 4:
        before.follow()
    alone, _ = opened(shop, tmp_path)
    assert engagements(alone.current, IDS[3]) == [10], "another begins with what the release was made of"
    clicked(shop, 4, IDS[3], IDS[4])
    live, counts = opened(shop, tmp_path, before)
    assert engagements(live.current, IDS[3]) == [14], "and the first file of what came since"
    counts.follow()
    assert engagements(live.current, *IDS[3:6]) == [14, 10, 9] and counts.counted == 6
    again, _ = opened(shop, tmp_path, before)
    assert engagements(again.current, *IDS[3:5]) == [14, 9], "what is counted there is not counted here"


def test_items_that_came_meanwhile_have_there_what_waited_for_them_and_those_before_what_they_had(shop, tmp_path):
    first, before = opened(shop, tmp_path)
    first.upsert([{"item_id": "early", "category": "all/g1"}])
    clicked(shop, 0, "early", "late", "late", IDS[3])
    before.follow()
    other, _ = opened(shop, tmp_path)
    other.upsert([{"item_id": "late", "category": "all/g1"}])
    log = tmp_path / "items" / "upserts.log"
    log.write_bytes(b"".join(reversed(log.read_bytes().splitlines(keepends=True))))  # so that they have other places
    live, counts = opened(shop, tmp_path, before)
    places = [each.current.catalogue.positions["early"] for each in (first, live)]
    assert places == [len(IDS), len(IDS) + 1]
    counts.follow()
    assert engagements(live.current, "early", "late", *IDS[3:5]) == [1, 2, 10, 9] and counts.counted == 4
    assert before.counted == 2


@pytest.mark.parametrize("why", ["hangs", "unknown"])
def test_it_counts_anew_where_it_cannot_go_on_from_there(shop, tmp_path, monkeypatch, why):
    clicked(shop, 0, IDS[3], IDS[3])
    first, before = opened(shop, tmp_path)
    before.follow()
    monkeypatch.setattr(served, "COUNTING_SECONDS", 0)
    monkeypatch.setattr(live_counts, "PATIENCE", 0)
    if why == "hangs":
        before._looking.acquire()
    else:
        first.upsert([{"item_id": "gone", "category": "all/g1"}])
        (tmp_path / "items" / "upserts.log").unlink()
    live, counts = opened(shop, tmp_path, before)
    assert engagements(live.current, IDS[3]) == [10]
    counts.follow()
    assert engagements(live.current, IDS[3]) == [11] and counts.counted == 2


def test_engagements_wait_for_their_item(shop, tmp_path):
    live, counts = with_logs(Workspace(tmp_path), shop.bundle, shop.recommender, lambda: shop.now)
    shop.servers[0].append([click(1, "new"), click(2, IDS[3])])
    assert counts.follow() == 1
    live.upsert([{"item_id": "new", "category": "all/g1"}])
    shop.servers[0].append([click(3, "new"), click(4, IDS[3])])
    assert counts.follow() == 3
    assert engagements(live.current, "new", IDS[3], IDS[4]) == [2, 11, 9]
    again, _ = with_logs(Workspace(tmp_path), shop.bundle, shop.recommender, lambda: shop.now)
    assert engagements(again.current, "new", IDS[3], IDS[4]) == [2, 11, 9]


def test_what_the_release_was_made_of_counts_in_it_alone(shop):
    shop.servers[0].append([click(1, IDS[3], NOW - 1), click(2, IDS[3], NOW)])
    assert shop.counts.follow() == 1 and shop.of(IDS[3]) == [10]


def test_days_of_long_before_are_not_opened(shop):
    for days, expected in ((3, 0), (1, 1)):
        shop.now = NOW - days * DAY_MS
        shop.servers[0].append([click(days, IDS[3], NOW + 1)])  # no client's clock is so far ahead
        shop.servers[0].close()
        shop.now = NOW + HOUR
        assert shop.counts.follow() == expected


def test_an_event_of_a_clock_that_is_ahead_counts_when_its_time_has_come(bundle, loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(live_counts, "MOST_WAITING", 2)
    shop = Shop(bundle, tmp_path, loaded)
    shop.servers[0].append([click(1, IDS[3], shop.now + 10), click(2, IDS[4], shop.now - 1), click(3, "new")])
    assert shop.counts.follow() == 1 and shop.of(*IDS[3:5]) == [9, 10]
    shop.servers[0].append(
        [click(number, "new") for number in range(4, 8)]
    )  # what waits for an item does not push it out
    shop.now += 10
    assert shop.counts.follow() == 0, "not known at its own time"
    shop.now += 1
    assert shop.counts.follow() == 1 and shop.counts.follow() == 0 and shop.of(*IDS[3:5]) == [10, 10]


def test_an_event_that_waits_for_its_time_and_its_item_counts_once(shop):
    shop.servers[0].append([click(1, "unknown", shop.now)])
    assert shop.counts.follow() == 0
    shop.know({"unknown": 3})
    assert shop.counts.follow() == 0
    shop.now += 1
    assert shop.counts.follow() == 1 and shop.counts.follow() == 0 and shop.of(IDS[3]) == [10]


def test_of_what_waits_for_its_time_the_first_is_kept(shop, monkeypatch):
    """A time that never comes keeps nothing from its own."""
    monkeypatch.setattr(live_counts, "MOST_WAITING", 2)
    times = 1 << 62, shop.now + 2, 1 << 62, shop.now + 1, 1 << 62
    shop.servers[0].append([click(number, IDS[3], moment) for number, moment in enumerate(times)])
    assert shop.counts.follow() == 0
    shop.now += 3
    assert shop.counts.follow() == 2


def test_what_waits_longest_for_its_item_is_given_up_first(shop, monkeypatch):
    monkeypatch.setattr(live_counts, "MOST_WAITING", 2)
    shop.servers[0].append([click(number, item) for number, item in enumerate(("u3", "u4", "u3", "u4", "u4"))])
    assert shop.counts.follow() == 0
    shop.know({"u3": 3, "u4": 4})
    assert shop.counts.follow() == 2 and shop.of(*IDS[3:5]) == [9, 11]


def test_a_file_that_cannot_be_read_is_read_later_and_the_others_now(shop, monkeypatch, caplog):
    for number in range(2):
        shop.servers[number].append([click(number, IDS[3 + number])])
        shop.servers[number].close()
    (day,) = shop.folder.iterdir()
    os.utime(day, (1, 1))  # of yesterday: nothing changes there any more
    real = Path.open
    refuse = Mock(side_effect=OSError(24, "Too many open files"))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "open", lambda path, *mode: (refuse if "-one-" in path.name else real)(path, *mode))
        assert shop.counts.follow() == 1 and shop.counts.follow() == 0 and shop.of(*IDS[3:5]) == [9, 10]
    assert len([each for each in caplog.records if "Too many" in each.message]) == 1
    assert shop.counts.follow() == 1 and shop.counts.follow() == 0 and shop.of(*IDS[3:5]) == [10, 10]


def test_a_file_by_another_name_is_read(shop):
    """As one that was put back from a copy."""
    shop.servers[0].append([click(1, IDS[3])])
    shop.servers[0].close()
    (path,) = shop.folder.glob("*/*.jsonl")
    (shop.folder / "kept").mkdir()
    path.rename(shop.folder / "kept" / "all.jsonl")
    assert shop.counts.follow() == 1 and shop.counts.follow() == 0


def test_only_what_engages_with_a_known_item_counts(shop):
    hide = click(1, IDS[3], event_type="hide")
    shown = click(2, IDS[3], event_type="impression")
    shop.servers[0].append([hide, shown, click(3, "unknown"), click(4, IDS[3])])
    assert shop.counts.follow() == 1 and shop.of(IDS[3]) == [10]


def test_a_line_that_is_not_whole_is_read_when_it_is(shop):
    shop.servers[0].append([click(1, IDS[3]), click(2, IDS[4])])
    path = shop.servers[0].current
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert shop.counts.follow() == 1 and shop.of(IDS[3], IDS[4]) == [10, 9]
    path.write_bytes(content)
    assert shop.counts.follow() == 1 and shop.of(IDS[3], IDS[4]) == [10, 10]


def test_a_damaged_line_is_passed_over(shop):
    shop.servers[0].append([click(1, IDS[3]), click(2, IDS[4])])
    path = shop.servers[0].current
    path.write_bytes(path.read_bytes().replace(b'"e1"', b'"e9"'))
    assert shop.counts.follow() == 1 and shop.of(IDS[3], IDS[4]) == [9, 10]


@pytest.mark.parametrize("wrong", [{"timestamp": "soon"}, {"timestamp": None}, {"event_id": 1, "event_type": []}])
def test_a_line_that_no_server_wrote_is_passed_over(shop, wrong):
    """Its checksum is right: somebody put it there."""
    bare = {name: value for name, value in click(2, IDS[3]).items() if name not in ("event_id", "item_id")}
    shop.servers[0].append([click(1, IDS[3]) | wrong, bare, click(3, IDS[4])])
    assert shop.counts.follow() == 1 and shop.of(*IDS[3:5]) == [9, 10]


@pytest.mark.parametrize("text", [b'{"event_id": }', b'{"event_id":"e2","timestamp":1e400}', b'{"event_id":"\xff"}'])
def test_a_line_that_is_no_json_is_passed_over(shop, text):
    """Its checksum is right too."""
    shop.servers[0].append([click(1, IDS[3])])
    with shop.servers[0].current.open("ab") as file:
        file.write(text[:-1] + CHECKSUM % zlib.crc32(text) + b"\n" + line(click(3, IDS[4])))
    assert shop.counts.follow() == 2 and shop.counts.follow() == 0 and shop.of(*IDS[3:5]) == [10, 10]


def test_a_request_sees_what_was_engaged_with_a_moment_ago(shop, monkeypatch):
    """The pair features of the next request: an hour later an engagement is worth a little less."""
    from souk.serving import scoring

    seen = []
    real = scoring.pair_features
    monkeypatch.setattr(scoring, "pair_features", lambda *args: seen.append(real(*args)) or seen[-1])
    request = Request("ann", 5, NOW + HOUR, candidates=(IDS[3], IDS[4]), state=state("ann", [IDS[0]]))
    shop.recommender.recommend([request])
    shop.servers[0].append([click(1, IDS[3], NOW)])
    shop.counts.follow()
    shop.recommender.recommend([request])
    before, after = (np.expm1(pairs[:, 2:4]) for pairs in seen)
    fade = 0.5 ** (HOUR / (7 * DAY_MS))
    np.testing.assert_allclose(sorted(before.tolist()), [[9, 3 * fade]] * 2, rtol=1e-5)
    np.testing.assert_allclose(sorted(after.tolist()), [[9, 3 * fade], [10, 4 * fade]], rtol=1e-5)
