"""Where impressions go, what a killed process leaves, and what a record says of its request."""

import math
import os
import re
import socket
import threading
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.errors import SoukError
from souk.schema import SECONDS
from souk.serving.filters import Condition
from souk.serving.impressions import log as impressions
from souk.serving.impressions.counts import FORM, Counts, CountsFile
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.logged import batches
from souk.serving.impressions.logs import close_all, logs_of
from souk.serving.impressions.records import instance_of
from souk.serving.impressions.sinks import PartFiles, Written
from souk.serving.process_name import process_name, started
from souk.serving.request import Request, RequestParser
from souk.state import Event
from souk.workspace import Workspace
from tests.full_disk import largest_file
from tests.serving_fixtures import IDS, NOW, SPEC
from tests.test_serving_impressions import HOUR, NOON, conserved, slate


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "impressions"


def test_what_a_killed_process_left_is_lost_once_and_what_it_wrote_uncounted_is_not(folder):
    def log(writer):
        return ImpressionLog(PartFiles(folder, writer), lambda: NOON, flush_seconds=3600, counts=(folder, writer))

    killed = log("w1")
    killed.open()
    killed.record([slate(n) for n in range(5)])
    killed.flush()
    killed.record([slate(n) for n in range(5, 8)])
    killed.sink.write([(NOON, slate(5)), (NOON + HOUR, slate(6))])  # killed before it was counted
    alive = log("w2")
    alive.open()
    alive.looked()
    assert alive.counts.lost == 0, "the other one is alive"
    killed._file._memory.close()
    os.close(killed._file._file)  # as the end of a process does: its lock is gone
    next_one, another = log("w3"), log("w4")
    for each in (next_one, another):
        each.open()
        each.looked()
    assert (next_one.counts.lost, another.counts.lost) == (1, 0)
    assert next_one.counts == Counts(0, 0, 0, 0, 1)
    for each in (alive, next_one, another):
        each.close()
    assert not list(folder.glob(".*.counts"))


class Slow(PartFiles):
    """A store that takes until the test allows it to find files."""

    def __init__(self, *given):
        super().__init__(*given)
        self.allowed = threading.Event()

    def rows_of(self, writer, parts):
        self.allowed.wait(60)
        return super().rows_of(writer, parts)


def test_what_others_left_is_counted_beside_the_answers_and_looked_for_in_the_hours_of_that_writer(folder):
    name = process_name(NOON)
    PartFiles(folder, name).write([(NOON - HOUR, slate(0)), (NOON, slate(1)), (NOON + 24 * HOUR, slate(2))])
    for hour in ("2023-12-31/23", "2024-02-29/11"):  # of before it began: they are not looked at
        (folder / hour).mkdir(parents=True, exist_ok=True)
        (folder / hour / f"{name}-000009.parquet").write_text("no Parquet")
    (folder / f".files.{name}.counts").write_bytes(FORM.pack(5, 0, 1, 1))
    log = ImpressionLog(Slow(folder, "w2"), lambda: NOON, flush_records=1, counts=(folder, "w2"))
    log.open()
    log.record([slate(3)])
    for _ in range(1000):
        if log.counts.written:
            break
        threading.Event().wait(0.01)
    assert log.counts == Counts(1, 1, 0, 0, 0), "it answers and writes meanwhile"
    log.sink.allowed.set()
    log.looked()
    assert log.counts.lost == 2, "5 answered, 1 dropped, 2 found"
    log.close()


def test_two_processes_that_begin_together_have_two_names_and_one_name_is_refused_at_once(folder, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in every container
    names = {process_name(NOON) for _ in range(100)}
    assert len(names) == 100 and {started(name) for name in names} == {NOON} and started("w1") == 0
    assert all(re.fullmatch(r"[A-Za-z0-9-]+-1-[0-9a-f]{8}", name) for name in names)
    monkeypatch.setattr(socket, "gethostname", lambda: "souk-0.shop")
    assert process_name(5).startswith("5-souk-0-shop-1-")
    first, second = CountsFile(folder / ".files.w.counts"), CountsFile(folder / ".files.w.counts")
    first.open()
    first.put(3, 2, 1, 0)
    with pytest.raises(SoukError, match="another process has locked it"):
        second.open()
    assert FORM.unpack((folder / ".files.w.counts").read_bytes()) == (3, 2, 1, 0), "the first one's counts stand"
    first.close()


def test_a_disk_that_refuses_the_counts_refuses_nothing_else(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    log = ImpressionLog(PartFiles(tmp_path / "log", "w"), lambda: NOON, counts=(tmp_path / "file" / "x", "w"))
    log.open()
    log.record([slate()])
    log.close()
    assert log.counts == Counts(1, 1, 0, 0) and "is not counted" in caplog.text


def test_a_full_disk_is_left_no_file_that_holds_no_counts(folder, caplog):
    file = CountsFile(folder / ".files.w.counts")
    with largest_file(0):
        file.open()
    file.put(3, 2, 1, 0)
    file.close()
    assert "is not counted" in caplog.text and not list(folder.iterdir())


class Hanging:
    """A sink that does not come back until the test ends."""

    name, part, parts = "hanging", 500, 0

    def __init__(self):
        self.over = threading.Event()

    def write(self, records):
        self.over.wait(60)
        return Written(len(records))

    def rows_of(self, writer, parts):
        return 0

    def close(self):
        raise AssertionError("it is in use")


def test_a_sink_that_hangs_holds_up_neither_requests_nor_the_end(monkeypatch):
    monkeypatch.setattr(impressions, "PATIENCE", 0.2)
    log = ImpressionLog(Hanging(), lambda: NOON, capacity=3, flush_records=1)
    log.open()
    for number in range(5):
        log.record([slate(number)])
        assert conserved(log.counts)
    log.close()
    assert log.counts == Counts(5, 0, 5, 0)
    log.sink.over.set()
    assert log.counts == Counts(5, 0, 5, 0), "what comes after the end changes nothing"


class Meeting(PartFiles):
    """A sink that is done only when another one is being written too."""

    both = threading.Barrier(2, timeout=60)

    def write(self, records):
        self.both.wait()
        return super().write(records)


def test_logs_are_closed_at_the_same_time(folder):
    logs = [ImpressionLog(Meeting(folder / name, "w1"), lambda: NOON, flush_seconds=3600) for name in "ab"]
    for log in logs:
        log.open()
        log.record([slate()])
    close_all(logs)
    assert [log.counts for log in logs] == [Counts(1, 1, 0, 0)] * 2


def test_an_object_store_has_the_same_files():
    sink = PartFiles("memory://shop/impressions", "w1")
    log = ImpressionLog(sink, lambda: NOON, flush_seconds=3600)
    log.record([slate(1), slate(2)])
    assert log.flush() and log.counts == Counts(2, 2, 0, 0)
    (batch,) = batches("memory://shop/impressions", ("request_id", "arm", "nothing"))
    assert batch.to_pydict() == {"request_id": ["r1", "r2"], "arm": ["", ""], "nothing": [None, None]}
    assert sink.rows_of("w1", 0) == 2 and sink.rows_of("w1", 1) == sink.rows_of("w", 0) == 0


def test_a_place_that_is_none_is_refused():
    with pytest.raises(SoukError, match="a place for impressions at no-such-store://x"):
        PartFiles("no-such-store://x", "w")
    with pytest.raises(SoukError, match="one place of files"):
        logs_of(Workspace(Path("w")), ["a", "b"], "", "w", lambda: NOON, 1)


ITEM = st.text(min_size=1, max_size=4).map(str.strip).filter(bool)  # as requests have ids


@given(
    st.builds(
        Request,
        user_id=st.text(max_size=5).map(str.strip),
        k=st.integers(1, 50),
        timestamp=st.integers(NOW, NOW + 10**9),
        context=st.fixed_dictionaries({}, optional={"device": st.text(max_size=4), "basket": st.floats(-1e9, 1e9)}),
        profile=st.fixed_dictionaries({}, optional={"region": st.text(max_size=4)}),
        exclude=st.frozensets(ITEM, max_size=3),
        candidates=st.none() | st.lists(ITEM, min_size=1, max_size=3, unique=True).map(tuple),
        filter=st.sampled_from(
            [
                (),
                (Condition("category", frozenset({"all/g1", "all"})),),
                (Condition("price", low=1.0, high=9.5),),
                (Condition("price", high=9.5),),
            ]
        ),
        events=st.lists(
            st.builds(
                Event,
                item_id=st.sampled_from(IDS),
                event_type=st.sampled_from(["click", "purchase"]),
                timestamp=st.integers(0, NOW).filter(lambda time: time not in SECONDS),
                value=st.just(math.nan) | st.floats(0, 100),
                event_id=st.text(max_size=3).map(str.strip),
                dwell_seconds=st.just(math.nan),
                context=st.just({}),
            ),
            max_size=3,
        ).map(lambda events: tuple(sorted(events, key=lambda e: e.order))),
    )
)
def test_a_recorded_request_can_be_asked_again(request):
    instance = orjson.loads(orjson.dumps(instance_of(request)))
    again = RequestParser(SPEC, 10, 50).parse(instance, 0)
    same = [repr(event) for event in again.events] == [repr(event) for event in request.events]
    assert same and again.session == (not request.user_id)
    assert replace(again, events=()) == replace(request, events=(), state=again.state, session=again.session)
