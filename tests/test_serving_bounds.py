"""Numbers beyond the bounds of `ingest.outliers`, in what comes while a release serves: as those of training."""

from dataclasses import replace

from souk.config import Columns
from souk.ingest.live import EventCheck
from souk.release.manifest import read_manifest, write_manifest
from souk.serving.events.backlog import StateWriter
from souk.serving.request import RequestParser
from souk.serving.served import states_of
from souk.serving.user_cache import UserCaches
from souk.store.feast_store import Access
from souk.store.memory import MemoryStore
from tests.arms_fixtures import reader_of
from tests.events_fixtures import row
from tests.serving_fixtures import NOW, SPEC, write_workspace

GOOD = row(1, session_id="s", value=2.5, device="tv", basket=3)
BOUNDS = {"value": [0.0, 5.0, "clip"], "basket": [1.0, 9.0, "quarantine"]}


def test_a_number_to_be_clipped_is_in_the_log_as_it_came_and_one_to_be_quarantined_nowhere():
    """The next training has bounds of its own."""
    check = EventCheck(SPEC.columns.events, bounds=BOUNDS)
    typed, refused = check.check([{**GOOD, "value": 1e4}, {**GOOD, "basket": 10}, {**GOOD, "basket": 9}], NOW)
    assert (typed[0]["value"], typed[1], typed[2]["basket"]) == (1e4, {}, 9.0)
    why = "Expected basket within the bounds of ingest.outliers, 1 to 9. Received: 10. See docs/data.md."
    assert refused == {1: why}


def test_a_state_has_the_numbers_of_its_events_as_a_row_of_training():
    writer = StateWriter(MemoryStore(SPEC), SPEC, lambda: NOW, bounds=BOUNDS)
    rows = [{**GOOD, "value": value, "dwell_seconds": 1e9} for value in (1e4, -1.0, 2.5)]
    events = writer.grouped([*rows, row(2)])["ann"]
    assert repr([e.value for e in events]) == "[5.0, 0.0, 2.5, nan]" and events[0].dwell_seconds == 1e9
    assert rows[0]["value"] == 1e4


def test_a_hide_that_is_taken_back_is_so_whatever_bounds_its_value_has():
    """The 0 of a hide is no number of stars."""
    bounds = {"value": [1.0, 5.0, "clip"]}
    back = {**GOOD, "event_type": "hide", "value": 0.0}
    writer = StateWriter(MemoryStore(SPEC), SPEC, lambda: NOW, bounds=bounds)
    assert [e.value for e in writer.grouped([back, {**GOOD, "value": 0.0}])["ann"]] == [0.0, 1.0]
    refusing = {"value": [1.0, 5.0, "quarantine"]}
    assert EventCheck(SPEC.columns.events, bounds=refusing).check([back], NOW)[1] == {}


def test_of_the_log_no_state_takes_what_training_refuses_nor_trips_over_what_was_no_number():
    """Its rows are of a time of other bounds and columns."""
    bounds = {"value": [0.0, 5.0, "quarantine"], "basket": [1.0, 9.0, "clip"]}
    writer = StateWriter(MemoryStore(SPEC), SPEC, lambda: NOW, bounds=bounds)
    events = writer.grouped([{**GOOD, "value": 6.0}, {**GOOD, "value": 5.0, "basket": "large"}])["ann"]
    assert [e.value for e in events] == [5.0]


def test_a_server_holds_to_the_bounds_of_its_release(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    manifest = read_manifest(workspace.current)
    data = {"bounds": {"events": BOUNDS, "items": {"price": [0.0, 50.0, "clip"]}}}
    write_manifest(workspace.current, manifest["name"], manifest["content"], {"data": data})
    ready = reader_of(workspace).ready(workspace.current)
    served = ready.serve()
    request = served.parser.parse({"user_id": "ann", "context": {"basket": 99}}, NOW)
    assert (request.context, request.degraded) == ({}, ("malformed_feature:basket",))
    assert list(served.check.check([{**GOOD, "basket": 99}], NOW)[1]) == [0]
    assert not served.live.upsert([{"item_id": "g0-00", "price": 1e6}, {"item_id": "g0-01", "price": 5.0}]).refused
    assert [served.live._row(item)["item_price"] for item in ("g0-00", "g0-01")] == [50.0, 5.0]
    ready.close()
    writer, _ = states_of(workspace, served.bundle, Access(), lambda: NOW, UserCaches(0))
    assert writer.grouped([{**GOOD, "value": 1e4}])["ann"][0].value == 5.0


def test_numbers_are_clipped_as_those_of_training_or_missing_where_it_would_quarantine_them():
    acts = {"value": [0.0, 5.0, "clip"], "dwell_seconds": [0.0, 60.0, "quarantine"], "basket": [0.0, 9.0, "clip"]}
    spec = replace(SPEC, columns=Columns(events={"basket": "numeric"}, users={"age": "numeric", "height": "numeric"}))
    bounds = {"events": acts, "users": {"age": [10.0, 90.0, "quarantine"], "height": [100.0, 200.0, "clip"]}}
    parser = RequestParser(spec, 10, 50, bounds=bounds)
    told = {"value": 99.0, "dwell_seconds": 61.0}, {"value": -1.0, "dwell_seconds": 60.0}, {}
    events = [{"item_id": "a", "event_type": "click", "timestamp": 10 + n} | each for n, each in enumerate(told)]
    profile, context = {"age": 900, "height": 3.0}, {"basket": 1e6}
    request = parser.parse({"user_id": "u", "events": events, "profile": profile, "context": context}, NOW)
    assert (request.context, request.profile) == ({"basket": 9.0}, {"height": 100.0})
    assert repr([(e.value, e.dwell_seconds) for e in request.events]) == "[(5.0, nan), (0.0, 60.0), (nan, nan)]"
    assert request.degraded == ("malformed_feature:age", "malformed_feature:dwell_seconds")
