"""Impressions that wait are bounded by what they take, and go to a sink by parts."""

import threading
import tracemalloc
from dataclasses import replace

import pytest

from souk.serving.impressions.counts import Counts
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.sinks import PartFiles, Written
from souk.serving.request import Request
from souk.serving.slate import size_of
from tests.test_serving_impressions import NOON, log_at, read, slate

PART = PartFiles.part


def test_slates_that_take_many_bytes_wait_in_bounded_memory_and_wake_the_writer(tmp_path):
    out = frozenset(f"item-{number:08}" for number in range(10_000))
    large = replace(slate(), request=Request("ann", 2, 5, exclude=out))
    log = log_at(tmp_path, most_bytes=3 * size_of(large))
    log.record([large] * 5)
    assert log.counts == Counts(5, 0, 2, 3) and size_of(large) > 10_000 * len("item-00000000")
    log.flush()
    log.record([large] * 2)
    assert log.counts == Counts(7, 3, 2, 2), "what was written makes room"
    small = log_at(tmp_path / "small", most_bytes=size_of(large) // 2)
    small.record([large])
    small.record([slate()])
    assert small.counts == Counts(2, 0, 1, 1) and small.flush() and small.counts == Counts(2, 1, 1, 0)
    assert read(tmp_path / "small")[0]["request"], "one that is larger than all that may wait is taken alone"
    awake = log_at(tmp_path / "awake", flush_bytes=2 * size_of(large))
    awake.open()
    awake.record([large])
    awake.record([large])
    for _ in range(1000):
        if not awake.counts.pending:
            break
        threading.Event().wait(0.01)
    assert awake.counts == Counts(2, 2, 0, 0), "long before the flush of an hour"
    awake.close()


@pytest.mark.parametrize("letter", ["x", "é", "\u4e2d", "\U0001f6d2"])
def test_a_slate_takes_about_what_its_size_says_whatever_its_letters(letter):
    def asked():
        words = frozenset(200 * letter + str(number) for number in range(300))
        return replace(slate(), request=Request("ann", 2, 5, exclude=words))

    tracemalloc.start()
    try:
        slates = [asked() for _ in range(5)]
        taken = tracemalloc.get_traced_memory()[0] / len(slates)
    finally:
        tracemalloc.stop()
    assert 0.7 * size_of(slates[0]) < taken < 1.4 * size_of(slates[0])


def test_what_one_place_of_a_sink_refuses_holds_up_nothing_else(tmp_path):
    """As Kafka does, of which one partition has no leader: it answers for each record."""

    class Partly(PartFiles):
        away = True

        def write(self, records):
            well = [not self.away or record[1].request_id != "bob" for record in records]
            done = super().write([record for record, one in zip(records, well, strict=True) if one])
            return replace(done, waiting=[record for record, one in zip(records, well, strict=True) if not one])

    sink = Partly(tmp_path / "log", "w1")
    log = ImpressionLog(sink, lambda: NOON, flush_seconds=3600)
    bob = replace(slate(), request_id="bob")
    log.record([bob, *(slate(number) for number in range(2 * PART)), bob])
    assert not log.flush() and log.counts == Counts(2 * PART + 2, 2 * PART, 0, 2)
    log.record([slate(number) for number in range(PART)])
    assert not log.flush() and log.counts == Counts(3 * PART + 2, 3 * PART, 0, 2)
    sink.away = False
    assert log.flush() and log.counts == Counts(3 * PART + 2, 3 * PART + 2, 0, 0)


def test_what_was_refused_takes_its_room_until_it_is_written(tmp_path):
    (tmp_path / "log").write_text("a file stands where the folder should be")
    log = log_at(tmp_path / "log", most_bytes=2 * size_of(slate()))
    log.record([slate()] * 2)
    assert not log.flush()
    log.record([slate()])
    assert log.counts == Counts(3, 0, 1, 2)
    (tmp_path / "log").unlink()
    assert log.flush()
    log.record([slate()] * 3)
    assert log.counts == Counts(6, 2, 2, 2)


def test_after_a_fault_a_sink_is_handed_a_part_at_a_time(tmp_path):
    handed = []

    class Refusing(PartFiles):
        """Refuses its second call."""

        def write(self, records):
            handed.append(len(records))
            return Written(0, records, 0, "later") if len(handed) == 2 else super().write(records)

    log = ImpressionLog(Refusing(tmp_path / "log", "w1"), lambda: NOON, flush_seconds=3600)
    log.record([slate(number) for number in range(2 * PART + 1)])
    assert not log.flush() and log.counts == Counts(2 * PART + 1, PART, 0, PART + 1)
    assert log.flush() and handed == [PART, PART, PART, 1]
    assert [row["request_id"] for row in read(tmp_path / "log")] == [f"r{number}" for number in range(2 * PART + 1)]
