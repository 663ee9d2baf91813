"""Items whose time has not come are in no slate, of whatever kind, nor those whose time is over."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from souk.index.interface import Index, IndexUnavailable
from souk.items import available_at
from souk.release.manifest import read_manifest, write_manifest
from souk.serving import ranking
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.lifetimes import Lifetimes
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.state import Event
from souk.store.memory import MemoryStore
from tests.arms_fixtures import reader_of
from tests.recommender_fixtures import CANDIDATES
from tests.serving_fixtures import HIDDEN, IDS, NOW, SPEC, STATES, vectors, write_shop, write_workspace

HOUR = 3_600_000
BIRTHS = {f"late-{n}": NOW + n * HOUR for n in (1, 2, 3)}
ENDS = {"g0-04": NOW, "g0-05": NOW + 2 * HOUR, "late-2": NOW + 3 * HOUR}


def with_rows(bundle, changes):
    """A recommender over the shop's items with other columns: copies of g1-00 under new ids."""
    base = {row["item_id"]: row for row in bundle.items.to_pylist()}
    rows = [{**base.get(item, base["g1-00"]), "item_id": item, **more} for item, more in changes.items()]
    own = np.stack([vectors()[IDS.index(item if item in IDS else "g1-00")] for item in changes])
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    return Recommender.load(bundle, None, store).with_items(pa.Table.from_pylist(rows, bundle.items.schema), own)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("lifetimes") / "shop", CANDIDATES)


@pytest.fixture(scope="module")
def recommender(bundle):
    """A shop with three more items, dearer than all others, one of each coming hour; a wrong date; and three ends."""
    late = {item: {"created_at": born, "item_price": 99.0} for item, born in BIRTHS.items()}
    changes = {**late, "g1-04": {"created_at": NOW + HOUR}}
    for item, end in ENDS.items():
        changes[item] = {**changes.get(item, {}), "available_until": end}
    return with_rows(bundle, changes)


class Away(Index):
    """One outside this process that does not answer."""

    remote = True

    def search(self, queries, k, *args, **kwargs):
        """Fails."""
        raise IndexUnavailable("Milvus to answer", "nothing")

    def close(self):
        """Nothing is held."""


def shown(slate):
    return {item.item_id for item in slate.items}


def there(now):
    born = {i for i in IDS if i not in HIDDEN} | {i for i, time in BIRTHS.items() if time <= now}
    return {i for i in born if ENDS.get(i, now) >= now}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(-1, 4), st.integers(1, 80), st.sampled_from(["user", "nobody", "like", "session", "named", "safe"]))
def test_never_fewer_than_there_are_nor_what_is_to_come_or_over(recommender, hours, k, kind):
    now = NOW + hours * HOUR
    more = {
        "user": {"user_id": "ann"},
        "nobody": {"user_id": "nobody"},
        "like": {"user_id": "", "item_id": "g0-00"},
        "session": {"user_id": "", "events": (Event("g1-03", "click", now - 5),)},
        "named": {"user_id": "nobody", "candidates": (*BIRTHS, "g0-01", "g0-05")},
        "safe": {"user_id": "ann"},
    }[kind]
    request = Request(k=k, timestamp=now, **more)
    (slate,) = recommender.safe([request]) if kind == "safe" else recommender.recommend([request])
    out = {"user": {"g1-00", "g1-01", "g1-02"}, "like": {"g0-00"}, "session": {"g1-03"}}.get(kind, set())
    eligible = (there(now) & {*BIRTHS, "g0-01", "g0-05"} if kind == "named" else there(now)) - out
    assert shown(slate) <= eligible and len(slate.items) == min(k, len(eligible))


def test_a_dear_item_is_first_from_the_moment_it_comes_to_the_one_it_ends(recommender):
    for now, first in ((HOUR - 1, None), (HOUR, "late-1"), (2 * HOUR, {"late-1", "late-2"})):
        (slate,) = recommender.recommend([Request("ann", 2, NOW + now)])
        assert (shown(slate) & BIRTHS.keys()) == ({first} if isinstance(first, str) else first or set())
    (last,) = recommender.recommend([Request("ann", 3, NOW + 3 * HOUR)])
    assert shown(last) == BIRTHS.keys(), "the last moment of late-2"
    (after,) = recommender.recommend([Request("ann", 3, NOW + 3 * HOUR + 1)])
    assert shown(after) & BIRTHS.keys() == {"late-1", "late-3"}, "late-2 is over"


def test_a_slate_is_filled_from_every_block_of_the_catalogue(recommender, monkeypatch):
    monkeypatch.setattr(ranking, "BLOCK", 7)
    slate = recommender.safe([Request("ann", 80, NOW)])[0]
    assert shown(slate) == there(NOW) and len(slate.items) == len(there(NOW))


def test_models_are_called_before_the_first_request_though_all_items_have_ended(bundle, monkeypatch):
    ended = pa.array([1] * len(bundle.items), pa.int64())
    items = bundle.items.set_column(bundle.items.column_names.index("available_until"), "available_until", ended)
    asked = []
    monkeypatch.setattr(Recommender, "rank", lambda self, requests: asked.append(self.catalogue.shown((), NOW).any()))
    Recommender.load(replace(bundle, items=items), None, None)
    assert asked == [True]


def test_where_nothing_is_left_the_answer_says_so(bundle):
    recommender = with_rows(bundle, {item: {"available_until": NOW + HOUR} for item in IDS})
    before, after = recommender.recommend([Request("ann", 3, NOW + HOUR), Request("ann", 3, NOW + HOUR + 1)])
    assert len(before.items) == 3 and before.degraded == ()
    assert after.items == () and after.degraded == ("nothing_available",)
    (safe,) = recommender.safe([Request("ann", 3, NOW + HOUR + 1)])
    assert safe.items == () and "nothing_available" in safe.degraded


def test_who_asks_when_all_are_there_is_compared_with_two_numbers():
    nan, inf = np.nan, np.inf
    lifetimes = Lifetimes(np.array([nan, 10, 20, 30]), np.array([inf, inf, 40, inf]), np.array([0, 0, 0, 1], bool))
    assert lifetimes.at(20) is None and lifetimes.at(40) is None
    assert lifetimes.at(19).tolist() == [True, True, False, True], "what was engaged with was there"
    assert lifetimes.at(9).tolist() == [True, False, False, True]
    assert lifetimes.at(41).tolist() == [True, True, False, True]
    assert lifetimes.at(41) is lifetimes.at(42), "who asks next has what the one before had"
    with pytest.raises(ValueError, match="read-only"):
        lifetimes.at(41)[0] = False


def test_a_price_leaves_the_lifetimes_what_they_are(bundle, recommender):
    row = pa.Table.from_pylist([{**bundle.items.to_pylist()[3], "item_price": 3.0}], bundle.items.schema)
    assert recommender.with_items(row, vectors()[[3]]).catalogue.lifetimes is recommender.catalogue.lifetimes


def test_what_is_available_at_a_time():
    until = pa.array([None, 5, 6, None, 5, 9], pa.int64())
    table = pa.table({"available": [True, True, True, False, False, False], "available_until": until})
    assert available_at(table, 6).tolist() == [True, False, True, False, False, False]
    assert available_at(table, 5).tolist() == [True, True, True, False, False, False]
    assert available_at(table, 5, end=9).tolist() == [True, True, True, False, True, False], "it was until its end"
    assert available_at(table, 5, end=10).tolist() == [True, True, True, False, True, True]
    old = table.select(["available"])
    assert available_at(old, 5).tolist() == [True, True, True, False, False, False], "of before there were ends"


@pytest.mark.parametrize("subject", [{"user_id": "ann"}, {"user_id": "", "item_id": "g1-04"}], ids=["user", "similar"])
def test_what_ended_before_the_training_stays_out_while_the_index_is_away(bundle, subject):
    ended = {item for item in IDS if item.startswith("g1") and item != "g1-04"}
    ends = pa.array([NOW - 9 if item in ended else None for item in IDS], pa.int64())
    items = bundle.items.set_column(bundle.items.column_names.index("available_until"), "available_until", ends)
    trained = replace(bundle, items=items, settings=replace(bundle.settings, trained_until=NOW - 5))
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    recommender = Recommender.load(trained, None, store).connected(Away(trained.indexed), store)
    assert not trained.indexed[[IDS.index(item) for item in ended]].any()
    (slate,) = recommender.recommend([Request(k=40, timestamp=NOW, **subject)])
    assert "index_unavailable" in slate.degraded and len(slate.items) >= 30 and not shown(slate) & ended


def test_a_row_ends_an_item_at_its_time_and_another_lets_it_be(bundle, tmp_path):
    """The release is one of before items had ends."""
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    live = LiveItems(Recommender.load(bundle, None, store), bundle, ItemLog(tmp_path / "log"), lambda: NOW).load()

    def first(time):
        return live.current.recommend([Request("nobody", 1, time)])[0].items[0].item_id

    best = first(NOW)
    assert live.upsert([{"item_id": best, "available_until": NOW + 4}]).accepted == 1
    assert first(NOW + 4) == best != first(NOW + 5)
    live.upsert([{"item_id": best, "price": 3.0}])
    assert first(NOW + 5) != best, "what a row leaves out stays"
    again = LiveItems(Recommender.load(bundle, None, store), bundle, ItemLog(tmp_path / "log"), lambda: NOW).load()
    assert again.current.recommend([Request("nobody", 1, NOW + 5)])[0].items[0].item_id == first(NOW + 5)
    live.upsert([{"item_id": best, "available_until": None}])
    assert not np.isfinite(live.current.items.available_until).any()
    assert best in shown(live.current.recommend([Request("nobody", 40, NOW + 5)])[0])
    other, third = [item for item in IDS if item != best][:2]
    ends = {best: [NOW - 1], other: [NOW - 1, None], "new": [NOW - 1], third: [NOW]}
    made = {"category": "all/g1", "price": 9.0}
    rows = [{"item_id": item, **made, "available_until": end} for item, own in ends.items() for end in own]
    assert (live.upsert(rows).ended, live.upsert([{"item_id": best, "title": "y"}]).ended) == (2, 0)
    assert live.upsert([{"item_id": item, "available_until": None} for item in ends]).ended == 0
    refused = live.upsert([{"item_id": best, "available_until": end} for end in ("tomorrow", -1, NOW // 1000)]).refused
    assert [each.row for each in refused] == [0, 1, 2] and all("available_until" in each.reason for each in refused)
    assert "which looks like seconds" in refused[2].reason


def test_a_server_tells_that_a_release_has_nothing_to_show_after_what_was_upserted(tmp_path, caplog):
    workspace = write_workspace(tmp_path / "workspace")

    def told(rows=()):
        caplog.clear()
        ready = reader_of(workspace).ready(workspace.current)
        served = ready.serve()
        assert served.live.upsert(rows).refused == () if rows else True
        ready.close()
        return "no item is available now, and slates are empty" in caplog.text

    assert not told([{"item_id": item, "available_until": NOW - 1} for item in IDS])
    assert told([{"item_id": IDS[0], "available_until": None}]), "all have ended by the log"
    file = workspace.current / "items.parquet"
    items = pq.read_table(file)
    ends = pa.array([NOW - 1] * len(items), pa.int64())
    pq.write_table(items.append_column("available_until", ends), file)
    (workspace.current / "golden.jsonl").write_text("")
    manifest = read_manifest(workspace.current)
    write_manifest(workspace.current, manifest["name"], manifest["content"], manifest["lineage"])
    assert not told([{"item_id": IDS[0], "available": False}]), "the log has one that has none"
    assert told()
