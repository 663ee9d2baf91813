"""Souk's files in a real S3 server: read, written, and what its absence costs."""

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Source
from souk.errors import SoukError
from souk.readers import read_batches
from souk.readers.files import find_files, log_files, written
from souk.readers.storage import storage
from souk.serving.impressions.counts import Counts
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.logged import batches
from souk.serving.impressions.sinks import PartFiles
from tests.s3_server import S3Server
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import serving
from tests.test_serving_impressions import NOON, slate


@pytest.fixture
def s3(tmp_path, monkeypatch):
    server = S3Server(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.kill()


def put(address: str, content: bytes) -> None:
    fs, path = storage(address)
    fs.pipe_file(path, content)


def test_a_folder_a_glob_and_a_file_are_read_as_on_a_disk(s3):
    put(f"{s3.bucket}/shop/1.csv", b"n\n1\n2\n")
    put(f"{s3.bucket}/shop/day/2.csv", b"n\n3\n")
    put(f"{s3.bucket}/shop/_SUCCESS", b"")
    for path in ("shop", "shop/", "shop/**/*.csv"):
        found = list(read_batches(Source(path=f"{s3.bucket}/{path}")))
        assert [batch.table["n"].to_pylist() for batch in found] == [["1", "2"], ["3"]]
    assert [file.name for file in find_files(f"{s3.bucket}/shop")] == ["1.csv", "day/2.csv"]
    table = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": [7]}), table)
    put(f"{s3.bucket}/shop.parquet", table.getvalue().to_pybytes())
    [batch] = read_batches(Source(path=f"{s3.bucket}/shop.parquet"))
    assert batch.table["n"].to_pylist() == [7]
    assert NOW < max(written(f"{s3.bucket}/shop", 1 << 50)) <= time.time_ns() // 1_000_000
    with pytest.raises(SoukError, match="nothing there"):
        find_files(f"{s3.bucket}/shop/none")


def test_an_event_log_is_found(s3):
    put(f"{s3.bucket}/log/2.jsonl", b"{}\n")
    put(f"{s3.bucket}/log/1.jsonl", b"{}\n")
    assert log_files(f"{s3.bucket}/log") == [f"{s3.bucket}/log/{n}.jsonl" for n in (1, 2)]
    assert log_files(f"{s3.bucket}/none") == []


def test_impressions_have_the_same_files(s3):
    place = f"{s3.bucket}/impressions"
    sink = PartFiles(place, "w1")
    log = ImpressionLog(sink, lambda: NOON, flush_seconds=3600)
    log.record([slate(1), slate(2)])
    assert log.flush() and log.counts == Counts(2, 2, 0, 0)
    [batch] = batches(place, ("request_id",))
    assert batch.to_pydict() == {"request_id": ["r1", "r2"]}
    assert sink.rows_of("w1", 0) == 2 and sink.rows_of("w1", 1) == sink.rows_of("w", 0) == 0
    log.record([slate(3)])
    assert log.flush() and log.counts == Counts(3, 3, 0, 0)
    found = [row for batch in batches(place, ("request_id",)) for row in batch.to_pydict()["request_id"]]
    assert sorted(found) == ["r1", "r2", "r3"], "the second file of an hour is another one"


def test_a_store_that_is_away_at_the_start_gets_what_waited(s3, monkeypatch, caplog):
    """Without an endpoint the bucket's region is asked for, which needs the store."""

    def away(bucket):
        raise OSError(f"When resolving region for bucket '{bucket}': could not resolve host")

    endpoint = s3.environment["AWS_ENDPOINT_URL_S3"]
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.setattr("pyarrow.fs.resolve_s3_region", away)
    sink = PartFiles(f"{s3.bucket}/impressions", "w1")
    assert f"impressions wait for {s3.bucket}/impressions: When resolving region" in caplog.text
    log = ImpressionLog(sink, lambda: NOON, flush_seconds=3600)
    log.record([slate(1)])
    assert not log.flush() and log.counts == Counts(1, 0, 0, 1) and sink.rows_of("w1", 0) == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    assert log.flush() and log.counts == Counts(1, 1, 0, 0) and sink.rows_of("w1", 0) == 1


def test_what_cannot_be_reached_is_told(s3):
    with pytest.raises(SoukError, match=r"a place for impressions at s3://.*names no bucket"):
        PartFiles("s3://", "w")
    with pytest.raises(SoukError, match=r"at s3://no-such-bucket/x\. Received: nothing there"):
        find_files("s3://no-such-bucket/x")
    s3.kill()
    with pytest.raises(SoukError, match=rf"files at {s3.bucket}/x.*NETWORK_CONNECTION"):
        find_files(f"{s3.bucket}/x")


@pytest.mark.slow
def test_a_store_that_hangs_holds_up_neither_requests_nor_the_end_and_gets_what_waited(s3, tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    places = ["--impressions", f"{s3.bucket}/served", "--flush-seconds", "0.2"]
    written, pending = 'souk_impressions_written_total{sink="files"}', 'souk_impressions_pending{sink="files"}'

    def until(condition):
        end = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.1)

    with serving(workspace.root, tmp_path / "log", *places) as server:
        ids = [server.slates({"user_id": "ann", "k": 4, "timestamp": NOW})[0]["request_id"] for _ in range(3)]
        until(lambda: server.metric(written) == 3)
        with s3.frozen():
            late = [server.slates({"user_id": "bob", "k": 4})[0] for _ in range(5)]
            assert all(len(each["items"]) == 4 and not each["degraded"] for each in late)
            assert server.metric(pending) == 5
        until(lambda: server.metric(written) == 8)
        ids += [each["request_id"] for each in late]
        with s3.frozen():
            server.slates({"user_id": "eve"})
            assert server.stop() == 0, "what is pending is given up and counted"
    told = [
        name for batch in batches(f"{s3.bucket}/served", ("request_id",)) for name in batch["request_id"].to_pylist()
    ]
    assert set(told) >= set(ids) and len(told) <= 9, "each once, but for what was on its way"
    assert "1 impressions (files) lost" in (tmp_path / "log").read_text()
