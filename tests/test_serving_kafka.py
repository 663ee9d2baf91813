"""Impressions to a real Kafka broker: nothing twice, nothing unseen, and nobody waits for it."""

import json
import time

import pyarrow.parquet as pq
import pytest

from souk.errors import SoukError
from souk.serving.impression_counts import Counts
from souk.serving.impressions import ImpressionLog
from souk.serving.kafka_sink import KafkaTopic, address, properties_of
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
    assert found <= {*ids, *(each["request_id"] for each in late)}, "what was on its way may come after all"
    assert "10 impressions (kafka) lost" in (tmp_path / "log").read_text()
    files = list(workspace.impressions.rglob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == 20, "the files have all of them"


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
