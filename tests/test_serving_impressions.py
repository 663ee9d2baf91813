"""The impression log: nothing is lost unseen."""

import math
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from souk.serving.impressions.counts import Counts
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.records import SCHEMA
from souk.serving.impressions.sinks import PartFiles, Written
from souk.serving.slate import Slate, SlateItem

HOUR = 3_600_000
NOON = int(datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp() * 1000)


def slate(number=0, items=2, degraded=()):
    ranked = tuple(
        SlateItem(
            f"i{n}", "", 1.0 / (n + 1), {"engaged": 0.5, "satisfied": 0.25} if n else {}, f"source{n}", n, 1 / (n + 1)
        )
        for n in range(items)
    )
    features = {"user_id": "ann", "user_age": math.nan, "query_hour": 7, "context_tags": ["a"]}
    return Slate(f"r{number}", "ann", 5, "shop-0123", "", ranked, degraded, features)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "impressions"


def log_at(folder, clock=lambda: NOON, **sizes):
    return ImpressionLog(PartFiles(folder, "w1"), clock, flush_seconds=3600, **sizes)


def conserved(counts):
    return counts.answered == counts.written + counts.dropped + counts.pending


def read(folder):
    files = sorted(folder.rglob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()


def test_a_record_is_the_slate(folder):
    log = log_at(folder)
    log.record([slate(7, degraded=("unknown_user",))])
    assert log.counts == Counts(1, 0, 0, 1)
    assert log.flush() and log.counts == Counts(1, 1, 0, 0)
    (file,) = folder.rglob("*.parquet")
    assert file.relative_to(folder).as_posix() == "2024-02-29/12/w1-000000.parquet"
    assert pq.read_schema(file).equals(SCHEMA)
    assert pq.read_table(file).to_pylist() == [
        {
            "request_id": "r7",
            "user_id": "ann",
            "timestamp": 5,
            "answered_at": NOON,
            "release": "shop-0123",
            "arm": "",
            "degraded": ["unknown_user"],
            "items": ["i0", "i1"],
            "scores": [1.0, 0.5],
            "engaged": [None, 0.5],
            "satisfied": [None, 0.25],
            "sources": ["source0", "source1"],
            "propensities": [1.0, 0.5],
            "features": '{"user_age":null,"query_hour":7,"context_tags":["a"]}',
            "request": None,
        }
    ]


def test_a_further_objective_is_a_column_where_a_slate_has_it(folder):
    log, plain = log_at(folder), slate(1)
    kept = replace(plain, items=tuple(replace(i, scores={**i.scores, "kept": 0.75}) for i in plain.items[1:]))
    log.record([replace(kept, request_id="r2"), plain])
    log.flush()
    log.record([plain])
    log.flush()
    first, second = (pq.read_table(file) for file in sorted(folder.rglob("*.parquet")))
    assert first["kept"].to_pylist() == [[0.75], [None, None]] and first["satisfied"].to_pylist()[0] == [0.25]
    assert second.schema.equals(SCHEMA)


def test_each_hour_has_its_folder(folder):
    times = iter([NOON, NOON + HOUR - 1, NOON + HOUR])
    log = log_at(folder, lambda: next(times))
    for number in range(3):
        log.record([slate(number)])
    log.flush()
    assert [pq.read_table(f).num_rows for f in sorted(folder.rglob("*.parquet"))] == [2, 1]
    assert ds.dataset(folder, format="parquet").count_rows() == 3


def test_what_does_not_fit_is_dropped_and_counted(folder):
    log = log_at(folder, capacity=3, flush_records=100)
    log.record([slate(n) for n in range(5)])
    assert log.counts == Counts(5, 0, 2, 3)
    log.flush()
    assert log.counts == Counts(5, 3, 2, 0)
    assert [row["request_id"] for row in read(folder)] == ["r0", "r1", "r2"]


def test_a_full_buffer_wakes_the_writer_and_close_writes_the_rest(folder):
    log = log_at(folder, flush_records=2)
    log.open()
    for number in range(5):
        log.record([slate(number)])
    log.close()
    assert log.counts == Counts(5, 5, 0, 0)
    assert sorted(row["request_id"] for row in read(folder)) == [f"r{n}" for n in range(5)]


def test_a_refusing_disk_keeps_the_records_until_it_works(folder):
    folder.write_text("a file stands where the folder should be")
    log = log_at(folder)
    log.record([slate(1)])
    assert not log.flush() and log.counts == Counts(1, 0, 0, 1)
    folder.unlink()
    assert log.flush() and log.counts == Counts(1, 1, 0, 0)


def test_what_waits_is_written_in_its_order_before_what_came_later(folder):
    written = []

    class Hesitant(PartFiles):
        """Takes one record a call."""

        def write(self, records):
            written.append(records[0][1].request_id)
            return Written(1, records[1:], 0, "later")

    log = ImpressionLog(Hesitant(folder, "w1"), lambda: NOON, flush_seconds=3600)
    log.record([slate(n) for n in range(3)])
    log.flush()
    log.record([slate(3)])
    while log.counts.pending:
        log.flush()
    assert written == ["r0", "r1", "r2", "r3"] and log.counts == Counts(4, 4, 0, 0)


def test_a_refusing_disk_at_the_end_is_a_counted_loss(folder):
    folder.write_text("")
    log = log_at(folder)
    log.open()
    log.record([slate(1), slate(2)])
    log.close()
    assert log.counts == Counts(2, 0, 2, 0)
    log.record([slate(3)])
    assert log.counts == Counts(3, 0, 3, 0)


def test_a_write_that_breaks_off_leaves_no_file(folder, monkeypatch):
    whole, seen = Path.write_bytes, []

    def half(path, content):
        whole(path, content[: len(content) // 2])
        seen.extend(folder.rglob("*.parquet"))
        raise OSError(28, "No space left on device")

    log = log_at(folder)
    log.record([slate()])
    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", half)
        assert not log.flush()
    assert seen == [], "nor does a reader find it meanwhile"
    assert [f for f in folder.rglob("*") if f.is_file()] == []
    assert log.flush() and len(read(folder)) == 1


def test_a_record_that_cannot_be_written_ends_neither_the_thread_nor_the_log(folder, caplog):
    log = log_at(folder, flush_records=1)
    log.open()
    log.record([replace(slate(1), user_id="\ud800"), slate(3)])  # half a character: Arrow raises UnicodeEncodeError
    for _ in range(1000):
        if log.counts.dropped:
            break
        threading.Event().wait(0.01)
    assert log.counts == Counts(2, 1, 1, 0) and "1 impressions cannot be written" in caplog.text
    log.record([slate(2)])
    log.close()
    assert log.counts == Counts(3, 2, 1, 0)
    assert [row["request_id"] for row in read(folder)] == ["r3", "r2"], "the others of the flush are written"


def test_what_waits_behind_a_record_that_cannot_be_written_is_only_what_the_disk_refused(folder, monkeypatch):
    sink, put = PartFiles(folder, "w1"), PartFiles._put

    def full(self, where, *more):
        if where.endswith("13"):
            raise OSError("full")
        put(self, where, *more)

    monkeypatch.setattr(PartFiles, "_put", full)
    later = (NOON + HOUR, slate(4))
    done = sink.write([(NOON, replace(slate(1), user_id="\ud800")), (NOON, slate(3)), later])
    assert (done.count, done.dropped, list(done.waiting)) == (1, 1, [later])


class Raising(PartFiles):
    """A sink with a defect, until it is mended."""

    defect = True

    def write(self, records):
        if self.defect:
            raise RuntimeError("a defect")
        return super().write(records)


def test_a_sink_that_raises_does_not_end_the_thread_and_its_records_wait(folder, caplog):
    log = ImpressionLog(Raising(folder, "w1"), lambda: NOON, flush_records=1, flush_seconds=0.01)
    log.open()
    log.record([slate(1)])
    for _ in range(1000):
        if caplog.text.count("impressions (files) wait: RuntimeError: a defect") > 2:
            break
        threading.Event().wait(0.01)
    assert log.counts == Counts(1, 0, 0, 1) and caplog.text.count("Traceback") == 1, "told whole once"
    log.sink.defect = False
    for _ in range(1000):
        if log.counts.written:
            break
        threading.Event().wait(0.01)
    assert log.counts == Counts(1, 1, 0, 0)
    log.close()


def test_counts_hold_under_load(folder):
    log = log_at(folder, capacity=50, flush_records=10)
    log.open()
    wrong = []

    def answer(start):
        for number in range(start, start + 300):
            log.record([slate(number)])
            if not conserved(log.counts):
                wrong.append(log.counts)

    threads = [threading.Thread(target=answer, args=(1000 * t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    counts = log.counts
    assert not wrong and counts.answered == 1200 and counts.pending == 0 and conserved(counts)
    assert len({row["request_id"] for row in read(folder)}) == len(read(folder)) == counts.written > 0
