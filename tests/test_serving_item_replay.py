"""What a release takes of the log of items: neither what its own items table superseded, nor what is gone."""

import dataclasses
import math
import re
import threading

import numpy as np
import pytest

from souk.index.exact import ExactIndex
from souk.ingest.checks import LARGEST
from souk.ingest.live import ItemCheck
from souk.schema import Kind
from souk.serving.items.fit import unfit
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.items.outcomes import Replayed
from souk.serving.recommender import Recommender
from tests.serving_fixtures import IDS, NOW, SPEC, without_last, write_shop

LAST = IDS[-1]
WHOLE = {"item_id": LAST, "category": "all/g1", "price": 99.5, "title": "Gilded boots"}
SCHEMA = """
feature { name: "category" type: BYTES }
feature { name: "price" type: FLOAT presence { min_fraction: 1 } }
"""
DEAR = {**WHOLE, "item_id": "new"}


@pytest.fixture(scope="module")
def shops(tmp_path_factory):
    """A release, and one without its last item: (bundle, recommender) each."""
    bundle = write_shop(tmp_path_factory.mktemp("items") / "shop")
    each = bundle, without_last(bundle)
    return [(one, Recommender.load(one, ExactIndex(np.array(one.vectors)), None)) for one in each]


@pytest.fixture
def log(tmp_path):
    return ItemLog(tmp_path / "items" / "log")


def served(shop, log, as_of, now=NOW, oldest=0):
    """A start of a server with a release whose items file, or the newest of several, was written at `as_of`."""
    bundle, recommender = shop
    bundle = dataclasses.replace(bundle, items_as_of=as_of, items_oldest=oldest)
    return LiveItems(recommender, bundle, log, lambda: now).load()


def available(live, item):
    catalogue = live.current.catalogue
    return item in catalogue.positions and bool(catalogue.available[catalogue.positions[item]])


def test_a_start_leaves_overtaken_rows_behind(shops, log):
    first = served(shops[0], log, NOW - 9)
    for price in range(6):
        first.upsert([{"item_id": LAST, "price": price}, {**DEAR, "price": price}])
    second, third = (served(shops[0], log, NOW - 9) for _ in range(2))
    assert (second.replayed.taken, third.replayed.taken) == (12, 3)  # made, and the last of each
    assert third._row(LAST) == second._row(LAST) == first._row(LAST)
    assert third._row("new") == second._row("new") == first._row("new")


def test_a_delete_holds_until_an_items_file_is_younger(shops, log):
    served(shops[0], log, NOW - 9).upsert([{"item_id": LAST, "available": False}])
    retrained = served(shops[0], log, NOW - 1)  # from a file of before the delete
    assert not available(retrained, LAST) and retrained.replayed == Replayed(taken=1)
    younger = served(shops[0], log, NOW + 1)
    assert available(younger, LAST) and younger.replayed == Replayed(older=1)


@pytest.mark.parametrize("oldest", [NOW - 1, NOW, NOW + 1])
def test_of_several_items_files_only_what_takes_an_item_out_holds_until_all_are_younger(shops, log, oldest):
    first = served(shops[0], log, NOW - 9)
    gone, back, ended, lasts, later = IDS[:5]
    rows = [{"item_id": item, "available": False} for item in (gone, back)]
    rows += [{"item_id": item, "available_until": NOW - 5} for item in (ended, lasts)]
    rows += [{"item_id": back, "available": True}, {"item_id": lasts, "available_until": None}]
    rows += [{"item_id": later, "price": 2.0, "available_until": NOW + 5}]
    first.upsert([*rows, DEAR])
    live = served(shops[0], log, NOW + 1, NOW + 2, oldest)
    holds = oldest <= NOW
    until = dict(zip(IDS, live.current.items.available_until, strict=False))
    assert (available(live, gone), available(live, back)) == (not holds, True)
    assert (until[ended], until[lasts], until[later]) == ((NOW - 5, np.inf, NOW + 5) if holds else (np.inf,) * 3)
    assert live._row(later)["item_price"] == shops[0][0].items.to_pylist()[4]["item_price"], "the file's"
    assert live.replayed == Replayed(taken=1 + 3 * holds, older=7 - 3 * holds)


def test_what_takes_an_item_out_does_so_as_text_too(shops, log):
    """Who sends a CSV sends text alone, and the log has rows as they were sent."""
    gone, back, word, ended, lasts, never = IDS[:6]
    rows = [{"item_id": gone, "available": "false"}, {"item_id": back, "available": "1"}]
    rows += [{"item_id": word, "available": 0}, {"item_id": ended, "available_until": str(NOW - 5)}]
    rows += [{"item_id": item, "available_until": text} for item, text in ((lasts, ""), (never, str(NOW + 5)))]
    outcome = served(shops[0], log, NOW - 9).upsert(rows)
    assert outcome.accepted == 6
    live = served(shops[0], log, NOW + 1, NOW + 2, NOW - 1)
    until = dict(zip(IDS, live.current.items.available_until, strict=False))
    assert [available(live, item) for item in (gone, back, word)] == [False, True, False]
    assert [until[item] for item in (ended, lasts, never)] == [NOW - 5, np.inf, NOW + 5]
    assert live.replayed == Replayed(taken=4, older=2)


def test_what_a_server_took_stays_taken_by_one_that_refuses_it(shops, log):
    """An id without content, and the seconds of a birth: servers were not always so strict."""
    born = NOW // 1000
    log.append(
        [{**DEAR, "created_at": born}, {"item_id": IDS[0], "price": 77.0, "created_at": born}], [True, False], NOW
    )
    live = served(shops[0], log, NOW - 9)
    assert live.replayed == Replayed(taken=2) and "new" in live.current.catalogue.positions
    assert live._row(IDS[0])["item_price"] == 77.0
    outcome = live.upsert([{"item_id": "other"}, {**DEAR, "created_at": born}])
    assert outcome.accepted == 0 and len(outcome.refused) == 2
    row = {**live._row(LAST), "item_id": "bare"}
    nothing = {"title": math.nan, "price": math.nan}, {"title": " ", "category": [None, ""]}
    for bare in ({}, {"title": None, "price": None}, {"category": [], "available_until": NOW}, *nothing):
        given = {"item_id": "bare", **bare}
        assert [bool(unfit(given, row, True, True, NOW, SPEC, logged)) for logged in (True, False)] == [False, True]
    for said in ({"price": 0}, {"created_at": NOW}):
        assert not unfit({"item_id": "bare", **said}, row, True, True, NOW, SPEC)


@pytest.mark.parametrize("as_of", [NOW - 1, NOW + 1])
def test_a_row_that_changed_an_item_does_not_bring_it_back(shops, log, as_of):
    served(shops[0], log, NOW - 9).upsert([{"item_id": LAST, "price": 94.0}])
    later = served(shops[1], log, as_of)
    assert LAST not in later.current.catalogue.positions and later.replayed == Replayed(unknown=1)


def test_an_item_that_no_release_had_stays_and_one_that_a_release_dropped_goes(shops, log):
    whole, fewer = shops
    served(fewer, log, NOW - 9).upsert([WHOLE, DEAR])
    served(fewer, log, NOW - 9, NOW + 1).upsert([{"item_id": "new", "title": "Boots"}])
    second = served(whole, log, NOW + 2)  # has WHOLE by now, not yet DEAR
    assert second.replayed == Replayed(taken=2, older=1) and available(second, "new")
    assert second.current.catalogue.titles[-1] == "Boots"
    content = log._path.read_bytes()
    assert served(whole, log, NOW + 2).replayed == second.replayed and log._path.read_bytes() == content  # noted once
    third = served(fewer, log, NOW + 3)
    assert third.replayed == Replayed(taken=2, older=1) and not available(third, LAST)
    third.upsert([WHOLE])  # made anew, after the note
    assert available(served(fewer, log, NOW - 5), LAST)
    served(fewer, log, NOW + 3, NOW + 5).upsert([WHOLE])
    assert available(served(fewer, log, NOW + 9), LAST)


def test_a_release_that_goes_back_has_what_came_since(shops, log):
    whole, fewer = shops
    served(fewer, log, NOW - 9).upsert([WHOLE])
    served(whole, log, NOW + 2)
    assert available(served(fewer, log, NOW - 9), LAST)


def test_part_of_a_row_after_its_whole_is_taken_again(shops, log):
    check = ItemCheck({"category": Kind.PATH, "price": Kind.NUMERIC}, {}, SCHEMA)
    live = served(shops[0], log, NOW - 9)
    live._check = check
    part = {"item_id": "new", "title": "Boots"}
    assert [each.row for each in live.upsert([part, DEAR, part]).refused] == [0]
    bundle, recommender = shops[0]
    again = LiveItems(recommender, dataclasses.replace(bundle, items_as_of=NOW - 9), log, lambda: NOW)
    again._check = check
    assert again.load().replayed == Replayed(taken=2)
    assert again.current.catalogue.titles[-1] == "Boots"


def test_an_extreme_row_is_refused_alone_at_the_start_too(shops, log):
    live = served(shops[0], log, NOW - 9)
    rows = [
        {**DEAR, "item_id": "a", "price": 10 * LARGEST},
        {**DEAR, "item_id": "b", "category": "all/g9"},  # for which this tower gives a vector of zeros
        DEAR,
        {"item_id": "b", "price": 1.0},
    ]
    outcome = live.upsert(rows)
    assert (outcome.accepted, [each.row for each in outcome.refused]) == (1, [0, 1, 3])
    assert "price of at most" in outcome.refused[0].reason and "item tower has a vector" in outcome.refused[1].reason
    log.append([rows[1], {**DEAR, "item_id": "c"}], [True, True], NOW)  # of a release whose tower knew better
    assert served(shops[0], log, NOW - 9).replayed == Replayed(taken=2, refused=1)


def test_a_mistyped_delete_and_an_item_of_tomorrow_are_refused(shops, log):
    live = served(shops[0], log, NOW - 9)
    day = 86_400_000
    rows = [{"item_id": "typo", "available": False}, {**DEAR, "created_at": NOW + day}, {**DEAR, "created_at": NOW + 1}]
    outcome = live.upsert(rows)
    assert [each.row for each in outcome.refused] == [0, 1] and outcome.created == 1
    assert (
        "an item that is known" in outcome.refused[0].reason and "created_at in the past" in outcome.refused[1].reason
    )
    assert re.search(rf"Received: {NOW + day}, \d{{4}}-\d\d-\d\d \d\d:\d\d", outcome.refused[1].reason)
    assert "typo" not in live.current.catalogue.positions


def test_two_upserts_at_once_lose_nothing(shops, log, monkeypatch):
    live, append, second = served(shops[0], log, NOW - 9), log.append, []

    def slow(*given):
        if not second:
            second.append(threading.Thread(target=live.upsert, args=([{**DEAR, "item_id": "other"}],)))
            second[0].start()
            second[0].join(0.5)  # it waits for the first one
        return append(*given)

    monkeypatch.setattr(log, "append", slow)
    live.upsert([DEAR])
    second[0].join()
    assert available(live, "new") and available(live, "other")
