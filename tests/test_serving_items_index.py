"""Items that change beside the index: what it finds of them, and where it fails."""

import time

import pytest

from souk.index.exact import ExactIndex
from souk.serving.budget import Guards
from souk.serving.dependency import FAILURES, Dependency
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.state import Event, UserState
from tests.serving_fixtures import HIDDEN, IDS, NOW, PRICES, STATES, vectors, write_shop

ANN, BOB = STATES[0], STATES[1]  # of group 1 in the north, where dear items come first; of group 2 in the south
DEAR = {"item_id": "new", "category": "all/g1", "price": 99.5, "title": "Gilded boots"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    bundle = write_shop(tmp_path_factory.mktemp("items") / "shop")
    return bundle, Recommender.load(bundle, ExactIndex(vectors(), bundle.available), None)


@pytest.fixture
def live(shop, tmp_path):
    bundle, recommender = shop
    return LiveItems(recommender, bundle, ItemLog(tmp_path / "log"), lambda: NOW - 1000)


def slate(recommender, state, **asked):
    (answer,) = recommender.recommend([Request(state.user_id, 5, NOW, state=state, **asked)])
    return {item.item_id: item for item in answer.items}


def test_the_exact_search_knows_it_where_the_index_fails(live, shop):
    class Gone(ExactIndex):
        def search(self, *given, **named):
            raise OSError("gone")

    live.current = live.current.connected(Gone(vectors(), shop[0].available), None)
    live.upsert([DEAR])
    (answer,) = live.current.recommend([Request("ann", 5, NOW, state=ANN)])
    assert answer.items[0].item_id == "new" and answer.degraded == ("index_unavailable",)


def test_an_index_that_failed_is_left_alone_after_an_upsert_too(live, shop):
    asked = []

    class Gone(ExactIndex):
        remote = True

        def search(self, *given, **named):
            asked.append(1)
            raise OSError("gone")

    live.current.guards = Guards(index=Dependency("index", 60, lambda: 0.0))
    live.current = live.current.connected(Gone(vectors(), shop[0].available), None)
    for place in range(2 * FAILURES):
        live.current.recommend([Request("ann", 5, NOW, state=ANN, deadline=time.monotonic() + 60)])
        live.upsert([{**DEAR, "item_id": f"other {place}"}])
    assert len(asked) == FAILURES


def test_a_just_seen_new_item_brings_its_neighbours(live):
    """A visitor without a past: before the event the first axis, after it what is like the item just seen."""
    live.upsert([{**DEAR, "item_id": f"n{n}", "category": "all/g3", "price": 1.0} for n in range(3)])
    click = Event("g3-01", "click", NOW - 500)
    asked = {"user_id": "nobody", "k": 5, "timestamp": NOW, "state": UserState("nobody")}
    before, after = live.current.rank([Request(**asked), Request(**asked, events=(click,))])
    assert {item[:2] for item in nearest(live.current, before, 8)} == {"g0"}
    assert {item[:2] for item in nearest(live.current, after, 8)} <= {"g3", "n0", "n1", "n2"}
    assert {"n0", "n1", "n2"} <= set(nearest(live.current, after, 16))


def nearest(recommender, ranking, count):
    """The first ids that the index brought."""
    pairs = zip(ranking.candidates.positions.tolist(), ranking.candidates.sources, strict=True)
    return [recommender.catalogue.ids[at] for at, source in pairs if "two_tower" in source][:count]


def test_a_feed_of_prices_is_no_change_to_the_index(live):
    """This tower does not look at the price."""
    index = live.current.retrieval.index
    for factor in (1.0, 1.1):
        live.upsert([{"item_id": item, "price": factor * price, "available": True} for item, price in PRICES.items()])
    assert live.current.retrieval.index.replaced.tolist() == [n for n, i in enumerate(IDS) if i in HIDDEN]
    live.upsert([{"item_id": item, "available": False} for item in HIDDEN])
    assert live.current.retrieval.index is index
    live.upsert([DEAR, {"item_id": IDS[3], "available": False}])
    assert live.current.retrieval.index.replaced.tolist() == [3, len(IDS)]
