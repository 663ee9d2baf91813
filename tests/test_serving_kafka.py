"""Impressions to a real Kafka broker: nothing twice, nothing unseen, and nobody waits for it. What such a broker seldom
does is tested on the one in process that librdkafka has."""

import contextlib
import ctypes
import json
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from souk.errors import SoukError
from souk.serving.impressions import kafka
from souk.serving.impressions.counts import Counts
from souk.serving.impressions.kafka import KafkaTopic, address, properties_of
from souk.serving.impressions.log import ImpressionLog
from souk.serving.seldom import Seldom
from tests.kafka_broker import KafkaBroker
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import serving
from tests.test_serving_impressions import conserved, slate


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka") / "broker")
    broker.start()
    yield broker
    broker.kill()


def log_to(broker, topic, **sizes):
    sink = KafkaTopic(f"kafka://{broker.servers}/{topic}", timeout_ms=3_000)
    return ImpressionLog(sink, lambda: NOW, **{"flush_seconds": 3600, **sizes})


@pytest.mark.slow
def test_a_message_is_the_record_keyed_by_its_user(broker):
    log = log_to(broker, "records")
    log.record([slate(7), slate(8)])
    assert log.flush() and log.counts == Counts(2, 2, 0, 0)
    (key, told), _ = sorted(broker.records("records", ["r7", "r8"]), key=lambda m: m[1]["request_id"])
    assert key == b"ann" and told["request_id"] == "r7" and told["items"] == ["i0", "i1"]
    assert told["engaged"] == [None, 0.5] and json.loads(told["features"])["query_hour"] == 7
    log.close()


@pytest.mark.slow
def test_a_record_that_no_broker_takes_is_dropped_and_the_others_are_sent(broker):
    log = log_to(broker, "large")
    log.record([slate(1), slate(2, items=60_000), slate(3)])
    assert log.flush() and log.counts == Counts(3, 2, 1, 0)
    assert len(broker.records("large", ["r1", "r3"])) == 2
    log.close()


@pytest.mark.slow
def test_while_the_broker_is_down_records_wait_up_to_a_bound_and_then_are_dropped_and_counted(broker):
    log = log_to(broker, "down", capacity=20, flush_seconds=0.2)
    log.open()
    log.record([slate(0)])
    while log.counts.written < 1:
        time.sleep(0.05)
    broker.kill()
    longest = 0.0
    for number in range(1, 31):
        began = time.monotonic()
        log.record([slate(number)])
        longest = max(longest, time.monotonic() - began)
        assert conserved(log.counts)
        time.sleep(0.1)
    assert log.counts.dropped == 10 and log.counts.pending == 20
    assert longest < 1, "a request waits for nothing but the lock: a send has 3 s"
    broker.start()
    until = time.monotonic() + 60
    while log.counts.pending:
        assert time.monotonic() < until and conserved(log.counts), log.counts
        time.sleep(0.1)
    log.close()
    assert log.counts == Counts(31, 21, 10, 0)
    wanted = [f"r{n}" for n in range(21)]
    assert sorted(told["request_id"] for _, told in broker.records("down", wanted)) == sorted(wanted), "each once"


@pytest.mark.slow
def test_a_broker_that_hangs_holds_up_neither_requests_nor_the_end_of_the_server(broker, tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    places = ["--impressions", str(workspace.impressions), "--impressions", f"kafka://{broker.servers}/served"]
    with serving(workspace.root, tmp_path / "log", *places, "--flush-seconds", "0.2") as server:
        ids = [server.slates({"user_id": "ann", "k": 4, "timestamp": NOW})[0]["request_id"] for _ in range(10)]
        sent = 'souk_impressions_written_total{sink="kafka"}'
        until = time.monotonic() + 90
        while server.metric(sent) < 10:
            assert time.monotonic() < until
            time.sleep(0.1)
        with broker.frozen():
            late = [server.slates({"user_id": "bob"})[0] for _ in range(10)]
            assert {tuple(each["degraded"]) for each in late} == {()}
            assert server.metric('souk_impressions_pending{sink="kafka"}') == 10
            assert server.stop() == 0, "what is pending is given up and counted"
    found = {told["request_id"] for _, told in broker.records("served", ids)}
    assert found <= {*ids, *(each["request_id"] for each in late)}, "what was on its way may have come"
    assert "10 impressions (kafka) lost" in (tmp_path / "log").read_text()
    files = list(workspace.impressions.rglob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == 20, "the files have all of them"


@pytest.mark.slow
def test_of_a_batch_that_the_broker_refuses_only_what_is_too_large_is_dropped(broker):
    from confluent_kafka.admin import AdminClient, NewTopic

    client = AdminClient({"bootstrap.servers": broker.servers})
    topic = NewTopic("narrow", num_partitions=1, config={"max.message.bytes": "20000"})
    client.create_topics([topic], request_timeout=60)["narrow"].result(90)
    log = log_to(broker, "narrow")
    log.record([slate(1), slate(2, items=6_000), slate(3)])  # 20,000 bytes and more, compressed
    assert log.flush() and log.counts == Counts(3, 2, 1, 0)
    assert len(broker.records("narrow", ["r1", "r3"])) == 2
    log.close()


@pytest.fixture
def in_process():
    """A log of a cluster in process, for those that need no more than answers."""
    made = []

    def log(**properties):
        settings = {"test.mock.num.brokers": 1, **properties}
        made.append(ImpressionLog(KafkaTopic("kafka://none:1/t", settings, 2_000), lambda: NOW, flush_seconds=3600))
        return made[-1]

    yield log
    for each in made:
        each.close()


def library_of(producer):
    """librdkafka, and the handle that a producer has of it."""
    confluent_kafka = pytest.importorskip("confluent_kafka")
    (library,) = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka-*")
    handle = ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)  # its first field: rd_kafka_t *
    return ctypes.CDLL(str(library)), handle


def test_a_partition_that_is_away_is_waited_for_once_however_many_records_wait(in_process):
    log, handed = in_process(), []
    library, handle = library_of(log.sink._producer)
    library.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
    cluster = ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(handle))
    assert library.rd_kafka_mock_topic_create(cluster, b"t", 4, 1) == 0
    assert library.rd_kafka_mock_partition_set_leader(cluster, b"t", 3, -1) == 0  # nobody
    write = log.sink.write
    log.sink.write = lambda records: handed.append(len(records)) or write(records)
    log.record([replace(slate(number), user_id=f"u{number}") for number in range(2_000)])
    assert not log.flush() and handed == [2_000]
    waiting = log.counts.pending
    assert 300 < waiting < 700 and log.counts == Counts(2_000, 2_000 - waiting, 0, waiting)
    assert library.rd_kafka_mock_partition_set_leader(cluster, b"t", 3, 1) == 0
    assert log.flush() and handed == [2_000, waiting] and log.counts == Counts(2_000, 2_000, 0, 0)


def test_after_a_fatal_error_of_the_producer_records_wait_for_another_one(in_process, caplog):
    log = in_process()
    log.record([slate(1)])
    assert log.flush()
    library, handle = library_of(log.sink._producer)
    assert library.rd_kafka_test_fatal_error(handle, 47, b"by the test") == 0
    log.record([slate(2), slate(3)])
    assert not log.flush() and log.counts == Counts(3, 1, 0, 2) and "Fatal error" in caplog.text
    assert log.flush() and log.counts == Counts(3, 3, 0, 0)


def test_brokers_that_are_away_are_told_now_and_then(in_process, monkeypatch, caplog, capfd):
    monkeypatch.setattr(kafka, "seldom", Seldom(kafka.logger))
    sink = KafkaTopic("kafka://127.0.0.1:9/t", None, 2_000)
    with contextlib.closing(ImpressionLog(sink, lambda: NOW, flush_seconds=3600)) as log:
        log.record([slate(1)])
        assert not log.flush() and not log.flush()
        told = [record for record in caplog.records if "_TRANSPORT" in record.getMessage()]
        assert len(told) == 1 and "FAIL" not in capfd.readouterr().err


def test_records_wait_for_a_topic_that_is_not_there(in_process):
    log = in_process(**{"allow.auto.create.topics": False, "topic.metadata.propagation.max.ms": 1})
    for number in range(3):  # told by the broker first, and then known to librdkafka, which takes none
        log.record([slate(number)])
        assert not log.flush() and log.counts == Counts(number + 1, 0, 0, number + 1)


@pytest.mark.parametrize(
    "uri", ["kafka://", "kafka://host:9092", "kafka:///topic", "kafka://h:1/a/b", "kafka://me@h/t"]
)
def test_an_address_that_names_no_broker_or_topic_is_refused(uri):
    with pytest.raises(SoukError, match="kafka://HOST:PORT/TOPIC"):
        address(uri)


def test_settings_are_read_and_a_wrong_one_is_refused_without_its_secret(tmp_path):
    file = tmp_path / "kafka.properties"
    file.write_text("# mine\nsasl.password = a=b\n\nsecurity.protocol=SASL_SSL\n")
    assert properties_of(str(file)) == {"sasl.password": "a=b", "security.protocol": "SASL_SSL"}
    file.write_text("sasl.password hunter2\n")
    with pytest.raises(SoukError, match="key=value in line 1") as error:
        properties_of(str(file))
    assert "hunter2" not in str(error.value)
    with pytest.raises(SoukError, match="settings that librdkafka takes"):
        KafkaTopic("kafka://127.0.0.1:1/t", {"no.such.setting": "x"})
    with pytest.raises(SoukError, match="settings of Kafka in"):
        properties_of(str(tmp_path / "gone"))
