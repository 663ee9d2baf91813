"""What is sold once is gone for everybody as soon as a server is told of its purchase."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from souk.config import Repeat
from souk.index.exact import ExactIndex
from souk.schema import DAY_MS
from souk.serving.events.live import LiveEvents
from souk.serving.events.log import EventLog
from souk.serving.items.ends import Waiting
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.items.sales import Sales
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.state import UserState
from tests.events_fixtures import Shop, row
from tests.serving_fixtures import IDS, NOW, STATES, vectors, without_last, write_shop

BOB: UserState = STATES[1]
LAST = IDS[-1]
OF = {"category": "all/g1", "price": 1.0}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A release in which each item is sold once, the same without the key, and one without its last item."""
    bundle = write_shop(tmp_path_factory.mktemp("sales") / "shop")
    once = replace(bundle, spec=replace(bundle.spec, repeat=Repeat(sold_once=True)))
    bundles = {"once": once, "often": bundle, "fewer": without_last(once)}
    return {name: (b, Recommender.load(b, ExactIndex(np.array(b.vectors)), None)) for name, b in bundles.items()}


@pytest.fixture
def sales(shop, tmp_path):
    """A start of a server with a release whose items file was written at `as_of`."""

    def of(name="once", as_of=0):
        bundle, recommender = shop[name]
        bundle = replace(bundle, items_as_of=as_of)
        live = LiveItems(recommender, bundle, ItemLog(tmp_path / "log"), lambda: NOW).load()
        releases = SimpleNamespace(now=SimpleNamespace(bundle=bundle, live=live), sell=live.sell)
        return Sales(releases), live

    return of


def shown(live, time=NOW):
    (slate,) = live.current.recommend([Request("bob", 200, time, state=BOB)])
    return {item.item_id for item in slate.items}


def until(live, *items):
    return [live.current.items.available_until[live.current.catalogue.positions[item]] for item in items]


def bought(item, time, kind="purchase", **more):
    return row(1, item_id=item, event_type=kind, timestamp=time, **more)


def test_a_purchase_ends_its_item_and_no_other_act_does(sales):
    selling, live = sales()
    one, other = sorted(shown(live))[:2]
    selling.end([bought(one, NOW - 5), bought(other, NOW - 5, "cart"), bought("unknown", NOW - 5)])
    assert one not in shown(live) and {one, other} <= shown(live, NOW - 5), "its last moment is that of its sale"
    assert other in shown(live) and "unknown" not in live.current.catalogue.positions


def test_without_the_key_a_purchase_ends_nothing(sales):
    selling, live = sales("often")
    one = min(shown(live))
    selling.end([bought(one, NOW - 5)])
    assert one in shown(live)


def test_the_earliest_end_is_that_of_an_item_and_a_restart_knows_it(sales):
    selling, live = sales()
    early, late = sorted(shown(live))[:2]
    live.upsert([{"item_id": early, "available_until": NOW - 9}, {"item_id": late, "available_until": NOW + 9}])
    selling.end([bought(early, NOW - 5), bought(late, NOW - 5), bought(late, NOW - 7)])
    selling.end([bought(late, NOW - 4), bought(early, NOW - 4)])
    assert until(sales()[1], early, late) == until(live, early, late) == [NOW - 9, NOW - 7]


def test_a_purchase_by_a_clock_that_is_ahead_ends_its_item_now(sales):
    selling, live = sales()
    one = min(shown(live))
    selling.end([bought(one, NOW + 60_000)])
    assert until(live, one) == [NOW] and one not in shown(live, NOW + 1)


@pytest.mark.parametrize("days", [0.9, 1.1])
def test_a_purchase_of_long_before_an_item_was_listed_is_of_an_earlier_listing(sales, days):
    selling, live = sales()
    one = min(shown(live))
    live.upsert([{"item_id": one, "created_at": NOW - 2000}])
    selling.end([bought(one, NOW - 2000 - int(days * DAY_MS))])
    assert (one in shown(live)) == (days > 1)


def test_an_items_file_that_is_younger_than_a_purchase_need_not_know_it(sales):
    """The events that the next release is made of end before the sale, and its items have no ends. The shop may."""
    selling, live = sales()
    sold, again, deleted = sorted(shown(live))[:3]
    selling.end([bought(sold, NOW - 5), bought(again, NOW - 5)])
    live.upsert([{"item_id": again, "available_until": None}, {"item_id": deleted, "available": False}])
    _, younger = sales(as_of=NOW + 1)
    assert sold not in shown(younger) and {again, deleted} <= shown(younger)
    assert sold in shown(sales("often", as_of=NOW + 1)[1]), "where it does not say so any more, the file counts"


def test_what_is_put_up_again_in_the_items_file_of_the_next_release_stays(sales, shop):
    selling, live = sales()
    one = min(shown(live))
    selling.end([bought(one, NOW - 3 * DAY_MS)])
    bundle, _ = shop["once"]
    born = pa.array([NOW - DAY_MS if item == one else None for item in IDS], pa.int64())
    items = bundle.items.set_column(bundle.items.column_names.index("created_at"), "created_at", born)
    fresh = replace(bundle, items=items, items_as_of=NOW + 1)
    again = LiveItems(Recommender.load(fresh, ExactIndex(vectors()), None), fresh, live._log, lambda: NOW).load()
    assert one in shown(again) and one not in shown(live)


def test_a_purchase_of_what_the_next_release_will_have_waits_for_it(sales):
    selling, live = sales("fewer")
    assert LAST not in live.current.catalogue.positions
    selling.end([bought(LAST, NOW - 5), bought("unknown", NOW - 5)])
    assert LAST not in live.current.catalogue.positions
    for as_of in (0, NOW + 1):
        _, later = sales(as_of=as_of)
        assert until(later, LAST) == [NOW - 5] and LAST not in shown(later)
        assert "unknown" not in later.current.catalogue.positions


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ({}, NOW - 5),
        ({"available_until": NOW + DAY_MS}, NOW - 5),  # of the offer
        ({"available_until": NOW - 9}, NOW - 9),
        ({"available_until": None}, np.inf),  # put up again
        ({"created_at": NOW - DAY_MS}, NOW - 5),
        ({"created_at": NOW + DAY_MS}, None),  # of tomorrow: refused
    ],
)
def test_an_item_that_is_made_after_its_sale_has_ended(sales, said, end):
    """Events may be faster than items. All servers say so, after a restart and when the log was thinned, too."""
    (selling, here), (_, there) = sales(), sales()
    selling.end([bought("new", NOW - 3 * DAY_MS), bought("other", NOW - 5)])
    selling.end([bought("new", NOW - 4), bought("new", NOW - 5)])  # not the listing of three days ago
    made = there.upsert([{"item_id": "new", **OF, **said}, {"item_id": "last", **OF}])
    assert len(made.refused) == (end is None)
    here.follow()
    for live in (there, here, sales()[1], sales()[1]):
        live._log.thin()
        assert until(live, "last") == [np.inf] and "last" in shown(live)
        assert ("new" in live.current.catalogue.positions) == (end is not None)
        if end is not None:
            assert until(live, "new") == [end] and ("new" in shown(live)) == (end == np.inf)


def test_a_log_that_is_thinned_while_a_server_reads_it_ends_nothing_again(sales):
    """What was bought three days ago was an earlier listing: the item came after it."""
    (selling, here), (_, there) = sales(), sales()
    selling.end([bought("new", NOW - 3 * DAY_MS)])
    there.upsert([{"item_id": "new", **OF}])
    there.upsert([{"item_id": IDS[0], "price": float(n)} for n in range(9)])
    here.follow()
    assert ItemLog(here._log._path).thin() == 8
    there.follow()
    here.follow()
    assert until(there, "new") == until(here, "new") == until(sales()[1], "new") == [np.inf]


def test_purchases_of_an_unknown_item_are_kept_and_logged_once_an_hour(sales):
    selling, live = sales()
    hour = 3_600_000
    begin = NOW - NOW % hour - 4 * hour  # of an hour, with the second purchase
    for time in (begin + 9, begin + hour + 9, *range(begin + 10, begin + 30), *range(begin + 8, begin, -4)):
        selling.end([bought("new", time), bought("other", begin)])
    kept = {"new": [begin + 9, begin + hour + 9, begin + 8, begin + 4], "other": [begin]}
    rows = live._log.read().rows
    logged = {name: [r["available_until"] for r in rows if r["item_id"] == name] for name in kept}
    assert logged == kept, "the earliest of each hour, and what was the earliest before"
    assert len(live.waiting) == len(sales()[1].waiting) == 3
    for each in (live, sales()[1]):
        each.upsert([{"item_id": "new", **OF, "created_at": NOW - hour}, {"item_id": "other", **OF}])
        assert until(each, "new", "other") == [begin + 4, begin]


def test_of_too_many_purchases_of_unknown_items_the_oldest_are_given_up():
    waiting, hour = Waiting(most=4), 3_600_000
    for name, at in (("a", 0), ("a", 1), ("b", 0), ("c", 1), ("d", 1), ("e", 1)):
        waiting.add([{"item_id": name, "available_until": NOW + at * hour}])
    assert (len(waiting), waiting.given_up) == (4, 2)
    assert [waiting.lacks({"item_id": name, "available_until": NOW + hour}) for name in "abcde"] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_a_thinned_log_knows_the_newest_sale_of_an_unknown_item_whatever_came_after_it(sales):
    """An event that came late is of a listing before the one to come."""
    selling, live = sales()
    selling.end([bought("new", NOW - 5)])
    selling.end([bought("new", NOW - 3 * DAY_MS)])
    live.upsert([{"item_id": IDS[0], "price": float(n)} for n in range(9)])
    assert live._log.thin() == 8
    for each in (live, sales()[1]):
        each.upsert([{"item_id": "new", **OF}])
        assert until(each, "new") == [NOW - 5] and "new" not in shown(each)


def test_what_thinning_leaves_of_ends(tmp_path):
    """Of ends by purchases one an hour; of all that were before somebody told one, none."""
    log, hour = ItemLog(tmp_path / "log"), 3_600_000
    begin = NOW - NOW % hour

    def sell(*times):
        log.append([{"item_id": "new", "available_until": time} for time in times], [False] * len(times), NOW, True)

    sell(begin + 3, begin + 2, begin - hour, begin + 1)
    assert log.thin() == 2 and [row["available_until"] for row in log.read().rows] == [begin - hour, begin + 1]
    log.append([{"item_id": "new", "available_until": None}], [False], NOW)
    assert log.thin() == 2 and [row["available_until"] for row in log.read().rows] == [None]
    sell(begin)
    assert log.thin() == 1 and [row["available_until"] for row in log.read().rows] == [begin]


def test_where_it_is_not_sold_once_any_more_a_sale_ends_no_item_to_come(sales):
    sales()[0].end([bought("new", NOW - 5)])
    live = sales("often")[1]
    live.upsert([{"item_id": "new", **OF}])
    assert "new" in shown(live)


def test_the_next_release_knows_that_an_item_was_sold_before_it_was_made(sales, shop):
    """Its items file has the end of the offer alone."""
    selling, live = sales("fewer")
    selling.end([bought(LAST, NOW - 5)])
    live.upsert([{"item_id": LAST, **OF, "available_until": NOW + DAY_MS}])
    live.upsert([{"item_id": f"more{n}", "available": bool(n % 2), **OF} for n in range(3)] * 9)
    live._log.thin()
    for as_of in (0, NOW + 1):
        assert until(live, LAST) == until(sales(as_of=as_of)[1], LAST) == [NOW - 5]
    live.upsert([{"item_id": LAST, **OF, "available_until": NOW + DAY_MS}])
    for as_of in (0, NOW + 1):
        assert LAST in shown(live) and LAST in shown(sales(as_of=as_of)[1]), "what is said after both counts"


def test_what_two_servers_sell_both_know(sales):
    (selling, here), (_, there) = sales(), sales()
    one, other = sorted(shown(here))[:2]
    there.upsert([{"item_id": other, "available_until": NOW - 9}])
    selling.end([bought(one, NOW - 5)])
    there.follow()
    assert until(here, one, other) == until(there, one, other) == [NOW - 5, NOW - 9]


def test_events_are_taken_where_their_items_cannot_end(shop, caplog):
    def broken(times):
        raise error

    selling = Sales(SimpleNamespace(now=SimpleNamespace(bundle=shop["once"][0]), sell=broken))
    error = ValueError("a bug")
    selling.end([bought(IDS[0], NOW - 5)])
    assert "1 items do not end with their purchase" in caplog.text
    error = OSError("full")
    with pytest.raises(OSError, match="full"):
        selling.end([bought(IDS[0], NOW - 5)])
    selling.end([bought(IDS[0], NOW - 5, "cart")])


def test_what_is_put_up_again_stays_when_its_purchase_is_sent_again(tmp_path):
    """The first time alone counts, and where the items cannot be written the event may come again."""
    told, full = [], [True]

    def sold(rows):
        if full.pop() if full else False:
            raise OSError("full")
        told.extend(each["event_id"] for each in rows)

    events = Shop(tmp_path)
    events.start().close()
    live = LiveEvents(EventLog(tmp_path, "w9", lambda: NOW), events.live._writer, lambda: "first", sold=sold).open()
    with pytest.raises(OSError, match="full"):
        live.submit([bought("i1", NOW)]).result()
    assert live.submit([bought("i1", NOW)]).result().accepted == 1 and told == ["e1"]
    assert live.submit([bought("i1", NOW)]).result().duplicates == 1 and told == ["e1"]
    live.close()
    assert len([*tmp_path.glob("*/*.jsonl")][-1].read_text().splitlines()) == 1, "refused, it is not in the log"
