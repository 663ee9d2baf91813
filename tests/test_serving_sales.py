"""What is sold once is gone for everybody as soon as a server is told of its purchase."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from souk.config import Repeat
from souk.index.exact import ExactIndex
from souk.serving.event_log import EventLog
from souk.serving.item_log import ItemLog
from souk.serving.live_events import LiveEvents
from souk.serving.live_items import LiveItems
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.sales import Sales
from souk.state import UserState
from tests.events_fixtures import Shop, row
from tests.serving_fixtures import NOW, STATES, vectors, write_shop

BOB: UserState = STATES[1]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    bundle = write_shop(tmp_path_factory.mktemp("sales") / "shop")
    once = replace(bundle, spec=replace(bundle.spec, repeat=Repeat(sold_once=True)))
    return {True: once, False: bundle}, Recommender.load(bundle, ExactIndex(vectors(), bundle.available), None)


@pytest.fixture
def sales(shop, tmp_path):
    def of(once=True):
        bundle, recommender = shop[0][once], shop[1]
        live = LiveItems(recommender, bundle, ItemLog(tmp_path / "log"), lambda: NOW - 1000)
        releases = SimpleNamespace(now=SimpleNamespace(bundle=bundle, live=live), upsert=live.upsert)
        return Sales(releases), live

    return of


def shown(live, time):
    (slate,) = live.current.recommend([Request("bob", 200, time, state=BOB)])
    return {item.item_id for item in slate.items}


def bought(item, time, kind="purchase", **more):
    return row(1, item_id=item, event_type=kind, timestamp=time, **more)


def test_a_purchase_ends_its_item_and_no_other_act_does(sales):
    selling, live = sales()
    one, other = sorted(shown(live, NOW))[:2]
    selling.end([bought(one, NOW - 5), bought(other, NOW - 5, "cart"), bought("unknown", NOW - 5)])
    assert one not in shown(live, NOW) and {one, other} <= shown(live, NOW - 5), "its last moment is that of its sale"
    assert other in shown(live, NOW) and "unknown" not in live.current.catalogue.positions


def test_without_the_key_a_purchase_ends_nothing(sales):
    selling, live = sales(once=False)
    one = min(shown(live, NOW))
    selling.end([bought(one, NOW - 5)])
    assert one in shown(live, NOW)


def test_an_earlier_end_stays_and_a_restart_knows_all(sales, tmp_path):
    selling, live = sales()
    early, late = sorted(shown(live, NOW))[:2]
    live.upsert([{"item_id": early, "available_until": NOW - 9}, {"item_id": late, "available_until": NOW + 9}])
    selling.end([bought(early, NOW - 5), bought(late, NOW - 7), bought(late, NOW - 5)])
    again = sales()[1].load()
    until = [again.current.items.available_until[again.current.catalogue.positions[item]] for item in (early, late)]
    assert until == [NOW - 9, NOW - 5]


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
