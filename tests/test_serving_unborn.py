"""Items whose time has not come are in no slate, of whatever kind; when it has, they are."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.unborn import Unborn
from souk.state import Event
from souk.store.memory import MemoryStore
from tests.recommender_fixtures import CANDIDATES
from tests.serving_fixtures import HIDDEN, IDS, NOW, SPEC, STATES, vectors, write_shop

HOUR = 3_600_000
BIRTHS = {f"late-{n}": NOW + n * HOUR for n in (1, 2, 3)}


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    """A shop with three more items, dearer than all others, one of each coming hour; and a wrong date."""
    bundle = write_shop(tmp_path_factory.mktemp("unborn") / "shop", CANDIDATES)
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    rows = bundle.items.slice(16, 1).to_pylist() * 3
    rows = [
        {**row, "item_id": i, "created_at": born, "item_price": 99.0}
        for row, (i, born) in zip(rows, BIRTHS.items(), strict=True)
    ]
    rows += [{**bundle.items.slice(20, 1).to_pylist()[0], "created_at": NOW + HOUR}]
    own = np.concatenate([vectors()[[16, 16, 16]], vectors()[[20]]])
    table = pa.Table.from_pylist(rows, bundle.items.schema)
    return Recommender.load(bundle, None, store).with_items(table, own)


def shown(slate):
    return {item.item_id for item in slate.items}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-1, 4), st.integers(1, 80), st.sampled_from(["user", "nobody", "like", "session", "named", "safe"]))
def test_never_fewer_than_there_are_nor_what_is_to_come(recommender, hours, k, kind):
    now = NOW + hours * HOUR
    there = {i for i in IDS if i not in HIDDEN} | {i for i, born in BIRTHS.items() if born <= now}
    more = {
        "user": {"user_id": "ann"},
        "nobody": {"user_id": "nobody"},
        "like": {"user_id": "", "item_id": "g0-00"},
        "session": {"user_id": "", "events": (Event("g1-03", "click", now - 5),)},
        "named": {"user_id": "nobody", "candidates": (*BIRTHS, "g0-01")},
        "safe": {"user_id": "ann"},
    }[kind]
    request = Request(k=k, timestamp=now, **more)
    (slate,) = recommender.safe([request]) if kind == "safe" else recommender.recommend([request])
    out = {"user": {"g1-00", "g1-01", "g1-02"}, "like": {"g0-00"}, "session": {"g1-03"}}.get(kind, set())
    eligible = (there & {*BIRTHS, "g0-01"} if kind == "named" else there) - out
    assert shown(slate) <= eligible and len(slate.items) == min(k, len(eligible))


def test_a_dear_item_is_first_as_soon_as_its_time_has_come(recommender):
    for now, first in ((NOW + HOUR - 1, False), (NOW + HOUR, True)):
        (slate,) = recommender.recommend([Request("ann", 1, now)])
        assert (shown(slate) == {"late-1"}) is first


def test_who_asks_when_all_are_there_is_compared_with_one_number(recommender):
    unborn = recommender.unborn
    assert unborn.at(NOW + 3 * HOUR) == frozenset() and len(unborn.at(NOW + 3 * HOUR - 1)) == 1
    assert unborn.at(NOW) is unborn.at(NOW + 1), "and others with what the one before them had"
    assert isinstance(unborn, Unborn) and len(unborn.at(NOW)) == 3
